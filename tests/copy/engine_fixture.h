// SPDX-License-Identifier: Apache-2.0
// A primary in memory with random content and a model of it, and the copy
// engines applied to media in memory: no robot, no jobs.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "copy/atomic_copy.h"
#include "copy/backup_medium.h"
#include "copy/full_copy.h"
#include "index/snapshot.h"
#include "index/volume.h"
#include "media/borrowed_medium.h"
#include "tests/index/volume_fixture.h"
#include "tests/index/volume_model.h"
#include "tests/support/memory_medium.h"
#include "tests/support/status_matchers.h"

namespace vellum {

// Knows how much was moved at once, at most.
struct PieceMedium : BorrowedMedium {
  using BorrowedMedium::BorrowedMedium;
  Status Read(uint64_t lba, ByteSpan out) override {
    most_read = std::max(most_read, out.size());
    return BorrowedMedium::Read(lba, out);
  }
  Status WriteBy(Writer write, uint64_t lba, ConstByteSpan data) override {
    most_written = std::max(most_written, data.size());
    return BorrowedMedium::WriteBy(write, lba, data);
  }
  void Forget() { most_read = most_written = 0; }
  size_t most_read = 0;
  size_t most_written = 0;
};

class EngineTest : public testing::Test {
 protected:
  uint32_t primary_atomic_sectors_ = 1;  // of the medium that Make makes

  void Make(uint64_t sectors, uint64_t seed, FuzzOptions fuzz = {}) {
    MemoryMediumOptions options;
    options.sectors = sectors;
    options.atomic_sectors = primary_atomic_sectors_;
    primary_ = std::make_unique<MemoryMedium>(options);
    catalog_ = MemoryCatalog();
    udf::FormatOptions format;
    format.volume_id = "PRIMARY";
    const Result<udf::ControlSlot> slot = udf::FormatVolume(*primary_, format);
    ASSERT_OK(slot);
    volume_ = std::make_unique<Volume>(
        catalog_.get(), RecordFor(*primary_, *slot, 1), VolumeOptions());
    ASSERT_OK(volume_->Attach(primary_.get()));
    fuzzer_ = std::make_unique<VolumeFuzzer>(volume_.get(), seed, fuzz);
  }
  ~EngineTest() override {
    if (volume_ != nullptr && volume_->attached()) {
      EXPECT_OK(volume_->Detach());
    }
  }

  static std::unique_ptr<MemoryMedium> Target(uint64_t sectors,
                                              uint32_t atomic_sectors = 1) {
    MemoryMediumOptions options;
    options.sectors = sectors;
    options.atomic_sectors = atomic_sectors;
    options.name = "target";
    return std::make_unique<MemoryMedium>(options);
  }

  // Random operations, with a commit now and then.
  void Change(int steps) {
    for (int i = 0; i < steps; ++i) {
      fuzzer_->Step();
      if (HasFatalFailure()) FAIL() << fuzzer_->last();
      if (i % 40 == 39) {
        ASSERT_OK(volume_->Sync());
      }
    }
  }

  // A pinned generation with the source over it.
  struct Pinned {
    std::unique_ptr<VolumeSnapshot> snapshot;
    CopySource source;
    Model model;
    Generation generation() const { return source.identity.generation; }
  };
  // Makes a primary with some content and a full copy of it on `target`.
  Pinned MakeBackup(Medium* target, uint64_t sectors, uint64_t seed, int steps,
                    FuzzOptions fuzz = {}) {
    Make(sectors, seed, fuzz);
    if (!HasFatalFailure()) Change(steps);
    Pinned pinned = Pin();
    EXPECT_OK(RunFull(target, pinned.source));
    return pinned;
  }
  // The generation after some more changes, with what changed since `before`.
  Pinned PinAfter(int steps, const Generation& before) {
    Change(steps);
    return Pin(&before);
  }
  // `since`: only what changed.
  Pinned Pin(const Generation* since = nullptr, bool whole = false) {
    Pinned pinned;
    Result<std::unique_ptr<VolumeSnapshot>> snapshot = volume_->TakeSnapshot();
    EXPECT_OK(snapshot);
    pinned.snapshot = std::move(*snapshot);
    auto map = std::make_shared<const SectorMap>(
        pinned.snapshot->geometry(), pinned.snapshot->bitmap(), whole);
    RegionSet regions = map->UsedRegions();
    if (since != nullptr) {
      Result<RegionSet> changed = pinned.snapshot->ChangedSince(*since);
      EXPECT_OK(changed);
      regions = std::move(*changed);
      regions.Insert(udf::kLvidSector / kRegionSectors);
      RegionSet open;
      for (const RegionSet::Run& run : regions.Runs()) {
        for (uint64_t r = run.first; r < run.first + run.count; ++r) {
          if (map->Mask(r) != 0) open.Insert(r);
        }
      }
      regions = open;
    }
    pinned.source = SourceOf(*pinned.snapshot, map, regions);
    pinned.model = fuzzer_->model();
    return pinned;
  }

  CopyHooks Hooks() {
    CopyHooks hooks;
    hooks.counters = &counters_;
    hooks.log = [this](const std::string& line) { log_ += line + "\n"; };
    return hooks;
  }

  Status RunFull(Medium* target, const CopySource& source,
                 FullCopyOptions options = {}) {
    ASSIGN_OR_RETURN(TargetContent found, ProbeTarget(*target));
    if (options.volume_id.empty()) options.volume_id = "BACKUP";
    FullCopy copy(target, std::move(found), &source, options, Hooks());
    RETURN_IF_ERROR(copy.Begin());
    RETURN_IF_ERROR(copy.Write());
    RETURN_IF_ERROR(copy.Verify());
    return copy.Commit({});
  }

  Status RunAtomic(Medium* target, const CopySource& source,
                   AtomicCopyOptions options = {}) {
    ASSIGN_OR_RETURN(const udf::ControlSlot slot,
                     udf::ReadControlSlot(*target));
    ASSIGN_OR_RETURN(OpenedBackup opened, OpenBackup(*target, slot));
    AtomicCopy copy(target, std::move(opened), &source, options, Hooks());
    RETURN_IF_ERROR(copy.Write());
    RETURN_IF_ERROR(copy.Verify());
    const Status committed = copy.Commit({});
    images_ = copy.images();
    return committed;
  }

  // Everything that must be so of a complete backup of `pinned`.
  void ExpectBackup(Medium* target, const Pinned& pinned) {
    const Result<udf::ControlSlot> slot = udf::ReadControlSlot(*target);
    ASSERT_OK(slot);
    EXPECT_EQ(slot->role, udf::Role::kBackup);
    EXPECT_EQ(slot->state, udf::SlotState::kComplete);
    EXPECT_EQ(slot->generation, pinned.generation());
    EXPECT_EQ(slot->owner_id, "PRIMARY");
    EXPECT_EQ(FsckText(*target), "");
    EXPECT_EQ(CompareMedium(target, pinned.model), "");
    EXPECT_EQ(FirstDifference(target, pinned), "");
  }

  // The identity rule: every sector that the generation uses is equal, the
  // integrity descriptor's type and time aside.
  static std::string FirstDifference(Medium* target, const Pinned& pinned) {
    const SectorMap& map = *pinned.source.map;
    udf::Sector want, have;
    for (uint64_t s = 0; s < map.geometry().sectors; ++s) {
      if (!map.Uses(s) || s == udf::kLvidSector) continue;
      if (!pinned.snapshot->Read(s, want).ok() || !target->Read(s, have).ok() ||
          want != have) {
        return "sector " + std::to_string(s);
      }
    }
    EXPECT_TRUE(pinned.snapshot->Read(udf::kLvidSector, want).ok());
    EXPECT_TRUE(target->Read(udf::kLvidSector, have).ok());
    const auto a = udf::DecodeLvid(want);
    const auto b = udf::DecodeLvid(have);
    EXPECT_TRUE(a.ok() && b.ok() && b->lvid.closed);
    if (a->lvid.free_blocks != b->lvid.free_blocks ||
        a->lvid.next_unique_id != b->lvid.next_unique_id) {
      return "integrity descriptor";
    }
    return {};
  }

  CopyCounters counters_;
  std::string log_;
  uint64_t images_ = 0;  // of the last RunAtomic
  std::unique_ptr<MemoryMedium> primary_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Volume> volume_;
  std::unique_ptr<VolumeFuzzer> fuzzer_;
};

}  // namespace vellum
