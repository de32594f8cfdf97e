// SPDX-License-Identifier: Apache-2.0
// Records of the ring: written, and found again.
#include "media/udf/journal.h"

#include <set>

#include "media/borrowed_medium.h"
#include "media/udf/record.h"
#include "tests/support/crash_medium.h"
#include "tests/udf/journal_fixture.h"

namespace vellum::udf {
namespace {

TEST_F(JournalTest, EmptyRingHoldsNothing) {
  ASSERT_OK_AND_ASSIGN(const ScanResult scan,
                       ScanRing(medium_, geometry_, slot_));
  EXPECT_FALSE(scan.newest);
  EXPECT_TRUE(scan.torn.empty());
  EXPECT_EQ(scan.next_sequence, 1u);
  EXPECT_EQ(scan.next_sector, geometry_.ring_first);
}

// Each copy to a backup reads its ring, most of which was never written.
TEST_F(JournalTest, HolesOfTheRingAreNotRead) {
  class CountingMedium : public BorrowedMedium {
   public:
    using BorrowedMedium::BorrowedMedium;
    Status Read(uint64_t lba, ByteSpan out) override {
      sectors += out.size() / kSectorSize;
      return BorrowedMedium::Read(lba, out);
    }
    uint64_t sectors = 0;
  };
  CountingMedium counting(&medium_);
  ASSERT_OK_AND_ASSIGN(const ScanResult none,
                       ScanRing(counting, geometry_, slot_));
  EXPECT_FALSE(none.newest);
  EXPECT_EQ(counting.sectors, 0u);
  // Behind a hole.
  Journal journal(&medium_, geometry_, 1, geometry_.ring_first + 128);
  Record record = MakeRecord(11, 3);
  ASSERT_OK(journal.Write(&record, {}));
  ExpectNewest(counting, record);
  EXPECT_LE(counting.sectors, geometry_.ring_sectors - 128u + 8);
}

TEST_F(JournalTest, RecordComesBackWhole) {
  Journal journal = NewJournal(&medium_);
  Record record = MakeRecord(11, 40);
  const uint32_t crc = RecordCrc(record);
  ASSERT_OK(journal.Write(&record, {}));
  EXPECT_EQ(record.header.sequence, 1u);
  EXPECT_EQ(record.header.crc, crc);
  ASSERT_OK_AND_ASSIGN(const ScanResult scan,
                       ScanRing(medium_, geometry_, slot_));
  ExpectNewest(scan, record);
  EXPECT_EQ(scan.next_sequence, 2u);
  EXPECT_EQ(scan.next_sector, geometry_.ring_first + 64);
  EXPECT_EQ(journal.next_sector(), scan.next_sector);
  EXPECT_EQ(journal.next_sequence(), scan.next_sequence);
}

TEST_F(JournalTest, RecordWithoutImagesComesBack) {
  Journal journal = NewJournal(&medium_);
  Record record = MakeRecord(11, 1);
  record.images.clear();
  record.header.lvid_after = record.header.lvid_before;
  ASSERT_OK(journal.Write(&record, {}));
  ExpectNewest(medium_, record);
}

TEST_F(JournalTest, CrcCoversContentAndIdentityButNoPlace) {
  const Record record = MakeRecord(11, 5);
  const uint32_t crc = RecordCrc(record);
  Record other = record;
  other.header.sequence = 99;
  other.header.crc = 1;
  EXPECT_EQ(RecordCrc(other), crc);
  const auto differs = [&](const std::function<void(Record&)>& change) {
    Record changed = record;
    change(changed);
    return RecordCrc(changed) != crc;
  };
  EXPECT_TRUE(differs([](Record& r) { ++r.header.generation.number; }));
  EXPECT_TRUE(differs([](Record& r) { ++r.header.generation.lineage; }));
  EXPECT_TRUE(differs([](Record& r) { ++r.header.epoch; }));
  EXPECT_TRUE(differs([](Record& r) { r.header.format_uuid = NewUuid(); }));
  EXPECT_TRUE(differs([](Record& r) { ++r.header.lvid_before; }));
  EXPECT_TRUE(differs([](Record& r) { ++r.header.lvid_after; }));
  EXPECT_TRUE(differs([](Record& r) { r.header.role = Role::kPrimary; }));
  EXPECT_TRUE(differs([](Record& r) { r.header.owner_id = "X"; }));
  EXPECT_TRUE(differs([](Record& r) { r.images.erase(r.images.begin()); }));
  EXPECT_TRUE(
      differs([](Record& r) { r.images.rbegin()->second = Filled(4711); }));
  EXPECT_TRUE(differs([](Record& r) {
    auto last = r.images.extract(std::prev(r.images.end()));
    last.key() += 1;
    r.images.insert(std::move(last));
  }));
}

TEST_F(JournalTest, LargeRecordsAreSpilled) {
  Journal journal = NewJournal(&medium_);
  ASSERT_EQ(geometry_.ring_sectors, 256u);
  EXPECT_FALSE(journal.NeedsSpill(126));
  EXPECT_TRUE(journal.NeedsSpill(127));
  EXPECT_EQ(Journal::RingSectors(126), 128u);
  EXPECT_EQ(Journal::SpillSectors(127), 128u);
  EXPECT_EQ(Journal::SpillSectors(257), 259u);

  Record inline_record = MakeRecord(11, 126);
  ASSERT_OK(journal.Write(&inline_record, {}));
  ExpectNewest(medium_, inline_record);

  Record record = MakeRecord(12, 700);
  EXPECT_THAT(journal.Write(&record, {}), HasErrc(Errc::kInvalidArgument));
  // 702 sectors and more, in pieces.
  Spill spill;
  for (uint32_t i = 0; i < 150; ++i) {
    spill.push_back({geometry_.Sector(3000 + 10 * i), 1 + i % 9});
  }
  ASSERT_OK(journal.Write(&record, spill));
  ASSERT_OK_AND_ASSIGN(const ScanResult scan,
                       ScanRing(medium_, geometry_, slot_));
  ExpectNewest(scan, record);
  // In the ring only the header and the table of 150 ranges.
  EXPECT_EQ(scan.next_sector, geometry_.ring_first + 128 + 32);

  // A damaged spill makes the record invalid: the one before is the newest.
  const std::byte flip{1};
  medium_.Poke(spill[100].first * kSectorSize, {&flip, 1});
  ExpectNewest(medium_, inline_record);
}

TEST_F(JournalTest, SpillMustBeLargeEnoughAndInThePartition) {
  Journal journal = NewJournal(&medium_);
  Record record = MakeRecord(11, 200);
  EXPECT_THAT(journal.Write(&record, {{geometry_.Sector(3000), 200}}),
              HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(journal.Write(&record, {{geometry_.log_first, 300}}),
              HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(journal.Write(&record, {{geometry_.sectors - 10, 300}}),
              HasErrc(Errc::kInvalidArgument));
  Spill pieces;  // a table larger than half the ring
  for (uint32_t i = 0; i < 16300; ++i) {
    pieces.push_back({geometry_.Sector(1000 + i % 4000), 1});
  }
  EXPECT_THAT(journal.Write(&record, pieces), HasErrc(Errc::kNoSpace));
  ASSERT_OK_AND_ASSIGN(const ScanResult scan,
                       ScanRing(medium_, geometry_, slot_));
  EXPECT_FALSE(scan.newest);
}

TEST_F(JournalTest, RefusesWhatContradictsTheVolume) {
  Journal journal = NewJournal(&medium_);
  for (const uint64_t sector :
       {uint64_t{kSlotASector}, uint64_t{geometry_.ring_first},
        uint64_t{geometry_.log_first}, geometry_.sectors}) {
    Record record = MakeRecord(11, 3);
    record.images[sector] = Filled(1);
    EXPECT_THAT(journal.Write(&record, {}), HasErrc(Errc::kInvalidArgument));
  }
  Record record = MakeRecord(11, 3);
  record.header.lvid_after ^= 1;
  EXPECT_THAT(journal.Write(&record, {}), HasErrc(Errc::kInvalidArgument));
}

// Over several laps of the ring: the newest record is found, and with any one
// of its sectors damaged the one before it, whole.
TEST_F(JournalTest, NewestAndTheOneBeforeSurviveEveryLap) {
  std::mt19937_64 rng(5);
  Journal journal = NewJournal(&medium_);
  Record before;
  std::set<uint32_t> starts;
  for (uint64_t number = 11; number < 120; ++number) {
    const size_t images = 1 + rng() % (rng() % 3 == 0 ? 126 : 60);
    Record record = MakeRecord(number, images);
    const uint32_t start = journal.next_sector();
    starts.insert(start);
    ASSERT_OK(journal.Write(&record, {}));
    ASSERT_OK_AND_ASSIGN(const ScanResult scan,
                         ScanRing(medium_, geometry_, slot_));
    ExpectNewest(scan, record);
    ASSERT_EQ(scan.next_sector, journal.next_sector());
    ASSERT_EQ(scan.next_sequence, journal.next_sequence());
    if (number > 11) {
      std::unique_ptr<MemoryMedium> damaged = medium_.Clone();
      const uint64_t offset =
          start - geometry_.ring_first + rng() % (images + 2);
      const uint64_t sector =
          geometry_.ring_first + offset % geometry_.ring_sectors;
      // The last list sector has unused bytes that no CRC need cover.
      const std::byte flip{0xA7};
      const uint64_t byte = sector * kSectorSize;
      std::byte old;
      damaged->Peek(byte, {&old, 1});
      const std::byte changed = old ^ flip;
      damaged->Poke(byte, {&changed, 1});
      ExpectNewest(*damaged, before);
    }
    before = std::move(record);
  }
  EXPECT_GT(starts.size(), 5u);
}

TEST_F(JournalTest, ForeignAndOutdatedRecordsAreIgnored) {
  Journal journal = NewJournal(&medium_);
  Record mine = MakeRecord(11, 4);
  ASSERT_OK(journal.Write(&mine, {}));
  Record other = MakeRecord(12, 4);
  other.header.format_uuid = NewUuid();
  ASSERT_OK(journal.Write(&other, {}));
  ExpectNewest(medium_, mine);
  other = MakeRecord(12, 4);
  ++other.header.generation.lineage;
  ASSERT_OK(journal.Write(&other, {}));
  ExpectNewest(medium_, mine);
  // A number below the slot's.
  other = MakeRecord(9, 4);
  ASSERT_OK(journal.Write(&other, {}));
  ASSERT_OK_AND_ASSIGN(ScanResult scan, ScanRing(medium_, geometry_, slot_));
  ExpectNewest(scan, mine);
  // Ignored, yet its sequence is not used again.
  EXPECT_EQ(scan.next_sequence, 5u);
  // An epoch below the floor.
  slot_.record_floor = 4;
  ASSERT_OK_AND_ASSIGN(scan, ScanRing(medium_, geometry_, slot_));
  EXPECT_FALSE(scan.newest);
  EXPECT_EQ(scan.next_sector, geometry_.ring_first);
  slot_.record_floor = 3;
  ExpectNewest(medium_, mine);
  // A slot without a lineage accepts any.
  slot_.generation.lineage = 0;
  ASSERT_OK_AND_ASSIGN(scan, ScanRing(medium_, geometry_, slot_));
  ASSERT_TRUE(scan.newest);
  EXPECT_EQ(scan.newest->header.generation.number, 9u);
}

TEST_F(JournalTest, HigherEpochWinsOverHigherSequence) {
  Journal journal(&medium_, geometry_, 50, geometry_.ring_first);
  Record old = MakeRecord(12, 4);
  ASSERT_OK(journal.Write(&old, {}));
  Journal later(&medium_, geometry_, 7, journal.next_sector());
  Record fresh = MakeRecord(11, 4);
  fresh.header.epoch = 4;
  ASSERT_OK(later.Write(&fresh, {}));
  ExpectNewest(medium_, fresh);
}

// A file may hold a copy of a ring. In a record's image it must not pass for a
// record of the ring.
TEST_F(JournalTest, ContentOfAnImageIsNoHeader) {
  Record forged = MakeRecord(99, 1);
  forged.images.clear();
  forged.header.lvid_after = forged.header.lvid_before;
  forged.header.sequence = 1000;
  forged.header.epoch = 1000;
  forged.header.crc = RecordCrc(forged);
  RingHeader header;
  header.record = forged.header;
  header.ring_sector = geometry_.ring_first + 32;
  const Sector as_header = EncodeRingHeader(header);
  ASSERT_TRUE(DecodeRingHeader(as_header, header.ring_sector).has_value());

  Record record = MakeRecord(11, 60);
  // Header, list, then the images: number 30 stands at sector 32.
  auto victim = std::next(record.images.begin(), 30);
  victim->second = std::make_shared<Sector>(as_header);
  Journal journal = NewJournal(&medium_);
  ASSERT_OK(journal.Write(&record, {}));
  ExpectNewest(medium_, record);

  // Without the escaping it would: the test puts it where it would have stood.
  ASSERT_OK(medium_.Write(header.ring_sector, as_header));
  ASSERT_OK_AND_ASSIGN(const ScanResult scan,
                       ScanRing(medium_, geometry_, slot_));
  EXPECT_EQ(scan.newest->header.generation.number, 99u);
}

TEST_F(JournalTest, RecordThatWouldChangeThePrivateAreaIsCorruption) {
  Geometry wrong = geometry_;
  wrong.partition_first = geometry_.log_first;
  Record record = MakeRecord(11, 2);
  record.images[geometry_.log_first + 1] = Filled(1);
  Journal journal(&medium_, wrong, 1, geometry_.ring_first);
  ASSERT_OK(journal.Write(&record, {}));
  EXPECT_THAT(ScanRing(medium_, geometry_, slot_), HasErrc(Errc::kCorruption));
}

TEST_F(JournalTest, UnreadablePartsOfTheRingHoldNoRecord) {
  Journal journal = NewJournal(&medium_);
  Record first = MakeRecord(11, 40);
  Record second = MakeRecord(12, 40);
  ASSERT_OK(journal.Write(&first, {}));
  const uint32_t start = journal.next_sector();
  ASSERT_OK(journal.Write(&second, {}));
  std::unique_ptr<MemoryMedium> header = medium_.Clone();
  header->MakeUnreadable({start, 32});
  ExpectNewest(*header, first);
  std::unique_ptr<MemoryMedium> body = medium_.Clone();
  body->MakeUnreadable({start + 32, 32});
  ExpectNewest(*body, first);
}

TEST_F(JournalTest, RecordsFillWholeAtomicUnits) {
  MemoryMediumOptions options;
  options.atomic_sectors = 32;
  CrashMedium medium(options);
  Journal journal = NewJournal(&medium);
  Record record = MakeRecord(11, 40);
  ASSERT_OK(journal.Write(&record, {}));
  uint64_t sectors = 0;
  for (const CrashMedium::Event& event : medium.Events()) {
    sectors += event.range.count;
  }
  EXPECT_EQ(sectors, 64u);
  options.atomic_sectors = 64;
  MemoryMedium huge(options);
  Journal other = NewJournal(&huge);
  EXPECT_THAT(other.Write(&record, {}), HasErrc(Errc::kIncompatible));
}

TEST_F(JournalTest, RecordsHaveABound) {
  Record record = MakeRecord(11, 1);
  const std::shared_ptr<const Sector> image = record.images.begin()->second;
  for (uint64_t i = 0; i <= MaxRecordImages(geometry_); ++i) {
    record.images[geometry_.partition_first + i] = image;
  }
  Journal journal = NewJournal(&medium_);
  EXPECT_THAT(journal.Write(&record, {}), HasErrc(Errc::kNoSpace));
  // A reader does not even look at the body of such a record, which would
  // stand behind the end of this medium.
  Geometry large = geometry_;
  large.sectors = 1 << 20;
  large.partition_blocks = 900'000;
  RingHeader header;
  header.record = MakeRecord(12, 1).header;
  header.image_count = static_cast<uint32_t>(MaxRecordImages(large) + 1);
  header.spill_ranges = 1;
  header.ring_sector = large.ring_first;
  const Bytes table =
      EncodeSpillTable({{large.partition_first, 200'000}}, &header.table_crc);
  ASSERT_OK(medium_.Write(large.ring_first + 1, table));
  ASSERT_OK_AND_ASSIGN(const std::optional<Record> read,
                       ReadRecord(medium_, large, header));
  EXPECT_FALSE(read.has_value());
}

TEST_F(JournalTest, ARecordCarriesANote) {
  for (const size_t size : {1, 2039, 2040, 2041, 16384, 65536}) {
    ASSERT_OK(medium_.Discard(geometry_.ring_first, geometry_.ring_sectors));
    Record record = MakeRecord(11, 5);
    const uint32_t crc = RecordCrc(record);
    for (size_t i = 0; i < size; ++i) {
      record.note.push_back(static_cast<char>(i * 7 + size));
    }
    // The catalog has the CRC in what is noted.
    EXPECT_EQ(RecordCrc(record), crc);
    Journal journal = NewJournal(&medium_);
    ASSERT_OK(journal.Write(&record, {}));
    ExpectNewest(medium_, record);
    EXPECT_EQ(journal.next_sector() - geometry_.ring_first,
              Journal::RingSectors(5, size));
    ASSERT_OK_AND_ASSIGN(const ReplayPlan plan,
                         PlanReplay(medium_, geometry_, slot_));
    EXPECT_EQ(plan.result.note, record.note);
    // Its last byte.
    const uint64_t sector =
        geometry_.ring_first + 1 + 1 + 5 + (size - 1) / 2040;
    Sector damaged;
    ASSERT_OK(medium_.Read(sector, damaged));
    damaged[8 + (size - 1) % 2040] ^= std::byte{1};
    ASSERT_OK(medium_.Write(sector, damaged));
    ASSERT_OK_AND_ASSIGN(const ScanResult scan,
                         ScanRing(medium_, geometry_, slot_));
    EXPECT_FALSE(scan.newest.has_value()) << "size " << size;
    EXPECT_EQ(scan.torn.size(), 1u);
  }
}

TEST_F(JournalTest, ANoteHasABoundAndNoSpill) {
  Journal journal = NewJournal(&medium_);
  Record record = MakeRecord(11, 5);
  record.note.assign(kMaxRecordNote + 1, 'n');
  EXPECT_THAT(journal.Write(&record, {}), HasErrc(Errc::kInvalidArgument));
  record.note.assign(10, 'n');
  const Spill spill = {{geometry_.Sector(1024), 64}};
  EXPECT_THAT(journal.Write(&record, spill), HasErrc(Errc::kInvalidArgument));
}

// A name in it may hold anything.
TEST_F(JournalTest, ContentOfANoteIsNoHeader) {
  RingHeader header;
  header.record = MakeRecord(99, 1).header;
  header.record.sequence = header.record.epoch = 1000;
  header.ring_sector = geometry_.ring_first + 32;
  const Sector as_header = EncodeRingHeader(header);
  Record record = MakeRecord(11, 1);
  for (int i = 0; i < 31; ++i) {
    for (const std::byte b : as_header) {
      record.note.push_back(static_cast<char>(b));
    }
  }
  Journal journal = NewJournal(&medium_);
  ASSERT_OK(journal.Write(&record, {}));
  ExpectNewest(medium_, record);
  Sector there;
  ASSERT_OK(medium_.Read(header.ring_sector, there));
  EXPECT_FALSE(DecodeRingHeader(there, header.ring_sector).has_value());
}

TEST_F(JournalTest, FillAtomicUnitsAddsTheRestOfEachUnit) {
  MemoryMediumOptions options;
  options.atomic_sectors = 32;
  MemoryMedium medium(options);
  const uint64_t base = geometry_.Sector(64);
  for (uint64_t i = 0; i < 96; ++i) {
    ASSERT_OK(medium.Write(base + i, *Filled(i)));
  }
  SectorImages images;
  images[base + 5] = Filled(500);
  images[base + 7] = Filled(700);
  images[base + 64] = Filled(6400);
  ASSERT_OK(FillAtomicUnits(medium, &images));
  EXPECT_EQ(images.size(), 64u);
  EXPECT_EQ(*images.at(base + 5), *Filled(500));
  EXPECT_EQ(*images.at(base + 6), *Filled(6));
  EXPECT_EQ(*images.at(base + 64), *Filled(6400));
  EXPECT_EQ(*images.at(base + 95), *Filled(95));
  EXPECT_EQ(images.count(base + 32), 0u);
  SectorImages same;
  same[base] = Filled(1);
  ASSERT_OK(FillAtomicUnits(medium_, &same));
  EXPECT_EQ(same.size(), 1u);
}

}  // namespace
}  // namespace vellum::udf
