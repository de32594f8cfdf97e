// SPDX-License-Identifier: Apache-2.0
// Power cuts during copies: at every event (behind a recovery at some), with
// what was not flushed kept, lost, reordered or torn, and with whole atomic
// units destroyed. A backup is the old or the new generation, never anything
// else.
#include <fmt/format.h>

#include "media/udf/slot_places.h"
#include "tests/copy/engine_fixture.h"
#include "tests/support/crash_medium.h"
#include "tests/support/environment.h"

namespace vellum {
namespace {

struct Weather {
  const char* name;
  CrashOptions options;
};

std::vector<Weather> Weathers(uint32_t atomic) {
  std::vector<Weather> all;
  for (const Unflushed unflushed : {Unflushed::kKept, Unflushed::kLost,
                                    Unflushed::kReordered, Unflushed::kTorn}) {
    CrashOptions options;
    options.unflushed = unflushed;
    all.push_back({"unflushed", options});
    if (atomic > 1) {
      options.destroy_unit = true;
      all.push_back({"unit destroyed", options});
      options.destroyed_unreadable = true;
      all.push_back({"unit unreadable", options});
    }
  }
  return all;
}

class CopyFaultTest : public EngineTest,
                      public testing::WithParamInterface<uint32_t> {
 protected:
  // From media of one kind onto media of the same kind.
  void SetUp() override { primary_atomic_sectors_ = GetParam(); }

  // What a daemon does when it meets the backup again.
  static Result<Generation> Recover(MemoryMedium& medium) {
    ASSIGN_OR_RETURN(const udf::ControlSlot slot, udf::ReadControlSlot(medium));
    if (slot.state != udf::SlotState::kComplete) {
      return Error{Errc::kNotReady, "incomplete"};
    }
    ASSIGN_OR_RETURN(const OpenedBackup opened, OpenBackup(medium, slot));
    return opened.generation;
  }

  std::string Check(MemoryMedium& medium, const Pinned& before,
                    const Pinned& after, bool* is_new) {
    const Result<Generation> generation = Recover(medium);
    if (!generation.ok()) return generation.error().ToString();
    *is_new = *generation == after.generation();
    // Between two lineages the old one may be forgotten, not the content.
    if (!*is_new && generation->lineage != 0 &&
        !(*generation == before.generation())) {
      return "generation " + ToString(*generation);
    }
    const Pinned& want = *is_new ? after : before;
    // A place of the slot that the power cut destroyed is a finding until the
    // next copy writes there.
    Result<udf::ControlSlot> slot = udf::ReadControlSlot(medium);
    if (!slot.ok()) return slot.error().ToString();
    std::string repaired;
    const Status places = udf::RepairSlotPlaces(medium, &*slot, &repaired);
    if (!places.ok()) return places.error().ToString();
    if (std::string text = FsckText(medium); !text.empty()) return text;
    if (std::string text = CompareMedium(&medium, want.model, &facts_);
        !text.empty()) {
      return text;
    }
    return FirstDifference(&medium, want);
  }

  // Cuts the power at every event of what `medium` has recorded.
  void CutEverywhere(const CrashMedium& medium, const Pinned& before,
                     const Pinned& after) {
    size_t old_count = 0, new_count = 0;
    for (const Weather& weather : Weathers(GetParam())) {
      for (size_t k = 0; k <= medium.EventCount(); ++k) {
        CrashOptions options = weather.options;
        options.seed = k * 31 + 7;
        const auto found = medium.ContentAfterCrash(k, options);
        bool is_new = false;
        const std::string wrong = Check(*found, before, after, &is_new);
        ASSERT_EQ(wrong, "")
            << weather.name << " mode "
            << static_cast<int>(weather.options.unflushed) << ", event " << k
            << " of " << medium.EventCount() << (is_new ? " (new)" : " (old)");
        ++(is_new ? new_count : old_count);
      }
    }
    fmt::print("{} power cuts at {} events: {} old, {} new generations\n",
               old_count + new_count, medium.EventCount(), old_count,
               new_count);
    EXPECT_GT(old_count, 0u);
    EXPECT_GT(new_count, 0u);
  }

  TreeFacts facts_;  // of all that was recovered
};

TEST_P(CopyFaultTest, X2_IncrementalCopyIsAtomic) {
  auto target = Target(8192, GetParam());
  FuzzOptions fuzz;
  fuzz.max_chains = 2;
  const Pinned first = MakeBackup(target.get(), 8192, 21, 100, fuzz);
  const Pinned next = PinAfter(25, first.generation());
  CrashMedium medium(*target);
  ASSERT_OK(RunAtomic(&medium, next.source));
  EXPECT_GT(images_, 0u);
  CutEverywhere(medium, first, next);
  EXPECT_GT(facts_.chains, 0u);
}

TEST_P(CopyFaultTest, AtomicFullCopyToAnotherLineageIsAtomic) {
  auto target = Target(8192, GetParam());
  const Pinned first = MakeBackup(target.get(), 8192, 22, 80);
  Change(40);
  Pinned next = Pin();
  next.source.identity.generation = {udf::NewLineage(), 3};
  CrashMedium medium(*target);
  ASSERT_OK(RunAtomic(&medium, next.source));
  EXPECT_GT(images_, 0u);
  CutEverywhere(medium, first, next);
}

TEST_P(CopyFaultTest, SpilledCommitIsAtomic) {
  FuzzOptions fuzz;
  fuzz.max_nodes = 600;
  fuzz.max_file_bytes = 3000;
  fuzz.touch_all = true;
  auto target = Target(16384, GetParam());
  const Pinned first = MakeBackup(target.get(), 16384, 23, 500, fuzz);
  const udf::Journal journal(target.get(), first.source.map->geometry(), 1,
                             udf::kRingSector);
  uint64_t images = 0;
  for (int i = 0; i < 40 && !journal.NeedsSpill(images); ++i) {
    const Pinned next = PinAfter(25, first.generation());
    CrashMedium medium(*target);
    ASSERT_OK(RunAtomic(&medium, next.source));
    images = images_;
    if (journal.NeedsSpill(images)) {
      CutEverywhere(medium, first, next);
    }
  }
  EXPECT_TRUE(journal.NeedsSpill(images)) << images;
}

// A second copy after a crash, cut again: what the first one left must not
// come back.
TEST_P(CopyFaultTest, CutsAfterARecoveryAreHarmless) {
  auto target = Target(8192, GetParam());
  const Pinned first = MakeBackup(target.get(), 8192, 24, 80);
  const Pinned second = PinAfter(20, first.generation());
  CrashMedium medium(*target);
  ASSERT_OK(RunAtomic(&medium, second.source));
  // From the oldest: right for both outcomes.
  const Pinned third = PinAfter(20, first.generation());
  const size_t events = medium.EventCount();
  for (size_t k = events / 4; k <= events; k += 1 + events / 12) {
    CrashOptions options;
    options.unflushed = Unflushed::kTorn;
    options.seed = k;
    const auto found = medium.ContentAfterCrash(k, options);
    CrashMedium again(*found);
    ASSERT_OK(RunAtomic(&again, third.source)) << k;
    for (size_t j = 0; j <= again.EventCount();
         j += 1 + again.EventCount() / 25) {
      CrashOptions nested;
      nested.unflushed = j % 2 == 0 ? Unflushed::kTorn : Unflushed::kReordered;
      nested.seed = j;
      const auto after = again.ContentAfterCrash(j, nested);
      const Result<Generation> generation = Recover(*after);
      ASSERT_OK(generation) << k << "/" << j;
      const Pinned& want = *generation == third.generation()    ? third
                           : *generation == second.generation() ? second
                                                                : first;
      ASSERT_EQ(*generation, want.generation());
      ASSERT_EQ(FsckText(*after), "") << k << "/" << j;
      ASSERT_EQ(CompareMedium(after.get(), want.model), "") << k << "/" << j;
    }
  }
}

// A full copy is not atomic, but it never passes for what it is not.
TEST_P(CopyFaultTest, BrokenFullCopyIsNeverTakenForAVolume) {
  auto target = Target(8192, GetParam());
  const Pinned first = MakeBackup(target.get(), 8192, 25, 60);
  Change(60);
  const Pinned next = Pin();
  CrashMedium medium(*target);
  ASSERT_OK(RunFull(&medium, next.source));
  size_t incomplete = 0, complete = 0;
  for (const Weather& weather : Weathers(GetParam())) {
    for (size_t k = 0; k <= medium.EventCount(); ++k) {
      CrashOptions options = weather.options;
      options.seed = k + 3;
      const auto found = medium.ContentAfterCrash(k, options);
      const Result<udf::ControlSlot> slot = udf::ReadControlSlot(*found);
      ASSERT_OK(slot) << k;
      ASSERT_EQ(slot->owner_id, "PRIMARY");
      if (slot->state == udf::SlotState::kIncomplete) {
        ++incomplete;
        continue;
      }
      ++complete;
      bool is_new = false;
      ASSERT_EQ(Check(*found, first, next, &is_new), "")
          << weather.name << " event " << k;
    }
  }
  fmt::print("{} power cuts of full copies: {} incomplete, {} complete\n",
             incomplete + complete, incomplete, complete);
  EXPECT_GT(incomplete, 0u);
  EXPECT_GT(complete, 0u);
}

// On a medium that was blank nothing of the volume is ever there without the
// name of the primary to which the backup belongs.
TEST_P(CopyFaultTest, I3_TheOwnerIsOnTheMediumBeforeAnyData) {
  auto target = Target(8192, GetParam());
  auto unused = Target(8192, GetParam());
  const Pinned first = MakeBackup(unused.get(), 8192, 27, 60);
  CrashMedium medium(*target);
  ASSERT_OK(RunFull(&medium, first.source));
  const uint32_t partition = first.source.map->geometry().partition_first;
  size_t without = 0, with = 0;
  for (const Weather& weather : Weathers(GetParam())) {
    for (size_t k = 0; k <= medium.EventCount(); ++k) {
      CrashOptions options = weather.options;
      options.seed = k + 5;
      const auto found = medium.ContentAfterCrash(k, options);
      const Result<udf::ControlSlot> slot = udf::ReadControlSlot(*found);
      if (slot.ok()) {
        ++with;
        ASSERT_EQ(slot->owner_id, "PRIMARY");
        continue;
      }
      ++without;
      // The anchors at the end are cleared first, with zeros.
      udf::Sector sector;
      for (uint64_t lba = partition; lba < 8192; ++lba) {
        ASSERT_OK(found->Read(lba, sector));
        ASSERT_EQ(std::count(sector.begin(), sector.end(), std::byte{0}),
                  static_cast<std::ptrdiff_t>(kSectorSize))
            << weather.name << " event " << k << " sector " << lba;
      }
    }
  }
  fmt::print("{} power cuts of copies to blank media: {} blank, {} named\n",
             without + with, without, with);
  EXPECT_GT(without, 0u);
  EXPECT_GT(with, 0u);
}

// The control: the same changes written straight over the backup, with no
// record. If the cuts above cannot break this, they prove nothing: with each of
// 100 seeds some cut must.
TEST_P(CopyFaultTest, CopyWithoutARecordIsBroken) {
  const std::vector<uint64_t> seeds = Seeds(100);
  uint64_t caught = 0;
  for (const uint64_t seed : seeds) {
    const bool broken = [&] {
      auto target = Target(8192, GetParam());
      const Pinned first = MakeBackup(target.get(), 8192, seed, 40);
      const Pinned next = PinAfter(25, first.generation());
      CrashMedium medium(*target);
      EXPECT_OK(PumpRegions(
          next.source.regions, 8192, {},
          [&next](RegionChunk* chunk) { return next.source.Fill(chunk); },
          [&medium](RegionChunk& chunk) {
            return medium.Write(chunk.sectors.first, chunk.data);
          }));
      for (size_t k = 1; k <= medium.EventCount(); ++k) {
        const auto found = medium.ContentAfterCrash(k);
        bool is_new = false;
        if (!Check(*found, first, next, &is_new).empty()) return true;
      }
      return false;
    }();
    EXPECT_TRUE(broken) << "seed " << seed;
    caught += broken ? 1 : 0;
    EXPECT_OK(volume_->Detach());
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
    fuzzer_.reset();
    volume_.reset();
  }
  fmt::print("copies without a record: broken with {} of {} seeds\n", caught,
             seeds.size());
}

INSTANTIATE_TEST_SUITE_P(AtomicUnits, CopyFaultTest,
                         testing::Values(1u, 16u, 32u), [](const auto& param) {
                           return fmt::format("Sectors{}", param.param);
                         });

}  // namespace
}  // namespace vellum
