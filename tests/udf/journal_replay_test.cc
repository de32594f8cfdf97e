// SPDX-License-Identifier: Apache-2.0
// What a load makes of the records that it finds.
#include "media/udf/journal.h"
#include "tests/support/crash_medium.h"
#include "tests/udf/journal_fixture.h"

namespace vellum::udf {
namespace {

TEST_F(JournalTest, ReplayWithoutARecordComparesTheLvidWithTheSlot) {
  ASSERT_OK_AND_ASSIGN(ReplayResult result,
                       ReplayJournal(medium_, geometry_, slot_));
  EXPECT_EQ(result.outcome, ReplayOutcome::kNothing);
  EXPECT_EQ(result.generation, slot_.generation);
  EXPECT_EQ(result.record_crc, 0u);
  ASSERT_OK(medium_.Write(kLvidSector, LvidOf(77)));
  ASSERT_OK_AND_ASSIGN(result, ReplayJournal(medium_, geometry_, slot_));
  EXPECT_EQ(result.outcome, ReplayOutcome::kForeign);
}

TEST_F(JournalTest, ReplayPutsTheNewestRecordInPlace) {
  Journal journal = NewJournal(&medium_);
  Record record = MakeRecord(11, 30);
  ASSERT_OK(journal.Write(&record, {}));
  ASSERT_OK_AND_ASSIGN(ReplayResult result,
                       ReplayJournal(medium_, geometry_, slot_));
  EXPECT_EQ(result.outcome, ReplayOutcome::kReplayed);
  EXPECT_EQ(result.generation.number, 11u);
  EXPECT_EQ(result.record_crc, record.header.crc);
  EXPECT_EQ(result.next_sequence, 2u);
  EXPECT_EQ(result.next_sector, journal.next_sector());
  for (const auto& [sector, image] : record.images) {
    Sector there;
    ASSERT_OK(medium_.Read(sector, there));
    EXPECT_EQ(there, *image) << sector;
  }
  ASSERT_OK_AND_ASSIGN(result, ReplayJournal(medium_, geometry_, slot_));
  EXPECT_EQ(result.outcome, ReplayOutcome::kNothing);
  EXPECT_EQ(result.generation.number, 11u);
  EXPECT_EQ(result.record_crc, record.header.crc);
}

TEST_F(JournalTest, ReplayFlushesBeforeAndAfter) {
  CrashMedium medium(medium_);
  Journal journal = NewJournal(&medium);
  Record record = MakeRecord(11, 30);
  ASSERT_OK(journal.Write(&record, {}));
  const size_t start = medium.EventCount();
  ASSERT_OK(ReplayJournal(medium, geometry_, slot_).status());
  using Kind = CrashMedium::Event::Kind;
  std::vector<CrashMedium::Event> events = medium.Events();
  ASSERT_GT(events.size(), start + 2);
  EXPECT_EQ(events[start].kind, Kind::kFlush);
  EXPECT_EQ(events[start + 1].kind, Kind::kWrite);
  EXPECT_EQ(events.back().kind, Kind::kFlush);
  // In place in the cache is not durable: flushed even with nothing to write.
  const size_t again = medium.EventCount();
  ASSERT_OK(ReplayJournal(medium, geometry_, slot_).status());
  events = medium.Events();
  ASSERT_EQ(events.size(), again + 1);
  EXPECT_EQ(events[again].kind, Kind::kFlush);
}

TEST_F(JournalTest, ForeignLvidIsNotReplayed) {
  Journal journal = NewJournal(&medium_);
  Record record = MakeRecord(12, 30);  // expects the LVID of 11 or 12
  ASSERT_OK(journal.Write(&record, {}));
  CrashMedium medium(medium_);
  ASSERT_OK_AND_ASSIGN(const ReplayResult result,
                       ReplayJournal(medium, geometry_, slot_));
  EXPECT_EQ(result.outcome, ReplayOutcome::kForeign);
  for (const CrashMedium::Event& event : medium.Events()) {
    EXPECT_EQ(event.kind, CrashMedium::Event::Kind::kFlush);
  }
}

// A record that makes up for an S4 that was not flushed finds the LVID before
// that one.
TEST_F(JournalTest, TheLvidBeforeTheOneBeforeIsOurs) {
  Journal journal = NewJournal(&medium_);
  Record record = MakeRecord(12, 30);
  record.header.lvid_oldest = Crc32c(LvidOf(10));
  ASSERT_OK(journal.Write(&record, {}));
  ExpectNewest(medium_, record);
  ASSERT_OK_AND_ASSIGN(const ReplayResult result,
                       ReplayJournal(medium_, geometry_, slot_));
  EXPECT_EQ(result.outcome, ReplayOutcome::kReplayed);
  Sector there;
  ASSERT_OK(medium_.Read(kLvidSector, there));
  EXPECT_EQ(there, LvidOf(12));
}

TEST_F(JournalTest, DestroyedLvidIsReplaced) {
  Journal journal = NewJournal(&medium_);
  Record record = MakeRecord(11, 30);
  ASSERT_OK(journal.Write(&record, {}));
  std::unique_ptr<MemoryMedium> garbage = medium_.Clone();
  ASSERT_OK(garbage->Write(kLvidSector, *Filled(3)));
  std::unique_ptr<MemoryMedium> unreadable = medium_.Clone();
  unreadable->MakeUnreadable({kLvidSector, 32});
  for (MemoryMedium* medium : {garbage.get(), unreadable.get()}) {
    ASSERT_OK_AND_ASSIGN(const ReplayResult result,
                         ReplayJournal(*medium, geometry_, slot_));
    EXPECT_EQ(result.outcome, ReplayOutcome::kReplayed);
    Sector there;
    ASSERT_OK(medium->Read(kLvidSector, there));
    EXPECT_EQ(there, LvidOf(11));
  }
  // Without a record nothing can replace it.
  std::unique_ptr<MemoryMedium> bare = std::make_unique<MemoryMedium>(8192);
  ASSERT_OK(bare->Write(kLvidSector, *Filled(3)));
  ASSERT_OK_AND_ASSIGN(const ReplayResult result,
                       ReplayJournal(*bare, geometry_, slot_));
  EXPECT_EQ(result.outcome, ReplayOutcome::kForeign);
  bare->MakeUnreadable({kLvidSector, 1});
  EXPECT_THAT(ReplayJournal(*bare, geometry_, slot_),
              HasErrc(Errc::kDeviceError));
}

// A torn record whose missing sectors turn up later, because a later record
// happens to hold the same, must not come back.
TEST_F(JournalTest, TornRecordStaysDead) {
  Journal journal = NewJournal(&medium_);
  Record record = MakeRecord(11, 30);
  ASSERT_OK(journal.Write(&record, {}));
  ASSERT_OK(ReplayJournal(medium_, geometry_, slot_).status());
  const uint32_t start = journal.next_sector();
  Record torn = MakeRecord(12, 30);
  ASSERT_OK(journal.Write(&torn, {}));
  Sector missing;
  ASSERT_OK(medium_.Read(start + 20, missing));
  ASSERT_OK(medium_.Discard(start + 20, 1));
  ASSERT_OK_AND_ASSIGN(const ScanResult scan,
                       ScanRing(medium_, geometry_, slot_));
  EXPECT_EQ(scan.torn, std::vector<uint32_t>{start});
  ASSERT_OK_AND_ASSIGN(const ReplayResult result,
                       ReplayJournal(medium_, geometry_, slot_));
  EXPECT_EQ(result.generation.number, 11u);
  EXPECT_EQ(result.next_sector, start);
  ASSERT_OK(medium_.Write(start + 20, missing));
  ExpectNewest(medium_, record);
}

TEST_F(JournalTest, ReplayedMediumShowsTheRecordAndWritesNothing) {
  Journal journal = NewJournal(&medium_);
  Record record = MakeRecord(11, 30);
  ASSERT_OK(journal.Write(&record, {}));
  medium_.SetWriteProtected(true);
  ASSERT_OK_AND_ASSIGN(ReplayPlan plan, PlanReplay(medium_, geometry_, slot_));
  EXPECT_EQ(plan.result.outcome, ReplayOutcome::kReplayed);
  EXPECT_EQ(plan.images.size(), 30u);
  std::unique_ptr<MemoryMedium> clone = medium_.Clone();
  MemoryMedium* base = clone.get();
  ReplayedMedium view(std::move(clone), plan.images);
  EXPECT_TRUE(view.Info().write_protected);
  EXPECT_EQ(view.DirectFd(), -1);
  const uint64_t first = geometry_.Sector(100);
  const auto check = [&] {
    Bytes read(8 * kSectorSize);
    ASSERT_OK(view.Read(first - 1, read));
    for (uint64_t i = 0; i < 8; ++i) {
      Sector want{};
      const auto image = record.images.find(first - 1 + i);
      if (image != record.images.end()) want = *image->second;
      EXPECT_TRUE(
          std::equal(want.begin(), want.end(),
                     read.begin() + static_cast<ptrdiff_t>(i * kSectorSize)))
          << i;
    }
  };
  check();
  // What the record holds is read although the device cannot.
  base->MakeUnreadable({first, 1});
  check();
  base->MakeUnreadable({first + 1, 1});
  Bytes read(8 * kSectorSize);
  EXPECT_THAT(view.Read(first - 1, read), HasErrc(Errc::kDeviceError));

  EXPECT_THAT(view.Write(first, *Filled(1)), HasErrc(Errc::kWriteProtected));
  EXPECT_THAT(view.Discard(first, 1), HasErrc(Errc::kWriteProtected));
  EXPECT_OK(view.Flush());
  ASSERT_OK_AND_ASSIGN(
      const SectorRange next,
      view.NextAllocated({geometry_.Sector(0), geometry_.partition_blocks}));
  EXPECT_EQ(next.first, first);
  EXPECT_GT(next.count, 0u);
  ASSERT_OK_AND_ASSIGN(const SectorRange none,
                       view.NextAllocated({geometry_.Sector(5000), 100}));
  EXPECT_EQ(none.count, 0u);
}

}  // namespace
}  // namespace vellum::udf
