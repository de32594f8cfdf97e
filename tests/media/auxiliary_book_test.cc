// SPDX-License-Identifier: Apache-2.0
// What is remembered of media beside their content: usage (H5), flags (H4).
#include "media/auxiliary_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "media/fault_medium.h"
#include "tests/media/library_fixture.h"
#include "tests/support/memory_medium.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace vellum {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class AuxiliaryBookTest : public testing::Test {
 protected:
  void SetUp() override { OpenBook(); }
  void OpenBook() { book_ = AuxiliaryBook::Open(path_); }
  // A medium of the library, loaded.
  std::unique_ptr<Medium> Load(const MediumId& id) {
    plan_ = std::make_shared<FaultPlan>();
    return book_->Hooks().loaded(
        id, {256},
        std::make_unique<FaultMedium>(std::make_unique<MemoryMedium>(64),
                                      plan_));
  }

  TempDir dir_;
  const std::string path_ = dir_.Sub("auxiliary.json");
  std::unique_ptr<AuxiliaryBook> book_;
  std::shared_ptr<FaultPlan> plan_;
};

TEST_F(AuxiliaryBookTest, H5_UsageIsCountedAndOutlivesTheDaemon) {
  for (int i = 0; i < 2; ++i) {
    const std::unique_ptr<Medium> medium = Load("V00001");
    Bytes data(3 * kSectorSize);
    ASSERT_OK(medium->Write(0, data));
    ASSERT_OK(medium->Read(0, ByteSpan(data).first(kSectorSize)));
  }
  OpenBook();
  const MediumUsage usage = book_->Usage().at("V00001");
  EXPECT_EQ(usage.loads, 2u);
  EXPECT_EQ(usage.bytes_written, 6u * kSectorSize);
  EXPECT_EQ(usage.bytes_read, 2u * kSectorSize);
  EXPECT_EQ(usage.read_errors + usage.write_errors + usage.load_errors, 0u);
  EXPECT_GT(usage.first_used.sec, 0);
  EXPECT_GE(usage.last_used.sec, usage.first_used.sec);
}

// Media that know a faster way for long runs of data are asked for it.
TEST_F(AuxiliaryBookTest, H5_StreamsAreCountedAndStayStreams) {
  struct Streaming : MemoryMedium {
    using MemoryMedium::MemoryMedium;
    Status WriteStream(uint64_t lba, ConstByteSpan data) override {
      ++streams;
      return Write(lba, data);
    }
    int streams = 0;
  };
  auto streaming = std::make_unique<Streaming>(64);
  const Streaming& below = *streaming;
  const std::unique_ptr<Medium> medium =
      book_->Hooks().loaded("V00001", {256}, std::move(streaming));
  ASSERT_OK(medium->WriteStream(0, Bytes(2 * kSectorSize)));
  EXPECT_EQ(below.streams, 1);
  EXPECT_EQ(book_->Usage().at("V00001").bytes_written, 2u * kSectorSize);
}

TEST_F(AuxiliaryBookTest, H4_ErrorsOfTheMediumSetItsFlags) {
  std::unique_ptr<Medium> medium = Load("V00001");
  plan_->FailRange(FaultPlan::Op::kRead, {5, 1});
  plan_->FailNth(FaultPlan::Op::kFlush, 1);
  Bytes data(kSectorSize);
  EXPECT_FALSE(medium->Read(5, data).ok());
  EXPECT_FALSE(medium->Read(5, data).ok());
  EXPECT_FALSE(medium->Flush().ok());
  EXPECT_THAT(book_->FlagNames("V00001"),
              ElementsAre("read-failure", "write-failure"));
  EXPECT_EQ(book_->Usage().at("V00001").read_errors, 2u);
  EXPECT_EQ(book_->Usage().at("V00001").write_errors, 1u);
  medium.reset();
  OpenBook();
  const std::vector<SetHealthFlag> flags = book_->Flags();
  ASSERT_EQ(flags.size(), 2u);
  EXPECT_THAT(flags[0].note, HasSubstr("read at sector 5"));
  EXPECT_FALSE(flags[0].by_operator);
}

TEST_F(AuxiliaryBookTest, H4_FailedLoadsSetFlagsOfMediumOrDrive) {
  const LoadHooks hooks = book_->Hooks();
  hooks.failed("V00001", {256}, {Errc::kNotReady, "no"});
  hooks.failed("V00002", {257}, {Errc::kOffline, "no drive"});
  EXPECT_THAT(book_->FlagNames("V00001"), ElementsAre("loading-failure"));
  EXPECT_THAT(book_->FlagNames("V00002"), ElementsAre());
  EXPECT_THAT(book_->FlagNames("drive 257"), ElementsAre("hardware"));
  EXPECT_EQ(book_->Usage().at("V00001").load_errors, 1u);
}

TEST_F(AuxiliaryBookTest, H4_AnOperatorSetsAndClears) {
  book_->SetFlag("V00001", FindHealthFlag("clean-now")->number, true, "dusty");
  book_->SetFlag("V00001", FindHealthFlag("0x3")->number, true, "");
  EXPECT_THAT(book_->FlagNames("V00001"),
              ElementsAre("hard-error", "clean-now"));
  EXPECT_EQ(book_->ClearFlags("V00001", 20), 1u);
  EXPECT_EQ(book_->ClearFlags("V00001", 20), 0u);
  EXPECT_EQ(book_->ClearFlags("V00001", std::nullopt), 1u);
  OpenBook();
  EXPECT_TRUE(book_->Flags().empty());
  EXPECT_EQ(FindHealthFlag("0"), nullptr);
  EXPECT_EQ(FindHealthFlag(""), nullptr);
}

TEST_F(AuxiliaryBookTest, H5_AFileThatCannotBeReadIsPutAside) {
  for (const char* text :
       {"{", "[]", "{\"version\": 1, \"media\": 3}", "{\"version\": 2}"}) {
    WriteFileOrDie(path_, text);
    OpenBook();
    EXPECT_TRUE(book_->Usage().empty());
    EXPECT_TRUE(std::filesystem::exists(path_ + ".bad"));
    EXPECT_FALSE(std::filesystem::exists(path_));
  }
}

// ---- Drives and library on- and offline, the queue

class LibraryControlTest : public LibraryTest {};

TEST_F(LibraryControlTest, H3_AnOfflineDriveIsNeverUsed) {
  Open(Drives(2));
  const auto first = TakePolite("V00001");
  const ElementAddress drive = first->drive();
  ASSERT_OK(library_->SetDriveOnline(drive, false));  // it was recalled
  EXPECT_EQ(fake_->WhereIs("V00001").value, 1024);
  EXPECT_EQ(library_->OnlineDrives(), 1u);
  for (const char* tag : {"V00001", "V00002", "V00003"}) {
    EXPECT_NE(Take(Shared(tag)).drive(), drive) << tag;
  }
  // Two at once cannot be had; the error says why.
  const auto both =
      library_->AcquireAndWait({Shared("V00001"), Shared("V00002")});
  ASSERT_THAT(both.status(), HasErrc(Errc::kOffline));
  EXPECT_THAT(both.error().message, HasSubstr("drive " + ToString(drive) +
                                              " is offline: taken offline"));
  EXPECT_THAT(library_->Move({1025}, drive), HasErrc(Errc::kOffline));
  // Another look does not bring it back, the operator does.
  ASSERT_OK(library_->Rescan());
  EXPECT_EQ(library_->OnlineDrives(), 1u);
  ASSERT_OK(library_->SetDriveOnline(drive, true));
  EXPECT_OK(library_->AcquireAndWait({Shared("V00001"), Shared("V00002")}));
  EXPECT_THAT(library_->SetDriveOnline({999}, false), HasErrc(Errc::kNotFound));
}

TEST_F(LibraryControlTest, H3_ABusyDriveIsNotRobbedWhenItGoesOffline) {
  Open(Drives(1));
  MediumLease lease = Take(Exclusive("V00001"));
  std::stop_source stop;
  Status status;
  std::thread waiter([&] {
    status = library_->SetDriveOnline(lease.drive(), false, stop.get_token());
  });
  while (library_->OnlineDrives() != 0) std::this_thread::yield();
  EXPECT_EQ(fake_->WhereIs("V00001").value, 256);
  stop.request_stop();
  waiter.join();
  EXPECT_THAT(status, HasErrc(Errc::kInterrupted));
  EXPECT_EQ(fake_->WhereIs("V00001").value, 256);
  lease.Release();
}

TEST_F(LibraryControlTest, H3_AnOfflineLibraryAnswersClearly) {
  Open(Drives(1));
  const auto lease = TakePolite("V00001");
  library_->SetOnline(false);
  const auto refused = library_->AcquireAndWait({Shared("V00002")});
  ASSERT_THAT(refused.status(), HasErrc(Errc::kOffline));
  EXPECT_THAT(refused.error().message, HasSubstr("the library is offline"));
  EXPECT_THAT(library_->Move({1025}, {1030}), HasErrc(Errc::kOffline));
  while (recalls_ == 0) std::this_thread::yield();  // data is asked back, too
  library_->SetOnline(true);
  EXPECT_TRUE(Take(Shared("V00002")));
}

TEST_F(LibraryControlTest, X5_TheQueueSaysWhoIsNextAndHowLong) {
  Open(Drives(1));
  Take(Shared("V00001")).Release();
  MediumLease lease = Take(Shared("V00001"));  // never given back by itself
  LeaseRequest copy = Shared("V00003");
  copy.priority = LeasePriority::kCopy;
  Answer a = Ask({copy});
  Answer b = Ask({Shared("V00002")});
  Settle();
  std::vector<QueuedRequest> queue = library_->Queue();
  ASSERT_EQ(queue.size(), 2u);
  // Foreground before copies.
  EXPECT_THAT(queue[0].media, ElementsAre("V00002"));
  EXPECT_EQ(queue[0].position, 1u);
  EXPECT_EQ(queue[0].owner, "reader of V00002");
  EXPECT_THAT(queue[1].media, ElementsAre("V00003"));
  EXPECT_EQ(queue[1].position, 2u);
  ASSERT_TRUE(queue[0].estimate && queue[1].estimate);
  EXPECT_LE(*queue[0].estimate, *queue[1].estimate);
  EXPECT_GT(library_->LoadTime().count(), 0);
  fake_->HoldMoves(true);
  lease.Release();
  fake_->AwaitHeldMove();
  queue = library_->Queue();
  ASSERT_EQ(queue.size(), 2u);
  EXPECT_EQ(queue[0].position, 0u);  // being loaded
  EXPECT_THAT(queue[0].media, ElementsAre("V00002"));
  EXPECT_EQ(queue[1].position, 1u);
  // It takes longer than loads did: nobody knows for how long, neither for it
  // nor for who waits behind it.
  while (library_->Queue()[0].estimate) std::this_thread::yield();
  EXPECT_FALSE(library_->Queue()[1].estimate);
  fake_->HoldMoves(false);
  EXPECT_OK(b.Wait());
  EXPECT_OK(a.Wait());
}

}  // namespace
}  // namespace vellum
