// SPDX-License-Identifier: Apache-2.0
// Changes of attributes and extended attributes.
#include <fmt/format.h>
#include <sys/xattr.h>

#include "index/volume.h"
#include "index/volume_impl.h"
#include "media/udf/tag.h"

namespace vellum {
namespace {

using XattrChanges = std::map<std::string, std::optional<std::string>>;

void ChangeXattrs(const XattrChanges& changes, udf::InodeAttr* attr) {
  for (const auto& [name, value] : changes) {
    if (value) {
      attr->xattrs[name] = *value;
    } else {
      attr->xattrs.erase(name);
    }
  }
}

// The entry needs more room for the times that a UDF timestamp cannot hold.
bool HasLongTimes(const AttrChange& change) {
  for (const auto& time :
       {change.atime, change.mtime, change.ctime, change.btime}) {
    if (time && !udf::TimestampHolds(*time)) return true;
  }
  return false;
}

// REQUIRES: content locked.
Status MakeRoom(Volume::Impl* impl, LiveInode* inode,
                const AttrChange& change) {
  {
    MutexLock lock(&impl->mu_);
    udf::InodeAttr attr = inode->rec.attr;
    ChangeXattrs(change.xattrs, &attr);
    if (change.atime) attr.atime = *change.atime;
    if (change.mtime) attr.mtime = *change.mtime;
    if (change.ctime) attr.ctime = *change.ctime;
    if (change.btime) attr.btime = *change.btime;
    RETURN_IF_ERROR(udf::CheckXattrsFit(attr, inode->rec.symlink_target));
    if (!inode->rec.inline_data || attr.size <= udf::InlineCapacity(attr)) {
      return Status::Ok();
    }
  }
  // The entry has no room for both: the content moves to blocks.
  return impl->ConvertInline(inode);
}

}  // namespace

Result<Attr> Volume::SetAttr(InodeNumber ino, const AttrChange& change) {
  std::optional<Attr> out;
  RETURN_IF_ERROR(impl_->Run([&]() -> Status {
    LiveInode* content = nullptr;
    const bool room = !change.xattrs.empty() || HasLongTimes(change);
    if (change.size.has_value() || room) {
      ASSIGN_OR_RETURN(content, impl_->LockContent(ino));
    }
    const Status status = [&]() -> Status {
      if (room) {
        RETURN_IF_ERROR(MakeRoom(impl_.get(), content, change));
      }
      if (change.size.has_value()) {
        RETURN_IF_ERROR(impl_->Truncate(content, *change.size));
      }
      MutexLock lock(&impl_->mu_);
      ASSIGN_OR_RETURN(LiveInode * inode, impl_->Live(ino));
      udf::InodeAttr& attr = inode->rec.attr;
      if (change.mode) attr.mode = *change.mode & 07777;
      if (change.uid) attr.uid = *change.uid;
      if (change.gid) attr.gid = *change.gid;
      if (change.atime) attr.atime = *change.atime;
      if (change.mtime) attr.mtime = *change.mtime;
      if (change.btime) attr.btime = *change.btime;
      ChangeXattrs(change.xattrs, &attr);
      attr.ctime = change.ctime ? *change.ctime : Now();
      if (!inode->unlinked) impl_->MarkDirty(inode);
      out = impl_->ToAttr(*inode);
      return Status::Ok();
    }();
    if (content != nullptr) impl_->UnlockContent(content);
    return status;
  }));
  return std::move(*out);
}

Status Volume::SetXattr(InodeNumber ino, const std::string& name,
                        std::string_view value, int flags) {
  return impl_->Run([&]() -> Status {
    ASSIGN_OR_RETURN(LiveInode * inode, impl_->LockContent(ino));
    const Status status = [&]() -> Status {
      {
        MutexLock lock(&impl_->mu_);
        const bool exists = inode->rec.attr.xattrs.count(name) != 0;
        if ((flags & XATTR_CREATE) != 0 && exists) {
          return Status(Errc::kExists,
                        fmt::format("attribute '{}' exists", name));
        }
        if ((flags & XATTR_REPLACE) != 0 && !exists) {
          return Status(Errc::kNoAttribute,
                        fmt::format("no attribute '{}'", name));
        }
      }
      AttrChange change;
      change.xattrs[name] = std::string(value);
      RETURN_IF_ERROR(MakeRoom(impl_.get(), inode, change));
      MutexLock lock(&impl_->mu_);
      ChangeXattrs(change.xattrs, &inode->rec.attr);
      inode->rec.attr.ctime = Now();
      if (!inode->unlinked) impl_->MarkDirty(inode);
      return Status::Ok();
    }();
    impl_->UnlockContent(inode);
    return status;
  });
}

Status Volume::RemoveXattr(InodeNumber ino, const std::string& name) {
  return impl_->Run(
      [&]() -> Status {
        MutexLock lock(&impl_->mu_);
        ASSIGN_OR_RETURN(LiveInode * inode, impl_->Live(ino));
        if (inode->rec.attr.xattrs.erase(name) == 0) {
          return Status(Errc::kNoAttribute,
                        fmt::format("no attribute '{}'", name));
        }
        inode->rec.attr.ctime = Now();
        if (!inode->unlinked) impl_->MarkDirty(inode);
        return Status::Ok();
      },
      0, HostUse::kRemoval);
}

}  // namespace vellum
