// SPDX-License-Identifier: Apache-2.0
// The low-level FUSE operations, by file: fuse_ops.cc names and attributes,
// fuse_ops_dir.cc listings, fuse_ops_file.cc open files and their data,
// fuse_ops_xattr.cc extended attributes, fuse_ops_control.cc control files,
// fuse_ops_privileges.cc set-id bits.
// Left to the kernel: locks (one machine has the volume), access(2)
// (default_permissions), flush (nothing is written at close).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "fs/control_handle.h"
#include "fs/fuse_request.h"
#include "fs/node_id.h"
#include "fs/tree.h"

namespace vellum {

// The table of all operations; the session's user data is a FuseFs.
const fuse_lowlevel_ops& FuseOperations();

// An inode of a volume.
struct VolumeInode {
  ShownVolumePtr shown;
  InodeNumber ino = 0;
};

// What one open file or directory of a volume is; fuse_file_info::fh points to
// it.
struct OpenFile {
  ShownVolumePtr shown;
  InodeNumber ino = 0;
  // Of the volume, what an fsync of this one has told (Volume::Fsync). An fsync
  // that waits for a medium may outlive the open file.
  std::shared_ptr<std::atomic<uint64_t>> losses_seen;
};
std::unique_ptr<OpenFile> MakeOpenFile(const VolumeInode& inode);

// --- Shared by the files of operations
// -----------------------------------------

inline NodeId NodeOf(const FuseFs& fs, fuse_ino_t ino) {
  return ino == FUSE_ROOT_ID ? fs.root : NodeId{ino};
}
inline fuse_ino_t KernelNode(const FuseFs& fs, NodeId node) {
  return node == fs.root ? FUSE_ROOT_ID : fuse_ino_t{node};
}

// How long the kernel may keep names and attributes, in seconds.
inline constexpr double kKeepTimeout = 3600;
// What copies rewrite, and the root.
inline constexpr double kShortTimeout = 1;
inline double TimeoutOf(const FuseFs& fs, const ShownVolume& shown) {
  if (fs.live) return 0;
  return shown.steady ? kKeepTimeout : kShortTimeout;
}

// kNotPermitted for the root and control files: no volume has them.
Result<VolumeInode> FindInode(const FuseFs& fs, fuse_ino_t ino);
// The same for something that is about to change: kReadOnly.
Result<VolumeInode> FindForChange(const FuseFs& fs, fuse_ino_t ino);

fuse_entry_param VolumeEntry(const FuseFs& fs, const ShownVolume& shown,
                             const Attr& attr);
// Not kept by the kernel: control files change by themselves.
fuse_entry_param ControlEntry(NodeId node, const struct stat& st);

// kNameTooLong beyond 255 bytes: the kernel lets 1024 through.
Status CheckName(const char* name);

// --- Operations
// -------------------------------------------------------------------

namespace ops {

void OpenDir(fuse_req_t req, fuse_ino_t ino, fuse_file_info* fi);
void ReleaseDir(fuse_req_t req, fuse_ino_t ino, fuse_file_info* fi);
void ReadDir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
             fuse_file_info* fi);
void ReadDirPlus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                 fuse_file_info* fi);

void Open(fuse_req_t req, fuse_ino_t ino, fuse_file_info* fi);
void Create(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode,
            fuse_file_info* fi);
void Read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
          fuse_file_info* fi);
void Write(fuse_req_t req, fuse_ino_t ino, const char* data, size_t size,
           off_t offset, fuse_file_info* fi);
void Release(fuse_req_t req, fuse_ino_t ino, fuse_file_info* fi);
void Fsync(fuse_req_t req, fuse_ino_t ino, int datasync, fuse_file_info* fi);
void Fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
               off_t length, fuse_file_info* fi);
void Seek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
          fuse_file_info* fi);

void SetXattr(fuse_req_t req, fuse_ino_t ino, const char* name,
              const char* value, size_t size, int flags);
void GetXattr(fuse_req_t req, fuse_ino_t ino, const char* name, size_t size);
void ListXattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void RemoveXattr(fuse_req_t req, fuse_ino_t ino, const char* name);

// Of control files; called by the operations above.
void OpenControl(const RequestPtr& request, NodeId node, fuse_file_info info);
void ReadControl(const RequestPtr& request, size_t size, off_t offset,
                 const fuse_file_info& info);
void WriteControl(const RequestPtr& request, NodeId node, const char* data,
                  size_t size, off_t offset, const fuse_file_info& info);

// The caller is a member of the group, or root.
bool CallerInGroup(const Request& request, gid_t group);

// Whether the caller may change a file without taking its set-id bits away.
bool CallerKeepsSetIdBits(const Request& request);
// The mode of a file that such a caller, or a chown(2), leaves.
uint32_t WithoutSetIdBits(const Request& request, const Attr& attr);
// Before the caller changes the content of the file. REQUIRES: loaded.
Status ClearSetIdBits(const Request& request, fuse_ino_t node,
                      const VolumeInode& inode);

// The attributes of a new inode as its parent and the caller have it.
Result<NewInode> MakeNewInode(const RequestPtr& request,
                              const VolumeInode& parent, udf::FileType type,
                              mode_t mode);

}  // namespace ops
}  // namespace vellum
