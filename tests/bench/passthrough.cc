// SPDX-License-Identifier: Apache-2.0
// The peer of the measurements: a FUSE file system that hands every call on to
// a directory and does nothing else, as libfuse's passthrough examples do
// (Debian ships their source only). What it costs is what FUSE costs.
//
//   passthrough [--writeback] DIRECTORY MOUNT     stays in the foreground
//
// As in those examples data is spliced between file and FUSE device, names and
// attributes are kept by the kernel, and several threads serve. Nodes are
// names, not descriptors, of which a process cannot have a million. No rename,
// no links: the measurements make none. No extended attributes, as in the
// low-level example unless told: the kernel stops asking for them. Without
// --writeback a write has reached the file when it returns, as with Vellum.
#include <dirent.h>
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <list>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

constexpr double kKeep = 3600;

// A name of a directory that the kernel has looked up. Guarded by
// FileSystem::mu.
struct Node {
  Node* parent = nullptr;  // null: the root, or removed meanwhile
  std::string name;
  uint64_t lookups = 0;
  std::unordered_map<std::string, Node*> children;
  std::list<Node>::iterator self;  // in FileSystem::nodes
};

struct Listing {
  DIR* dir = nullptr;
  off_t at = 0;  // where the next entry is
};

struct FileSystem {
  // What nobody released or forgot before the unmount.
  ~FileSystem() {
    for (Listing* const listing : listings) Close(listing);
  }
  static void Close(Listing* listing) {
    closedir(listing->dir);
    delete listing;
  }

  int root_fd = -1;
  std::mutex mu;
  Node root;
  std::list<Node> nodes;        // but the root
  std::set<Listing*> listings;  // that are open
  bool writeback = false;
};

FileSystem& Fs(fuse_req_t req) {
  return *static_cast<FileSystem*>(fuse_req_userdata(req));
}

int RootOf(fuse_req_t req) { return Fs(req).root_fd; }

Node* NodeOf(fuse_req_t req, fuse_ino_t ino) {
  return ino == FUSE_ROOT_ID ? &Fs(req).root : reinterpret_cast<Node*>(ino);
}

std::string PathLocked(const FileSystem& fs, const Node* node) {
  std::string path;
  for (; node != &fs.root; node = node->parent) {
    if (node == nullptr) return "";  // removed: no such file
    path = path.empty() ? node->name : node->name + "/" + path;
  }
  return path.empty() ? "." : path;
}

// Of a node, relative to the root; empty, which no call takes, once removed.
std::string PathOf(fuse_req_t req, fuse_ino_t ino) {
  FileSystem& fs = Fs(req);
  const std::lock_guard<std::mutex> lock(fs.mu);
  return PathLocked(fs, NodeOf(req, ino));
}

std::string PathOf(fuse_req_t req, fuse_ino_t parent, const char* name) {
  const std::string directory = PathOf(req, parent);
  return directory.empty() ? "" : directory + "/" + name;
}

// For the calls that know no directory descriptor.
std::string FullPath(fuse_req_t req, fuse_ino_t ino) {
  return "/proc/self/fd/" + std::to_string(RootOf(req)) + "/" +
         PathOf(req, ino);
}

void Reply(fuse_req_t req, int result) {
  fuse_reply_err(req, result == 0 ? 0 : errno);
}

// 0 or an errno.
int FindNode(fuse_req_t req, fuse_ino_t parent, const char* name,
             fuse_entry_param* entry) {
  *entry = {};
  entry->attr_timeout = entry->entry_timeout = kKeep;
  if (fstatat(RootOf(req), PathOf(req, parent, name).c_str(), &entry->attr,
              AT_SYMLINK_NOFOLLOW) != 0) {
    return errno;
  }
  FileSystem& fs = Fs(req);
  const std::lock_guard<std::mutex> lock(fs.mu);
  Node* const up = NodeOf(req, parent);
  Node*& node = up->children[name];
  if (node == nullptr) {
    fs.nodes.emplace_front();
    node = &fs.nodes.front();
    node->self = fs.nodes.begin();
    node->parent = up;
    node->name = name;
  }
  ++node->lookups;
  entry->ino = reinterpret_cast<fuse_ino_t>(node);
  return 0;
}

void Detach(Node* node) {
  if (node->parent != nullptr) node->parent->children.erase(node->name);
  node->parent = nullptr;
}

void Drop(fuse_req_t req, fuse_ino_t ino, uint64_t count) {
  FileSystem& fs = Fs(req);
  const std::lock_guard<std::mutex> lock(fs.mu);
  Node* const node = NodeOf(req, ino);
  if (node == &fs.root) return;
  node->lookups -= count;
  if (node->lookups > 0) return;
  Detach(node);
  for (const auto& [name, child] : node->children) child->parent = nullptr;
  fs.nodes.erase(node->self);
}

// The name is gone; who has the file open keeps it.
void ForgetName(fuse_req_t req, fuse_ino_t parent, const char* name) {
  const std::lock_guard<std::mutex> lock(Fs(req).mu);
  auto& children = NodeOf(req, parent)->children;
  const auto it = children.find(name);
  if (it != children.end()) Detach(it->second);
}

void ReplyEntry(fuse_req_t req, fuse_ino_t parent, const char* name) {
  fuse_entry_param entry;
  const int err = FindNode(req, parent, name, &entry);
  if (err != 0) {
    fuse_reply_err(req, err);
  } else {
    fuse_reply_entry(req, &entry);
  }
}

void Init(void* userdata, fuse_conn_info* conn) {
  const auto want = [conn](unsigned flag) {
    conn->want |= conn->capable & flag;
  };
  want(FUSE_CAP_SPLICE_READ);
  want(FUSE_CAP_SPLICE_WRITE);
  want(FUSE_CAP_SPLICE_MOVE);
  if (static_cast<FileSystem*>(userdata)->writeback) {
    want(FUSE_CAP_WRITEBACK_CACHE);
  }
}

void Lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  fuse_entry_param entry;
  const int err = FindNode(req, parent, name, &entry);
  if (err == ENOENT) {
    entry.ino = 0;  // the kernel keeps the absence
    fuse_reply_entry(req, &entry);
  } else if (err != 0) {
    fuse_reply_err(req, err);
  } else {
    fuse_reply_entry(req, &entry);
  }
}

void Forget(fuse_req_t req, fuse_ino_t ino, uint64_t count) {
  Drop(req, ino, count);
  fuse_reply_none(req);
}

void ForgetMulti(fuse_req_t req, size_t count, fuse_forget_data* forgets) {
  for (size_t i = 0; i < count; ++i) {
    Drop(req, forgets[i].ino, forgets[i].nlookup);
  }
  fuse_reply_none(req);
}

void GetAttr(fuse_req_t req, fuse_ino_t ino, fuse_file_info*) {
  struct stat st {};
  if (fstatat(RootOf(req), PathOf(req, ino).c_str(), &st,
              AT_SYMLINK_NOFOLLOW) != 0) {
    fuse_reply_err(req, errno);
    return;
  }
  fuse_reply_attr(req, &st, kKeep);
}

timespec TimeFor(int to_set, int set, int now, timespec value) {
  if ((to_set & now) != 0) return {0, UTIME_NOW};
  if ((to_set & set) != 0) return value;
  return {0, UTIME_OMIT};
}

void SetAttr(fuse_req_t req, fuse_ino_t ino, struct stat* st, int to_set,
             fuse_file_info* fi) {
  const std::string path = FullPath(req, ino);
  int result = 0;
  if ((to_set & FUSE_SET_ATTR_MODE) != 0) {
    result = chmod(path.c_str(), st->st_mode);
  }
  if (result == 0 && (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0) {
    const uid_t uid =
        (to_set & FUSE_SET_ATTR_UID) != 0 ? st->st_uid : static_cast<uid_t>(-1);
    const gid_t gid =
        (to_set & FUSE_SET_ATTR_GID) != 0 ? st->st_gid : static_cast<gid_t>(-1);
    result = lchown(path.c_str(), uid, gid);
  }
  if (result == 0 && (to_set & FUSE_SET_ATTR_SIZE) != 0) {
    result = fi != nullptr ? ftruncate(static_cast<int>(fi->fh), st->st_size)
                           : truncate(path.c_str(), st->st_size);
  }
  if (result == 0 &&
      (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME)) != 0) {
    const timespec times[2] = {TimeFor(to_set, FUSE_SET_ATTR_ATIME,
                                       FUSE_SET_ATTR_ATIME_NOW, st->st_atim),
                               TimeFor(to_set, FUSE_SET_ATTR_MTIME,
                                       FUSE_SET_ATTR_MTIME_NOW, st->st_mtim)};
    result = utimensat(AT_FDCWD, path.c_str(), times, 0);
  }
  if (result != 0) {
    fuse_reply_err(req, errno);
    return;
  }
  GetAttr(req, ino, fi);
}

void MakeNode(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode,
              dev_t device) {
  if (mknodat(RootOf(req), PathOf(req, parent, name).c_str(), mode, device) !=
      0) {
    fuse_reply_err(req, errno);
    return;
  }
  ReplyEntry(req, parent, name);
}

void MakeDirectory(fuse_req_t req, fuse_ino_t parent, const char* name,
                   mode_t mode) {
  if (mkdirat(RootOf(req), PathOf(req, parent, name).c_str(), mode) != 0) {
    fuse_reply_err(req, errno);
    return;
  }
  ReplyEntry(req, parent, name);
}

void Remove(fuse_req_t req, fuse_ino_t parent, const char* name, int flags) {
  const std::string path = PathOf(req, parent, name);
  if (unlinkat(RootOf(req), path.c_str(), flags) != 0) {
    fuse_reply_err(req, errno);
    return;
  }
  ForgetName(req, parent, name);
  fuse_reply_err(req, 0);
}

void Unlink(fuse_req_t req, fuse_ino_t parent, const char* name) {
  Remove(req, parent, name, 0);
}

void RemoveDirectory(fuse_req_t req, fuse_ino_t parent, const char* name) {
  Remove(req, parent, name, AT_REMOVEDIR);
}

void OpenDir(fuse_req_t req, fuse_ino_t ino, fuse_file_info* fi) {
  const int fd =
      openat(RootOf(req), PathOf(req, ino).c_str(), O_RDONLY | O_DIRECTORY);
  DIR* const dir = fd < 0 ? nullptr : fdopendir(fd);
  if (dir == nullptr) {
    fuse_reply_err(req, errno);
    return;
  }
  auto* const listing = new Listing{dir};
  {
    const std::lock_guard<std::mutex> lock(Fs(req).mu);
    Fs(req).listings.insert(listing);
  }
  fi->fh = reinterpret_cast<uint64_t>(listing);
  fi->cache_readdir = 1;
  fuse_reply_open(req, fi);
}

void List(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
          fuse_file_info* fi, bool plus) {
  auto& listing = *reinterpret_cast<Listing*>(fi->fh);
  std::vector<char> buffer(size);
  size_t used = 0;
  if (offset != listing.at) seekdir(listing.dir, offset);
  listing.at = offset;
  for (const dirent* item = nullptr;
       (item = readdir(listing.dir)) != nullptr;) {
    char* const at = buffer.data() + used;
    const size_t room = size - used;
    const std::string name = item->d_name;
    fuse_entry_param entry{};
    entry.attr.st_ino = item->d_ino;
    entry.attr.st_mode = DTTOIF(item->d_type);
    const bool look_up = plus && name != "." && name != "..";
    if (look_up && FindNode(req, ino, item->d_name, &entry) != 0) {
      continue;  // removed meanwhile
    }
    const size_t need =
        plus ? fuse_add_direntry_plus(req, at, room, item->d_name, &entry,
                                      item->d_off)
             : fuse_add_direntry(req, at, room, item->d_name, &entry.attr,
                                 item->d_off);
    if (need > room) {
      if (look_up) Drop(req, entry.ino, 1);
      seekdir(listing.dir, listing.at);  // it comes first in the next answer
      break;
    }
    used += need;
    listing.at = item->d_off;
  }
  fuse_reply_buf(req, buffer.data(), used);
}

void ReadDir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
             fuse_file_info* fi) {
  List(req, ino, size, offset, fi, false);
}

void ReadDirPlus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                 fuse_file_info* fi) {
  List(req, ino, size, offset, fi, true);
}

void ReleaseDir(fuse_req_t req, fuse_ino_t, fuse_file_info* fi) {
  auto* const listing = reinterpret_cast<Listing*>(fi->fh);
  {
    const std::lock_guard<std::mutex> lock(Fs(req).mu);
    Fs(req).listings.erase(listing);
  }
  FileSystem::Close(listing);
  fuse_reply_err(req, 0);
}

// What the file must be opened with so that the kernel's cache can work on it.
int OpenFlags(fuse_req_t req, int flags) {
  flags &= ~O_NOFOLLOW;
  if (!Fs(req).writeback) return flags;
  if ((flags & O_ACCMODE) == O_WRONLY) flags = (flags & ~O_ACCMODE) | O_RDWR;
  return flags & ~O_APPEND;
}

void Open(fuse_req_t req, fuse_ino_t ino, fuse_file_info* fi) {
  const int fd = openat(RootOf(req), PathOf(req, ino).c_str(),
                        OpenFlags(req, fi->flags) & ~O_CREAT);
  if (fd < 0) {
    fuse_reply_err(req, errno);
    return;
  }
  fi->fh = static_cast<uint64_t>(fd);
  fi->keep_cache = 1;
  fuse_reply_open(req, fi);
}

void Create(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode,
            fuse_file_info* fi) {
  const int fd = openat(RootOf(req), PathOf(req, parent, name).c_str(),
                        OpenFlags(req, fi->flags) | O_CREAT, mode);
  if (fd < 0) {
    fuse_reply_err(req, errno);
    return;
  }
  fuse_entry_param entry;
  const int err = FindNode(req, parent, name, &entry);
  if (err != 0) {
    close(fd);
    fuse_reply_err(req, err);
    return;
  }
  fi->fh = static_cast<uint64_t>(fd);
  fi->keep_cache = 1;
  fuse_reply_create(req, &entry, fi);
}

fuse_bufvec FileBuffer(const fuse_file_info* fi, size_t size, off_t offset) {
  fuse_bufvec buffer = FUSE_BUFVEC_INIT(size);
  buffer.buf[0].flags =
      static_cast<fuse_buf_flags>(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK);
  buffer.buf[0].fd = static_cast<int>(fi->fh);
  buffer.buf[0].pos = offset;
  return buffer;
}

void Read(fuse_req_t req, fuse_ino_t, size_t size, off_t offset,
          fuse_file_info* fi) {
  fuse_bufvec buffer = FileBuffer(fi, size, offset);
  fuse_reply_data(req, &buffer, FUSE_BUF_SPLICE_MOVE);
}

void WriteBuffer(fuse_req_t req, fuse_ino_t, fuse_bufvec* data, off_t offset,
                 fuse_file_info* fi) {
  fuse_bufvec buffer = FileBuffer(fi, fuse_buf_size(data), offset);
  const ssize_t done =
      fuse_buf_copy(&buffer, data, static_cast<fuse_buf_copy_flags>(0));
  if (done < 0) {
    fuse_reply_err(req, static_cast<int>(-done));
  } else {
    fuse_reply_write(req, static_cast<size_t>(done));
  }
}

void Release(fuse_req_t req, fuse_ino_t, fuse_file_info* fi) {
  close(static_cast<int>(fi->fh));
  fuse_reply_err(req, 0);
}

void Fsync(fuse_req_t req, fuse_ino_t, int data_only, fuse_file_info* fi) {
  const int fd = static_cast<int>(fi->fh);
  Reply(req, data_only != 0 ? fdatasync(fd) : fsync(fd));
}

void StatFs(fuse_req_t req, fuse_ino_t ino) {
  struct statvfs st {};
  if (statvfs(FullPath(req, ino).c_str(), &st) != 0) {
    fuse_reply_err(req, errno);
    return;
  }
  fuse_reply_statfs(req, &st);
}

fuse_lowlevel_ops Operations() {
  fuse_lowlevel_ops o{};
  o.init = Init;
  o.lookup = Lookup;
  o.forget = Forget;
  o.forget_multi = ForgetMulti;
  o.getattr = GetAttr;
  o.setattr = SetAttr;
  o.mknod = MakeNode;
  o.mkdir = MakeDirectory;
  o.unlink = Unlink;
  o.rmdir = RemoveDirectory;
  o.opendir = OpenDir;
  o.readdir = ReadDir;
  o.readdirplus = ReadDirPlus;
  o.releasedir = ReleaseDir;
  o.open = Open;
  o.create = Create;
  o.read = Read;
  o.write_buf = WriteBuffer;
  o.release = Release;
  o.fsync = Fsync;
  o.statfs = StatFs;
  return o;
}

int Serve(FileSystem* fs, const char* mount) {
  const char* argv[] = {"passthrough", "-o",
                        "default_permissions,fsname=passthrough"};
  fuse_args args = FUSE_ARGS_INIT(3, const_cast<char**>(argv));
  const fuse_lowlevel_ops operations = Operations();
  fuse_session* const session =
      fuse_session_new(&args, &operations, sizeof(operations), fs);
  fuse_opt_free_args(&args);
  if (session == nullptr) return 1;
  int result = 1;
  if (fuse_set_signal_handlers(session) == 0) {
    if (fuse_session_mount(session, mount) == 0) {
      fuse_loop_config* const config = fuse_loop_cfg_create();
      fuse_loop_cfg_set_clone_fd(config, 0);
      result = fuse_session_loop_mt(session, config) == 0 ? 0 : 1;
      fuse_loop_cfg_destroy(config);
      fuse_session_unmount(session);
    }
    fuse_remove_signal_handlers(session);
  }
  fuse_session_destroy(session);
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  FileSystem fs;
  int at = 1;
  if (at < argc && std::string(argv[at]) == "--writeback") {
    fs.writeback = true;
    ++at;
  }
  if (argc - at != 2) {
    std::fprintf(stderr, "usage: passthrough [--writeback] DIRECTORY MOUNT\n");
    return 2;
  }
  fs.root_fd = open(argv[at], O_PATH | O_DIRECTORY);
  if (fs.root_fd < 0) {
    std::fprintf(stderr, "passthrough: %s: %s\n", argv[at],
                 std::strerror(errno));
    return 1;
  }
  umask(0);
  return Serve(&fs, argv[at + 1]);
}
