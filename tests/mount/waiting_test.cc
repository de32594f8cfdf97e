// SPDX-License-Identifier: Apache-2.0
// Requests that wait for a robot hold up nothing but themselves. One of the two
// drives does not get done with loading AWAY, because the test has that
// medium's image locked (flock(2)).
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include "media/library_directory.h"
#include "media/virtual_library.h"
#include "tests/mount/mount_fixture.h"

namespace vellum {
namespace {

class WaitingTest : public MountFixture {
 protected:
  void SetUp() override {
    MountFixture::SetUp();
    if (HasFatalFailure()) return;
    Run("format V00001 name=HELD");
    Run("format V00002 name=AWAY");
    WriteFileOrDie(At("AWAY/file"), std::string(200000, 'a'));
    WriteFileOrDie(At("HELD/file"), "held");
    Run("move AWAY 1025");
    lock_ =
        open((library() + "/media/V00002.img").c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_GE(lock_, 0);
    ASSERT_EQ(flock(lock_, LOCK_EX | LOCK_NB), 0) << errno;
    // Interrupts calls, and does nothing else.
    struct sigaction action {};
    action.sa_handler = [](int) {};
    sigaction(SIGUSR1, &action, nullptr);
  }
  void TearDown() override {
    LetGo();
    MountFixture::TearDown();
  }
  size_t Parked() const {
    return ReadControlJson("status.json")["parked_operations"].get<size_t>();
  }
  // Commands wait for the library, other calls for their volume.
  size_t Waiting() const {
    return Parked() +
           ReadControlJson("status.json")["waiting_requests"].get<size_t>();
  }
  void LetGo() {
    if (lock_ >= 0) close(lock_);
    lock_ = -1;
  }

  // Threads that wait for the medium. They are joined on every way out of a
  // test, and get the medium before that.
  class Waiters {
   public:
    explicit Waiters(WaitingTest* test) : test_(test) {}
    ~Waiters() {
      if (!threads_.empty()) test_->LetGo();
      Join();
    }
    void Add(std::function<void()> body) {
      threads_.emplace_back(std::move(body));
    }
    void Join() {
      for (std::thread& thread : threads_) thread.join();
      threads_.clear();
    }

   private:
    WaitingTest* const test_;
    std::vector<std::thread> threads_;
  };

  // Runs `call` in a thread until it waits, interrupts it, and answers its
  // errno.
  int Interrupted(const std::function<long()>& call) {
    const size_t parked = Parked();
    const size_t before = Waiting();
    std::atomic<bool> ended{false};
    std::atomic<int> err{0};
    std::thread thread([&] {
      err = ErrnoAfter(call());
      ended = true;
    });
    EXPECT_TRUE(Eventually([&] { return Waiting() > before; }));
    EXPECT_TRUE(Eventually([&] {
      if (!ended) pthread_kill(thread.native_handle(), SIGUSR1);
      return ended.load();
    }));
    if (!ended) LetGo();
    thread.join();
    EXPECT_EQ(Parked(), parked);
    return err;
  }

  int lock_ = -1;
};

TEST_F(WaitingTest, TwoHundredReadersLeaveTheRestAlive) {
  constexpr int kReaders = 200;
  std::atomic<int> good{0}, bad{0};
  Waiters readers(this);
  for (int i = 0; i < kReaders; ++i) {
    readers.Add([&] {
      const int fd = open(At("AWAY/file").c_str(), O_RDONLY | O_CLOEXEC);
      char byte = 0;
      const bool ok = fd >= 0 && pread(fd, &byte, 1, 150000) == 1;
      ++(ok && byte == 'a' ? good : bad);
      if (fd >= 0) close(fd);
    });
  }
  ASSERT_TRUE(Eventually([this] { return Parked() == kReaders; })) << Parked();
  EXPECT_EQ(good + bad, 0);
  // Commands, tables, metadata of the absent volume, data of the loaded one.
  EXPECT_EQ(Tell("info AWAY").err, 0);
  EXPECT_NE(ReadControl("drives").find("V00001"), std::string::npos);
  EXPECT_EQ(access(At("AWAY/file").c_str(), R_OK), 0);
  EXPECT_EQ(access(At("AWAY/none").c_str(), F_OK), -1);
  WriteFileOrDie(At("HELD/written"), "while others wait");
  const int fd = open(At("HELD/written").c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(fsync(fd), 0);
  close(fd);
  EXPECT_EQ(ReadFileOrDie(At("HELD/file")), "held");
  EXPECT_EQ(Interrupted([this] {
              return open(At("AWAY/file").c_str(), O_RDONLY | O_CLOEXEC);
            }),
            EINTR);
  EXPECT_EQ(good + bad, 0);
  LetGo();
  readers.Join();
  EXPECT_EQ(good, kReaders);
  EXPECT_EQ(bad, 0);
}

TEST_F(WaitingTest, EveryKindOfWaitIsInterrupted) {
  const int fd = open(At("AWAY/file").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(fd, 0) << "an open that shall not wait";
  EXPECT_EQ(Interrupted([&] { return pwrite(fd, "x", 1, 0); }), EINTR);
  EXPECT_EQ(Interrupted([&] { return ftruncate(fd, 1); }), EINTR);
  EXPECT_EQ(Interrupted([&] {
              return open(At("AWAY/new").c_str(), O_CREAT | O_WRONLY, 0644);
            }),
            EINTR);
  EXPECT_EQ(Interrupted([&] { return unlink(At("AWAY/file").c_str()); }),
            EINTR);
  EXPECT_EQ(Interrupted([&] {
              const int command =
                  open(Control("command").c_str(), O_WRONLY | O_CLOEXEC);
              const long n = write(command, "fsck AWAY", 9);
              const int err = errno;
              close(command);
              errno = err;
              return n;
            }),
            EINTR);
  close(fd);
  LetGo();
  EXPECT_EQ(ReadFileOrDie(At("AWAY/file")), std::string(200000, 'a'));
  EXPECT_NE(access(At("AWAY/new").c_str(), F_OK), 0);
}

TEST_F(WaitingTest, DataOfAWaitingWriteIsWhatWasWritten) {
  const int fd = open(At("AWAY/file").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  std::string text(100000, 'w');
  long written = 0;
  Waiters writer(this);
  writer.Add([&] { written = pwrite(fd, text.data(), text.size(), 0); });
  ASSERT_TRUE(Eventually([this] { return Parked() == 1; }));
  // Other writes go through libfuse's buffers meanwhile.
  for (int i = 0; i < 20; ++i) {
    WriteFileOrDie(At("HELD/f"), std::string(100000, 'x'));
  }
  LetGo();
  writer.Join();
  close(fd);
  EXPECT_EQ(written, 100000);
  EXPECT_EQ(ReadFileOrDie(At("AWAY/file")), text + std::string(100000, 'a'));
}

TEST_F(WaitingTest, WaitersAreAnsweredWhenTheDaemonEnds) {
  std::atomic<int> err{0};
  Waiters reader(this);
  reader.Add([&] {
    err = ErrnoAfter(open(At("AWAY/file").c_str(), O_RDONLY | O_CLOEXEC));
  });
  ASSERT_TRUE(Eventually([this] { return Parked() == 1; }));
  EXPECT_EQ(Tell("shutdown force=yes").err, 0);
  reader.Join();
  EXPECT_NE(err, 0);
  LetGo();
  EXPECT_TRUE(Eventually([this] { return LibraryLock::Take(library()).ok(); }));
  running_ = false;
}

TEST_F(WaitingTest, MetadataAndFsyncMoveNoRobot) {
  const auto loads = [this] {
    const Json drives = ReadControlJson("drives.json");
    return drives[0]["loads"].get<int>() + drives[1]["loads"].get<int>();
  };
  const int before = loads();
  const int fd = open(At("AWAY").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(fsync(fd), 0);
  close(fd);
  EXPECT_EQ(access(At("AWAY/file").c_str(), F_OK), 0);
  EXPECT_EQ(loads(), before);
  EXPECT_EQ(Parked(), 0u);
}

}  // namespace
}  // namespace vellum
