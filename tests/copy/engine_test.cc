// SPDX-License-Identifier: Apache-2.0
// The copy engines on media in memory.
#include <cstring>
#include <map>
#include <set>

#include "media/borrowed_medium.h"
#include "media/fault_medium.h"
#include "tests/copy/engine_fixture.h"

namespace vellum {
namespace {

// A wrapper that changes what was written to one sector after the write.
class LyingMedium : public BorrowedMedium {
 public:
  LyingMedium(MemoryMedium* base, uint64_t sector)
      : BorrowedMedium(base), base_(base), sector_(sector) {}
  Status WriteBy(Writer write, uint64_t lba, ConstByteSpan data) override {
    RETURN_IF_ERROR(BorrowedMedium::WriteBy(write, lba, data));
    if (lba <= sector_ && sector_ < lba + data.size() / kSectorSize) {
      const std::byte flipped{0x5A};
      base_->Poke(sector_ * kSectorSize + 100, {&flipped, 1});
    }
    return Status::Ok();
  }

 private:
  MemoryMedium* const base_;
  const uint64_t sector_;
};

TEST_F(EngineTest, FullCopyIsIdenticalAndClean) {
  Make(8192, 1);
  Change(120);
  const Pinned pinned = Pin();
  auto target = Target(8192);
  ASSERT_OK(RunFull(target.get(), pinned.source));
  ExpectBackup(target.get(), pinned);
  EXPECT_EQ(counters_.regions_done, pinned.source.regions.count());
  EXPECT_GT(counters_.bytes_verified, 0u);
}

TEST_F(EngineTest, FullCopyOntoALargerMediumKeepsTheSize) {
  Make(8192, 2);
  Change(60);
  const Pinned pinned = Pin();
  auto target = Target(10000);
  ASSERT_OK(RunFull(target.get(), pinned.source));
  ExpectBackup(target.get(), pinned);
  ASSERT_OK_AND_ASSIGN(const udf::VolumeDescription description,
                       udf::ReadDescription(*target));
  EXPECT_EQ(description.geometry.sectors, 8192u);
}

TEST_F(EngineTest, SmallerTargetIsRefusedBeforeAnythingIsWritten) {
  Make(8192, 3);
  const Pinned pinned = Pin();
  auto target = Target(8160);
  EXPECT_THAT(RunFull(target.get(), pinned.source), HasErrc(Errc::kNoSpace));
  ASSERT_OK_AND_ASSIGN(const udf::MediumContent content,
                       udf::ProbeMedium(*target));
  EXPECT_EQ(content, udf::MediumContent::kBlank);
}

TEST_F(EngineTest, V4_CopyIsOneGenerationWhileThePrimaryGoesOn) {
  Make(8192, 4);
  Change(120);
  const Pinned pinned = Pin();
  Change(150);
  ASSERT_OK(volume_->Sync());
  auto target = Target(8192);
  ASSERT_OK(RunFull(target.get(), pinned.source));
  ExpectBackup(target.get(), pinned);
}

TEST_F(EngineTest, WholeCopyTakesEverySector) {
  Make(8192, 5);
  Change(150);
  const Pinned pinned = Pin(nullptr, true);
  auto target = Target(8192);
  ASSERT_OK(RunFull(target.get(), pinned.source));
  ExpectBackup(target.get(), pinned);
  udf::Sector a, b;
  const udf::Geometry& g = pinned.source.map->geometry();
  for (uint64_t s = g.partition_first; s < g.sectors; ++s) {
    ASSERT_OK(primary_->Read(s, a));
    ASSERT_OK(target->Read(s, b));
    ASSERT_TRUE(a == b) << s;
  }
}

TEST_F(EngineTest, AnotherOwnersDataIsWiped) {
  Make(8192, 6);
  Change(30);
  const Pinned pinned = Pin();
  auto target = Target(10000);
  const Bytes secret(10000 * kSectorSize, std::byte{0x77});
  ASSERT_OK(target->Write(0, secret));
  ASSERT_OK(RunFull(target.get(), pinned.source));
  ExpectBackup(target.get(), pinned);
  udf::Sector sector;
  for (uint64_t s = 0; s < 10000; ++s) {
    ASSERT_OK(target->Read(s, sector));
    ASSERT_FALSE(std::memcmp(sector.data(), secret.data(), kSectorSize) == 0)
        << s;
  }
  // And stays when asked to.
  auto kept = Target(10000);
  ASSERT_OK(kept->Write(0, secret));
  FullCopyOptions options;
  options.wipe = false;
  ASSERT_OK(RunFull(kept.get(), pinned.source, options));
  ExpectBackup(kept.get(), pinned);
  ASSERT_OK(kept->Read(9000, sector));
  EXPECT_EQ(sector[0], std::byte{0x77});
}

TEST_F(EngineTest, O10_VerifyFindsASectorThatDoesNotReadBack) {
  Make(8192, 7);
  Change(100);
  const Pinned pinned = Pin();
  auto target = Target(8192);
  const uint64_t bad =
      pinned.source.map->geometry().Sector(udf::kBitmapBlock) + 32;
  LyingMedium liar(target.get(), bad);
  const Status status = RunFull(&liar, pinned.source);
  EXPECT_THAT(status, HasErrc(Errc::kCorruption));
  EXPECT_THAT(status,
              MessageHas("region " + std::to_string(bad / kRegionSectors)));
  ASSERT_OK_AND_ASSIGN(const udf::ControlSlot slot,
                       udf::ReadControlSlot(*target));
  EXPECT_EQ(slot.state, udf::SlotState::kIncomplete);
  EXPECT_EQ(slot.owner_id, "PRIMARY");
  EXPECT_FALSE(udf::ReadDescription(*target).ok());
}

// A host that keeps what was written and read, and reads ahead.
class CachedMedium : public BorrowedMedium {
 public:
  using BorrowedMedium::BorrowedMedium;
  Status Read(uint64_t lba, ByteSpan out) override {
    const uint64_t end = lba + out.size() / kSectorSize;
    bool missed = false;
    for (uint64_t s = lba; s < end; ++s) missed |= Fetch(s);
    constexpr uint64_t kAhead = 100;
    for (uint64_t s = end; missed && s < end + kAhead; ++s) Fetch(s);
    return BorrowedMedium::Read(lba, out);
  }
  Status WriteBy(Writer write, uint64_t lba, ConstByteSpan data) override {
    for (uint64_t i = 0; i < data.size() / kSectorSize; ++i) {
      cached_.insert(lba + i);
    }
    return BorrowedMedium::WriteBy(write, lba, data);
  }
  void DropReadCache(uint64_t lba, uint64_t count) override {
    cached_.erase(cached_.lower_bound(lba), cached_.lower_bound(lba + count));
  }
  // How often each sector was read from the medium.
  std::map<uint64_t, int> reads;

 private:
  bool Fetch(uint64_t sector) {
    if (!cached_.insert(sector).second) return false;
    ++reads[sector];
    return true;
  }
  std::set<uint64_t> cached_;
};

TEST_F(EngineTest, NoMoreIsMovedAtOnceThanTheOptionsSay) {
  Make(8192, 7);
  Change(100);
  const Pinned pinned = Pin(nullptr, true);
  auto target = Target(8192);
  PieceMedium medium(target.get());
  ASSERT_OK_AND_ASSIGN(TargetContent found, ProbeTarget(medium));
  FullCopyOptions options;
  options.volume_id = "BACKUP";
  options.chunk_regions = 2;
  FullCopy copy(&medium, std::move(found), &pinned.source, options, Hooks());
  ASSERT_OK(copy.Begin());
  medium.Forget();
  ASSERT_OK(copy.Write());
  EXPECT_EQ(medium.most_written, 2 * kRegionSize);
  ASSERT_OK(copy.Verify());
  EXPECT_EQ(medium.most_read, 2 * kRegionSize);
  ASSERT_OK(copy.Commit({}));
  ExpectBackup(target.get(), pinned);

  ASSERT_OK_AND_ASSIGN(const udf::ControlSlot slot,
                       udf::ReadControlSlot(medium));
  ASSERT_OK_AND_ASSIGN(OpenedBackup opened, OpenBackup(medium, slot));
  const Pinned later = PinAfter(200, pinned.generation());
  AtomicCopyOptions atomic_options;
  atomic_options.chunk_regions = 2;
  AtomicCopy atomic(&medium, std::move(opened), &later.source, atomic_options,
                    Hooks());
  ASSERT_OK(atomic.Write());
  medium.Forget();
  ASSERT_OK(atomic.Verify());
  EXPECT_EQ(medium.most_read, 2 * kRegionSize);
  ASSERT_OK(atomic.Commit({}));
  ExpectBackup(target.get(), later);
}

TEST_F(EngineTest, O10_VerifyReadsEachSectorFromTheMediumOnce) {
  Make(8192, 7);
  Change(100);
  const Pinned pinned = Pin(nullptr, true);
  auto target = Target(8192);
  CachedMedium cached(target.get());
  ASSERT_OK_AND_ASSIGN(TargetContent found, ProbeTarget(cached));
  FullCopyOptions options;
  options.volume_id = "BACKUP";
  FullCopy copy(&cached, std::move(found), &pinned.source, options, Hooks());
  ASSERT_OK(copy.Begin());
  ASSERT_OK(copy.Write());
  cached.reads.clear();
  ASSERT_OK(copy.Verify());
  for (const RegionSet::Run& run : pinned.source.regions.Runs()) {
    const SectorRange range =
        pinned.source.map->SectorsOf(run.first, run.count);
    for (uint64_t s = range.first; s < range.end(); ++s) {
      ASSERT_EQ(cached.reads[s], 1) << s;
    }
  }
  ASSERT_OK(copy.Commit({}));

  // The same of what is written by an atomic commit.
  ASSERT_OK_AND_ASSIGN(const udf::ControlSlot slot,
                       udf::ReadControlSlot(cached));
  ASSERT_OK_AND_ASSIGN(OpenedBackup opened, OpenBackup(cached, slot));
  const Pinned later = PinAfter(200, pinned.generation());
  AtomicCopy atomic(&cached, std::move(opened), &later.source, {}, Hooks());
  ASSERT_OK(atomic.Write());
  cached.reads.clear();
  ASSERT_OK(atomic.Verify());
  ASSERT_FALSE(cached.reads.empty());
  for (const auto& [sector, times] : cached.reads) {
    ASSERT_EQ(times, 1) << sector;
  }
}

TEST_F(EngineTest, V3_IncrementalCopiesFollowThePrimary) {
  auto target = Target(16384);
  Generation at = MakeBackup(target.get(), 16384, 8, 120).generation();
  for (int round = 0; round < 6; ++round) {
    const Pinned next = PinAfter(40, at);
    ASSERT_LT(next.source.regions.count(),
              next.source.map->UsedRegions().count());
    ASSERT_OK(RunAtomic(target.get(), next.source));
    ExpectBackup(target.get(), next);
    EXPECT_GT(images_, 0u);
    at = next.generation();
  }
  // Every copy is noted (I6).
  ASSERT_OK_AND_ASSIGN(const udf::VolumeDescription description,
                       udf::ReadDescription(*target));
  ASSERT_OK_AND_ASSIGN(const std::vector<udf::LogEntry> notes,
                       udf::ReadControlLog(*target, description.geometry));
  EXPECT_EQ(notes.size(), 7u);
}

TEST_F(EngineTest, NothingChangedNeedsNoRecord) {
  auto target = Target(8192);
  const Pinned first = MakeBackup(target.get(), 8192, 9, 60);
  const Generation at = first.generation();
  const Pinned same = Pin(&at);
  ASSERT_EQ(same.generation(), at);
  ASSERT_OK(RunAtomic(target.get(), same.source));
  EXPECT_EQ(images_, 0u);
  ExpectBackup(target.get(), same);
}

TEST_F(EngineTest, AtomicFullCopyHealsTheBackup) {
  auto target = Target(8192);
  const Pinned pinned = MakeBackup(target.get(), 8192, 10, 120);
  // A bit flips in the root directory's entry.
  const udf::Geometry& g = pinned.source.map->geometry();
  const std::byte bad{0xFF};
  target->Poke(g.Sector(g.root_block) * kSectorSize + 300, {&bad, 1});
  ASSERT_NE(FirstDifference(target.get(), pinned), "");
  ASSERT_OK(RunAtomic(target.get(), pinned.source));
  ExpectBackup(target.get(), pinned);
}

TEST_F(EngineTest, AtomicCopyToAnotherLineage) {
  auto target = Target(8192);
  MakeBackup(target.get(), 8192, 11, 80);
  // As after a rescan of the primary.
  ASSERT_OK(volume_->Detach());
  VolumeRecord record = volume_->record();
  ASSERT_OK_AND_ASSIGN(udf::ControlSlot slot, udf::ReadControlSlot(*primary_));
  slot.generation = {udf::NewLineage(), 1};
  slot.record_floor = slot.epoch + 1;
  ASSERT_OK(udf::WriteControlSlot(*primary_, &slot));
  record.generation = slot.generation;
  record.record_crc = 0;
  record.change_floor = 1;
  volume_->SetRecord(record);
  ASSERT_OK(volume_->Attach(primary_.get()));
  Change(40);
  const Pinned next = Pin();
  ASSERT_EQ(next.generation().lineage, volume_->generation().lineage);
  ASSERT_OK(RunAtomic(target.get(), next.source));
  ExpectBackup(target.get(), next);
}

TEST_F(EngineTest, LargeRecordsAreSpilled) {
  FuzzOptions fuzz;
  fuzz.touch_all = true;
  fuzz.max_nodes = 400;
  auto target = Target(16384);
  Generation at = MakeBackup(target.get(), 16384, 12, 600, fuzz).generation();
  uint64_t most = 0;
  for (int round = 0; round < 4; ++round) {
    const Pinned next = PinAfter(150, at);
    ASSERT_OK(RunAtomic(target.get(), next.source));
    ExpectBackup(target.get(), next);
    most = std::max(most, images_);
    at = next.generation();
  }
  const udf::Journal journal(target.get(), *udf::ComputeGeometry(16384), 1,
                             udf::kRingSector);
  EXPECT_TRUE(journal.NeedsSpill(most)) << most;
}

TEST_F(EngineTest, TooManyImagesLeaveTheBackupUnchanged) {
  auto target = Target(8192);
  const Pinned first = MakeBackup(target.get(), 8192, 13, 100);
  const Pinned next = PinAfter(60, first.generation());
  AtomicCopyOptions options;
  options.max_image_bytes = 4 * kSectorSize;
  const Status status = RunAtomic(target.get(), next.source, options);
  EXPECT_THAT(status, HasErrc(Errc::kNoSpace));
  EXPECT_THAT(status, MessageHas("unchanged"));
  ExpectBackup(target.get(), first);
}

TEST_F(EngineTest, UnreadableRecordIsNotCommitted) {
  auto target = Target(8192);
  const Pinned first = MakeBackup(target.get(), 8192, 14, 60);
  const Pinned next = PinAfter(30, first.generation());
  // The first image of the ring's first record is written wrongly.
  const udf::Geometry& g = next.source.map->geometry();
  LyingMedium liar(target.get(), g.ring_first + 2);
  const Status status = RunAtomic(&liar, next.source);
  EXPECT_THAT(status, HasErrc(Errc::kCorruption));
  EXPECT_THAT(status, MessageHas("record"));
  ExpectBackup(target.get(), first);
}

TEST_F(EngineTest, CancelStopsBetweenChunks) {
  Make(8192, 15);
  Change(100);
  const Pinned pinned = Pin();
  auto target = Target(8192);
  std::stop_source stop;
  stop.request_stop();
  ASSERT_OK_AND_ASSIGN(TargetContent found, ProbeTarget(*target));
  FullCopyOptions options;
  options.volume_id = "BACKUP";
  CopyHooks hooks = Hooks();
  hooks.stop = stop.get_token();
  FullCopy copy(target.get(), std::move(found), &pinned.source, options, hooks);
  ASSERT_OK(copy.Begin());
  EXPECT_THAT(copy.Write(), HasErrc(Errc::kAborted));
}

TEST_F(EngineTest, O21_WhatIsWipedIsCountedToo) {
  Make(8192, 18);
  Change(40);
  const Pinned pinned = Pin();
  auto target = Target(8192);
  ASSERT_OK(target->Write(3000, Bytes(kSectorSize, std::byte{9})));
  ASSERT_OK_AND_ASSIGN(TargetContent found, ProbeTarget(*target));
  FullCopyOptions options;
  options.volume_id = "BACKUP";
  FullCopy copy(target.get(), std::move(found), &pinned.source, options,
                Hooks());
  ASSERT_OK(copy.Begin());
  const uint64_t wiped = counters_.regions_done;
  EXPECT_GT(wiped, 0u);
  EXPECT_EQ(counters_.regions_total.load(),
            wiped + pinned.source.regions.count());
  ASSERT_OK(copy.Write());
  EXPECT_EQ(counters_.regions_total.load(),
            wiped + pinned.source.regions.count());
  EXPECT_EQ(counters_.regions_done.load(), counters_.regions_total.load());
}

TEST_F(EngineTest, ReadErrorsOfTheSourceComeThrough) {
  Make(8192, 16);
  Change(80);
  const Pinned pinned = Pin();
  primary_->MakeUnreadable(
      {pinned.source.map->geometry().Sector(udf::kBitmapBlock), 1});
  auto target = Target(8192);
  const Status status = RunFull(target.get(), pinned.source);
  EXPECT_THAT(status, HasErrc(Errc::kDeviceError));
  EXPECT_THAT(status, MessageHas("PRIMARY"));
}

TEST_F(EngineTest, I7_TheControlLogNeverKeepsACopyFromBeingMade) {
  auto target = Target(8192);
  const Pinned first = MakeBackup(target.get(), 8192, 17, 40);
  const udf::Geometry& g = first.source.map->geometry();
  udf::LogEntry entry;
  entry.text = std::string(3000, 'x');
  uint64_t end = 0;
  // Once round and a half.
  for (int i = 0; i < 48; ++i) {
    ASSERT_OK(udf::AppendControlLog(*target, g, &end, {entry}));
  }
  const Pinned next = PinAfter(20, first.generation());
  ASSERT_OK(RunAtomic(target.get(), next.source));
  ExpectBackup(target.get(), next);
  ASSERT_OK_AND_ASSIGN(const std::vector<udf::LogEntry> log,
                       udf::ReadControlLog(*target, g));
  ASSERT_GT(log.size(), 20u);
  EXPECT_NE(log.back().text.find("\"event\":\"copy\""), std::string::npos)
      << log.back().text;
  EXPECT_EQ(log.front().text, entry.text);
}

}  // namespace
}  // namespace vellum
