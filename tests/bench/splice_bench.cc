// SPDX-License-Identifier: Apache-2.0
// Does splice(2) pay for file data? A file system of one file in an image, as a
// volume's file is in its medium's image, answers reads and takes writes in two
// ways: through memory (pread and reply, as fs/fuse_ops_file.cc does), and by
// splice between the image and the FUSE device (fuse_reply_data and write_buf
// with the image's descriptor). Prints the medians of interleaved rounds.
//
//   splice_bench [DIRECTORY [MIB [ROUNDS]]]
//
// DIRECTORY (the temporary one) must have room for an image of MIB (512).
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 312
#endif
#include <fuse3/fuse_lowlevel.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr size_t kMiB = 1 << 20;
// The file's data begins somewhere in the image, at a sector.
constexpr off_t kBase = 333 * 2048;
constexpr fuse_ino_t kFile = 2;

void Die(const std::string& what) {
  std::perror(what.c_str());
  std::exit(1);
}

// ---- the file system

struct Served {
  int image = -1;
  off_t size = 0;
  bool splice = false;
};
Served& ServedBy(fuse_req_t req) {
  return *static_cast<Served*>(fuse_req_userdata(req));
}

struct stat StatOf(const Served& served, fuse_ino_t ino) {
  struct stat st {};
  st.st_ino = ino;
  st.st_mode = ino == kFile ? S_IFREG | 0600 : S_IFDIR | 0700;
  st.st_nlink = 1;
  st.st_size = ino == kFile ? served.size : 0;
  return st;
}

void Init(void* userdata, fuse_conn_info* conn) {
  const unsigned splice =
      FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE;
  conn->want &= ~(splice | FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_AUTO_INVAL_DATA);
  if (static_cast<Served*>(userdata)->splice) {
    conn->want |= conn->capable & splice;
  }
  conn->max_write = kMiB;
  conn->max_readahead = kMiB;
}

void Lookup(fuse_req_t req, fuse_ino_t, const char* name) {
  if (std::strcmp(name, "data") != 0) {
    fuse_reply_err(req, ENOENT);
    return;
  }
  fuse_entry_param entry{};
  entry.ino = kFile;
  entry.attr = StatOf(ServedBy(req), kFile);
  entry.attr_timeout = entry.entry_timeout = 3600;
  fuse_reply_entry(req, &entry);
}

void GetAttr(fuse_req_t req, fuse_ino_t ino, fuse_file_info*) {
  const struct stat st = StatOf(ServedBy(req), ino);
  fuse_reply_attr(req, &st, 3600);
}

void Open(fuse_req_t req, fuse_ino_t, fuse_file_info* fi) {
  fi->keep_cache = 1;
  fuse_reply_open(req, fi);
}

size_t Within(const Served& served, size_t size, off_t offset) {
  const off_t left = std::max<off_t>(served.size - offset, 0);
  return std::min(size, static_cast<size_t>(left));
}

void Read(fuse_req_t req, fuse_ino_t, size_t size, off_t offset,
          fuse_file_info*) {
  const Served& served = ServedBy(req);
  const size_t count = Within(served, size, offset);
  if (served.splice) {
    fuse_bufvec data = FUSE_BUFVEC_INIT(count);
    data.buf[0].flags =
        static_cast<fuse_buf_flags>(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK);
    data.buf[0].fd = served.image;
    data.buf[0].pos = kBase + offset;
    fuse_reply_data(req, &data, FUSE_BUF_SPLICE_MOVE);
    return;
  }
  const std::unique_ptr<char[]> data(new char[count]);
  const ssize_t n = pread(served.image, data.get(), count, kBase + offset);
  if (n < 0) {
    fuse_reply_err(req, errno);
  } else {
    fuse_reply_buf(req, data.get(), static_cast<size_t>(n));
  }
}

void Write(fuse_req_t req, fuse_ino_t, const char* data, size_t size,
           off_t offset, fuse_file_info*) {
  const ssize_t n = pwrite(ServedBy(req).image, data, size, kBase + offset);
  if (n < 0) {
    fuse_reply_err(req, errno);
  } else {
    fuse_reply_write(req, static_cast<size_t>(n));
  }
}

void WriteBuffer(fuse_req_t req, fuse_ino_t, fuse_bufvec* in, off_t offset,
                 fuse_file_info*) {
  fuse_bufvec out = FUSE_BUFVEC_INIT(fuse_buf_size(in));
  out.buf[0].flags =
      static_cast<fuse_buf_flags>(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK);
  out.buf[0].fd = ServedBy(req).image;
  out.buf[0].pos = kBase + offset;
  const ssize_t n = fuse_buf_copy(&out, in, FUSE_BUF_SPLICE_MOVE);
  if (n < 0) {
    fuse_reply_err(req, static_cast<int>(-n));
  } else {
    fuse_reply_write(req, static_cast<size_t>(n));
  }
}

// Serves until it is unmounted; never returns.
void Serve(Served served, const std::string& mount, int ready) {
  fuse_lowlevel_ops operations{};
  operations.init = Init;
  operations.lookup = Lookup;
  operations.getattr = GetAttr;
  operations.open = Open;
  operations.read = Read;
  operations.write = Write;
  if (served.splice) operations.write_buf = WriteBuffer;
  char name[] = "splice_bench";
  char* arguments[] = {name, nullptr};
  fuse_args args = FUSE_ARGS_INIT(1, arguments);
  fuse_session* session =
      fuse_session_new(&args, &operations, sizeof(operations), &served);
  if (session == nullptr || fuse_session_mount(session, mount.c_str()) != 0) {
    _exit(1);
  }
  if (write(ready, "r", 1) != 1) _exit(1);
  fuse_loop_config* config = fuse_loop_cfg_create();
  fuse_loop_cfg_set_max_threads(config, 16);
  fuse_loop_cfg_set_idle_threads(config, 16);
  _exit(fuse_session_loop_mt(session, config) == 0 ? 0 : 1);
}

// The mount, as long as it lives.
class Mounted {
 public:
  Mounted(const Served& served, const std::string& point) : point_(point) {
    int ready[2];
    if (pipe(ready) != 0) Die("pipe");
    pid_ = fork();
    if (pid_ == 0) Serve(served, point, ready[1]);
    close(ready[1]);
    char byte = 0;
    if (read(ready[0], &byte, 1) != 1) Die("mount");
    close(ready[0]);
  }
  ~Mounted() {
    if (umount2(point_.c_str(), 0) != 0) Die("unmount");
    waitpid(pid_, nullptr, 0);
  }

 private:
  const std::string point_;
  pid_t pid_ = -1;
};

// ---- what is measured

using Clock = std::chrono::steady_clock;

struct Work {
  const char* name;
  bool cold;  // nothing of the image is in the page cache
  // Answers the bytes that went through.
  std::function<size_t(int fd, size_t size)> run;
};

size_t SequentialRead(int fd, size_t size) {
  std::vector<char> buffer(kMiB);
  for (size_t at = 0; at < size; at += kMiB) {
    if (pread(fd, buffer.data(), kMiB, static_cast<off_t>(at)) !=
        static_cast<ssize_t>(kMiB)) {
      Die("read");
    }
  }
  return size;
}

size_t RandomRead(int fd, size_t size) {
  posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
  std::mt19937_64 random(7);
  std::vector<char> buffer(4096);
  constexpr int kReads = 20000;
  for (int i = 0; i < kReads; ++i) {
    const auto at = static_cast<off_t>(random() % (size / 4096) * 4096);
    if (pread(fd, buffer.data(), 4096, at) != 4096) Die("read");
  }
  return size_t{kReads} * 4096;
}

size_t SequentialWrite(int fd, size_t size) {
  const std::vector<char> buffer(kMiB, 'w');
  for (size_t at = 0; at < size; at += kMiB) {
    if (pwrite(fd, buffer.data(), kMiB, static_cast<off_t>(at)) !=
        static_cast<ssize_t>(kMiB)) {
      Die("write");
    }
  }
  return size;
}

double MiBPerSecond(const Work& work, const Served& served,
                    const std::string& mount) {
  if (fsync(served.image) != 0) Die("fsync");
  if (work.cold) {
    posix_fadvise(served.image, 0, 0, POSIX_FADV_DONTNEED);
  } else {
    SequentialRead(served.image, static_cast<size_t>(served.size));
  }
  const Mounted mounted(served, mount);
  const int fd = open((mount + "/data").c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) Die("open");
  const auto start = Clock::now();
  const size_t bytes = work.run(fd, static_cast<size_t>(served.size));
  const std::chrono::duration<double> seconds = Clock::now() - start;
  close(fd);
  return static_cast<double>(bytes) / kMiB / seconds.count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const std::string directory = argc > 1 ? argv[1] : "/tmp";
  const size_t mib = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 512;
  const int rounds = argc > 3 ? std::atoi(argv[3]) : 3;
  std::string work = directory + "/splice-bench.XXXXXX";
  if (mkdtemp(work.data()) == nullptr) Die(work);
  const std::string mount = work + "/mount", image = work + "/image";
  if (mkdir(mount.c_str(), 0700) != 0) Die(mount);
  Served served;
  served.image = open(image.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  served.size = static_cast<off_t>(mib * kMiB);
  const std::vector<char> filling(kMiB, 'f');
  for (size_t i = 0; i <= mib; ++i) {
    if (write(served.image, filling.data(), kMiB) < 0) Die(image);
  }
  const Work works[] = {{"sequential read, cold", true, SequentialRead},
                        {"sequential read, warm", false, SequentialRead},
                        {"random 4 KiB read, warm", false, RandomRead},
                        {"sequential write", false, SequentialWrite}};
  for (const Work& each : works) {
    std::vector<double> memory, splice;
    for (int round = 0; round < rounds; ++round) {
      served.splice = false;
      memory.push_back(MiBPerSecond(each, served, mount));
      served.splice = true;
      splice.push_back(MiBPerSecond(each, served, mount));
    }
    const double a = Median(memory), b = Median(splice);
    std::printf("%-24s memory %7.0f MiB/s, splice %7.0f MiB/s, ratio %.2f\n",
                each.name, a, b, b / a);
    std::fflush(stdout);
  }
  close(served.image);
  unlink(image.c_str());
  rmdir(mount.c_str());
  rmdir(work.c_str());
  return 0;
}
