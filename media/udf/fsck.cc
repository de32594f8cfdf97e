// SPDX-License-Identifier: Apache-2.0
#include "media/udf/fsck.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "media/borrowed_medium.h"
#include "media/udf/allocator.h"
#include "media/udf/bytes.h"
#include "media/udf/codec.h"
#include "media/udf/descriptors.h"
#include "media/udf/fsck_tree.h"
#include "media/udf/journal.h"
#include "media/udf/reader.h"
#include "media/udf/sector_io.h"
#include "media/udf/slot_places.h"
#include "media/udf/tag.h"

namespace vellum::udf {
namespace {

class VolumeCheck {
 public:
  VolumeCheck(Medium* medium, const FsckOptions& options)
      : medium_(medium), options_(options), findings_(&report_) {}

  Result<FsckReport> Run() {
    ASSIGN_OR_RETURN(description_, ReadDescription(*medium_));
    CheckDescriptors();
    CheckSlot();
    Replay();
    CheckFileSet();
    CheckTree();
    return std::move(report_);
  }

 private:
  const Geometry& geometry() const { return description_.geometry; }

  // The sector, or nullopt after a finding.
  std::optional<Sector> Read(Medium& medium, uint64_t lba) {
    Result<Sector> sector = ReadSector(medium, lba);
    if (sector.ok()) return *sector;
    findings_.Add(lba, sector.error().message);
    return std::nullopt;
  }

  void ExpectSector(uint64_t lba, const Sector& expected,
                    const std::string& what) {
    const std::optional<Sector> sector = Read(*medium_, lba);
    if (sector && *sector != expected) {
      findings_.Add(lba, what + " is not as format writes it");
    }
  }

  // Everything that format writes once is known to the byte, but for the time.
  void CheckDescriptors();
  void CheckVds(uint32_t first, const char* which);
  void CheckSlot();
  // Makes view_ what the volume is after a replay.
  void Replay();
  void CheckFileSet();
  void CheckTree();
  void CheckLvid(const TreeCheck& tree);
  void CheckBitmap(const std::vector<bool>& used);

  Medium* const medium_;
  const FsckOptions options_;
  FsckReport report_;
  Findings findings_;
  VolumeDescription description_;
  bool slot_valid_ = false;
  std::unique_ptr<Medium> view_;
};

void VolumeCheck::CheckDescriptors() {
  const std::array<Sector, 3> recognition = EncodeRecognitionSequence();
  for (uint32_t i = 0; i < recognition.size(); ++i) {
    ExpectSector(kRecognitionSector + i, recognition[i],
                 "volume recognition sequence");
  }
  ExpectSector(kRecognitionSector + 3, Sector{},
               "sector behind the volume recognition sequence");
  for (const uint64_t at : {uint64_t{kAnchorSector}, geometry().sectors - 257,
                            geometry().sectors - 1}) {
    ExpectSector(at, EncodeAnchor(geometry(), static_cast<uint32_t>(at)),
                 fmt::format("anchor at {}", at));
  }
  CheckVds(kMainVdsSector, "main");
  CheckVds(static_cast<uint32_t>(geometry().reserve_vds()), "reserve");
  Sector terminator{};
  StoreTerminator(terminator, kLvidSector + 1);
  ExpectSector(kLvidSector + 1, terminator,
               "terminator of the integrity sequence");
}

void VolumeCheck::CheckVds(uint32_t first, const char* which) {
  const std::optional<Sector> primary = Read(*medium_, first);
  if (!primary) return;
  const std::vector<Sector> expected =
      EncodeVds(description_, LoadTimestamp(*primary, 376), first);
  for (uint32_t i = 0; i < expected.size(); ++i) {
    ExpectSector(first + i, expected[i],
                 fmt::format("descriptor {} of the {} sequence", i, which));
  }
}

void VolumeCheck::CheckSlot() {
  Result<ControlSlot> slot = ReadControlSlot(*medium_);
  if (!slot.ok()) {
    findings_.Add(kSlotASector,
                  fmt::format("control slots: {}", slot.error().message));
    return;
  }
  report_.slot = *slot;
  slot_valid_ = true;
  if (slot->format_uuid != description_.format_uuid) {
    findings_.Add(kSlotASector,
                  fmt::format("control slot is of format {}, the volume of {}",
                              slot->format_uuid, description_.format_uuid));
    slot_valid_ = false;
  }
  if (slot->state == SlotState::kIncomplete) {
    findings_.Add(kSlotASector, "the backup is incomplete");
  }
  findings_.AddIfError(kSlotASector, CheckVolumeId(slot->volume_id));
  findings_.AddIfError(kSlotASector, CheckSlotPlaces(*medium_));
}

void VolumeCheck::Replay() {
  SectorImages images;
  if (slot_valid_) {
    Result<ReplayPlan> plan = PlanReplay(*medium_, geometry(), report_.slot);
    if (!plan.ok()) {
      findings_.Add(geometry().ring_first, plan.error().message);
    } else if (plan->result.outcome == ReplayOutcome::kForeign) {
      findings_.Add(kLvidSector,
                    fmt::format("integrity descriptor is none that leads to "
                                "generation {}: another system wrote it",
                                ToString(plan->result.generation)));
    } else {
      images = std::move(plan->images);
      report_.replay_pending = !images.empty();
    }
  }
  view_ = std::make_unique<ReplayedMedium>(
      std::make_unique<BorrowedMedium>(medium_), std::move(images));
}

void VolumeCheck::CheckFileSet() {
  const std::optional<Sector> file_set =
      Read(*view_, geometry().Sector(kFileSetBlock));
  if (file_set) {
    ExpectSector(geometry().Sector(kFileSetBlock),
                 EncodeFileSet(description_, LoadTimestamp(*file_set, 16)),
                 "file set descriptor");
  }
  Sector terminator{};
  StoreTerminator(terminator, kFileSetTerminatorBlock);
  ExpectSector(geometry().Sector(kFileSetTerminatorBlock), terminator,
               "terminator of the file set");
}

void VolumeCheck::CheckTree() {
  Result<std::unique_ptr<Reader>> reader = Reader::Open(view_.get());
  if (!reader.ok()) {
    findings_.Add(0, reader.error().message);
    return;
  }
  TreeCheck tree(**reader, view_.get(), options_.check_data, &report_,
                 &findings_);
  tree.Run();
  CheckBitmap(tree.used());
  CheckLvid(tree);
}

void VolumeCheck::CheckBitmap(const std::vector<bool>& used) {
  Result<Bytes> bitmap = ReadBitmap(*view_, geometry());
  if (!bitmap.ok()) {
    findings_.Add(geometry().Sector(kBitmapBlock), bitmap.error().message);
    return;
  }
  // Differences of one kind that stand together are one finding.
  uint32_t run = 0;
  bool run_used = false;
  for (uint32_t block = 0; block <= used.size(); ++block) {
    const bool last = block == used.size();
    const bool is_free = !last && BitmapIsFree(*bitmap, block);
    if (!last) ++(is_free ? report_.free_blocks : report_.used_blocks);
    const bool differs = !last && is_free == used[block];
    if (run > 0 && (!differs || used[block] != run_used)) {
      const uint32_t first = block - run;
      findings_.Add(
          geometry().Sector(first),
          run_used ? fmt::format("blocks {}+{} are in use, but free in the "
                                 "bitmap",
                                 first, run)
                   : fmt::format("blocks {}+{} are marked used, but nothing "
                                 "uses them",
                                 first, run));
      run = 0;
    }
    if (differs) {
      run_used = used[block];
      ++run;
    }
  }
}

void VolumeCheck::CheckLvid(const TreeCheck& tree) {
  const std::optional<Sector> sector = Read(*view_, kLvidSector);
  if (!sector) return;
  const Result<DecodedLvid> decoded = DecodeLvid(*sector);
  if (!decoded.ok()) {
    findings_.Add(kLvidSector, decoded.error().message);
    return;
  }
  if (decoded->foreign) {
    findings_.Add(kLvidSector,
                  "integrity descriptor was written by another system");
  }
  const Lvid& lvid = decoded->lvid;
  const auto expect = [this](const char* what, uint64_t says, uint64_t is) {
    if (says == is) return;
    findings_.Add(kLvidSector,
                  fmt::format("integrity descriptor says {} {}, there are {}",
                              says, what, is));
  };
  expect("files", lvid.files, tree.file_names());
  expect("directories", lvid.directories, report_.directories);
  expect("free blocks", lvid.free_blocks, report_.free_blocks);
  expect("blocks", lvid.partition_blocks, geometry().partition_blocks);
  if (lvid.next_unique_id <= tree.largest_unique_id() ||
      lvid.next_unique_id < 16) {
    findings_.Add(kLvidSector,
                  fmt::format("next unique id is {}, but {} is in use",
                              lvid.next_unique_id, tree.largest_unique_id()));
  }
}

}  // namespace

Result<FsckReport> CheckVolume(Medium& medium, const FsckOptions& options) {
  return VolumeCheck(&medium, options).Run();
}

}  // namespace vellum::udf
