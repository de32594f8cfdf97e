// SPDX-License-Identifier: Apache-2.0
// `mount --image`: the few operations that a read-only volume needs, and the
// session that serves them.
#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 312
#endif
#include <fcntl.h>
#include <fmt/format.h>
#include <fuse3/fuse_lowlevel.h>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fs/background.h"
#include "fs/errno_map.h"
#include "fs/fuse_loop.h"
#include "fs/image_tree.h"
#include "fs/serving.h"
#include "fs/session.h"

namespace vellum {
namespace {

// Nothing changes: the kernel may keep what it was told.
constexpr double kForever = 86400;

struct ImageFs {
  std::unique_ptr<ImageTree> tree;
  std::function<void()> on_init;
};

ImageFs& FsOf(fuse_req_t req) {
  return *static_cast<ImageFs*>(fuse_req_userdata(req));
}
ImageTree& TreeOf(fuse_req_t req) { return *FsOf(req).tree; }

ImageTree::Block BlockOf(fuse_req_t req, fuse_ino_t ino) {
  return ino == FUSE_ROOT_ID ? TreeOf(req).root() : InodeOf(ino);
}
fuse_ino_t NodeOf(fuse_req_t req, ImageTree::Block block) {
  return block == TreeOf(req).root() ? FUSE_ROOT_ID : MakeVolumeNode(1, block);
}

// Runs `f`, which replies and answers Ok, or answers the error to reply.
template <typename F>
void Answer(fuse_req_t req, F&& f) {
  int err = 0;
  try {
    const Status status = f();
    if (status.ok()) return;
    err = ErrnoOf(status.code());
    if (err == EUCLEAN || err == EIO) spdlog::error("{}", status.ToString());
  } catch (const std::bad_alloc&) {
    err = ENOMEM;
  } catch (const std::exception& e) {
    spdlog::error("image: {}", e.what());
    err = EIO;
  }
  fuse_reply_err(req, err);
}

fuse_entry_param EntryOf(fuse_req_t req, ImageTree::Block block,
                         const udf::FileEntry& entry) {
  fuse_entry_param param{};
  param.ino = NodeOf(req, block);
  param.generation = entry.attr.unique_id;
  param.attr = ImageTree::ToStat(block, entry);
  param.attr_timeout = kForever;
  param.entry_timeout = kForever;
  return param;
}

void ImageInit(void* userdata, fuse_conn_info* conn) {
  conn->want |=
      conn->capable &
      (FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
       FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_POSIX_ACL);
  conn->want &= ~static_cast<unsigned>(FUSE_CAP_AUTO_INVAL_DATA);
  conn->max_readahead = 1u << 20;
  const ImageFs& fs = *static_cast<ImageFs*>(userdata);
  if (fs.on_init) fs.on_init();
}

void ImageLookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  Answer(req, [&]() -> Status {
    const Result<ImageTree::Block> block =
        TreeOf(req).Lookup(BlockOf(req, parent), name);
    fuse_entry_param param{};
    param.entry_timeout = kForever;
    if (block.ok()) {
      ASSIGN_OR_RETURN(const udf::FileEntry entry, TreeOf(req).Entry(*block));
      param = EntryOf(req, *block, entry);
    } else if (block.error().code != Errc::kNotFound) {
      return block.status();
    }
    fuse_reply_entry(req, &param);
    return Status::Ok();
  });
}

void ImageGetAttr(fuse_req_t req, fuse_ino_t ino, fuse_file_info*) {
  Answer(req, [&]() -> Status {
    const ImageTree::Block block = BlockOf(req, ino);
    ASSIGN_OR_RETURN(const udf::FileEntry entry, TreeOf(req).Entry(block));
    const struct stat st = ImageTree::ToStat(block, entry);
    fuse_reply_attr(req, &st, kForever);
    return Status::Ok();
  });
}

void ImageReadLink(fuse_req_t req, fuse_ino_t ino) {
  Answer(req, [&]() -> Status {
    ASSIGN_OR_RETURN(const udf::FileEntry entry,
                     TreeOf(req).Entry(BlockOf(req, ino)));
    fuse_reply_readlink(req, entry.symlink_target.c_str());
    return Status::Ok();
  });
}

void ImageOpen(fuse_req_t req, fuse_ino_t ino, fuse_file_info* fi) {
  Answer(req, [&]() -> Status {
    if ((fi->flags & O_ACCMODE) != O_RDONLY) {
      return Status(Errc::kReadOnly, "an image is mounted read-only");
    }
    ASSIGN_OR_RETURN(udf::FileEntry entry,
                     TreeOf(req).Entry(BlockOf(req, ino)));
    auto file = std::make_unique<udf::FileEntry>(std::move(entry));
    fi->fh = reinterpret_cast<uint64_t>(file.get());
    fi->keep_cache = 1;
    if (fuse_reply_open(req, fi) != -ENOENT) {
      file.release();  // NOLINT: ImageRelease deletes it
    }
    return Status::Ok();
  });
}

void ImageRelease(fuse_req_t req, fuse_ino_t, fuse_file_info* fi) {
  delete reinterpret_cast<udf::FileEntry*>(fi->fh);
  fuse_reply_err(req, 0);
}

void ImageRead(fuse_req_t req, fuse_ino_t, size_t size, off_t offset,
               fuse_file_info* fi) {
  Answer(req, [&]() -> Status {
    const auto& entry = *reinterpret_cast<const udf::FileEntry*>(fi->fh);
    const std::unique_ptr<std::byte[]> data(new std::byte[size]);
    ASSIGN_OR_RETURN(const size_t count,
                     TreeOf(req).Read(entry, static_cast<uint64_t>(offset),
                                      ByteSpan(data.get(), size)));
    fuse_reply_buf(req, reinterpret_cast<const char*>(data.get()), count);
    return Status::Ok();
  });
}

void ImageOpenDir(fuse_req_t req, fuse_ino_t, fuse_file_info* fi) {
  fi->cache_readdir = 1;
  fi->keep_cache = 1;
  fuse_reply_open(req, fi);
}

// Offsets: 1 and 2 are "." and "..", 3 + i the i-th name.
Status ImageList(fuse_req_t req, fuse_ino_t ino, size_t size, off_t after,
                 bool plus) {
  ImageTree& tree = TreeOf(req);
  const ImageTree::Block dir = BlockOf(req, ino);
  ASSIGN_OR_RETURN(const std::shared_ptr<const ImageTree::Listing> listing,
                   tree.List(dir));
  std::vector<char> buffer(size);
  size_t used = 0;
  const auto add = [&](const char* name, const fuse_entry_param& param,
                       off_t offset) {
    const size_t room = size - used;
    const size_t need = plus
                            ? fuse_add_direntry_plus(req, buffer.data() + used,
                                                     room, name, &param, offset)
                            : fuse_add_direntry(req, buffer.data() + used, room,
                                                name, &param.attr, offset);
    if (need <= room) used += need;
    return need <= room;
  };
  bool fits = true;
  for (off_t offset = after + 1; fits && offset <= 2; ++offset) {
    fuse_entry_param param{};
    param.attr.st_mode = S_IFDIR;
    param.attr.st_ino = ino;
    fits = add(offset == 1 ? "." : "..", param, offset);
  }
  auto i = static_cast<size_t>(after > 2 ? after - 2 : 0);
  for (; fits && i < listing->entries.size(); ++i) {
    const udf::Fid& fid = listing->entries[i].fid;
    fuse_entry_param param{};
    param.attr.st_mode = fid.directory ? S_IFDIR : S_IFREG;
    param.attr.st_ino = MakeVolumeNode(1, fid.icb_block);
    // The type of a name stands in its entry only.
    const Result<udf::FileEntry> entry = tree.Entry(fid.icb_block);
    if (entry.ok()) param = EntryOf(req, fid.icb_block, *entry);
    fits = add(fid.name.c_str(), param, static_cast<off_t>(3 + i));
  }
  fuse_reply_buf(req, buffer.data(), used);
  return Status::Ok();
}

void ImageReadDir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                  fuse_file_info*) {
  Answer(req, [&] { return ImageList(req, ino, size, offset, false); });
}

void ImageReadDirPlus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                      fuse_file_info*) {
  Answer(req, [&] { return ImageList(req, ino, size, offset, true); });
}

void ImageStatFs(fuse_req_t req, fuse_ino_t) {
  Answer(req, [&]() -> Status {
    struct statvfs st {};
    RETURN_IF_ERROR(TreeOf(req).StatFs(&st));
    fuse_reply_statfs(req, &st);
    return Status::Ok();
  });
}

Status ReplyXattr(fuse_req_t req, const std::string& value, size_t size) {
  if (size == 0) {
    fuse_reply_xattr(req, value.size());
  } else if (size < value.size()) {
    return Status(Errc::kOutOfRange, "the buffer is too small");
  } else {
    fuse_reply_buf(req, value.data(), value.size());
  }
  return Status::Ok();
}

void ImageGetXattr(fuse_req_t req, fuse_ino_t ino, const char* name,
                   size_t size) {
  Answer(req, [&]() -> Status {
    ASSIGN_OR_RETURN(const udf::FileEntry entry,
                     TreeOf(req).Entry(BlockOf(req, ino)));
    const auto it = entry.attr.xattrs.find(name);
    if (it == entry.attr.xattrs.end()) {
      return Status(Errc::kNoAttribute, name);
    }
    return ReplyXattr(req, it->second, size);
  });
}

void ImageListXattr(fuse_req_t req, fuse_ino_t ino, size_t size) {
  Answer(req, [&]() -> Status {
    ASSIGN_OR_RETURN(const udf::FileEntry entry,
                     TreeOf(req).Entry(BlockOf(req, ino)));
    std::string list;
    for (const auto& [name, value] : entry.attr.xattrs) list += name + '\0';
    return ReplyXattr(req, list, size);
  });
}

fuse_lowlevel_ops ImageOperations() {
  fuse_lowlevel_ops o{};
  o.init = ImageInit;
  o.lookup = ImageLookup;
  o.getattr = ImageGetAttr;
  o.readlink = ImageReadLink;
  o.open = ImageOpen;
  o.release = ImageRelease;
  o.read = ImageRead;
  o.opendir = ImageOpenDir;
  o.readdir = ImageReadDir;
  o.readdirplus = ImageReadDirPlus;
  o.statfs = ImageStatFs;
  o.getxattr = ImageGetXattr;
  o.listxattr = ImageListXattr;
  return o;
}

Status ServeImage(const ImageMountOptions& options,
                  const std::function<void()>& ready) {
  ImageFs fs;
  ASSIGN_OR_RETURN(fs.tree, ImageTree::Open(options.image));
  ASSIGN_OR_RETURN(const std::unique_ptr<Serving> serving, Serving::Start());
  fs.on_init = [&] { serving->NoteReady(); };
  FuseMountOptions mount;
  mount.mount_point = options.mount_point;
  mount.fsname = options.image;
  mount.read_only = true;
  mount.allow_other = options.allow_other;
  ASSIGN_OR_RETURN(const std::unique_ptr<FuseLoop> loop,
                   FuseLoop::Mount(ImageOperations(), &fs, mount));
  loop->Start([&] { serving->NoteEnded(); });
  serving->Wait([&] {
    loop->RaiseReadahead();
    ready();
    if (options.on_ready) options.on_ready();
  });
  if (options.on_stopping) options.on_stopping();
  return loop->Unmount(true);
}

}  // namespace

Status MountImage(const ImageMountOptions& given) {
  ImageMountOptions options = given;
  const std::unique_ptr<char, decltype(&std::free)> real(
      realpath(options.image.c_str(), nullptr), &std::free);
  if (!real) return ErrnoError("image " + options.image, errno);
  options.image = real.get();
  ASSIGN_OR_RETURN(options.mount_point, CheckMountPoint(options.mount_point));
  if (IsInside(options.image, options.mount_point)) {
    return Status(Errc::kInvalidArgument,
                  fmt::format("image {} is below the mount point {}",
                              options.image, options.mount_point));
  }
  if (options.foreground) return ServeImage(options, [] {});
  return RunInBackground([&](const std::function<void()>& ready) {
    return ServeImage(options, ready);
  });
}

}  // namespace vellum
