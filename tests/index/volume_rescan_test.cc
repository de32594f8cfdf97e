// SPDX-License-Identifier: Apache-2.0
// Media and catalogs of different days, and media that others have written.
#include <fmt/format.h>

#include <algorithm>

#include "index/snapshot.h"
#include "media/udf/allocator.h"
#include "tests/index/volume_fixture.h"
#include "tests/index/volume_lab.h"

namespace vellum {
namespace {

constexpr VolumeIndex kIndex = 1;

class RescanTest : public testing::TestWithParam<uint64_t> {
 protected:
  // Some generations, the last of them closed.
  void Generations(int count) {
    for (int i = 0; i < count; ++i) {
      lab_.Operate(15);
      lab_.OperateUntilDirty();
      ASSERT_OK(lab_.volume()->Sync());
    }
  }

  void Reopen() {
    ASSERT_OK(lab_.OpenCatalog());
    ASSERT_OK(lab_.Attach());
  }

  // The volume was read anew: the tree is that of `number`, no copy of `before`
  // is an ancestor, and later loads are quiet.
  void ExpectRescanned(const Generation& before, uint64_t number) {
    const Generation now = lab_.volume()->generation();
    ASSERT_NE(now.lineage, before.lineage);
    ASSERT_GE(now.number, number);
    ASSERT_EQ(lab_.volume()->record().change_floor, now.number);
    lab_.Resume(number);
    lab_.Check();
    ASSERT_FALSE(HasFailure());
    {
      const auto snapshot = lab_.volume()->TakeSnapshot();
      ASSERT_OK(snapshot);
      EXPECT_THAT((*snapshot)->ChangedSince(before),
                  HasErrc(Errc::kOutOfRange));
      const auto none = (*snapshot)->ChangedSince(now);
      ASSERT_OK(none);
      EXPECT_TRUE(none->empty());
    }
    Generations(2);
    lab_.Close();
    Reopen();
    ASSERT_EQ(lab_.volume()->generation().lineage, now.lineage);
    ASSERT_EQ(lab_.volume()->record().change_floor, now.number);
    lab_.Check();
  }

  VolumeLab lab_{GetParam(), SmallLab()};
};

TEST_P(RescanTest, MediumAheadByOneGenerationWhosePendingBatchIsLost) {
  Generations(3);
  lab_.Close();
  lab_.SaveCatalog("before");
  Reopen();
  lab_.OperateUntilDirty();
  lab_.KillAt(CommitStep::kRecordFlushed);
  const Generation before = lab_.volume()->generation();
  ASSERT_FALSE(lab_.volume()->Sync().ok());
  lab_.Die(Death::kPowerLost, GetParam());
  lab_.RestoreCatalog("before");
  Reopen();
  ExpectRescanned(before, before.number + 1);
}

TEST_P(RescanTest, CatalogIsFromAnOlderDay) {
  Generations(2);
  lab_.Close();
  lab_.SaveCatalog("old");
  Reopen();
  Generations(5);
  const Generation before = lab_.volume()->generation();
  lab_.Close();
  lab_.RestoreCatalog("old");
  Reopen();
  ExpectRescanned(before, before.number + 1);  // + the closing one
}

TEST_P(RescanTest, CatalogIsDeleted) {
  Generations(3);
  const Generation before = lab_.volume()->generation();
  lab_.Operate(5);
  lab_.Die(Death::kKill, GetParam());  // not even closed
  lab_.DeleteCatalog();
  Reopen();
  ExpectRescanned(before, before.number);
}

TEST_P(RescanTest, MediumIsFromAnOlderDay) {
  Generations(2);
  lab_.Close();
  const auto old = lab_.medium().Content();
  const uint64_t number = lab_.OnMedium().generation.number;
  Reopen();
  Generations(3);
  const Generation before = lab_.volume()->generation();
  lab_.Close();
  lab_.SetMedium(*old);
  Reopen();
  EXPECT_GT(lab_.volume()->generation().number, before.number);
  ExpectRescanned(before, number);
}

TEST_P(RescanTest, AnotherLibraryChangedTheMedium) {
  Generations(2);
  const Generation first = lab_.volume()->generation();
  lab_.Close();
  lab_.SaveCatalog("first");
  lab_.DeleteCatalog();
  Reopen();  // the other library: rescans as well
  lab_.Resume(first.number + 1);
  Generations(3);
  const Generation second = lab_.volume()->generation();
  ASSERT_NE(second.lineage, first.lineage);
  lab_.Close();
  lab_.RestoreCatalog("first");
  Reopen();
  ExpectRescanned(second, second.number + 1);
  EXPECT_NE(lab_.volume()->generation().lineage, first.lineage);
}

TEST_P(RescanTest, TwoHistoriesOfOneLineageWithEqualNumbersAreToldApart) {
  Generations(2);
  lab_.Close();
  lab_.SaveCatalog("fork");
  const auto fork = lab_.medium().Content();
  Reopen();
  lab_.OperateUntilDirty();
  lab_.Close();
  lab_.SaveCatalog("left");
  const udf::ReplayResult left = lab_.OnMedium();
  // The same again from the fork, with other changes.
  lab_.RestoreCatalog("fork");
  lab_.SetMedium(*fork);
  Reopen();
  lab_.Resume(left.generation.number - 1);
  lab_.Operate(7);
  lab_.OperateUntilDirty();
  lab_.Close();
  const udf::ReplayResult right = lab_.OnMedium();
  ASSERT_EQ(left.generation, right.generation);
  ASSERT_NE(left.record_crc, right.record_crc);
  lab_.RestoreCatalog("left");
  Reopen();
  ExpectRescanned(right.generation, right.generation.number);
}

// Writes the LVID as another implementation would, and a file's worth of
// blocks: used in the bitmap, with content of its own.
constexpr uint64_t kForeignBlocks = 40;

void WriteAsForeigner(MemoryMedium* medium, SectorRange* taken) {
  const Result<udf::VolumeDescription> description =
      udf::ReadDescription(*medium);
  ASSERT_OK(description);
  const udf::Geometry& geometry = description->geometry;
  Result<Bytes> bitmap = udf::ReadBitmap(*medium, geometry);
  ASSERT_OK(bitmap);
  uint32_t run = 0;
  uint32_t end = geometry.partition_blocks;
  while (end > 0 && run < kForeignBlocks) {
    --end;
    run = udf::BitmapIsFree(*bitmap, end) ? run + 1 : 0;
  }
  ASSERT_EQ(run, kForeignBlocks);
  udf::SetBitmap(&*bitmap, {end, run}, false);
  for (uint32_t i = 0; i < udf::BitmapSectors(geometry); ++i) {
    ASSERT_OK(medium->Write(geometry.Sector(udf::kBitmapBlock + i),
                            udf::EncodeBitmapSector(geometry, *bitmap, i)));
  }
  *taken = {geometry.Sector(end), run};
  ASSERT_OK(
      medium->Write(taken->first, Bytes(run * kSectorSize, std::byte{0xF0})));
  udf::Sector sector;
  ASSERT_OK(medium->Read(udf::kLvidSector, sector));
  Result<udf::DecodedLvid> lvid = udf::DecodeLvid(sector);
  ASSERT_OK(lvid);
  lvid->lvid.time.sec += 100;
  lvid->lvid.free_blocks -= run;
  ASSERT_OK(medium->Write(udf::kLvidSector, udf::EncodeLvid(lvid->lvid)));
}

TEST_P(RescanTest, AForeignSystemWroteToTheClosedVolume) {
  Generations(3);
  lab_.Close();
  const Generation before = lab_.OnMedium().generation;
  const auto content = lab_.medium().Content();
  SectorRange taken;
  WriteAsForeigner(content.get(), &taken);
  lab_.SetMedium(*content);
  EXPECT_EQ(lab_.OnMedium().outcome, udf::ReplayOutcome::kForeign);
  Reopen();
  const Generation now = lab_.volume()->generation();
  EXPECT_NE(now.lineage, before.lineage);
  EXPECT_EQ(lab_.volume()->record().change_floor, now.number);
  lab_.Resume(before.number);
  ExpectVolumeIs(lab_.volume(), lab_.fuzzer().model());
  EXPECT_EQ(CompareMedium(lab_.medium().Content().get(), lab_.fuzzer().model()),
            "");
  // What the other system allocated is not ours to use.
  Generations(6);
  ExpectVolumeIs(lab_.volume(), lab_.fuzzer().model());
  Bytes there(taken.count * kSectorSize);
  ASSERT_OK(lab_.medium().Read(taken.first, there));
  EXPECT_TRUE(std::all_of(there.begin(), there.end(),
                          [](std::byte b) { return b == std::byte{0xF0}; }));
}

// The same after a crash: the record in the ring must not be replayed over
// what the other system wrote.
TEST_P(RescanTest, AForeignSystemWroteAfterACrash) {
  Generations(3);
  const Generation before = lab_.volume()->generation();
  lab_.Die(Death::kKill, GetParam());
  const auto content = lab_.medium().Content();
  SectorRange taken;
  WriteAsForeigner(content.get(), &taken);
  Bytes lvid(kSectorSize);
  ASSERT_OK(content->Read(udf::kLvidSector, lvid));
  lab_.SetMedium(*content);
  Reopen();
  EXPECT_NE(lab_.volume()->generation().lineage, before.lineage);
  Bytes after(kSectorSize);
  ASSERT_OK(lab_.medium().Read(udf::kLvidSector, after));
  EXPECT_TRUE(lvid == after);
  lab_.Resume(before.number);
  ExpectVolumeIs(lab_.volume(), lab_.fuzzer().model());
}

// Where nothing can be written the change is noticed all the same.
TEST_P(RescanTest, AForeignSystemWroteToAVolumeThatIsNowWriteProtected) {
  Generations(3);
  lab_.Close();
  lab_.SaveCatalog("before");
  const auto content = lab_.medium().Content();
  // The other library's changes, under a catalog that does not know of them.
  SectorRange taken;
  WriteAsForeigner(content.get(), &taken);
  content->SetWriteProtected(true);
  ASSERT_OK(lab_.OpenCatalog());
  const Result<VolumeRecord> record = lab_.catalog()->GetVolume(kIndex);
  ASSERT_OK(record);
  const uint64_t floor = record->change_floor;
  ASSERT_LT(floor, record->generation.number);
  Volume volume(lab_.catalog(), *record, {});
  ASSERT_OK(volume.Attach(content.get()));
  EXPECT_EQ(volume.record().change_floor, volume.generation().number)
      << "not read anew";
  ExpectVolumeIs(&volume, lab_.fuzzer().model());
  ASSERT_OK(volume.Detach());
}

// A scan that breaks off is begun again by the next load.
TEST_P(RescanTest, AScanThatPowerEndsIsRepeated) {
  Generations(3);
  const Generation before = lab_.volume()->generation();
  lab_.Close();
  const uint64_t number = lab_.OnMedium().generation.number;
  for (uint64_t n = 1;; ++n) {
    lab_.DeleteCatalog();
    ASSERT_OK(lab_.OpenCatalog());
    lab_.file_system().CutPowerAt(n);
    const Status status = lab_.Attach();
    if (status.ok() && lab_.file_system().power()) {
      ASSERT_GT(n, 4u);
      lab_.file_system().CutPowerAt(0);
      lab_.Resume(number);
      break;
    }
    lab_.Die(static_cast<Death>(1 + n % 4), n);
    Reopen();
    ASSERT_EQ(lab_.volume()->generation().number, number);
    lab_.Resume(number);
    lab_.Check();
    ASSERT_FALSE(HasFailure()) << "cut at " << n;
    lab_.Die(Death::kKill, n);
  }
  ExpectRescanned(before, number);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RescanTest, testing::Values(1, 2, 3));

}  // namespace
}  // namespace vellum
