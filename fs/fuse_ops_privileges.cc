// SPDX-License-Identifier: Apache-2.0
// Set-id bits that a change of the file takes away, as Linux has it on its own
// file systems: the kernel leaves that to us (fuse_channel.h). It does not tell
// what the caller is capable of; who is not root has no CAP_FSETID here.
#include <sys/stat.h>

#include "fs/fuse_ops.h"

namespace vellum::ops {

bool CallerKeepsSetIdBits(const Request& request) {
  return fuse_req_ctx(request.raw())->uid == 0;
}

uint32_t WithoutSetIdBits(const Request& request, const Attr& attr) {
  uint32_t mode = attr.attr.mode;
  if (attr.attr.type == udf::FileType::kDirectory) return mode;
  mode &= ~uint32_t{S_ISUID};
  // Where the group may not execute the file, its members leave the bit.
  if ((mode & S_ISGID) != 0 &&
      ((mode & S_IXGRP) != 0 || !CallerInGroup(request, attr.attr.gid))) {
    mode &= ~uint32_t{S_ISGID};
  }
  return mode;
}

Status ClearSetIdBits(const Request& request, fuse_ino_t node,
                      const VolumeInode& inode) {
  if (CallerKeepsSetIdBits(request)) return Status::Ok();
  Volume& volume = *inode.shown->volume;
  ASSIGN_OR_RETURN(const Attr attr, volume.GetAttr(inode.ino));
  AttrChange change;
  change.mode = WithoutSetIdBits(request, attr);
  if (change.mode == attr.attr.mode) return Status::Ok();
  RETURN_IF_ERROR(volume.SetAttr(inode.ino, change).status());
  const FuseFs& fs = request.fs();
  if (fs.forget_attributes) fs.forget_attributes(node);
  return Status::Ok();
}

}  // namespace vellum::ops
