// SPDX-License-Identifier: Apache-2.0
#include "tests/readers/manifest.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <vector>

#include "tests/readers/sha256.h"
#include "tests/readers/stamps.h"

namespace vellum {
namespace {

constexpr off_t kPlainDigestBytes = 64 << 20;
constexpr size_t kPiece = 64 << 10;

std::string Encoded(const std::string& text) {
  std::string out;
  for (const unsigned char c : text) {
    if (c > ' ' && c <= '~' && c != '%') {
      out += static_cast<char>(c);
    } else {
      out += '%';
      out += "0123456789ABCDEF"[c >> 4];
      out += "0123456789ABCDEF"[c & 15];
    }
  }
  return out;
}

std::string ErrorText(int error) { return "error:" + std::to_string(error); }

// O_NOATIME is the owner's and root's only.
int OpenQuietly(const std::string& path, int flags) {
  const int fd = open(path.c_str(), flags | O_RDONLY | O_CLOEXEC | O_NOATIME);
  if (fd >= 0 || errno != EPERM) return fd;
  return open(path.c_str(), flags | O_RDONLY | O_CLOEXEC);
}

// Fills `buffer` unless the file ends before; -1 on an error.
ssize_t ReadFull(int fd, std::vector<unsigned char>* buffer) {
  size_t total = 0;
  while (total < buffer->size()) {
    const ssize_t got =
        read(fd, buffer->data() + total, buffer->size() - total);
    if (got < 0) return -1;
    if (got == 0) break;
    total += static_cast<size_t>(got);
  }
  return static_cast<ssize_t>(total);
}

// Words, not vectors: those are slow in an emulated machine.
bool AllZero(const unsigned char* data, size_t size) {
  uint64_t any = 0;
  for (; size >= sizeof(any) && any == 0; size -= sizeof(any)) {
    std::memcpy(&any, data, sizeof(any));
    data += sizeof(any);
  }
  for (; size > 0 && any == 0; --size) any = *data++;
  return any == 0;
}

// Goes on to the piece with the next data, where the system knows of holes;
// false when there is none.
bool SkipHole(int fd, off_t size, uint64_t* offset) {
  const off_t data = lseek(fd, static_cast<off_t>(*offset), SEEK_DATA);
  if (data < 0 && errno == ENXIO) {
    *offset = static_cast<uint64_t>(size);
    return false;
  }
  if (data > static_cast<off_t>(*offset)) {
    *offset = static_cast<uint64_t>(data) / kPiece * kPiece;
  }
  return lseek(fd, static_cast<off_t>(*offset), SEEK_SET) >= 0;
}

std::string Digest(const std::string& path, off_t size, bool stamped) {
  const int fd = OpenQuietly(path, 0);
  if (fd < 0) return ErrorText(errno);
  const bool plain = size <= kPlainDigestBytes;
  static std::vector<unsigned char> buffer(kPiece);
  Sha256 sha;
  StampCheck stamps(path.substr(path.rfind('/') + 1));
  uint64_t offset = 0;
  ssize_t got = 0;
  while (plain || SkipHole(fd, size, &offset)) {
    got = ReadFull(fd, &buffer);
    if (got <= 0) break;
    const size_t length = static_cast<size_t>(got);
    if (plain) {
      sha.Update(buffer.data(), length);
    } else if (!AllZero(buffer.data(), length)) {
      unsigned char at[8];
      for (int i = 0; i < 8; ++i) {
        at[i] = static_cast<unsigned char>(offset >> (8 * i));
      }
      sha.Update(at, sizeof(at));
      sha.Update(buffer.data(), length);
    }
    if (stamped) stamps.Update(buffer.data(), length);
    offset += length;
  }
  const int error = errno;
  close(fd);
  if (got < 0) return ErrorText(error);
  if (offset != static_cast<uint64_t>(size)) return "error:short";
  if (!stamps.ok()) return "error:foreign";
  return plain ? sha.Finish() : "blocks:" + sha.Finish();
}

std::string LinkTarget(const std::string& path) {
  std::vector<char> target(1 << 16);
  const ssize_t got = readlink(path.c_str(), target.data(), target.size());
  if (got < 0) return ErrorText(errno);
  return Encoded(std::string(target.data(), static_cast<size_t>(got)));
}

char TypeLetter(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return 'f';
    case S_IFDIR:
      return 'd';
    case S_IFLNK:
      return 'l';
    case S_IFIFO:
      return 'p';
    case S_IFSOCK:
      return 's';
    case S_IFBLK:
      return 'b';
    case S_IFCHR:
      return 'c';
    default:
      return '?';
  }
}

long long Nanoseconds(const timespec& time) {
  return static_cast<long long>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

struct Walk {
  const ManifestOptions& options;
  std::FILE* const out;
  size_t errors = 0;

  // Names below `path`, sorted; false and errno.
  static bool List(const std::string& path, std::vector<std::string>* names) {
    const int fd = OpenQuietly(path, O_DIRECTORY);
    if (fd < 0) return false;
    DIR* const directory = fdopendir(fd);
    if (directory == nullptr) return false;
    std::set<std::string> seen;
    errno = 0;
    while (const dirent* entry = readdir(directory)) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (!seen.insert(name).second) {
        // Linux's UDF driver begins again where it meets an error.
        errno = ELOOP;
        break;
      }
      names->push_back(name);
    }
    const int error = errno;
    closedir(directory);
    std::sort(names->begin(), names->end());
    errno = error;
    return error == 0;
  }

  // `shown`: the path below the root.
  void Visit(const std::string& path, const std::string& shown) {
    struct stat st;
    if (lstat(path.c_str(), &st) != 0) {
      ++errors;
      std::fprintf(out, "%s\t?\t0\t0\t0\t0\t0\t0:0\t0\t0\t0\t%s\n",
                   Encoded(shown).c_str(), ErrorText(errno).c_str());
      return;
    }
    std::string content = "-";
    std::vector<std::string> names;
    if (S_ISREG(st.st_mode)) {
      content = Digest(path, st.st_size, options.stamps);
    }
    if (S_ISLNK(st.st_mode)) content = LinkTarget(path);
    if (S_ISDIR(st.st_mode) && !List(path, &names)) content = ErrorText(errno);
    if (content.compare(0, 6, "error:") == 0) ++errors;
    uint64_t links = st.st_nlink;
    if (S_ISDIR(st.st_mode) && options.count_links) {
      links = 2;
      for (const std::string& name : names) {
        struct stat child;
        if (lstat((path + "/" + name).c_str(), &child) == 0 &&
            S_ISDIR(child.st_mode)) {
          ++links;
        }
      }
    }
    const bool device = S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode);
    std::fprintf(
        out, "%s\t%c\t%04o\t%u\t%u\t%llu\t%lld\t%u:%u\t%llu\t%lld\t%lld\t%s\n",
        Encoded(shown).c_str(), TypeLetter(st.st_mode), st.st_mode & 07777,
        st.st_uid, st.st_gid, static_cast<unsigned long long>(links),
        S_ISDIR(st.st_mode) ? 0 : static_cast<long long>(st.st_size),
        device ? major(st.st_rdev) : 0, device ? minor(st.st_rdev) : 0,
        static_cast<unsigned long long>(st.st_ino), Nanoseconds(st.st_atim),
        Nanoseconds(st.st_mtim), content.c_str());
    for (const std::string& name : names) {
      Visit(path + "/" + name, shown == "." ? name : shown + "/" + name);
    }
  }
};

}  // namespace

size_t WriteManifest(const std::string& root, const ManifestOptions& options,
                     std::FILE* out) {
  Walk walk{options, out};
  walk.Visit(root, ".");
  return walk.errors;
}

}  // namespace vellum
