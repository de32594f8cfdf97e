// SPDX-License-Identifier: Apache-2.0
// What long operations say of how far they are, and inventories that go on
// where they were broken off.
#include <gmock/gmock.h>

#include <optional>
#include <thread>

#include "copy/metered_medium.h"
#include "tests/copy/jobs_fixture.h"
#include "tests/support/memory_medium.h"

namespace vellum {
namespace {

using testing::HasSubstr;

class ProgressTest : public JobsTest {
 protected:
  Archive Metered() {
    Archive archive = this->archive();
    archive.meter = &meter_;
    return archive;
  }

  // An inventory of all media that is given up while it waits for the third of
  // four.
  void BreakOffInventory(bool reset) {
    std::optional<MediumLease> held;
    {
      LeaseRequest request;
      request.medium = Tag(3);
      request.owner = "test";
      std::vector<LeaseRequest> requests;
      requests.push_back(std::move(request));
      auto leases = library_->AcquireAndWait(std::move(requests));
      ASSERT_OK(leases);
      held = std::move(leases->front());
    }
    std::stop_source stop;
    Status ended = Status::Ok();
    std::thread inventory([&] {
      ended = reset ? Reindex(Metered(), ReindexMode::kReset, stop.get_token())
                          .status()
                    : Inventory(Metered(), true, stop.get_token()).status();
    });
    const std::string waits = "loads " + Tag(3) + " from 1026";
    while (meter_.Read().step != waits) std::this_thread::yield();
    EXPECT_EQ(meter_.Read().unit, "media");
    EXPECT_EQ(meter_.Read().total, 4u);
    EXPECT_EQ(meter_.Read().done, 2u);
    stop.request_stop();
    inventory.join();
    EXPECT_THAT(ended, HasErrc(Errc::kInterrupted));
  }

  WorkMeter meter_;
};

TEST_F(ProgressTest, O7_AnInventoryThatWasBrokenOffGoesOn) {
  Start(2, 4);
  MakePrimary(1, "PRIM");
  SendAllHome();
  EXPECT_THAT(ResumeInventory(archive()), HasErrc(Errc::kNotFound));
  BreakOffInventory(/*reset=*/false);
  Reopen();  // another daemon
  const size_t loads = fake_->loads();
  ASSERT_OK_AND_ASSIGN(const std::vector<InventoryRow> rows,
                       ResumeInventory(Metered()));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].medium, Tag(3));
  EXPECT_EQ(rows[1].medium, Tag(4));
  EXPECT_EQ(fake_->loads(), loads + 2);
  EXPECT_EQ(meter_.Read().total, 2u);
  EXPECT_EQ(meter_.Read().done, 2u);
  // It came to its end: there is nothing left.
  EXPECT_THAT(ResumeInventory(archive()), HasErrc(Errc::kNotFound));
  ASSERT_OK(Inventory(archive(), true));
  EXPECT_EQ(fake_->loads(), loads + 6);
}

TEST_F(ProgressTest, O7_AResetThatGoesOnIsAReset) {
  Start(2, 4);
  MakePrimary(4, "PRIM");
  SendAllHome();
  const Generation before = volumes_->Find("PRIM")->generation();
  BreakOffInventory(/*reset=*/true);
  EXPECT_EQ(volumes_->Find("PRIM")->generation(), before);
  ASSERT_OK(ResumeInventory(archive()));
  // The tree was read anew.
  EXPECT_NE(volumes_->Find("PRIM")->generation().lineage, before.lineage);
}

TEST_F(ProgressTest, O21_ACheckCountsWhatItReads) {
  Start(1, 2);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 1);
  udf::FsckOptions options;
  options.check_data = true;
  ASSERT_OK(Fsck(Metered(), "PRIM", options));
  const WorkMeter::Reading data = meter_.Read();
  EXPECT_EQ(data.unit, "bytes");
  EXPECT_EQ(data.total,
            volumes_->Find("PRIM")->record().used_blocks * kSectorSize);
  EXPECT_GT(data.done, data.total / 2);
  EXPECT_THAT(data.step, HasSubstr("V00001"));
  ASSERT_OK(Fsck(Metered(), "PRIM", {}));
  const WorkMeter::Reading names = meter_.Read();
  EXPECT_LT(names.done, data.done);
  // An estimate that is worth something.
  EXPECT_GE(names.total, names.done);
  EXPECT_LE(names.total, names.done + (1 << 20));
}

TEST_F(ProgressTest, O21_TheEstimateOfACheckGrowsWithTheTree) {
  Start(1, 2);
  MakePrimary(1, "PRIM");
  for (int d = 0; d < 60; ++d) {
    ASSERT_OK_AND_ASSIGN(VolumeUse use, volumes_->Use(volumes_->Find("PRIM")));
    NewInode inode;
    inode.type = udf::FileType::kDirectory;
    ASSERT_OK_AND_ASSIGN(
        const Attr dir,
        use->Create(use->root(), "dir" + std::to_string(d), inode));
    for (int f = 0; f < 40; ++f) {
      ASSERT_OK(use->Create(dir.ino, "a file number " + std::to_string(f),
                            NewInode()));
    }
  }
  ASSERT_OK(Fsck(Metered(), "PRIM", {}));
  EXPECT_GE(meter_.Read().total, meter_.Read().done);
  EXPECT_LE(meter_.Read().total, meter_.Read().done * 3 / 2);
}

TEST_F(ProgressTest, O21_AFormatCountsWhatItWrites) {
  Start(1, 2);
  MakePrimary(1, "PRIM");
  FormatRequest request;
  request.medium = Tag(1);
  request.volume_id = "NEW";
  request.clear = true;
  ASSERT_OK(Format(Metered(), request));
  EXPECT_EQ(meter_.Read().unit, "bytes");
  // All of it is wiped.
  EXPECT_EQ(meter_.Read().total, Content(1).Info().sectors * kSectorSize);
  EXPECT_GE(meter_.Read().done, meter_.Read().total);
  request.wipe = false;
  ASSERT_OK(Format(Metered(), request));
  EXPECT_EQ(meter_.Read().total, 0u);
  EXPECT_GT(meter_.Read().done, 0u);
}

TEST(MeteredMediumTest, O21_WhatIsDiscardedIsCountedPieceByPiece) {
  // A drive that takes long for each.
  class Counted : public BorrowedMedium {
   public:
    Counted(Medium* base, WorkMeter* meter)
        : BorrowedMedium(base), meter_(meter) {}
    Status Discard(uint64_t lba, uint64_t count) override {
      seen.push_back(meter_->Read().done);
      return BorrowedMedium::Discard(lba, count);
    }
    std::vector<uint64_t> seen;  // what was counted before each

   private:
    WorkMeter* const meter_;
  };
  MemoryMedium base(100'000);  // 195 MiB
  WorkMeter meter;
  Counted slow(&base, &meter);
  MeteredMedium medium(&slow, &meter);
  ASSERT_OK(medium.Discard(0, 100'000));
  constexpr uint64_t kPiece = 64 << 20;
  EXPECT_THAT(slow.seen,
              testing::ElementsAre(0u, kPiece, 2 * kPiece, 3 * kPiece));
  EXPECT_EQ(meter.Read().done, 100'000 * kSectorSize);
}

TEST(MeteredMediumTest, O21_CountsAndCanBeGivenUp) {
  MemoryMedium base(64);
  WorkMeter meter;
  std::stop_source stop;
  MeteredMedium medium(&base, &meter, stop.get_token());
  std::vector<std::byte> data(3 * kSectorSize, std::byte{7});
  ASSERT_OK(medium.Write(5, data));
  std::vector<std::byte> back(data.size());
  ASSERT_OK(medium.Read(5, back));
  EXPECT_EQ(back, data);
  EXPECT_EQ(meter.Read().done, 6 * kSectorSize);
  stop.request_stop();
  EXPECT_THAT(medium.Read(5, back), HasErrc(Errc::kInterrupted));
  EXPECT_OK(medium.Write(5, data));
}

}  // namespace
}  // namespace vellum
