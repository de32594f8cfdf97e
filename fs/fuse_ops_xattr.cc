// SPDX-License-Identifier: Apache-2.0
// Extended attributes. user.vellum.* are answered but not listed: tools that
// copy attributes would try to set them elsewhere.
#include <cerrno>
#include <string>
#include <vector>

#include "fs/fuse_ops.h"
#include "fs/posix_acl.h"

namespace vellum::ops {
namespace {

bool IsOfVolume(const Request& request, fuse_ino_t ino) {
  return KindOf(NodeOf(request.fs(), ino)) == NodeKind::kVolume;
}

// An ACL without entries removes; that there is none to remove is no error.
void SetAcl(const RequestPtr& request, const VolumeInode& inode,
            const std::string& name, const std::string& value) {
  WithVolume(request, inode.shown,
             [request, ino = inode.ino, name, value](VolumeUse& use) {
               const Result<Attr> before = use->GetAttr(ino);
               if (!before.ok()) return request->Fail(before.error());
               const bool in_group = (before->attr.mode & S_ISGID) == 0 ||
                                     CallerInGroup(*request, before->attr.gid);
               const Result<AttrChange> change =
                   ChangeForAcl(before->attr, name, value, in_group);
               if (!change.ok()) return request->Fail(change.error());
               // The kernel forgets attributes and ACLs of the inode by itself.
               const Result<Attr> attr = use->SetAttr(ino, *change);
               if (!attr.ok()) return request->Fail(attr.error());
               request->Ok();
             });
}

}  // namespace

void SetXattr(fuse_req_t req, fuse_ino_t ino, const char* name,
              const char* value, size_t size, int flags) {
  Guard(req, [&](const RequestPtr& request) {
    const Result<VolumeInode> inode = FindForChange(request->fs(), ino);
    if (!inode.ok()) return request->Fail(inode.error());
    const Status allowed = Tree::CheckSetXattr(name);
    if (!allowed.ok()) return request->Fail(allowed.error());
    if (IsAclName(name)) {
      return SetAcl(request, *inode, name, std::string(value, size));
    }
    WithVolume(request, inode->shown,
               [request, ino = inode->ino, name = std::string(name),
                value = std::string(value, size), flags](VolumeUse& use) {
                 const Status status = use->SetXattr(ino, name, value, flags);
                 if (status.ok()) return request->Ok();
                 if (status.Is(Errc::kTooLarge)) return request->Errno(E2BIG);
                 request->Fail(status.error());
               });
  });
}

void GetXattr(fuse_req_t req, fuse_ino_t ino, const char* name, size_t size) {
  Guard(req, [&](const RequestPtr& request) {
    if (!IsOfVolume(*request, ino)) return request->Errno(ENODATA);
    const Result<VolumeInode> inode = FindInode(request->fs(), ino);
    if (!inode.ok()) return request->Fail(inode.error());
    const Result<std::string> value =
        request->fs().tree->GetXattr(*inode->shown, inode->ino, name);
    if (!value.ok()) return request->Fail(value.error());
    request->Xattr(*value, size);
  });
}

void ListXattr(fuse_req_t req, fuse_ino_t ino, size_t size) {
  Guard(req, [&](const RequestPtr& request) {
    std::string list;
    if (IsOfVolume(*request, ino)) {
      const Result<VolumeInode> inode = FindInode(request->fs(), ino);
      if (!inode.ok()) return request->Fail(inode.error());
      const Result<std::vector<std::string>> names =
          Tree::ListXattr(*inode->shown, inode->ino);
      if (!names.ok()) return request->Fail(names.error());
      for (const std::string& name : *names) list += name + '\0';
    }
    request->Xattr(list, size);
  });
}

void RemoveXattr(fuse_req_t req, fuse_ino_t ino, const char* name) {
  Guard(req, [&](const RequestPtr& request) {
    const Result<VolumeInode> inode = FindForChange(request->fs(), ino);
    if (!inode.ok()) return request->Fail(inode.error());
    const Status allowed = Tree::CheckSetXattr(name);
    if (!allowed.ok()) return request->Fail(allowed.error());
    if (IsAclName(name)) {
      return SetAcl(request, *inode, name, EncodeAcl({}));
    }
    WithVolume(
        request, inode->shown,
        [request, ino = inode->ino, name = std::string(name)](VolumeUse& use) {
          const Status status = use->RemoveXattr(ino, name);
          if (status.ok()) return request->Ok();
          request->Fail(status.error());
        });
  });
}

}  // namespace vellum::ops
