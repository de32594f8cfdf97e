// SPDX-License-Identifier: Apache-2.0
#include "media/library_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "media/file_util.h"

namespace vellum {

namespace {

namespace stdfs = std::filesystem;

constexpr const char* kFolders[] = {"state", "catalog", "spool"};

Status MakeDirectory(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) != 0) return ErrnoError("mkdir " + path, errno);
  return Status::Ok();
}

// Is there nothing in the file or folder that anybody has written? Images as
// init makes them have no bytes yet; what else it leaves without library.toml
// is the element list.
bool IsUntouched(const stdfs::path& path, std::error_code& ec) {
  struct stat st {};
  if (lstat(path.c_str(), &st) != 0) return false;
  if (S_ISREG(st.st_mode)) {
    return path.extension() == ".img"
               ? st.st_blocks == 0
               : path.parent_path().filename() == "state";
  }
  if (!S_ISDIR(st.st_mode)) return false;
  for (stdfs::directory_iterator it(path, ec), end; !ec && it != end;
       it.increment(ec)) {
    if (!IsUntouched(it->path(), ec)) return false;
  }
  return !ec;
}

// `*broken_off`: what an init that was killed has left is all that is there.
Status CheckEmpty(const std::string& directory,
                  const std::vector<std::string>& folders, bool* broken_off) {
  std::error_code ec;
  if (stdfs::exists(LibraryConfigPath(directory), ec)) {
    return Status(Errc::kExists, directory + " holds a library already");
  }
  bool known = true;
  bool untouched = true;
  *broken_off = false;
  for (stdfs::directory_iterator it(directory, ec), end; !ec && it != end;
       it.increment(ec)) {
    *broken_off = true;
    const std::string name = it->path().filename();
    if (it->path() == LibraryConfigPath(directory) + ".tmp") continue;
    known = known &&
            std::find(folders.begin(), folders.end(), name) != folders.end();
    untouched = known && untouched && IsUntouched(it->path(), ec);
  }
  if (ec) return ErrnoError("init " + directory, ec.value());
  if (!known) {
    return Status(Errc::kExists, "init " + directory + ": not empty");
  }
  if (!untouched) {
    return Status(Errc::kExists,
                  fmt::format("init {}: not empty: it looks like a library "
                              "whose library.toml is missing, and holds data; "
                              "put the file back, or move the data elsewhere",
                              directory));
  }
  return Status::Ok();
}

void RemoveContents(const std::string& directory,
                    const std::vector<std::string>& folders) {
  std::error_code ec;
  for (const std::string& name : folders) {
    stdfs::remove_all(directory + "/" + name, ec);
  }
  stdfs::remove(LibraryConfigPath(directory), ec);
  stdfs::remove(LibraryConfigPath(directory) + ".tmp", ec);
}

// REQUIRES: `directory` exists and is empty.
Status Populate(const std::string& directory, const LibraryConfig& config,
                const std::vector<std::string>& folders,
                const std::function<Status()>& fill) {
  for (const std::string& name : folders) {
    RETURN_IF_ERROR(MakeDirectory(directory + "/" + name, 0777));
  }
  if (fill) RETURN_IF_ERROR(fill());
  // Last, because it makes the directory a library.
  return ReplaceFile(LibraryConfigPath(directory), LibraryConfigText(config));
}

std::string ReadOwner(int fd) {
  char buffer[32];
  const ssize_t n = pread(fd, buffer, sizeof(buffer), 0);
  if (n <= 0) return "unknown";
  std::string_view text(buffer, static_cast<size_t>(n));
  return std::string(text.substr(0, text.find('\n')));
}

Status WriteOwner(int fd, const std::string& path) {
  const std::string text = fmt::format("{}\n", getpid());
  if (ftruncate(fd, 0) != 0 || pwrite(fd, text.data(), text.size(), 0) !=
                                   static_cast<ssize_t>(text.size())) {
    return ErrnoError("write " + path, errno);
  }
  return Status::Ok();
}

}  // namespace

Status InitLibraryDirectory(const std::string& directory,
                            const LibraryConfig& config,
                            std::vector<std::string> folders,
                            const std::function<Status()>& fill) {
  folders.insert(folders.end(), std::begin(kFolders), std::end(kFolders));
  struct stat st {};
  const bool existed = stat(directory.c_str(), &st) == 0;
  if (existed) {
    if (!S_ISDIR(st.st_mode)) {
      return Status(Errc::kNotDirectory,
                    "init " + directory + ": not a directory");
    }
  } else {
    RETURN_IF_ERROR(MakeDirectory(directory, 0700));
  }
  // What another init is making just now must not be taken for broken off.
  const UniqueFd lock(
      open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock.valid()) return ErrnoError("init " + directory, errno);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return Status(Errc::kBusy,
                  "init " + directory + ": another init is at work there");
  }
  if (existed) {
    bool broken_off = false;
    RETURN_IF_ERROR(CheckEmpty(directory, folders, &broken_off));
    if (broken_off) RemoveContents(directory, folders);
  }
  // What is on the volumes is in the images, the catalog and the spool,
  // whatever the modes of the files on them: nobody else may come here.
  if (chmod(directory.c_str(), 0700) != 0) {
    return ErrnoError("chmod " + directory, errno);
  }
  const Status made = Populate(directory, config, folders, fill);
  if (!made.ok()) {
    RemoveContents(directory, folders);
    if (!existed) rmdir(directory.c_str());
  }
  return made;
}

Result<LibraryLock> LibraryLock::Take(const std::string& directory) {
  const std::string path = directory + "/state/lock";
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (!fd.valid()) {
    if (errno == ENOENT) {
      return Error{Errc::kNotFound,
                   directory + " is no library: it has no state/"};
    }
    return ErrnoError("open " + path, errno);
  }
  while (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return ErrnoError("lock " + path, errno);
    return Error{Errc::kBusy, fmt::format("library {} is served by process {}",
                                          directory, ReadOwner(fd.get()))};
  }
  RETURN_IF_ERROR(WriteOwner(fd.get(), path));
  return LibraryLock(fd.Release());
}

LibraryLock::LibraryLock(LibraryLock&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)) {}

LibraryLock& LibraryLock::operator=(LibraryLock&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) close(fd_);
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

LibraryLock::~LibraryLock() {
  if (fd_ >= 0) close(fd_);
}

Status LibraryLock::UpdateOwner() {
  return WriteOwner(fd_, "the library's state/lock");
}

}  // namespace vellum
