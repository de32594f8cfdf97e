// SPDX-License-Identifier: Apache-2.0
// For LD_PRELOAD: counts what a process writes to media, catalog and spool of
// one library and when it flushes, notes it, and kills the process before the
// write or flush that deaths.py has chosen. All threads together are counted.
//
// VELLUM_DEATHS: a file of sizeof(Control) bytes that deaths.py reads and
// writes; VELLUM_DEATHS_BELOW: the directory of the library.
#undef _FILE_OFFSET_BITS
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr size_t kNotes = 20'000;
constexpr size_t kPath = 200;

enum Kind : uint32_t { kWrite = 1, kDiscard = 2, kFlush = 3, kOther = 4 };

// deaths.py has the same layout.
struct Note {
  std::atomic<uint32_t> kind;  // 0: not noted
  std::atomic<uint32_t> done;
  int64_t offset;  // -1: at the end of the file
  int64_t size;
  char path[kPath];
};
struct Control {
  std::atomic<uint64_t> armed;
  std::atomic<uint64_t> when;  // the process dies before this one; 0: never
  std::atomic<uint64_t> count;
  uint64_t reserved;
  Note notes[kNotes];
};

struct Setting {
  Control* control = nullptr;
  const char* below = nullptr;
  size_t length = 0;
};

Setting Read() {
  Setting setting;
  const char* const path = getenv("VELLUM_DEATHS");
  setting.below = getenv("VELLUM_DEATHS_BELOW");
  if (path == nullptr || setting.below == nullptr) return setting;
  setting.length = std::strlen(setting.below);
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return setting;
  void* const at =
      mmap(nullptr, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  syscall(SYS_close, fd);
  if (at != MAP_FAILED) setting.control = static_cast<Control*>(at);
  return setting;
}

const Setting& TheSetting() {
  static const Setting setting = Read();
  return setting;
}

bool StartsWith(const char* text, const char* start) {
  return std::strncmp(text, start, std::strlen(start)) == 0;
}

bool EndsWith(const char* text, const char* end) {
  const size_t length = std::strlen(text), tail = std::strlen(end);
  return length >= tail && std::strcmp(text + length - tail, end) == 0;
}

bool Watched(int fd, char* path) {
  char link[40];
  std::snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, kPath - 1);
  if (length <= 0) return false;
  path[length] = '\0';
  const Setting& setting = TheSetting();
  if (std::strncmp(path, setting.below, setting.length) != 0) return false;
  const char* const rest = path + setting.length;
  return (StartsWith(rest, "/media/") && EndsWith(rest, ".img")) ||
         (StartsWith(rest, "/catalog/") && EndsWith(rest, ".log")) ||
         StartsWith(rest, "/spool/");
}

// Counts and notes a call; does not come back when it is the last one. The
// others wait for the end where they are.
Note* Begin(Kind kind, int fd, int64_t offset, int64_t size) {
  Control* const control = TheSetting().control;
  char path[kPath];
  if (control == nullptr || control->armed == 0 || !Watched(fd, path)) {
    return nullptr;
  }
  const uint64_t number = ++control->count;
  const uint64_t when = control->when;
  if (when != 0 && number >= when) {
    if (number == when) kill(getpid(), SIGKILL);
    for (;;) pause();
  }
  if (number > kNotes) return nullptr;  // deaths.py notices
  Note* const note = &control->notes[number - 1];
  note->offset = offset;
  note->size = size;
  std::memcpy(note->path, path, kPath);
  note->kind = kind;
  return note;
}

template <typename T>
T End(Note* note, T result) {
  if (note != nullptr && result >= 0) note->done = 1;
  return result;
}

}  // namespace

extern "C" {

ssize_t write(int fd, const void* data, size_t size) {
  Note* const note = Begin(kWrite, fd, -1, static_cast<int64_t>(size));
  return End(note, syscall(SYS_write, fd, data, size));
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  Note* const note = Begin(kWrite, fd, offset, static_cast<int64_t>(size));
  return End(note, syscall(SYS_pwrite64, fd, data, size, offset));
}

ssize_t pwrite64(int fd, const void* data, size_t size, off64_t offset) {
  return pwrite(fd, data, size, offset);
}

int fdatasync(int fd) {
  Note* const note = Begin(kFlush, fd, 0, 0);
  return End(note, static_cast<int>(syscall(SYS_fdatasync, fd)));
}

int fsync(int fd) {
  Note* const note = Begin(kFlush, fd, 0, 0);
  return End(note, static_cast<int>(syscall(SYS_fsync, fd)));
}

int fallocate(int fd, int mode, off_t offset, off_t size) {
  const Kind kind = (mode & FALLOC_FL_PUNCH_HOLE) != 0 ? kDiscard : kOther;
  Note* const note = Begin(kind, fd, offset, size);
  return End(note,
             static_cast<int>(syscall(SYS_fallocate, fd, mode, offset, size)));
}

int fallocate64(int fd, int mode, off64_t offset, off64_t size) {
  return fallocate(fd, mode, offset, size);
}

int ftruncate(int fd, off_t size) noexcept {
  Note* const note = Begin(kOther, fd, 0, size);
  return End(note, static_cast<int>(syscall(SYS_ftruncate, fd, size)));
}

int ftruncate64(int fd, off64_t size) noexcept { return ftruncate(fd, size); }

}  // extern "C"
