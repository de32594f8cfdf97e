// SPDX-License-Identifier: Apache-2.0
#include "media/virtual_library.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "media/file_util.h"
#include "media/virtual_changer.h"
#include "media/virtual_config.h"
#include "media/virtual_drive.h"
#include "media/virtual_state.h"

namespace vellum {

namespace {

namespace stdfs = std::filesystem;

constexpr const char* kSubdirectories[] = {"media", "state", "catalog",
                                           "spool"};

std::string MakeTag(uint32_t number) { return fmt::format("V{:05}", number); }

Status MakeDirectory(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) != 0) return ErrnoError("mkdir " + path, errno);
  return Status::Ok();
}

// A sparse file of the full size: no byte of it takes space yet.
Status MakeImage(const std::string& path, uint64_t bytes) {
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoError("make image " + path, errno);
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) {
    return ErrnoError(fmt::format("make image {} of {} bytes", path, bytes),
                      errno);
  }
  if (fsync(fd.get()) != 0) return ErrnoError("fsync " + path, errno);
  return Status::Ok();
}

// REQUIRES: `directory` exists and is empty.
Status Populate(const std::string& directory, const LibraryConfig& config) {
  for (const char* name : kSubdirectories) {
    RETURN_IF_ERROR(MakeDirectory(directory + "/" + name, 0777));
  }
  VirtualPlaces places;
  const ElementMap map = VirtualElementMap(config.geometry);
  for (uint32_t i = 0; i < config.geometry.media; ++i) {
    const VolumeTag tag = MakeTag(i + 1);
    RETURN_IF_ERROR(
        MakeImage(VirtualImagePath(directory, tag), config.geometry.capacity));
    const ElementAddress slot{
        static_cast<uint16_t>(map.storage.first.value + i)};
    places[slot].tag = tag;
  }
  RETURN_IF_ERROR(SyncDirectory(directory + "/media"));
  RETURN_IF_ERROR(WriteVirtualPlaces(directory, places));
  // Last, because it makes the directory a library.
  return ReplaceFile(VirtualConfigPath(directory), LibraryConfigText(config));
}

Status CheckEmpty(const std::string& directory) {
  std::error_code ec;
  if (stdfs::exists(VirtualConfigPath(directory), ec)) {
    return Status(Errc::kExists, directory + " holds a library already");
  }
  const bool empty = stdfs::is_empty(directory, ec);
  if (ec) return ErrnoError("init " + directory, ec.value());
  if (!empty) {
    return Status(Errc::kExists, "init " + directory + ": not empty");
  }
  return Status::Ok();
}

void RemoveContents(const std::string& directory) {
  std::error_code ec;
  for (const char* name : kSubdirectories) {
    stdfs::remove_all(directory + "/" + name, ec);
  }
  stdfs::remove(VirtualConfigPath(directory), ec);
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

Status InitVirtualLibrary(const std::string& directory,
                          const VirtualLibraryOptions& options) {
  RETURN_IF_ERROR(CheckGeometry(options).WithContext("init " + directory));
  LibraryConfig config;
  config.geometry = options;
  config.geometry.capacity = RoundCapacity(options.capacity);

  struct stat st {};
  const bool existed = stat(directory.c_str(), &st) == 0;
  if (existed) {
    if (!S_ISDIR(st.st_mode)) {
      return Status(Errc::kNotDirectory,
                    "init " + directory + ": not a directory");
    }
    RETURN_IF_ERROR(CheckEmpty(directory));
  } else {
    RETURN_IF_ERROR(MakeDirectory(directory, 0700));
  }
  // What is on the volumes is in the images, the catalog and the spool,
  // whatever the modes of the files on them: nobody else may come here.
  if (chmod(directory.c_str(), 0700) != 0) {
    return ErrnoError("chmod " + directory, errno);
  }
  const Status made = Populate(directory, config);
  if (!made.ok()) {
    RemoveContents(directory);
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

Result<VirtualDevices> OpenVirtualLibrary(const LibraryConfig& config) {
  ASSIGN_OR_RETURN(const std::shared_ptr<VirtualState> state,
                   VirtualState::Load(config));
  VirtualDevices devices;
  devices.changer = std::make_unique<VirtualChanger>(state);
  const ElementRange drives = state->map().data_transfer;
  for (uint32_t i = 0; i < drives.count; ++i) {
    devices.drives.push_back(std::make_unique<VirtualDrive>(
        state, ElementAddress{static_cast<uint16_t>(drives.first.value + i)}));
  }
  return devices;
}

}  // namespace vellum
