// SPDX-License-Identifier: Apache-2.0
#include "media/udf/format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "media/borrowed_medium.h"
#include "media/fault_medium.h"
#include "media/udf/begun_format.h"
#include "media/udf/codec.h"
#include "media/udf/control.h"
#include "media/udf/fsck.h"
#include "media/udf/reader.h"
#include "media/udf/sector_io.h"
#include "tests/support/crash_medium.h"
#include "tests/support/logged_lines.h"
#include "tests/support/memory_medium.h"
#include "tests/support/status_matchers.h"

namespace vellum::udf {
namespace {

using testing::HasSubstr;

FormatOptions Options(const std::string& id) {
  FormatOptions options;
  options.volume_id = id;
  return options;
}

void Poke(MemoryMedium& medium, uint64_t sector, const char* text) {
  const std::string bytes(text);
  medium.Poke(sector * kSectorSize,
              {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()});
}

TEST(ComputeGeometry, KeepsEveryAreaApart) {
  for (const uint64_t sectors :
       {uint64_t{4096}, uint64_t{4127}, uint64_t{8192}, uint64_t{100000},
        uint64_t{12219392}, uint64_t{0xFFFFFFFF}}) {
    ASSERT_OK_AND_ASSIGN(const Geometry g, ComputeGeometry(sectors));
    EXPECT_EQ(g.ring_first + g.ring_sectors, g.log_first);
    EXPECT_EQ(g.log_first + g.log_sectors, g.partition_first);
    EXPECT_GE(g.ring_sectors, 256u);
    EXPECT_LE(g.ring_sectors, 16384u);
    EXPECT_GE(g.log_sectors, 64u);
    EXPECT_LE(g.log_sectors, 4096u);
    for (const uint32_t value : {g.ring_first, g.ring_sectors, g.log_sectors,
                                 g.partition_first, g.partition_blocks}) {
      EXPECT_EQ(value % kRegionSectors, 0u) << sectors;
    }
    EXPECT_LE(g.Sector(g.partition_blocks), g.reserve_vds());
    EXPECT_GT(g.Sector(g.partition_blocks) + kRegionSectors, g.reserve_vds());
    EXPECT_GE(uint64_t{g.bitmap_blocks} * kSectorSize,
              24 + uint64_t{g.partition_blocks} / 8);
    EXPECT_GE(g.root_block, kBitmapBlock + g.bitmap_blocks);
  }
}

TEST(ComputeGeometry, RefusesSizesOutsideTheFormat) {
  EXPECT_THAT(ComputeGeometry(kMinVolumeSectors - 1),
              HasErrc(Errc::kIncompatible));
  EXPECT_THAT(ComputeGeometry(uint64_t{1} << 32), HasErrc(Errc::kIncompatible));
}

TEST(FormatVolume, MakesAVolumeThatReadsBack) {
  MemoryMedium medium(8192);
  FormatOptions options = Options("V00001");
  options.threshold = 80;
  options.root_mode = 01750;
  options.root_uid = 7;
  options.root_gid = 8;
  ASSERT_OK_AND_ASSIGN(const ControlSlot slot, FormatVolume(medium, options));
  EXPECT_EQ(slot.role, Role::kPrimary);
  EXPECT_EQ(slot.state, SlotState::kClean);
  EXPECT_EQ(slot.threshold, 80u);
  EXPECT_EQ(slot.generation.number, 0u);
  EXPECT_NE(slot.generation.lineage, 0u);
  EXPECT_NE(slot.format_uuid, slot.medium_uuid);

  ASSERT_OK_AND_ASSIGN(const ControlSlot read, ReadControlSlot(medium));
  EXPECT_EQ(read.epoch, slot.epoch);
  EXPECT_EQ(read.volume_id, "V00001");

  ASSERT_OK_AND_ASSIGN(const auto reader, Reader::Open(&medium));
  EXPECT_EQ(reader->description().format_uuid, slot.format_uuid);
  EXPECT_EQ(reader->description().logical_volume_id, "V00001");
  ASSERT_OK_AND_ASSIGN(const Geometry expected, ComputeGeometry(8192));
  EXPECT_EQ(reader->description().geometry, expected);

  ASSERT_OK_AND_ASSIGN(const FileEntry root,
                       reader->ReadEntry(reader->root_block()));
  EXPECT_EQ(root.attr.type, FileType::kDirectory);
  EXPECT_EQ(root.attr.mode, 01750u);
  EXPECT_EQ(root.attr.uid, 7u);
  EXPECT_EQ(root.attr.gid, 8u);
  EXPECT_EQ(root.attr.links, 2u);
  EXPECT_EQ(root.attr.unique_id, 0u);
  EXPECT_FALSE(root.inline_data.has_value());
  ASSERT_OK_AND_ASSIGN(const auto entries, reader->ReadDirectory(root));
  EXPECT_TRUE(entries.empty());

  ASSERT_OK_AND_ASSIGN(const Lvid lvid, reader->ReadLvid());
  EXPECT_TRUE(lvid.closed);
  EXPECT_EQ(lvid.next_unique_id, 16u);
  EXPECT_EQ(lvid.directories, 1u);
  ASSERT_OK_AND_ASSIGN(const Sector sector, ReadSector(medium, kLvidSector));
  EXPECT_EQ(slot.lvid_crc, Crc32c(sector));
}

TEST(FormatVolume, ABackupHasItsOwnThresholdAndState) {
  MemoryMedium medium(8192);
  FormatOptions options = Options("B1");
  options.role = Role::kBackup;
  options.threshold = 50;
  ASSERT_OK_AND_ASSIGN(const ControlSlot slot, FormatVolume(medium, options));
  EXPECT_EQ(slot.state, SlotState::kFormatted);
  EXPECT_EQ(slot.threshold, 99u);
}

TEST(FormatVolume, RefusesWhatItCannotDo) {
  MemoryMedium medium(8192);
  EXPECT_THAT(FormatVolume(medium, Options("bad id")),
              HasErrc(Errc::kInvalidArgument));
  FormatOptions options = Options("V1");
  options.threshold = 0;
  EXPECT_THAT(FormatVolume(medium, options), HasErrc(Errc::kInvalidArgument));
  options.threshold = 101;
  EXPECT_THAT(FormatVolume(medium, options), HasErrc(Errc::kInvalidArgument));
  MemoryMedium small(uint64_t{4095});
  EXPECT_THAT(FormatVolume(small, Options("V1")), HasErrc(Errc::kIncompatible));
  medium.SetWriteProtected(true);
  EXPECT_THAT(FormatVolume(medium, Options("V1")),
              HasErrc(Errc::kWriteProtected));
  MemoryMediumOptions once;
  once.medium_class = MediumClass::kWriteOnce;
  MemoryMedium write_once(once);
  EXPECT_THAT(FormatVolume(write_once, Options("V1")),
              HasErrc(Errc::kIncompatible));
}

TEST(FormatVolume, NeedsClearWhereDataIs) {
  MemoryMedium medium(8192);
  ASSERT_OK_AND_ASSIGN(const ControlSlot old,
                       FormatVolume(medium, Options("OLD")));
  Poke(medium, 5000, "old data");
  EXPECT_THAT(FormatVolume(medium, Options("NEW")),
              testing::AllOf(HasErrc(Errc::kExists), MessageHas("OLD")));
  ASSERT_OK_AND_ASSIGN(const ControlSlot still, ReadControlSlot(medium));
  EXPECT_EQ(still.volume_id, "OLD");

  FormatOptions options = Options("NEW");
  options.clear = true;
  ASSERT_OK_AND_ASSIGN(const ControlSlot fresh, FormatVolume(medium, options));
  EXPECT_NE(fresh.format_uuid, old.format_uuid);
  EXPECT_NE(fresh.medium_uuid, old.medium_uuid);
  EXPECT_NE(fresh.generation.lineage, old.generation.lineage);
  ASSERT_OK_AND_ASSIGN(const Sector sector, ReadSector(medium, 5000));
  EXPECT_EQ(sector, Sector{}) << "old data must be gone";
}

TEST(FormatVolume, SaysWhenItClearsWhatCannotBeRead) {
  using Op = FaultPlan::Op;
  for (const Op op : {Op::kRead, Op::kSearch}) {
    const auto plan = std::make_shared<FaultPlan>();
    FaultMedium medium(std::make_unique<MemoryMedium>(8192), plan);
    FormatOptions options = Options("NEW");
    plan->FailRange(op, {0, 1});
    const LoggedLines log;
    EXPECT_THAT(FormatVolume(medium, options), HasErrc(Errc::kDeviceError));
    EXPECT_EQ(plan->Count(Op::kWrite), 0u);
    EXPECT_EQ(log.Text(), "");
    options.clear = true;
    ASSERT_OK(FormatVolume(medium, options));
    EXPECT_EQ(log.Count("formatted though it cannot be read"), 1) << log.Text();
    EXPECT_EQ(log.Count("injected"), 1) << log.Text();
    plan->Clear();
    ASSERT_OK_AND_ASSIGN(const ControlSlot slot, ReadControlSlot(medium));
    EXPECT_EQ(slot.volume_id, "NEW");
  }
}

TEST(FormatVolume, AllocatesTheRingOfAPrimary) {
  MemoryMedium medium(8192);
  // On a blank medium, and on one that held a volume.
  for (const std::string id : {"V1", "V2"}) {
    FormatOptions options = Options(id);
    options.clear = true;
    ASSERT_OK(FormatVolume(medium, options));
    ASSERT_OK_AND_ASSIGN(const Geometry g, ComputeGeometry(8192));
    const SectorRange ring{g.ring_first, g.ring_sectors};
    ASSERT_OK_AND_ASSIGN(const SectorRange allocated,
                         medium.NextAllocated(ring));
    EXPECT_EQ(allocated.first, ring.first);
    EXPECT_EQ(allocated.count, ring.count);
  }
  MemoryMedium backup(8192);
  FormatOptions options = Options("B1");
  options.role = Role::kBackup;
  ASSERT_OK(FormatVolume(backup, options));
  ASSERT_OK_AND_ASSIGN(const Geometry g, ComputeGeometry(8192));
  ASSERT_OK_AND_ASSIGN(const SectorRange allocated,
                       backup.NextAllocated({g.ring_first, g.ring_sectors}));
  EXPECT_EQ(allocated.count, 0u) << "a copy would read it all";
}

TEST(ProbeMedium, TellsBlankVellumAndForeign) {
  MemoryMedium medium(8192);
  ASSERT_OK_AND_ASSIGN(MediumContent content, ProbeMedium(medium));
  EXPECT_EQ(content, MediumContent::kBlank);
  // Allocated, but zero, is still blank.
  ASSERT_OK(medium.Write(4000, Bytes(kSectorSize)));
  ASSERT_OK_AND_ASSIGN(content, ProbeMedium(medium));
  EXPECT_EQ(content, MediumContent::kBlank);
  for (const uint64_t at : {uint64_t{1}, uint64_t{4000}, uint64_t{8191}}) {
    MemoryMedium other(8192);
    Poke(other, at, "x");
    ASSERT_OK_AND_ASSIGN(content, ProbeMedium(other));
    EXPECT_EQ(content, MediumContent::kForeign) << at;
  }
  ASSERT_OK(FormatVolume(medium, Options("V1")));
  ASSERT_OK_AND_ASSIGN(content, ProbeMedium(medium));
  EXPECT_EQ(content, MediumContent::kVellum);
}

// A medium that does not know its holes, as every real one; counts what is read
// of it.
class PlainMedium : public BorrowedMedium {
 public:
  using BorrowedMedium::BorrowedMedium;
  Status Read(uint64_t lba, ByteSpan out) override {
    ++reads;
    const uint64_t sectors = out.size() / kSectorSize;
    sectors_read += sectors;
    RETURN_IF_ERROR(BorrowedMedium::Read(lba, out));
    for (uint64_t i = 0; i < sectors; ++i) {
      if (lba + i >= filled.first && lba + i < filled.end()) {
        out[i * kSectorSize] = std::byte{1};
      }
    }
    return Status::Ok();
  }
  Result<SectorRange> NextAllocated(SectorRange from) override { return from; }

  uint64_t reads = 0;
  uint64_t sectors_read = 0;
  SectorRange filled;  // reads as data
};

constexpr uint64_t kLargeMedium = 12219392;  // 25 GB

TEST(ProbeMedium, ReadsABoundedPartOfALargeBlankMedium) {
  MemoryMedium memory(kLargeMedium);
  PlainMedium medium(&memory);
  ASSERT_OK_AND_ASSIGN(const MediumContent content, ProbeMedium(medium));
  EXPECT_EQ(content, MediumContent::kBlank);
  EXPECT_LE(medium.sectors_read * kSectorSize, uint64_t{74} << 20);
  EXPECT_LE(medium.reads, 400u);

  // A format is no more: what it writes is not read.
  ASSERT_OK(FormatVolume(medium, Options("V1")));
  EXPECT_LE(medium.sectors_read * kSectorSize, uint64_t{160} << 20);
}

TEST(ProbeMedium, ReadsNoHoles) {
  MemoryMedium memory(kLargeMedium);
  class Counting : public PlainMedium {
   public:
    using PlainMedium::PlainMedium;
    Result<SectorRange> NextAllocated(SectorRange from) override {
      return BorrowedMedium::NextAllocated(from);
    }
  } medium(&memory);
  ASSERT_OK_AND_ASSIGN(const MediumContent content, ProbeMedium(medium));
  EXPECT_EQ(content, MediumContent::kBlank);
  EXPECT_LE(medium.sectors_read, 700u) << "begin, end and slots only";
}

TEST(ProbeMedium, FindsDataAnywhereOnAFilledMedium) {
  const char* text = "x";
  // Where other formats have their marks, and the far part of a medium that was
  // filled from its middle on.
  for (const uint64_t at : {uint64_t{0}, uint64_t{16}, uint64_t{256},
                            uint64_t{512}, uint64_t{20000}, kLargeMedium - 257,
                            kLargeMedium - 288, kLargeMedium - 1}) {
    MemoryMedium memory(kLargeMedium);
    PlainMedium medium(&memory);
    Poke(memory, at, text);
    ASSERT_OK_AND_ASSIGN(const MediumContent content, ProbeMedium(medium));
    EXPECT_EQ(content, MediumContent::kForeign) << at;
  }
  // A run of 1 % is seen wherever it lies.
  for (const uint64_t first : {uint64_t{40000}, kLargeMedium / 3,
                               kLargeMedium / 2, kLargeMedium * 9 / 10}) {
    MemoryMedium memory(kLargeMedium);
    PlainMedium medium(&memory);
    medium.filled = {first, kLargeMedium / 100};
    ASSERT_OK_AND_ASSIGN(const MediumContent content, ProbeMedium(medium));
    EXPECT_EQ(content, MediumContent::kForeign) << first;
  }
  // A single byte where the medium tells what it holds.
  MemoryMedium memory(kLargeMedium);
  ASSERT_OK(memory.Write(kLargeMedium / 5, Bytes(100 * kSectorSize)));
  Poke(memory, kLargeMedium / 3 * 2 + 7, text);
  ASSERT_OK_AND_ASSIGN(const MediumContent content, ProbeMedium(memory));
  EXPECT_EQ(content, MediumContent::kForeign);
}

TEST(ReadDescription, FindsTheVolumeWithDamagedCopies) {
  MemoryMedium good(8192);
  ASSERT_OK(FormatVolume(good, Options("V1")));
  // One anchor of three is enough, and either sequence.
  const std::vector<std::vector<uint64_t>> damages = {
      {256, 8192 - 257}, {256, 8191}, {8192 - 257, 8191}, {32}, {33}, {37},
      {8192 - 288},      {}};
  for (const auto& damage : damages) {
    const auto medium = good.Clone();
    for (const uint64_t sector : damage) Poke(*medium, sector, "damaged");
    ASSERT_OK_AND_ASSIGN(const auto description, ReadDescription(*medium));
    EXPECT_EQ(description.logical_volume_id, "V1");
  }
  const auto medium = good.Clone();
  for (const uint64_t sector : {32, 8192 - 288}) {
    Poke(*medium, sector, "damaged");
  }
  EXPECT_THAT(ReadDescription(*medium), HasErrc(Errc::kCorruption));
}

TEST(ReadDescription, FindsTheVolumeOnALargerMedium) {
  MemoryMedium small(8192);
  ASSERT_OK(FormatVolume(small, Options("V1")));
  MemoryMedium large(10000);
  Bytes all(8192 * kSectorSize);
  ASSERT_OK(small.Read(0, all));
  ASSERT_OK(large.Write(0, all));
  ASSERT_OK_AND_ASSIGN(const auto description, ReadDescription(large));
  EXPECT_EQ(description.geometry.sectors, 8192u);
}

TEST(ReadDescription, RefusesACutOffVolume) {
  MemoryMedium whole(8192);
  ASSERT_OK(FormatVolume(whole, Options("V1")));
  MemoryMedium cut(8000);
  Bytes part(8000 * kSectorSize);
  ASSERT_OK(whole.Read(0, part));
  ASSERT_OK(cut.Write(0, part));
  EXPECT_THAT(ReadDescription(cut), HasErrc(Errc::kCorruption));

  // The reserve sequence is missing: damage, not a read that it did not ask.
  const auto less = whole.Clone();
  less->CutTo(7900);
  less->AbortOutside();
  Poke(*less, 33, "damaged");
  EXPECT_THAT(ReadDescription(*less), HasErrc(Errc::kCorruption));
}

TEST(ReadDescription, SaysWhatElseIsThere) {
  MemoryMedium blank(8192);
  EXPECT_THAT(ReadDescription(blank), HasErrc(Errc::kNotFound));
  MemoryMedium tiny(uint64_t{16});
  EXPECT_THAT(ReadDescription(tiny), HasErrc(Errc::kNotFound));
  MemoryMedium anchorless(8192);
  Poke(anchorless, 17, std::string("\1NSR03", 6).c_str());
  EXPECT_THAT(ReadDescription(anchorless), HasErrc(Errc::kCorruption));
}

TEST(FormatVolume, ACrashLeavesTheOldVolumeOrNoneOrTheNewOne) {
  MemoryMedium base(4096);
  ASSERT_OK(FormatVolume(base, Options("OLD")));
  CrashMedium medium(base);
  FormatOptions options = Options("NEW");
  options.clear = true;
  ASSERT_OK(FormatVolume(medium, options));
  int none = 0;
  for (size_t k = 0; k <= medium.EventCount(); ++k) {
    for (const Unflushed unflushed :
         {Unflushed::kKept, Unflushed::kLost, Unflushed::kReordered,
          Unflushed::kTorn}) {
      CrashOptions crash;
      crash.unflushed = unflushed;
      crash.seed = k * 4 + static_cast<uint64_t>(unflushed);
      const auto after = medium.ContentAfterCrash(k, crash);
      const auto slot = ReadControlSlot(*after);
      if (!slot.ok()) {
        ++none;
        continue;
      }
      // A slot says that all of the volume is there.
      const auto reader = Reader::Open(after.get());
      ASSERT_OK(reader) << "event " << k << ", volume " << slot->volume_id;
      ASSERT_OK_AND_ASSIGN(const FsckReport report, CheckVolume(*after, {}));
      ASSERT_TRUE(report.clean())
          << "event " << k << ": " << report.errors[0].text;
      EXPECT_EQ(slot->volume_id, (*reader)->description().logical_volume_id);
      EXPECT_EQ(slot->format_uuid, (*reader)->description().format_uuid);
      ASSERT_OK_AND_ASSIGN(const FileEntry root,
                           (*reader)->ReadEntry((*reader)->root_block()));
      EXPECT_OK((*reader)->ReadDirectory(root)) << "event " << k;
    }
  }
  EXPECT_GT(none, 0) << "the crashes never hit the format itself";
}

// Broken off before any of its writes and flushes, on a blank medium and over
// another volume.
TEST(LooksBegun, IsTrueOfAFormatThatWasBrokenOff) {
  for (const bool over_another : {false, true}) {
    for (const auto op : {FaultPlan::Op::kWrite, FaultPlan::Op::kFlush,
                          FaultPlan::Op::kDiscard}) {
      int foreign = 0;
      for (uint64_t n = 1;; ++n) {
        const auto medium = std::make_shared<MemoryMedium>(4096);
        if (over_another) {
          ASSERT_OK(FormatVolume(*medium, Options("BEFORE")));
        }
        const auto plan = std::make_shared<FaultPlan>();
        plan->FailNth(op, n);
        FaultMedium faulty(ShareMedium(medium), plan);
        FormatOptions options = Options("AFTER");
        options.role = Role::kBackup;
        options.clear = true;
        if (FormatVolume(faulty, options).ok()) break;
        ASSERT_OK_AND_ASSIGN(const MediumContent content, ProbeMedium(*medium));
        if (content != MediumContent::kForeign) continue;
        ++foreign;
        ASSERT_OK_AND_ASSIGN(const bool begun, LooksBegun(*medium));
        EXPECT_TRUE(begun) << n << (over_another ? " over another" : "");
      }
      if (op == FaultPlan::Op::kWrite) {
        EXPECT_GT(foreign, 10);
      }
    }
  }
}

TEST(LooksBegun, IsFalseOfWhatOthersHaveWritten) {
  const auto looks_begun = [](MemoryMedium& medium) {
    EXPECT_EQ(*ProbeMedium(medium), MediumContent::kForeign);
    const Result<bool> begun = LooksBegun(medium);
    EXPECT_OK(begun);
    return begun.ok() && *begun;
  };
  for (const uint64_t sector :
       std::vector<uint64_t>{0, 15, 19, 31, 48, 63, 66, 100, 255, 257}) {
    MemoryMedium medium(4096);
    Poke(medium, sector, "something");
    EXPECT_FALSE(looks_begun(medium)) << sector;
  }
  // Where we write, too: ISO 9660, and descriptors that are none.
  for (const uint64_t sector : std::vector<uint64_t>{16, 17, 32, 64, 256}) {
    MemoryMedium medium(4096);
    Poke(medium, sector, "\1CD001\1");
    EXPECT_FALSE(looks_begun(medium)) << sector;
  }
  // Both slots of a volume are damaged: it was one, and perhaps is.
  {
    MemoryMedium medium(4096);
    ASSERT_OK(FormatVolume(medium, Options("VOL")));
    Poke(medium, kSlotASector, "something");
    Poke(medium, kSlotBSector, "something");
    EXPECT_FALSE(looks_begun(medium));
  }
  // A UDF volume whose descriptors are not ours.
  MemoryMedium medium(4096);
  ASSERT_OK(FormatVolume(medium, Options("VOL")));
  const Bytes zeros(kVdsSectors * kSectorSize);
  for (const uint64_t slot : {kSlotASector, kSlotBSector}) {
    medium.Poke(slot * kSectorSize, ConstByteSpan(zeros).first(kSectorSize));
  }
  EXPECT_TRUE(looks_begun(medium));
  ASSERT_OK_AND_ASSIGN(const VolumeDescription description,
                       ReadDescription(medium));
  medium.Poke(kMainVdsSector * kSectorSize, zeros);
  medium.Poke(description.geometry.reserve_vds() * kSectorSize, zeros);
  EXPECT_FALSE(looks_begun(medium));
}

}  // namespace
}  // namespace vellum::udf
