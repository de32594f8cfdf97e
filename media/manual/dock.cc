// SPDX-License-Identifier: Apache-2.0
#include "media/manual/dock.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/cdrom.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "media/file_util.h"
#include "media/image_medium.h"
#include "media/udf/control.h"

namespace vellum {

namespace {

bool CanHoldAMedium(const struct stat& st) {
  return S_ISREG(st.st_mode) || S_ISBLK(st.st_mode);
}

std::vector<std::string> Names(const std::string& directory) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(directory.c_str()),
                                                &closedir);
  if (dir == nullptr) return names;
  while (const dirent* entry = readdir(dir.get())) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  return names;
}

// Image files of a disk that is mounted at `directory`.
void AddImages(const std::string& directory, std::vector<std::string>* found) {
  constexpr std::string_view kSuffix = ".img";
  for (const std::string& name : Names(directory)) {
    struct stat st {};
    const std::string path = directory + "/" + name;
    if (std::string_view(name).ends_with(kSuffix) &&
        stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode)) {
      found->push_back(path);
    }
  }
}

// What lies in a dock that is a directory. A symlink that leads nowhere is the
// name of a device that is not there now.
std::vector<std::string> MediaBelow(const std::string& directory) {
  std::vector<std::string> found;
  for (const std::string& name : Names(directory)) {
    struct stat st {};
    const std::string path = directory + "/" + name;
    if (stat(path.c_str(), &st) != 0) continue;
    if (CanHoldAMedium(st)) found.push_back(path);
    if (S_ISDIR(st.st_mode)) AddImages(path, &found);
  }
  return found;
}

// Grows with every medium that the kernel sees in the device; 0 where it does
// not count.
uint64_t DiskSequence(int fd) {
  uint64_t sequence = 0;
  return ioctl(fd, BLKGETDISKSEQ, &sequence) == 0 ? sequence : 0;
}

uint64_t DeviceBytes(int fd) {
  uint64_t bytes = 0;
  return ioctl(fd, BLKGETSIZE64, &bytes) == 0 ? bytes : 0;
}

std::string DeviceFingerprint(int fd, const struct stat& st) {
  return fmt::format("device {} {} {}", st.st_rdev, DiskSequence(fd),
                     DeviceBytes(fd));
}

std::string FileFingerprint(const struct stat& st) {
  return fmt::format("file {} {} {}", st.st_dev, st.st_ino, st.st_size);
}

// O_NONBLOCK: an optical drive neither waits for a medium nor pulls its tray
// in, which has the operator's hand in it.
UniqueFd OpenToAsk(const std::string& path) {
  return UniqueFd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
}

void FindDevice(const struct stat& st, DockSight* sight) {
  const UniqueFd fd = OpenToAsk(sight->path);
  if (!fd.valid()) {
    if (errno == ENOMEDIUM || errno == ENXIO || errno == ENOENT) return;
    sight->present = true;
    sight->problem = ErrnoError("open " + sight->path, errno).message;
    return;
  }
  const int tray = ioctl(fd.get(), CDROM_DRIVE_STATUS, CDSL_CURRENT);
  if (tray == CDS_NO_DISC || tray == CDS_TRAY_OPEN) return;
  if (tray == CDS_DRIVE_NOT_READY) {
    sight->present = true;
    sight->problem = sight->path + ": the drive is not ready yet";
    return;
  }
  if (DeviceBytes(fd.get()) == 0) return;
  sight->present = true;
  sight->fingerprint = DeviceFingerprint(fd.get(), st);
}

// What changes when somebody else writes to a file that stands for a medium.
std::string ContentVersion(const DockSight& sight) {
  struct stat st {};
  if (stat(sight.path.c_str(), &st) != 0) return "";
  return fmt::format("{} {} {} {} {}", sight.fingerprint, st.st_mtim.tv_sec,
                     st.st_mtim.tv_nsec, st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
}

// Reads who the medium is. What holds no volume of ours has no label: that is
// no problem.
void ReadLabel(DockSight* sight) {
  ImageMediumOptions options;
  options.read_only = true;
  options.allow_block_device = true;
  options.name = sight->path;
  const auto medium = ImageMedium::Open(sight->path, options);
  if (!medium.ok()) {
    if (medium.error().code == Errc::kNoMedium ||
        medium.error().code == Errc::kNotFound) {
      *sight = DockSight();  // taken out just now
      return;
    }
    sight->problem = medium.error().message;
    return;
  }
  const Result<udf::ControlSlot> slot = udf::ReadControlSlot(**medium);
  if (slot.ok()) {
    sight->medium_uuid = slot->medium_uuid;
    sight->volume_id = slot->volume_id;
  } else if (slot.error().code != Errc::kNotFound &&
             slot.error().code != Errc::kCorruption) {
    sight->problem = slot.error().message;
  }
}

}  // namespace

DockSight Dock::Find() const {
  DockSight sight;
  struct stat st {};
  if (stat(path_.c_str(), &st) != 0) return sight;
  sight.path = path_;
  if (S_ISDIR(st.st_mode)) {
    const std::vector<std::string> found = MediaBelow(path_);
    if (found.empty()) return DockSight();
    if (found.size() > 1) {
      sight.path.clear();
      sight.present = true;
      sight.problem = fmt::format("{} holds {} media at once: {}, {}{}", path_,
                                  found.size(), found[0], found[1],
                                  found.size() > 2 ? ", …" : "");
      return sight;
    }
    sight.path = found.front();
    if (stat(sight.path.c_str(), &st) != 0) return DockSight();
  }
  if (S_ISBLK(st.st_mode)) {
    FindDevice(st, &sight);
    if (!sight.present) return DockSight();
  } else if (S_ISREG(st.st_mode)) {
    sight.present = true;
    sight.fingerprint = FileFingerprint(st);
  } else {
    sight.present = true;
    sight.problem = path_ + " is no device, file or directory";
  }
  return sight;
}

DockSight Dock::Look() {
  DockSight sight = Find();
  if (!sight.present || !sight.problem.empty()) return sight;
  const std::string version = ContentVersion(sight);
  {
    MutexLock lock(&mu_);
    if (seen_ && seen_version_ == version) return *seen_;
  }
  ReadLabel(&sight);
  if (sight.present && sight.problem.empty()) {
    MutexLock lock(&mu_);
    seen_ = sight;
    seen_version_ = version;
  }
  return sight;
}

void Dock::Forget() {
  MutexLock lock(&mu_);
  seen_.reset();
}

bool Dock::IsThere(int fd, const std::string& path,
                   const std::string& fingerprint) {
  struct stat at_path {};
  struct stat open_one {};
  if (stat(path.c_str(), &at_path) != 0 || fstat(fd, &open_one) != 0) {
    return false;
  }
  if (S_ISBLK(open_one.st_mode)) {
    return S_ISBLK(at_path.st_mode) && at_path.st_rdev == open_one.st_rdev &&
           DeviceFingerprint(fd, open_one) == fingerprint;
  }
  return at_path.st_dev == open_one.st_dev &&
         at_path.st_ino == open_one.st_ino &&
         FileFingerprint(open_one) == fingerprint;
}

}  // namespace vellum
