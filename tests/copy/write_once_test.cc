// SPDX-License-Identifier: Apache-2.0
// Copies onto write-once media: the engine on media in memory.
#include <gtest/gtest.h>

#include "copy/write_once_copy.h"
#include "media/borrowed_medium.h"
#include "media/fault_medium.h"
#include "media/write_once_medium.h"
#include "tests/copy/engine_fixture.h"

namespace vellum {
namespace {

class WriteOnceCopyTest : public EngineTest {
 protected:
  std::unique_ptr<WriteOnceMedium> Load() {
    return std::make_unique<WriteOnceMedium>(ShareMedium(disc_), written_,
                                             [this](WrittenState state) {
                                               written_ = state;
                                               return Status::Ok();
                                             });
  }

  Status Run(Medium* target, const CopySource& source) {
    ASSIGN_OR_RETURN(TargetContent found, ProbeTarget(*target));
    WriteOnceCopyOptions options;
    options.volume_id = "BACKUP";
    WriteOnceCopy copy(target, std::move(found), &source, options, Hooks());
    CopyNote note;
    note.job = 7;
    note.source = "PRIMARY";
    note.method = "full";
    RETURN_IF_ERROR(copy.Prepare(note));
    RETURN_IF_ERROR(copy.Write());
    RETURN_IF_ERROR(copy.Verify());
    return copy.Commit();
  }

  Pinned MakePrimary(uint64_t sectors) {
    Make(sectors, 11);
    Change(120);
    return Pin();
  }

  std::shared_ptr<MemoryMedium> disc_ = std::make_shared<MemoryMedium>(9000);
  WrittenState written_ = WrittenState::kBlank;
};

TEST_F(WriteOnceCopyTest, H2_BackupIsCompleteByWhatWasWrittenOnce) {
  const Pinned pinned = MakePrimary(8192);
  ASSERT_OK(Run(Load().get(), pinned.source));
  EXPECT_EQ(written_, WrittenState::kClosed);
  const auto again = Load();
  EXPECT_TRUE(again->Info().write_protected);
  ExpectBackup(again.get(), pinned);
  ASSERT_OK_AND_ASSIGN(
      const auto log,
      udf::ReadControlLog(*again, pinned.source.map->geometry()));
  ASSERT_EQ(log.size(), 1u);
  EXPECT_THAT(log[0].text, testing::HasSubstr("\"job\":7"));
}

TEST_F(WriteOnceCopyTest, NoMoreIsMovedAtOnceThanTheOptionsSay) {
  const Pinned pinned = MakePrimary(8192);
  const auto target = Load();
  PieceMedium medium(target.get());
  ASSERT_OK_AND_ASSIGN(TargetContent found, ProbeTarget(medium));
  WriteOnceCopyOptions options;
  options.volume_id = "BACKUP";
  options.chunk_regions = 2;
  WriteOnceCopy copy(&medium, std::move(found), &pinned.source, options,
                     Hooks());
  ASSERT_OK(copy.Prepare({}));
  medium.Forget();
  ASSERT_OK(copy.Write());
  EXPECT_EQ(medium.most_written, 2 * kRegionSize);
  ASSERT_OK(copy.Verify());
  EXPECT_EQ(medium.most_read, 2 * kRegionSize);
}

TEST_F(WriteOnceCopyTest, H2_ASecondCopyIsRefusedBeforeItStarts) {
  const Pinned pinned = MakePrimary(8192);
  ASSERT_OK(Run(Load().get(), pinned.source));
  const auto before = disc_->Clone();
  EXPECT_THAT(Run(Load().get(), pinned.source), HasErrc(Errc::kWriteProtected));
  Bytes a(9000 * kSectorSize), b(a.size());
  ASSERT_OK(before->Read(0, a));
  ASSERT_OK(disc_->Read(0, b));
  EXPECT_EQ(a, b);
}

TEST_F(WriteOnceCopyTest, O3_SmallerMediumIsRefused) {
  const Pinned pinned = MakePrimary(9216);
  EXPECT_THAT(Run(Load().get(), pinned.source), HasErrc(Errc::kNoSpace));
  EXPECT_EQ(written_, WrittenState::kBlank);
}

TEST_F(WriteOnceCopyTest, RewritableMediumIsForTheOtherEngine) {
  const Pinned pinned = MakePrimary(8192);
  const auto target = Target(8192);
  EXPECT_THAT(Run(target.get(), pinned.source), HasErrc(Errc::kIncompatible));
}

// Wherever it breaks off, nobody takes what is there for a backup.
TEST_F(WriteOnceCopyTest, BrokenOffCopyIsNeverComplete) {
  const Pinned pinned = MakePrimary(8192);
  const uint64_t chunk = kChunkMaxRegions * kRegionSectors;
  // The last one is that of the last region.
  for (uint64_t broken = 1; broken <= 8192 / chunk + 1; ++broken) {
    disc_ = std::make_shared<MemoryMedium>(9000);
    written_ = WrittenState::kBlank;
    const auto plan = std::make_shared<FaultPlan>();
    plan->FailNth(FaultPlan::Op::kWrite, broken);
    {
      FaultMedium target(Load(), plan);
      ASSERT_THAT(Run(&target, pinned.source), HasErrc(Errc::kDeviceError));
    }
    // A write that fails may have been done in part, the first one, too.
    EXPECT_EQ(written_, WrittenState::kOpen) << broken;
    const auto again = Load();
    const Result<udf::ControlSlot> slot = udf::ReadControlSlot(*again);
    if (slot.ok()) {
      EXPECT_EQ(slot->state, udf::SlotState::kIncomplete) << broken;
    } else {
      EXPECT_THAT(slot, HasErrc(Errc::kNotFound)) << broken;
    }
    if (broken > 1) {
      EXPECT_TRUE(again->Info().write_protected);
    }
  }
}

TEST_F(WriteOnceCopyTest, WhatReadsBackDifferentlyIsNoticed) {
  const Pinned pinned = MakePrimary(8192);
  const auto target = Load();
  ASSERT_OK_AND_ASSIGN(TargetContent found, ProbeTarget(*target));
  WriteOnceCopyOptions options;
  options.volume_id = "BACKUP";
  WriteOnceCopy copy(target.get(), std::move(found), &pinned.source, options,
                     Hooks());
  ASSERT_OK(copy.Prepare({}));
  ASSERT_OK(copy.Write());
  // In a sector that no generation uses, too: everything was written by us.
  const std::byte wrong{1};
  disc_->Poke(udf::kSlotBSector * kSectorSize + 100, {&wrong, 1});
  EXPECT_THAT(copy.Verify(), HasErrc(Errc::kCorruption));
  // Nobody takes it for a backup.
  const Result<udf::ControlSlot> slot = udf::ReadControlSlot(*Load());
  if (slot.ok()) {
    EXPECT_NE(slot->state, udf::SlotState::kComplete);
  }
}

// A drive that reads nothing before the disc is closed.
class UnreadableUntilClosed : public BorrowedMedium {
 public:
  using BorrowedMedium::BorrowedMedium;
  Status Read(uint64_t lba, ByteSpan out) override {
    if (Info().write_protected || !written_) {
      return BorrowedMedium::Read(lba, out);
    }
    return Status(Errc::kNotSupported, "not before it is closed");
  }
  Status WriteBy(Writer write, uint64_t lba, ConstByteSpan data) override {
    written_ = true;
    return BorrowedMedium::WriteBy(write, lba, data);
  }

 private:
  std::atomic<bool> written_ = false;
};

// A drive that lost the end of what was written refuses only that.
class WithoutEnd : public BorrowedMedium {
 public:
  using BorrowedMedium::BorrowedMedium;
  Status Read(uint64_t lba, ByteSpan out) override {
    if (lba + out.size() / kSectorSize <= 4096) {
      return BorrowedMedium::Read(lba, out);
    }
    return Status(Errc::kNotSupported, "nothing is recorded there");
  }
};

TEST_F(WriteOnceCopyTest, ALostEndIsNoDriveThatReadsNothing) {
  const Pinned pinned = MakePrimary(8192);
  const auto target = Load();
  ASSERT_OK_AND_ASSIGN(TargetContent found, ProbeTarget(*target));
  WithoutEnd cut(target.get());
  WriteOnceCopyOptions options;
  options.volume_id = "BACKUP";
  WriteOnceCopy copy(&cut, std::move(found), &pinned.source, options, Hooks());
  ASSERT_OK(copy.Prepare({}));
  ASSERT_OK(copy.Write());
  EXPECT_THAT(copy.Verify(), HasErrc(Errc::kNotSupported));
  const Result<udf::ControlSlot> slot = udf::ReadControlSlot(*Load());
  if (slot.ok()) {
    EXPECT_NE(slot->state, udf::SlotState::kComplete);
  }
}

TEST_F(WriteOnceCopyTest, ADiscIsReadBackBehindItsClosingWhereItMust) {
  const Pinned pinned = MakePrimary(8192);
  const auto target = Load();
  UnreadableUntilClosed unreadable(target.get());
  ASSERT_OK(Run(&unreadable, pinned.source));
  EXPECT_EQ(counters_.bytes_verified, 8192 * kSectorSize);
  ExpectBackup(Load().get(), pinned);

  // And what is wrong then is still told.
  disc_ = std::make_shared<MemoryMedium>(9000);
  written_ = WrittenState::kBlank;
  const auto bad = Load();
  UnreadableUntilClosed once(bad.get());
  ASSERT_OK_AND_ASSIGN(TargetContent found, ProbeTarget(once));
  WriteOnceCopyOptions options;
  options.volume_id = "BACKUP";
  WriteOnceCopy copy(&once, std::move(found), &pinned.source, options, Hooks());
  ASSERT_OK(copy.Prepare({}));
  ASSERT_OK(copy.Write());
  const std::byte wrong{1};
  disc_->Poke(udf::kSlotBSector * kSectorSize + 100, {&wrong, 1});
  ASSERT_OK(copy.Verify());
  EXPECT_THAT(copy.Commit(), HasErrc(Errc::kCorruption));
}

}  // namespace
}  // namespace vellum
