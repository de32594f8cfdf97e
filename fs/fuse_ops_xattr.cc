// SPDX-License-Identifier: Apache-2.0
// Extended attributes. user.vellum.* are answered but not listed: tools that
// copy attributes would try to set them elsewhere.
#include <cerrno>
#include <string>
#include <vector>

#include "fs/fuse_ops.h"

namespace vellum::ops {
namespace {

bool IsVolumeNode(const Request& request, fuse_ino_t ino) {
  return KindOf(NodeOf(request.fs(), ino)) == NodeKind::kVolume;
}

}  // namespace

void SetXattr(fuse_req_t req, fuse_ino_t ino, const char* name,
              const char* value, size_t size, int flags) {
  Guard(req, [&](const RequestPtr& request) {
    const Result<VolumeInode> inode = FindForChange(request->fs(), ino);
    if (!inode.ok()) return request->Fail(inode.error());
    const Status allowed = Tree::CheckSetXattr(name);
    if (!allowed.ok()) return request->Fail(allowed.error());
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
    if (!IsVolumeNode(*request, ino)) return request->Errno(ENODATA);
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
    if (IsVolumeNode(*request, ino)) {
      const Result<VolumeInode> inode = FindInode(request->fs(), ino);
      if (!inode.ok()) return request->Fail(inode.error());
      const Result<std::vector<std::string>> names =
          inode->shown->volume->ListXattr(inode->ino);
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
