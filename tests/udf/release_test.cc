// SPDX-License-Identifier: Apache-2.0
#include "media/udf/release.h"

#include <gtest/gtest.h>

#include "media/udf/bytes.h"
#include "media/udf/control.h"
#include "media/udf/descriptors.h"
#include "media/udf/format.h"
#include "media/udf/reader.h"
#include "media/udf/tag.h"
#include "tests/support/crash_medium.h"
#include "tests/support/memory_medium.h"
#include "tests/support/status_matchers.h"

namespace vellum::udf {
namespace {

FormatOptions Options() {
  FormatOptions options;
  options.volume_id = "GIVEN";
  return options;
}

// What keeps other systems from writing, in one sequence: the access type of
// the partition, the flags of the domain.
struct Guards {
  uint32_t access = 0;
  uint8_t domain = 0;
  bool operator==(const Guards&) const = default;
};
Guards GuardsIn(Medium& medium, uint64_t first) {
  Guards guards;
  for (uint64_t at = first; at < first + kVdsSectors; ++at) {
    Sector sector;
    EXPECT_OK(medium.Read(at, sector));
    if (TagIdOf(sector) == kTagPartition) guards.access = Load32(sector, 184);
    if (TagIdOf(sector) == kTagLogicalVolume) {
      guards.domain = Load8(sector, 216 + 26);
    }
  }
  return guards;
}

TEST(ReleaseVolume, LetsOtherSystemsWrite) {
  MemoryMedium medium(4096);
  ASSERT_OK(FormatVolume(medium, Options()));
  ASSERT_OK_AND_ASSIGN(const Geometry geometry, ComputeGeometry(4096));
  const uint64_t reserve = geometry.reserve_vds();
  EXPECT_EQ(GuardsIn(medium, kMainVdsSector), (Guards{1, 2}));
  ASSERT_OK(ReleaseVolume(medium));
  EXPECT_EQ(GuardsIn(medium, kMainVdsSector), (Guards{4, 0}));
  EXPECT_EQ(GuardsIn(medium, reserve), (Guards{4, 0}));
  Sector file_set;
  ASSERT_OK(medium.Read(geometry.Sector(kFileSetBlock), file_set));
  EXPECT_OK(CheckFileSet(file_set, geometry));
  EXPECT_EQ(Load8(file_set, 416 + 26), 0);
  // Whole for everybody, and nobody's.
  EXPECT_OK(Reader::Open(&medium));
  ASSERT_OK_AND_ASSIGN(const MediumContent content, ProbeMedium(medium));
  EXPECT_EQ(content, MediumContent::kForeign);
  EXPECT_FALSE(ReleaseVolume(medium).ok());
}

TEST(ReleaseVolume, RefusesAVolumeThatIsInUse) {
  MemoryMedium medium(4096);
  ASSERT_OK_AND_ASSIGN(ControlSlot slot, FormatVolume(medium, Options()));
  slot.state = SlotState::kInUse;
  ASSERT_OK(WriteControlSlot(medium, &slot));
  EXPECT_THAT(ReleaseVolume(medium), HasErrc(Errc::kInvalidArgument));
  EXPECT_EQ(GuardsIn(medium, kMainVdsSector), (Guards{1, 2}));
}

TEST(ReleaseVolume, APowerCutLeavesAVolume) {
  MemoryMedium base(4096);
  ASSERT_OK(FormatVolume(base, Options()));
  CrashMedium medium(base);
  ASSERT_OK(ReleaseVolume(medium));
  int ours = 0;
  int released = 0;
  for (size_t k = 0; k <= medium.EventCount(); ++k) {
    for (const Unflushed unflushed :
         {Unflushed::kKept, Unflushed::kLost, Unflushed::kReordered,
          Unflushed::kTorn}) {
      CrashOptions crash;
      crash.unflushed = unflushed;
      crash.seed = k * 4 + static_cast<uint64_t>(unflushed);
      const auto after = medium.ContentAfterCrash(k, crash);
      ASSERT_OK_AND_ASSIGN(const auto reader, Reader::Open(after.get()));
      ASSERT_OK_AND_ASSIGN(const FileEntry root,
                           reader->ReadEntry(reader->root_block()));
      EXPECT_OK(reader->ReadDirectory(root)) << "event " << k;
      if (ReadControlSlot(*after).ok()) {
        ++ours;
        ASSERT_OK(ReleaseVolume(*after)) << "event " << k;
      } else {
        ++released;
      }
      EXPECT_EQ(GuardsIn(*after, kMainVdsSector), (Guards{4, 0}));
    }
  }
  EXPECT_GT(ours, 0);
  EXPECT_GT(released, 0);
}

}  // namespace
}  // namespace vellum::udf
