// SPDX-License-Identifier: Apache-2.0
#include "media/scsi/medium_guard.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <system_error>

namespace vellum::scsi {

namespace {

namespace stdfs = std::filesystem;

std::string ErrnoText(int err) { return std::generic_category().message(err); }

// The folder of the block device in sysfs; empty: there is none.
stdfs::path BlockFolder(const struct stat& device, const std::string& sys) {
  const bool is_block = S_ISBLK(device.st_mode);
  const stdfs::path folder =
      fmt::format("{}/dev/{}/{}:{}", sys, is_block ? "block" : "char",
                  major(device.st_rdev), minor(device.st_rdev));
  std::error_code ec;
  if (is_block) {
    stdfs::path real = stdfs::canonical(folder, ec);
    return ec ? stdfs::path() : real;
  }
  for (const auto& entry :
       stdfs::directory_iterator(folder / "device" / "block", ec)) {
    return entry.path();
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<MediumGuard>> MediumGuard::Hold(
    const struct stat& device, const SystemFolders& folders) {
  const stdfs::path folder = BlockFolder(device, folders.sys);
  if (folder.empty()) return std::unique_ptr<MediumGuard>();
  std::unique_ptr<MediumGuard> guard(new MediumGuard);
  guard->node_ = folders.dev + "/" + folder.filename().string();
  const std::string& node = guard->node_;
  // Opening it makes the kernel look; O_NONBLOCK: it waits for no medium.
  guard->block_ =
      UniqueFd(open(node.c_str(), O_RDONLY | O_NONBLOCK | O_EXCL | O_CLOEXEC));
  if (!guard->block_.valid()) {
    const int err = errno;
    if (err == EBUSY) {
      return Error{Errc::kBusy,
                   node + " is in use by another program (is it mounted?)"};
    }
    guard->weakness_ = fmt::format(
        "{} cannot be opened ({}): another medium in its place may "
        "go unnoticed where the kernel is told of it first",
        node, ErrnoText(err));
    return guard;
  }
  guard->diskseq_ =
      UniqueFd(open((folder / "diskseq").c_str(), O_RDONLY | O_CLOEXEC));
  guard->held_ = guard->Sequence();
  if (guard->held_ == 0) {
    guard->weakness_ = fmt::format(
        "the kernel does not number the media of {} (diskseq, "
        "Linux 5.15): another one in its place may go unnoticed "
        "where the kernel is told of it first",
        node);
  }
  return guard;
}

uint64_t MediumGuard::Sequence() const {
  if (!diskseq_.valid()) return 0;
  std::array<char, 32> text{};
  const ssize_t got = pread(diskseq_.get(), text.data(), text.size(), 0);
  uint64_t number = 0;
  // A device that is gone has none; its next command tells that.
  if (got > 0) std::from_chars(text.data(), text.data() + got, number);
  return number;
}

bool MediumGuard::Changed() const {
  const uint64_t held = held_;
  const uint64_t now = Sequence();
  return held != 0 && now != 0 && now != held;
}

void MediumGuard::LookAgain() {
  if (held_ == 0) return;
  const UniqueFd look(open(node_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  const uint64_t now = Sequence();
  if (now != 0) held_ = now;
}

}  // namespace vellum::scsi
