// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse_ops.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "fs/control_tree.h"
#include "fs/posix_acl.h"

namespace vellum {

Result<VolumeInode> FindInode(const FuseFs& fs, fuse_ino_t ino) {
  const NodeId node = NodeOf(fs, ino);
  if (KindOf(node) != NodeKind::kVolume) {
    return Error{Errc::kNotPermitted,
                 "the root of the mount and its control files are not a "
                 "volume's"};
  }
  ASSIGN_OR_RETURN(ShownVolumePtr shown, fs.tree->Find(VolumeOf(node)));
  return VolumeInode{std::move(shown), InodeOf(node)};
}

std::unique_ptr<OpenFile> MakeOpenFile(const VolumeInode& inode) {
  auto file = std::make_unique<OpenFile>();
  file->shown = inode.shown;
  file->ino = inode.ino;
  file->losses_seen =
      std::make_shared<std::atomic<uint64_t>>(inode.shown->volume->losses());
  return file;
}

Result<VolumeInode> FindForChange(const FuseFs& fs, fuse_ino_t ino) {
  ASSIGN_OR_RETURN(VolumeInode inode, FindInode(fs, ino));
  RETURN_IF_ERROR(Tree::CheckChange(*inode.shown));
  return inode;
}

fuse_entry_param VolumeEntry(const FuseFs& fs, const ShownVolume& shown,
                             const Attr& attr) {
  fuse_entry_param entry{};
  entry.attr = Tree::ToStat(shown, attr);
  entry.ino = KernelNode(fs, MakeVolumeNode(shown.index(), attr.ino));
  entry.generation = attr.attr.unique_id;
  entry.attr_timeout = TimeoutOf(fs, shown);
  entry.entry_timeout = TimeoutOf(fs, shown);
  return entry;
}

fuse_entry_param ControlEntry(NodeId node, const struct stat& st) {
  fuse_entry_param entry{};
  entry.ino = node;
  entry.attr = st;
  return entry;
}

Status CheckName(const char* name) {
  if (std::strlen(name) <= kMaxNameLength) return Status::Ok();
  return Status(Errc::kNameTooLong, "names have at most 255 bytes");
}

namespace ops {
namespace {

void LookupInRoot(const RequestPtr& request, std::string_view name) {
  FuseFs& fs = request->fs();
  if (name == kControlName && fs.control != nullptr) {
    const Result<struct stat> st = fs.control->Stat(kControlRoot);
    if (!st.ok()) return request->Fail(st.error());
    return request->Entry(ControlEntry(kControlRoot, *st));
  }
  const ShownVolumePtr shown = fs.tree->FindByName(name);
  if (!shown) return request->Errno(ENOENT);
  const Result<Attr> attr = fs.tree->GetAttr(*shown, shown->volume->root());
  if (!attr.ok()) return request->Fail(attr.error());
  request->Entry(VolumeEntry(fs, *shown, *attr));
}

void LookupControl(const RequestPtr& request, NodeId dir,
                   std::string_view name) {
  ControlTree& control = *request->fs().control;
  const Result<NodeId> node = control.Lookup(dir, name);
  if (!node.ok()) return request->Fail(node.error());
  const Result<struct stat> st = control.Stat(*node);
  if (!st.ok()) return request->Fail(st.error());
  request->Entry(ControlEntry(*node, *st));
}

void LookupInVolume(const RequestPtr& request, const VolumeInode& dir,
                    const char* name) {
  FuseFs& fs = request->fs();
  const ShownVolume& shown = *dir.shown;
  if (const Status status = CheckName(name); !status.ok()) {
    return request->Fail(status.error());
  }
  if (std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0) {
    // File handles of NFS servers and open_by_handle_at(2).
    InodeNumber ino = dir.ino;
    if (name[1] == '.' && ino != shown.volume->root()) {
      const Result<InodeNumber> parent = shown.volume->ParentOf(ino);
      if (!parent.ok()) return request->Fail(parent.error());
      ino = *parent;
    }
    const Result<Attr> attr = fs.tree->GetAttr(shown, ino);
    if (!attr.ok()) return request->Fail(attr.error());
    return request->Entry(VolumeEntry(fs, shown, *attr));
  }
  const Result<Attr> attr = shown.volume->Lookup(dir.ino, name);
  if (attr.ok()) return request->Entry(VolumeEntry(fs, shown, *attr));
  if (attr.error().code != Errc::kNotFound) return request->Fail(attr.error());
  fuse_entry_param missing{};  // node 0: the kernel remembers the absence
  missing.entry_timeout = TimeoutOf(fs, shown);
  request->Entry(missing);
}

void Lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  Guard(req, [&](const RequestPtr& request) {
    const NodeId node = NodeOf(request->fs(), parent);
    switch (KindOf(node)) {
      case NodeKind::kRoot:
        return LookupInRoot(request, name);
      case NodeKind::kControl:
        return LookupControl(request, node, name);
      case NodeKind::kVolume: {
        const Result<VolumeInode> dir = FindInode(request->fs(), parent);
        if (!dir.ok()) return request->Fail(dir.error());
        return LookupInVolume(request, *dir, name);
      }
    }
  });
}

void ReplyAttributes(const RequestPtr& request, NodeId node) {
  FuseFs& fs = request->fs();
  switch (KindOf(node)) {
    case NodeKind::kRoot:
      // The kernel asks for them on the way to everything. Who looks whether a
      // daemon is there shall not be told of one that is gone for long.
      return request->Attributes(fs.tree->RootStat(), kShortTimeout);
    case NodeKind::kControl: {
      const Result<struct stat> st = fs.control->Stat(node);
      if (!st.ok()) return request->Fail(st.error());
      return request->Attributes(*st, 0);
    }
    case NodeKind::kVolume: {
      const Result<ShownVolumePtr> shown = fs.tree->Find(VolumeOf(node));
      if (!shown.ok()) return request->Fail(shown.error());
      const Result<Attr> attr = fs.tree->GetAttr(**shown, InodeOf(node));
      if (!attr.ok()) return request->Fail(attr.error());
      return request->Attributes(Tree::ToStat(**shown, *attr),
                                 TimeoutOf(fs, **shown));
    }
  }
}

void GetAttr(fuse_req_t req, fuse_ino_t ino, fuse_file_info*) {
  Guard(req, [&](const RequestPtr& request) {
    ReplyAttributes(request, NodeOf(request->fs(), ino));
  });
}

TimeSpec FromTimespec(const timespec& time) {
  return TimeSpec{time.tv_sec, static_cast<uint32_t>(time.tv_nsec)};
}

AttrChange ChangeFrom(const struct stat& st, int to_set) {
  AttrChange change;
  if (to_set & FUSE_SET_ATTR_MODE) change.mode = st.st_mode & 07777;
  if (to_set & FUSE_SET_ATTR_UID) change.uid = st.st_uid;
  if (to_set & FUSE_SET_ATTR_GID) change.gid = st.st_gid;
  if (to_set & FUSE_SET_ATTR_SIZE) {
    change.size = static_cast<uint64_t>(st.st_size);
  }
  if (to_set & FUSE_SET_ATTR_ATIME) change.atime = FromTimespec(st.st_atim);
  if (to_set & FUSE_SET_ATTR_MTIME) change.mtime = FromTimespec(st.st_mtim);
  if (to_set & FUSE_SET_ATTR_ATIME_NOW) change.atime = Now();
  if (to_set & FUSE_SET_ATTR_MTIME_NOW) change.mtime = Now();
  if (to_set & FUSE_SET_ATTR_CTIME) change.ctime = FromTimespec(st.st_ctim);
  return change;
}

// chmod(2) changes the access ACL, too; chown(2) takes set-id bits away, and so
// does truncate(2) but for root.
Result<Attr> ChangeAttributes(const Request& request, Volume* volume,
                              InodeNumber ino, AttrChange change) {
  // chown(2) with both ids -1.
  const bool nothing = !change.mode && !change.uid && !change.gid &&
                       !change.size && !change.atime && !change.mtime;
  const bool clears = nothing || change.uid || change.gid ||
                      (change.size && !CallerKeepsSetIdBits(request));
  if (change.mode || clears) {
    // The kernel lets one caller at a time change an inode.
    ASSIGN_OR_RETURN(const Attr attr, volume->GetAttr(ino));
    if (change.mode) {
      RETURN_IF_ERROR(CarryModeToAcl(attr.attr, &change));
    } else if (const uint32_t mode = WithoutSetIdBits(request, attr);
               mode != attr.attr.mode) {
      // The kernel asks the same before a write, of whoever may write: that
      // clears them itself.
      const uint32_t caller = fuse_req_ctx(request.raw())->uid;
      if (nothing && caller != 0 && caller != attr.attr.uid) return attr;
      change.mode = mode;  // of the bits that ACLs have nothing is changed
    }
  }
  return volume->SetAttr(ino, change);
}

void SetAttr(fuse_req_t req, fuse_ino_t ino, struct stat* st, int to_set,
             fuse_file_info*) {
  Guard(req, [&](const RequestPtr& request) {
    const NodeId node = NodeOf(request->fs(), ino);
    if (KindOf(node) == NodeKind::kControl &&
        (to_set &
         (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) == 0) {
      // `echo … > command` truncates first: there is nothing to truncate.
      return ReplyAttributes(request, node);
    }
    const Result<VolumeInode> inode = FindForChange(request->fs(), ino);
    if (!inode.ok()) return request->Fail(inode.error());
    const AttrChange change = ChangeFrom(*st, to_set);
    WithVolume(request, inode->shown,
               [request, inode = *inode, change](VolumeUse& use) {
                 const Result<Attr> attr =
                     ChangeAttributes(*request, &*use, inode.ino, change);
                 if (!attr.ok()) return request->Fail(attr.error());
                 request->Attributes(Tree::ToStat(*inode.shown, *attr),
                                     TimeoutOf(request->fs(), *inode.shown));
               });
  });
}

void ReadLink(fuse_req_t req, fuse_ino_t ino) {
  Guard(req, [&](const RequestPtr& request) {
    const Result<VolumeInode> inode = FindInode(request->fs(), ino);
    if (!inode.ok()) return request->Fail(inode.error());
    const Result<std::string> target =
        inode->shown->volume->ReadLink(inode->ino);
    if (!target.ok()) return request->Fail(target.error());
    request->Link(*target);
  });
}

// Everything that makes a name for a new inode but `create`.
void Make(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode,
          udf::FileType type, dev_t device, const char* target) {
  Guard(req, [&](const RequestPtr& request) {
    const Result<VolumeInode> dir = FindForChange(request->fs(), parent);
    if (!dir.ok()) return request->Fail(dir.error());
    // The directory's attributes are asked for behind the load: a tree that the
    // catalog does not have yet is read by it, or it says why it cannot be.
    WithVolume(request, dir->shown,
               [request, dir = *dir, type, mode, device,
                target = std::string(target != nullptr ? target : ""),
                name = std::string(name)](VolumeUse& use) {
                 Result<NewInode> inode =
                     MakeNewInode(request, dir, type, mode);
                 if (!inode.ok()) return request->Fail(inode.error());
                 inode->major = major(device);
                 inode->minor = minor(device);
                 inode->symlink_target = target;
                 const Result<Attr> attr = use->Create(dir.ino, name, *inode);
                 if (!attr.ok()) return request->Fail(attr.error());
                 request->Entry(VolumeEntry(request->fs(), *dir.shown, *attr));
               });
  });
}

std::optional<udf::FileType> TypeOf(mode_t mode) {
  switch (mode & S_IFMT) {
    case 0:
    case S_IFREG:
      return udf::FileType::kRegular;
    case S_IFBLK:
      return udf::FileType::kBlockDevice;
    case S_IFCHR:
      return udf::FileType::kCharDevice;
    case S_IFIFO:
      return udf::FileType::kFifo;
    case S_IFSOCK:
      return udf::FileType::kSocket;
    default:
      return std::nullopt;
  }
}

void MakeNode(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode,
              dev_t device) {
  const std::optional<udf::FileType> type = TypeOf(mode);
  if (!type) {
    fuse_reply_err(req, EINVAL);
    return;
  }
  Make(req, parent, name, mode, *type, device, nullptr);
}

void MakeDirectory(fuse_req_t req, fuse_ino_t parent, const char* name,
                   mode_t mode) {
  Make(req, parent, name, mode, udf::FileType::kDirectory, 0, nullptr);
}

void MakeSymlink(fuse_req_t req, const char* target, fuse_ino_t parent,
                 const char* name) {
  Make(req, parent, name, 0777, udf::FileType::kSymlink, 0, target);
}

void Remove(fuse_req_t req, fuse_ino_t parent, const char* name,
            Status (Volume::*remove)(InodeNumber, std::string_view)) {
  Guard(req, [&](const RequestPtr& request) {
    const Result<VolumeInode> dir = FindForChange(request->fs(), parent);
    if (!dir.ok()) return request->Fail(dir.error());
    WithVolume(request, dir->shown,
               [request, ino = dir->ino, remove,
                name = std::string(name)](VolumeUse& use) {
                 const Status status = ((*use).*remove)(ino, name);
                 if (!status.ok()) return request->Fail(status.error());
                 request->Ok();
               });
  });
}

void Unlink(fuse_req_t req, fuse_ino_t parent, const char* name) {
  Remove(req, parent, name, &Volume::Unlink);
}

// Removes a directory, or replaces it, without taking it from those who are in
// it: the inode is held open until the kernel forgets it.
class HeldDirectory {
 public:
  // Holds nothing if the name is no directory's.
  HeldDirectory(const VolumeInode& dir, std::string_view name)
      : volume_(dir.shown->volume) {
    const Result<Attr> attr = volume_->Lookup(dir.ino, name);
    held_ = attr.ok() && attr->attr.type == udf::FileType::kDirectory &&
            volume_->Open(attr->ino).ok();
    if (held_) ino_ = attr->ino;
  }
  ~HeldDirectory() {
    if (held_) volume_->Close(ino_);
  }
  HeldDirectory(const HeldDirectory&) = delete;
  HeldDirectory& operator=(const HeldDirectory&) = delete;

  void KeepFor(FuseFs* fs) {
    if (!std::exchange(held_, false)) return;
    fs->removed.Keep(MakeVolumeNode(volume_->index(), ino_), volume_);
  }

 private:
  const std::shared_ptr<Volume> volume_;
  InodeNumber ino_ = 0;
  bool held_ = false;
};

void RemoveDirectory(fuse_req_t req, fuse_ino_t parent, const char* name) {
  Guard(req, [&](const RequestPtr& request) {
    const Result<VolumeInode> dir = FindForChange(request->fs(), parent);
    if (!dir.ok()) return request->Fail(dir.error());
    WithVolume(request, dir->shown,
               [request, dir = *dir, name = std::string(name)](VolumeUse& use) {
                 HeldDirectory held(dir, name);
                 const Status status = use->Rmdir(dir.ino, name);
                 if (!status.ok()) return request->Fail(status.error());
                 held.KeepFor(&request->fs());
                 request->Ok();
               });
  });
}

// The kernel has dropped the node.
void Forget(fuse_req_t req, fuse_ino_t ino, uint64_t) {
  FuseFs& fs = *static_cast<FuseFs*>(fuse_req_userdata(req));
  fs.removed.Forget(NodeOf(fs, ino));
  fuse_reply_none(req);
}

void Rename(fuse_req_t req, fuse_ino_t parent, const char* name,
            fuse_ino_t new_parent, const char* new_name, unsigned flags) {
  Guard(req, [&](const RequestPtr& request) {
    RenameMode mode = RenameMode::kReplace;
    if (flags == RENAME_NOREPLACE) {
      mode = RenameMode::kNoReplace;
    } else if (flags == RENAME_EXCHANGE) {
      mode = RenameMode::kExchange;
    } else if (flags != 0) {
      return request->Errno(EINVAL);
    }
    const Result<VolumeInode> from = FindForChange(request->fs(), parent);
    if (!from.ok()) return request->Fail(from.error());
    const Result<VolumeInode> to = FindForChange(request->fs(), new_parent);
    if (!to.ok()) return request->Fail(to.error());
    if (from->shown->index() != to->shown->index()) {
      return request->Errno(EXDEV);
    }
    if (const Status status = CheckName(new_name); !status.ok()) {
      return request->Fail(status.error());
    }
    WithVolume(
        request, from->shown,
        [request, from = from->ino, to = *to, mode, name = std::string(name),
         new_name = std::string(new_name)](VolumeUse& use) {
          std::optional<HeldDirectory> held;
          if (mode == RenameMode::kReplace) held.emplace(to, new_name);
          const Status status = use->Rename(from, name, to.ino, new_name, mode);
          if (!status.ok()) return request->Fail(status.error());
          if (held) held->KeepFor(&request->fs());
          request->Ok();
        });
  });
}

void Link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent,
          const char* new_name) {
  Guard(req, [&](const RequestPtr& request) {
    const Result<VolumeInode> dir = FindForChange(request->fs(), new_parent);
    if (!dir.ok()) return request->Fail(dir.error());
    const Result<VolumeInode> inode = FindInode(request->fs(), ino);
    if (!inode.ok()) return request->Fail(inode.error());
    if (inode->shown->index() != dir->shown->index()) {
      return request->Errno(EXDEV);
    }
    WithVolume(request, dir->shown,
               [request, dir = *dir, ino = inode->ino,
                name = std::string(new_name)](VolumeUse& use) {
                 const Result<Attr> attr = use->Link(ino, dir.ino, name);
                 if (!attr.ok()) return request->Fail(attr.error());
                 request->Entry(VolumeEntry(request->fs(), *dir.shown, *attr));
               });
  });
}

void StatFs(fuse_req_t req, fuse_ino_t ino) {
  Guard(req, [&](const RequestPtr& request) {
    struct statvfs st {};
    const NodeId node = NodeOf(request->fs(), ino);
    if (KindOf(node) != NodeKind::kVolume) {
      request->fs().tree->RootStatFs(&st);
      return request->StatFs(st);
    }
    const Result<ShownVolumePtr> shown =
        request->fs().tree->Find(VolumeOf(node));
    if (!shown.ok()) return request->Fail(shown.error());
    Tree::VolumeStatFs(**shown, &st);
    request->StatFs(st);
  });
}

void Init(void* userdata, fuse_conn_info* conn) {
  const auto want = [conn](unsigned flag, bool wanted) {
    if (!wanted) {
      conn->want &= ~flag;
    } else if ((conn->capable & flag) != 0) {
      conn->want |= flag;
    }
  };
  want(FUSE_CAP_ASYNC_READ, true);
  want(FUSE_CAP_ASYNC_DIO, true);
  want(FUSE_CAP_PARALLEL_DIROPS, true);
  want(FUSE_CAP_READDIRPLUS, true);
  // Attributes with every listing: find(1) and its like read all names of a
  // directory first, upon which the kernel would choose to ask for the
  // attributes of most one by one.
  want(FUSE_CAP_READDIRPLUS_AUTO, false);
  want(FUSE_CAP_EXPORT_SUPPORT, true);
  want(FUSE_CAP_CACHE_SYMLINKS, true);
  // What write returned, we have.
  want(FUSE_CAP_WRITEBACK_CACHE, false);
  // We are the only writer: a new mtime is no reason to drop cached pages.
  want(FUSE_CAP_AUTO_INVAL_DATA, false);
  // Set-id bits are ours to clear by the second version of this
  // (fuse_channel.h); the kernel shall send truncation by open(2) as any other.
  want(FUSE_CAP_HANDLE_KILLPRIV, false);
  want(FUSE_CAP_ATOMIC_O_TRUNC, false);
  // The kernel grants access by ACLs; and a directory's default ACL takes the
  // place of the umask, so that is ours to apply.
  want(FUSE_CAP_POSIX_ACL, true);
  want(FUSE_CAP_DONT_MASK, true);
  // Data goes through memory: splice does not pay (README.md here).
  want(FUSE_CAP_SPLICE_READ, false);
  want(FUSE_CAP_SPLICE_WRITE, false);
  want(FUSE_CAP_SPLICE_MOVE, false);
  conn->max_write = 1u << 20;
  conn->max_readahead = 1u << 20;
  // Requests that wait for a load must not use up what all volumes share.
  conn->max_background = 16384;
  conn->congestion_threshold = 12288;
  FuseFs& fs = *static_cast<FuseFs*>(userdata);
  if (fs.on_init) fs.on_init();
}

}  // namespace

bool CallerInGroup(const Request& request, gid_t group) {
  const fuse_ctx* context = fuse_req_ctx(request.raw());
  if (context->uid == 0 || context->gid == group) return true;
  std::vector<gid_t> groups(1024);
  const int count = fuse_req_getgroups(
      request.raw(), static_cast<int>(groups.size()), groups.data());
  groups.resize(std::clamp<size_t>(count < 0 ? 0 : count, 0, groups.size()));
  return std::find(groups.begin(), groups.end(), group) != groups.end();
}

Result<NewInode> MakeNewInode(const RequestPtr& request,
                              const VolumeInode& parent, udf::FileType type,
                              mode_t mode) {
  ASSIGN_OR_RETURN(const Attr directory,
                   parent.shown->volume->GetAttr(parent.ino));
  const fuse_ctx* context = fuse_req_ctx(request->raw());
  NewInode inode;
  inode.type = type;
  inode.mode = mode & 07777;
  inode.uid = context->uid;
  inode.gid = context->gid;
  const bool in_group =
      (mode & S_ISGID) == 0 || CallerInGroup(*request, directory.attr.gid);
  Tree::Inherit(directory, in_group, &inode);
  RETURN_IF_ERROR(InheritAcl(directory.attr, context->umask, &inode));
  return inode;
}

}  // namespace ops

const fuse_lowlevel_ops& FuseOperations() {
  static const fuse_lowlevel_ops kOperations = [] {
    fuse_lowlevel_ops o{};
    o.init = ops::Init;
    o.lookup = ops::Lookup;
    o.forget = ops::Forget;
    o.getattr = ops::GetAttr;
    o.setattr = ops::SetAttr;
    o.readlink = ops::ReadLink;
    o.mknod = ops::MakeNode;
    o.mkdir = ops::MakeDirectory;
    o.symlink = ops::MakeSymlink;
    o.unlink = ops::Unlink;
    o.rmdir = ops::RemoveDirectory;
    o.rename = ops::Rename;
    o.link = ops::Link;
    o.statfs = ops::StatFs;
    o.opendir = ops::OpenDir;
    o.releasedir = ops::ReleaseDir;
    o.readdir = ops::ReadDir;
    o.readdirplus = ops::ReadDirPlus;
    o.fsyncdir = ops::Fsync;
    o.open = ops::Open;
    o.create = ops::Create;
    o.read = ops::Read;
    o.write = ops::Write;
    o.release = ops::Release;
    o.fsync = ops::Fsync;
    o.fallocate = ops::Fallocate;
    o.lseek = ops::Seek;
    o.setxattr = ops::SetXattr;
    o.getxattr = ops::GetXattr;
    o.listxattr = ops::ListXattr;
    o.removexattr = ops::RemoveXattr;
    return o;
  }();
  return kOperations;
}

}  // namespace vellum
