// SPDX-License-Identifier: Apache-2.0
#include "media/udf/control.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "media/fault_medium.h"
#include "media/udf/codec.h"
#include "tests/support/crash_medium.h"
#include "tests/support/memory_medium.h"
#include "tests/support/status_matchers.h"

namespace vellum::udf {
namespace {

ControlSlot SampleSlot() {
  ControlSlot slot;
  slot.format_uuid = NewUuid();
  slot.volume_id = "OPTICAL00001A-B1";
  slot.medium_uuid = NewUuid();
  slot.role = Role::kBackup;
  slot.state = SlotState::kComplete;
  slot.owner_id = "OPTICAL00001A";
  slot.owner_uuid = NewUuid();
  slot.generation = {NewLineage(), 77};
  slot.record_floor = 5;
  slot.threshold = 99;
  slot.lvid_crc = 0xDEADBEEF;
  slot.ring_head = 384;
  slot.log_end = 1536;
  slot.time = {1'700'000'000, 123'456'789};
  return slot;
}

void ExpectEqual(const ControlSlot& a, const ControlSlot& b) {
  EXPECT_EQ(a.format_uuid, b.format_uuid);
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_EQ(a.volume_id, b.volume_id);
  EXPECT_EQ(a.medium_uuid, b.medium_uuid);
  EXPECT_EQ(a.role, b.role);
  EXPECT_EQ(a.state, b.state);
  EXPECT_EQ(a.owner_id, b.owner_id);
  EXPECT_EQ(a.owner_uuid, b.owner_uuid);
  EXPECT_EQ(a.generation, b.generation);
  EXPECT_EQ(a.record_floor, b.record_floor);
  EXPECT_EQ(a.threshold, b.threshold);
  EXPECT_EQ(a.lvid_crc, b.lvid_crc);
  EXPECT_EQ(a.ring_head, b.ring_head);
  EXPECT_EQ(a.log_end, b.log_end);
  EXPECT_EQ(a.time, b.time);
}

TEST(ControlSlotTest, EveryFieldComesBack) {
  MemoryMedium medium(8192);
  ControlSlot slot = SampleSlot();
  ASSERT_OK(WriteControlSlot(medium, &slot));
  EXPECT_EQ(slot.epoch, 1u);
  ASSERT_OK_AND_ASSIGN(const ControlSlot read, ReadControlSlot(medium));
  ExpectEqual(read, slot);
}

TEST(ControlSlotTest, PrimaryWithoutOwnerComesBack) {
  MemoryMedium medium(8192);
  ControlSlot slot = SampleSlot();
  slot.role = Role::kPrimary;
  slot.state = SlotState::kInUse;
  slot.owner_id.clear();
  slot.owner_uuid.clear();
  slot.time = {-5, 1};
  ASSERT_OK(WriteControlSlot(medium, &slot));
  ASSERT_OK_AND_ASSIGN(const ControlSlot read, ReadControlSlot(medium));
  ExpectEqual(read, slot);
}

TEST(ControlSlotTest, PlacesAreWrittenInTurn) {
  MemoryMedium medium(8192);
  ControlSlot slot = SampleSlot();
  for (uint64_t epoch = 1; epoch <= 5; ++epoch) {
    slot.log_end = epoch * 512;
    ASSERT_OK(WriteControlSlot(medium, &slot));
    ASSERT_EQ(slot.epoch, epoch);
    ASSERT_OK_AND_ASSIGN(const ControlSlot read, ReadControlSlot(medium));
    EXPECT_EQ(read.log_end, epoch * 512);
    // With the newest place destroyed, the one before is found.
    std::unique_ptr<MemoryMedium> damaged = medium.Clone();
    const uint32_t newest = epoch % 2 == 1 ? kSlotASector : kSlotBSector;
    damaged->MakeUnreadable({newest, 1});
    if (epoch == 1) {
      EXPECT_THAT(ReadControlSlot(*damaged), HasErrc(Errc::kDeviceError));
    } else {
      ASSERT_OK_AND_ASSIGN(const ControlSlot before, ReadControlSlot(*damaged));
      EXPECT_EQ(before.epoch, epoch - 1);
    }
  }
}

TEST(ControlSlotTest, AReadErrorThatPassesDoesNotBringTheOlderOneBack) {
  const auto plan = std::make_shared<FaultPlan>();
  FaultMedium medium(std::make_unique<MemoryMedium>(uint64_t{8192}), plan);
  ControlSlot slot = SampleSlot();
  for (uint64_t epoch = 1; epoch <= 4; ++epoch) {
    ASSERT_OK(WriteControlSlot(medium, &slot));
    for (uint64_t n = 1; n <= 2; ++n) {
      plan->FailNth(FaultPlan::Op::kRead, n);
      ASSERT_OK_AND_ASSIGN(const ControlSlot read, ReadControlSlot(medium));
      EXPECT_EQ(read.epoch, epoch) << "read " << n;
    }
  }
}

// A disc that was not closed has no volume yet; a drive that is away says
// nothing of the disc.
TEST(ControlSlotTest, ADriveThatFailsIsNoDiscThatIsIncomplete) {
  MemoryMediumOptions options;
  options.medium_class = MediumClass::kWriteOnce;
  const auto plan = std::make_shared<FaultPlan>();
  FaultMedium medium(std::make_unique<MemoryMedium>(options), plan);
  ControlSlot slot = SampleSlot();
  slot.state = SlotState::kComplete;
  ASSERT_OK(WriteControlSlot(medium, &slot));
  ASSERT_OK_AND_ASSIGN(const ControlSlot open, ReadControlSlot(medium));
  EXPECT_EQ(open.state, SlotState::kIncomplete);
  const uint64_t behind = std::max(kSlotASector, kSlotBSector) + 1;
  for (const Errc code :
       {Errc::kOffline, Errc::kNoMedium, Errc::kTimedOut, Errc::kNotReady,
        Errc::kAborted, Errc::kNotSupported, Errc::kDeviceError}) {
    SCOPED_TRACE(ErrcName(code));
    plan->FailRange(FaultPlan::Op::kRead,
                    {behind, medium.Info().sectors - behind}, code);
    EXPECT_THAT(ReadControlSlot(medium), HasErrc(code));
    plan->Clear();
  }
}

TEST(ControlSlotTest, EpochNeverFallsBehindTheMedium) {
  MemoryMedium medium(8192);
  ControlSlot old = SampleSlot();
  for (int i = 0; i < 4; ++i) ASSERT_OK(WriteControlSlot(medium, &old));
  ControlSlot fresh = SampleSlot();
  ASSERT_OK(WriteControlSlot(medium, &fresh));
  EXPECT_EQ(fresh.epoch, 5u);
  ASSERT_OK_AND_ASSIGN(const ControlSlot read, ReadControlSlot(medium));
  EXPECT_EQ(read.format_uuid, fresh.format_uuid);
}

TEST(ControlSlotTest, TellsBlankCorruptAndNewerApart) {
  MemoryMedium blank(8192);
  EXPECT_THAT(ReadControlSlot(blank), HasErrc(Errc::kNotFound));
  MemoryMedium tiny(100);
  EXPECT_THAT(ReadControlSlot(tiny), HasErrc(Errc::kNotFound));

  MemoryMedium medium(8192);
  ControlSlot slot = SampleSlot();
  ASSERT_OK(WriteControlSlot(medium, &slot));
  std::unique_ptr<MemoryMedium> corrupt = medium.Clone();
  const std::byte flip{0x5A};
  corrupt->Poke(kSlotASector * uint64_t{kSectorSize} + 200, {&flip, 1});
  EXPECT_THAT(ReadControlSlot(*corrupt), HasErrc(Errc::kCorruption));

  // A later version with a right CRC.
  Sector sector{};
  ASSERT_OK(medium.Read(kSlotASector, sector));
  sector[8] = std::byte{2};
  std::fill_n(sector.begin() + 12, 4, std::byte{0});
  const uint32_t crc = Crc32c(sector);
  for (int i = 0; i < 4; ++i)
    sector[12 + i] = std::byte((crc >> (8 * i)) & 255);
  ASSERT_OK(medium.Write(kSlotASector, sector));
  EXPECT_THAT(ReadControlSlot(medium), HasErrc(Errc::kIncompatible));
}

TEST(ControlSlotTest, RefusesIdentifiersThatDoNotFit) {
  MemoryMedium medium(8192);
  ControlSlot slot = SampleSlot();
  slot.volume_id = std::string(31, 'A');
  EXPECT_THAT(WriteControlSlot(medium, &slot), HasErrc(Errc::kInvalidArgument));
  slot = SampleSlot();
  slot.medium_uuid = "short";
  EXPECT_THAT(WriteControlSlot(medium, &slot), HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(ReadControlSlot(medium), HasErrc(Errc::kNotFound));
}

// Whatever a power cut leaves of a slot write, the slot is the one before or
// the new one: also when the drive destroys the whole unit around it.
TEST(ControlSlotTest, CrashLeavesTheOldOrTheNewSlot) {
  for (const uint32_t atomic : {1u, 16u, 32u}) {
    MemoryMediumOptions options;
    options.atomic_sectors = atomic;
    CrashMedium medium(options);
    ControlSlot slot = SampleSlot();
    std::vector<size_t> written;  // event count after each flush
    for (int i = 0; i < 6; ++i) {
      ASSERT_OK(WriteControlSlot(medium, &slot));
      ASSERT_OK(medium.Flush());
      written.push_back(medium.EventCount());
    }
    for (size_t k = written[0]; k <= medium.EventCount(); ++k) {
      uint64_t durable = 0;
      while (durable < written.size() && written[durable] <= k) ++durable;
      for (uint64_t seed = 0; seed < 20; ++seed) {
        CrashOptions crash;
        crash.unflushed = Unflushed::kTorn;
        crash.destroy_unit = atomic > 1;
        crash.destroyed_unreadable = seed % 2 == 0;
        crash.seed = seed;
        auto after = medium.ContentAfterCrash(k, crash);
        ASSERT_OK_AND_ASSIGN(const ControlSlot read, ReadControlSlot(*after));
        EXPECT_GE(read.epoch, durable) << "k " << k << " seed " << seed;
        EXPECT_LE(read.epoch, durable + 1) << "k " << k << " seed " << seed;
      }
    }
  }
}

TEST(IdentityTest, UuidsAndLineagesAreRandom) {
  std::set<std::string> uuids;
  std::set<uint64_t> lineages;
  for (int i = 0; i < 100; ++i) {
    const std::string uuid = NewUuid();
    EXPECT_EQ(uuid.size(), 32u);
    EXPECT_EQ(uuid.find_first_not_of("0123456789abcdef"), std::string::npos);
    uuids.insert(uuid);
    lineages.insert(NewLineage());
  }
  EXPECT_EQ(uuids.size(), 100u);
  EXPECT_EQ(lineages.size(), 100u);
  EXPECT_EQ(lineages.count(0), 0u);
}

TEST(IdentityTest, VolumeIdRules) {
  for (const char* good :
       {"A", "0", "OPTICAL00001A", "A-B_C.D", "V00001L1-B12"}) {
    EXPECT_OK(CheckVolumeId(good));
  }
  EXPECT_OK(CheckVolumeId(std::string(30, 'Z')));
  EXPECT_THAT(CheckVolumeId(""), HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(CheckVolumeId(""), MessageHas("empty: 1 to 30 of A-Z"));
  EXPECT_THAT(CheckVolumeId(std::string(31, 'Z')),
              MessageHas("longer than 30"));
  for (const char* bad : {".vellum", "-A", "_A"}) {
    EXPECT_THAT(CheckVolumeId(bad), MessageHas("must begin with"));
  }
  for (const char* bad : {"a", "Ab", "A/B", "A B", "A\xC3\x84"}) {
    EXPECT_THAT(CheckVolumeId(bad), HasErrc(Errc::kInvalidArgument)) << bad;
  }
}

class ControlLogTest : public testing::Test {
 protected:
  ControlLogTest() {
    geometry_.sectors = 8192;
    geometry_.log_first = 1000;
    geometry_.log_sectors = 64;
  }
  static std::vector<LogEntry> Entries(int first, int count, size_t size) {
    std::vector<LogEntry> entries;
    for (int i = first; i < first + count; ++i) {
      std::string text = "{\"n\":" + std::to_string(i) + "}";
      text.resize(std::max(size, text.size()), ' ');
      entries.push_back({{1000 + i, 5}, std::move(text)});
    }
    return entries;
  }
  static void ExpectTexts(const std::vector<LogEntry>& got,
                          const std::vector<LogEntry>& want) {
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got[i].text, want[i].text) << i;
      EXPECT_EQ(got[i].time, want[i].time) << i;
    }
  }
  Geometry geometry_;
};

TEST_F(ControlLogTest, EntriesComeBackInOrder) {
  MemoryMedium medium(8192);
  ASSERT_OK_AND_ASSIGN(std::vector<LogEntry> empty,
                       ReadControlLog(medium, geometry_));
  EXPECT_TRUE(empty.empty());
  std::vector<LogEntry> all;
  uint64_t end = 0;
  for (int i = 0; i < 8; ++i) {
    // Sizes around the borders of 512 bytes and of a sector.
    const auto part = Entries(i * 3, 3, static_cast<size_t>(i) * 350);
    ASSERT_OK(AppendControlLog(medium, geometry_, &end, part));
    all.insert(all.end(), part.begin(), part.end());
    EXPECT_EQ(end, ControlLogBytes(all));
    EXPECT_EQ(end % 512, 0u);
  }
  ASSERT_OK_AND_ASSIGN(std::vector<LogEntry> read,
                       ReadControlLog(medium, geometry_));
  ExpectTexts(read, all);
}

TEST_F(ControlLogTest, AppendWithALostEndKeepsWhatIsThere) {
  MemoryMedium medium(8192);
  uint64_t end = 0;
  ASSERT_OK(AppendControlLog(medium, geometry_, &end, Entries(0, 3, 600)));
  uint64_t lost = 0;
  ASSERT_OK(AppendControlLog(medium, geometry_, &lost, Entries(3, 2, 10)));
  ASSERT_OK_AND_ASSIGN(std::vector<LogEntry> read,
                       ReadControlLog(medium, geometry_));
  EXPECT_EQ(read.size(), 5u);
  EXPECT_EQ(lost, 3u * 1024 + 2 * 512);
}

// The numbers of Entries in what is read.
std::vector<int> NumbersOf(const std::vector<LogEntry>& entries) {
  std::vector<int> numbers;
  for (const LogEntry& entry : entries) {
    numbers.push_back(std::stoi(entry.text.substr(5)));
  }
  return numbers;
}

// Whole, in order and up to `last`; how many.
size_t ExpectNewest(const std::vector<LogEntry>& entries, int last) {
  const std::vector<int> numbers = NumbersOf(entries);
  for (size_t i = 0; i < numbers.size(); ++i) {
    EXPECT_EQ(numbers[i], last - static_cast<int>(numbers.size() - 1 - i));
  }
  return numbers.size();
}

TEST_F(ControlLogTest, I6_TheNewestEntriesTakeThePlaceOfTheOldest) {
  const uint64_t size = geometry_.log_sectors * uint64_t{kSectorSize};
  MemoryMedium medium(8192);
  uint64_t end = 0;
  uint64_t before = 0;
  for (int i = 0; i < 700; ++i) {
    // One in three knows nothing of the end, one that of the time before.
    uint64_t hint = i % 3 == 0 ? end : i % 3 == 1 ? 0 : before;
    before = end;
    const auto part = Entries(i, 1, 100 + static_cast<size_t>(i) * 37 % 2900);
    ASSERT_OK(AppendControlLog(medium, geometry_, &hint, part));
    end = hint;
    ASSERT_LE(end, size);
    ASSERT_OK_AND_ASSIGN(const std::vector<LogEntry> read,
                         ReadControlLog(medium, geometry_));
    ExpectNewest(read, i);
    ASSERT_FALSE(HasFailure()) << i;
    if (i < 200) continue;
    // Beside the newest ones only what they took in part is missing, and what
    // did not fit at the end.
    ASSERT_GE(ControlLogBytes(read), size - 3 * 3072) << i;
  }
}

TEST_F(ControlLogTest, I6_ABatchGoesOverTheEndOfTheLog) {
  MemoryMedium medium(8192);
  uint64_t end = 0;
  for (int i = 0; i < 300; i += 30) {
    ASSERT_OK(AppendControlLog(medium, geometry_, &end, Entries(i, 30, 900)));
    ASSERT_OK_AND_ASSIGN(const std::vector<LogEntry> read,
                         ReadControlLog(medium, geometry_));
    EXPECT_EQ(ExpectNewest(read, i + 29), std::min<size_t>(128, i + 30));
  }
}

TEST_F(ControlLogTest, MoreThanTheLogHoldsIsRefusedBeforeAnythingIsWritten) {
  MemoryMediumOptions options;
  options.name = "V00007L1";
  MemoryMedium medium(options);
  uint64_t end = 0;
  const uint64_t size = geometry_.log_sectors * uint64_t{kSectorSize};
  ASSERT_OK(AppendControlLog(medium, geometry_, &end, Entries(0, 2, 10)));
  // With the gap at the end it would reach its own first entry.
  const Status full = AppendControlLog(
      medium, geometry_, &end, Entries(2, static_cast<int>(size / 512), 10));
  EXPECT_THAT(full, HasErrc(Errc::kNoSpace));
  EXPECT_THAT(full, MessageHas("control log of V00007L1"));
  EXPECT_EQ(end, 1024u);
  ASSERT_OK_AND_ASSIGN(const std::vector<LogEntry> read,
                       ReadControlLog(medium, geometry_));
  ExpectTexts(read, Entries(0, 2, 10));
}

TEST_F(ControlLogTest, I6_CrashesOfAFullLogLoseOnlyTheOldest) {
  geometry_.log_sectors = 4;  // 8 entries
  CrashMedium medium;
  uint64_t end = 0;
  std::vector<size_t> flushed;
  for (int i = 0; i < 21; ++i) {
    ASSERT_OK(AppendControlLog(medium, geometry_, &end, Entries(i, 1, 700)));
    ASSERT_OK(medium.Flush());
    flushed.push_back(medium.EventCount());
  }
  for (size_t k = 0; k <= medium.EventCount(); ++k) {
    int durable = 0;
    while (durable < 21 && flushed[static_cast<size_t>(durable)] <= k) {
      ++durable;
    }
    for (uint64_t seed = 0; seed < 10; ++seed) {
      auto after =
          medium.ContentAfterCrash(k, {Unflushed::kTorn, false, false, seed});
      ASSERT_OK_AND_ASSIGN(const std::vector<LogEntry> read,
                           ReadControlLog(*after, geometry_));
      const std::vector<int> numbers = NumbersOf(read);
      if (durable == 0 && numbers.empty()) continue;
      ASSERT_FALSE(numbers.empty());
      ASSERT_GE(numbers.back(), durable - 1) << "k " << k << " seed " << seed;
      const size_t count = ExpectNewest(read, numbers.back());
      ASSERT_GE(count, static_cast<size_t>(std::min(durable, 7)));
      // And the next one goes behind it.
      uint64_t hint = 0;
      ASSERT_OK(AppendControlLog(*after, geometry_, &hint,
                                 Entries(numbers.back() + 1, 1, 700)));
      ASSERT_OK_AND_ASSIGN(const std::vector<LogEntry> next,
                           ReadControlLog(*after, geometry_));
      ExpectNewest(next, numbers.back() + 1);
      ASSERT_FALSE(HasFailure()) << "k " << k << " seed " << seed;
    }
  }
}

TEST_F(ControlLogTest, DamagedEntryHidesNoOther) {
  MemoryMedium medium(8192);
  uint64_t end = 0;
  ASSERT_OK(AppendControlLog(medium, geometry_, &end, Entries(0, 9, 1900)));
  medium.MakeUnreadable({geometry_.log_first + 2, 1});
  const std::byte flip{0xFF};
  medium.Poke((geometry_.log_first + 5) * uint64_t{kSectorSize} + 40,
              {&flip, 1});
  ASSERT_OK_AND_ASSIGN(std::vector<LogEntry> read,
                       ReadControlLog(medium, geometry_));
  EXPECT_EQ(read.size(), 7u);
}

TEST_F(ControlLogTest, ClearedLogForgetsOldEntries) {
  MemoryMedium medium(8192);
  uint64_t end = 0;
  ASSERT_OK(AppendControlLog(medium, geometry_, &end, Entries(0, 9, 100)));
  ASSERT_OK(ClearControlLog(medium, geometry_));
  ASSERT_OK_AND_ASSIGN(std::vector<LogEntry> read,
                       ReadControlLog(medium, geometry_));
  EXPECT_TRUE(read.empty());
}

TEST_F(ControlLogTest, EntriesOfAnEarlierLogAreIgnored) {
  MemoryMedium medium(8192);
  uint64_t end = 0;
  ASSERT_OK(AppendControlLog(medium, geometry_, &end, Entries(0, 9, 100)));
  // As if only the first sector of the clearing had become durable.
  ASSERT_OK(medium.Discard(geometry_.log_first, 1));
  Geometry first_sector = geometry_;
  first_sector.log_sectors = 1;
  end = 0;
  ASSERT_OK(AppendControlLog(medium, first_sector, &end, Entries(50, 1, 100)));
  ASSERT_OK_AND_ASSIGN(std::vector<LogEntry> read,
                       ReadControlLog(medium, geometry_));
  ExpectTexts(read, Entries(50, 1, 100));
}

TEST_F(ControlLogTest, CrashLosesNoFlushedEntry) {
  CrashMedium medium;
  uint64_t end = 0;
  std::vector<size_t> flushed;
  for (int i = 0; i < 10; ++i) {
    ASSERT_OK(AppendControlLog(medium, geometry_, &end, Entries(i, 1, 700)));
    ASSERT_OK(medium.Flush());
    flushed.push_back(medium.EventCount());
  }
  for (size_t k = 0; k <= medium.EventCount(); ++k) {
    size_t durable = 0;
    while (durable < flushed.size() && flushed[durable] <= k) ++durable;
    for (uint64_t seed = 0; seed < 10; ++seed) {
      auto after =
          medium.ContentAfterCrash(k, {Unflushed::kTorn, false, false, seed});
      ASSERT_OK_AND_ASSIGN(std::vector<LogEntry> read,
                           ReadControlLog(*after, geometry_));
      ASSERT_GE(read.size(), durable) << "k " << k << " seed " << seed;
      ASSERT_LE(read.size(), durable + 1);
      ExpectTexts(read, Entries(0, static_cast<int>(read.size()), 700));
    }
  }
}

}  // namespace
}  // namespace vellum::udf
