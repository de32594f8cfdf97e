// SPDX-License-Identifier: Apache-2.0
// Open files of volumes and their data.
#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "fs/fuse_ops.h"

namespace vellum::ops {
namespace {

OpenFile* FileOf(const fuse_file_info* fi) {
  return reinterpret_cast<OpenFile*>(fi->fh);
}

bool IsControl(const Request& request, fuse_ino_t ino) {
  return KindOf(NodeOf(request.fs(), ino)) == NodeKind::kControl;
}

// The handle of an opened file. The kernel may keep the pages of a file over
// its opens: nobody else changes it.
void FillHandle(FuseFs* fs, const VolumeInode& inode, fuse_file_info* info) {
  info->fh = reinterpret_cast<uint64_t>(MakeOpenFile(inode).release());
  ++fs->open_files;
  info->keep_cache = inode.shown->steady && !fs->live;
  // Else the kernel would serve pages, and cut reads at a size, of before.
  info->direct_io = fs->live;
}

void CloseFile(FuseFs* fs, const fuse_file_info& info) {
  const std::unique_ptr<OpenFile> file(FileOf(&info));
  file->shown->volume->Close(file->ino);
  --fs->open_files;
}

// `replaced`: a load has replaced the volume's tree since the request came.
void FinishOpen(const RequestPtr& request, fuse_ino_t ino,
                const VolumeInode& inode, fuse_file_info info, bool replaced) {
  const Status status = inode.shown->volume->Open(inode.ino);
  if (!status.ok()) return request->Fail(status.error());
  FillHandle(&request->fs(), inode, &info);
  if (replaced) {
    // The invalidator does not reach a path that is in use.
    info.keep_cache = 0;
    const FuseFs& fs = request->fs();
    if (fs.forget_attributes) fs.forget_attributes(ino);
  }
  if (!request->Opened(info)) CloseFile(&request->fs(), info);
}

void ReplyStatus(const RequestPtr& request, const Status& status) {
  if (status.ok()) {
    request->Ok();
  } else {
    request->Fail(status.error());
  }
}

// The data of a write: libfuse's buffer, or a copy once the request waits.
struct WriteData {
  const std::byte* data = nullptr;
  size_t size = 0;
  std::unique_ptr<std::byte[]> copy;
  bool usable = true;

  void Save() {
    usable = false;
    copy.reset(new std::byte[size]);
    std::memcpy(copy.get(), data, size);
    data = copy.get();
    usable = true;
  }
};

}  // namespace

void Open(fuse_req_t req, fuse_ino_t ino, fuse_file_info* fi) {
  Guard(req, [&](const RequestPtr& request) {
    FuseFs& fs = request->fs();
    if (IsControl(*request, ino)) {
      return OpenControl(request, NodeOf(fs, ino), *fi);
    }
    const Result<VolumeInode> inode = FindInode(fs, ino);
    if (!inode.ok()) return request->Fail(inode.error());
    if (!fs.volume_mount()) {
      const Status allowed = Tree::CheckOpen(*inode->shown, fi->flags);
      if (!allowed.ok()) return request->Fail(allowed.error());
    }
    // An open waits for the medium: this wait can be interrupted, while the
    // kernel's wait for a page of a read that comes later cannot.
    if ((fi->flags & O_NONBLOCK) != 0) {
      return FinishOpen(request, ino, *inode, *fi, /*replaced=*/false);
    }
    const uint64_t version = inode->shown->volume->tree_version();
    WithVolume(
        request, inode->shown,
        [request, ino, inode = *inode, info = *fi, version](VolumeUse& use) {
          FinishOpen(request, ino, inode, info, use->tree_version() != version);
        },
        {}, AddressToWaitAt(*request, *inode->shown, inode->ino, 0));
  });
}

void Create(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode,
            fuse_file_info* fi) {
  Guard(req, [&](const RequestPtr& request) {
    const Result<VolumeInode> dir = FindForChange(request->fs(), parent);
    if (!dir.ok()) return request->Fail(dir.error());
    WithVolume(
        request, dir->shown,
        [request, dir = *dir, mode, name = std::string(name),
         info = *fi](VolumeUse& use) mutable {
          // As Make does: behind the load.
          const Result<NewInode> inode =
              MakeNewInode(request, dir, udf::FileType::kRegular, mode);
          if (!inode.ok()) return request->Fail(inode.error());
          const Result<Attr> attr = use->Create(dir.ino, name, *inode);
          if (!attr.ok()) return request->Fail(attr.error());
          const Status opened = use->Open(attr->ino);
          if (!opened.ok()) return request->Fail(opened.error());
          FillHandle(&request->fs(), VolumeInode{dir.shown, attr->ino}, &info);
          if (!request->Created(VolumeEntry(request->fs(), *dir.shown, *attr),
                                info)) {
            CloseFile(&request->fs(), info);
          }
        });
  });
}

void Read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
          fuse_file_info* fi) {
  Guard(req, [&](const RequestPtr& request) {
    if (IsControl(*request, ino)) {
      return ReadControl(request, size, offset, *fi);
    }
    const OpenFile& file = *FileOf(fi);
    WithVolume(
        request, file.shown,
        [request, inode = file.ino, size, offset](VolumeUse& use) {
          const std::unique_ptr<std::byte[]> data(new std::byte[size]);
          const Result<size_t> count = use->Read(
              inode, static_cast<uint64_t>(offset), ByteSpan(data.get(), size));
          if (!count.ok()) return request->Fail(count.error());
          request->Data(data.get(), *count);
        },
        {},
        AddressToWaitAt(*request, *file.shown, file.ino,
                        static_cast<uint64_t>(offset)));
  });
}

void Write(fuse_req_t req, fuse_ino_t ino, const char* data, size_t size,
           off_t offset, fuse_file_info* fi) {
  Guard(req, [&](const RequestPtr& request) {
    if (IsControl(*request, ino)) {
      return WriteControl(request, NodeOf(request->fs(), ino), data, size,
                          offset, *fi);
    }
    const OpenFile& file = *FileOf(fi);
    auto content = std::make_shared<WriteData>();
    content->data = reinterpret_cast<const std::byte*>(data);
    content->size = size;
    WithVolume(
        request, file.shown,
        [request, content, ino, shown = file.shown, inode = file.ino,
         offset](VolumeUse& use) {
          if (!content->usable) return request->Errno(ENOMEM);
          const Status cleared = ClearSetIdBits(*request, ino, {shown, inode});
          if (!cleared.ok()) return request->Fail(cleared.error());
          const Result<size_t> count =
              use->Write(inode, static_cast<uint64_t>(offset),
                         ConstByteSpan(content->data, content->size));
          if (!count.ok()) return request->Fail(count.error());
          request->Written(*count);
        },
        [content] { content->Save(); });
  });
}

void Release(fuse_req_t req, fuse_ino_t ino, fuse_file_info* fi) {
  Guard(req, [&](const RequestPtr& request) {
    if (IsControl(*request, ino)) {
      delete reinterpret_cast<ControlHandle*>(fi->fh);
      --request->fs().control_handles;
    } else {
      CloseFile(&request->fs(), *fi);
    }
    request->Ok();
  });
}

void Fsync(fuse_req_t req, fuse_ino_t ino, int, fuse_file_info* fi) {
  Guard(req, [&](const RequestPtr& request) {
    FuseFs& fs = request->fs();
    if (KindOf(NodeOf(fs, ino)) != NodeKind::kVolume) return request->Ok();
    const Result<VolumeInode> inode = FindInode(fs, ino);
    if (!inode.ok()) return request->Fail(inode.error());
    const Volume& volume = *inode->shown->volume;
    const OpenFile* const open = FileOf(fi);
    const auto seen = open == nullptr ? nullptr : open->losses_seen;
    // What is not loaded was committed when it was detached, or is lost: no
    // robot moves.
    if (!fs.volumes->loaded(volume) && !volume.dirty()) {
      return ReplyStatus(request,
                         inode->shown->volume->Fsync(inode->ino, seen.get()));
    }
    WithVolume(request, inode->shown,
               [request, ino = inode->ino, seen](VolumeUse& use) {
                 // Nobody waits for what is written in place.
                 ReplyStatus(request, use->Fsync(ino, seen.get(),
                                                 [&] { request->Ok(); }));
               });
  });
}

void Fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
               off_t length, fuse_file_info* fi) {
  Guard(req, [&](const RequestPtr& request) {
    if (IsControl(*request, ino)) return request->Errno(EOPNOTSUPP);
    const OpenFile& file = *FileOf(fi);
    WithVolume(
        request, file.shown,
        [request, ino, shown = file.shown, inode = file.ino, mode, offset,
         length](VolumeUse& use) {
          const Status done =
              use->Fallocate(inode, mode, static_cast<uint64_t>(offset),
                             static_cast<uint64_t>(length));
          if (!done.ok()) return request->Fail(done.error());
          ReplyStatus(request, ClearSetIdBits(*request, ino, {shown, inode}));
        });
  });
}

void Seek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
          fuse_file_info* fi) {
  Guard(req, [&](const RequestPtr& request) {
    if (IsControl(*request, ino) ||
        (whence != SEEK_DATA && whence != SEEK_HOLE)) {
      return request->Errno(EINVAL);
    }
    const OpenFile& file = *FileOf(fi);
    WithVolume(request, file.shown,
               [request, inode = file.ino, offset, whence](VolumeUse& use) {
                 const Result<uint64_t> found = use->Seek(
                     inode, static_cast<uint64_t>(offset), whence == SEEK_DATA);
                 if (found.ok()) {
                   return request->Offset(static_cast<off_t>(*found));
                 }
                 if (found.error().code == Errc::kOutOfRange) {
                   return request->Errno(ENXIO);
                 }
                 request->Fail(found.error());
               });
  });
}

}  // namespace vellum::ops
