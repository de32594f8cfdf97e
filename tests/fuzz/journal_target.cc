// SPDX-License-Identifier: Apache-2.0
// Control slots, ring and control log: patched records in the ring and in free
// blocks, or sectors of raw bytes.
#include "media/udf/bytes.h"
#include "media/udf/control.h"
#include "media/udf/format.h"
#include "media/udf/journal.h"
#include "tests/fuzz/patches.h"
#include "tests/fuzz/targets.h"

namespace vellum::fuzz {
namespace {

struct Rings {
  std::unique_ptr<MemoryMedium> in_ring;
  std::unique_ptr<MemoryMedium> spilled;
  udf::Geometry geometry;
  PatchPlaces places;
};

void CheckJournal(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "journal target: %s\n", status.ToString().c_str());
  std::abort();
}

udf::SectorImages Images(MemoryMedium* medium, const udf::Geometry& g,
                         uint32_t count) {
  udf::SectorImages images;
  const auto lvid = std::make_shared<udf::Sector>();
  CheckJournal(medium->Read(udf::kLvidSector, *lvid));
  images.emplace(udf::kLvidSector, lvid);
  for (uint32_t i = 0; i < count; ++i) {
    const auto image = std::make_shared<udf::Sector>();
    image->fill(std::byte(static_cast<uint8_t>(i)));
    // One that has to be escaped.
    if (i == 1) udf::StoreBytes(*image, 0, udf::AsBytes("VELLUMRJ"));
    images.emplace(g.Sector(g.first_free_block + i), image);
  }
  return images;
}

const Rings& TheRings() {
  static const Rings kRings = [] {
    Rings rings;
    MemoryMedium medium(udf::kMinVolumeSectors);
    medium.AbortOutside();
    udf::FormatOptions format;
    format.volume_id = "RING";
    const Result<udf::ControlSlot> slot = udf::FormatVolume(medium, format);
    CheckJournal(slot.status());
    const udf::Geometry g = udf::ReadDescription(medium)->geometry;
    rings.geometry = g;
    CheckJournal(
        udf::AppendControlLog(medium, g, std::make_unique<uint64_t>(0).get(),
                              {{{1, 2}, "{\"job\":1}"}, {{3, 4}, "{}"}}));
    udf::Journal journal(&medium, g, 1, g.ring_first);
    udf::Sector lvid;
    CheckJournal(medium.Read(udf::kLvidSector, lvid));
    const auto write = [&](uint32_t count, const udf::Spill& spill) {
      udf::Record record;
      record.header.format_uuid = slot->format_uuid;
      record.header.epoch = slot->epoch;
      record.header.generation = {slot->generation.lineage,
                                  journal.next_sequence()};
      record.header.lvid_before = record.header.lvid_after = udf::Crc32c(lvid);
      record.images = Images(&medium, g, count);
      CheckJournal(journal.Write(&record, spill));
    };
    write(1, {});
    write(5, {});
    rings.in_ring = medium.Clone();
    const uint64_t free = g.Sector(1024);
    write(300, {{free, 100}, {free + 200, 1}, {free + 300, 300}});
    rings.spilled = medium.Clone();
    std::vector<uint64_t>& list = rings.places.interesting;
    list = {udf::kSlotASector,
            udf::kSlotBSector,
            udf::kLvidSector,
            g.log_first,
            free,
            free + 1,
            free + 2,
            free + 200};
    for (uint64_t i = 0; i < 4; ++i) {
      for (uint64_t j = 0; j < 3; ++j) {
        list.push_back(g.ring_first + i * kRegionSectors + j);
      }
    }
    list.push_back(g.ring_first + g.ring_sectors - kRegionSectors);
    rings.places.ring = {g.ring_first, g.ring_sectors};
    return rings;
  }();
  return kRings;
}

}  // namespace

void RunJournal(ConstByteSpan data) {
  Input input(data);
  const Rings& rings = TheRings();
  const udf::Geometry& g = rings.geometry;
  const uint8_t kind = input.Byte();
  std::unique_ptr<MemoryMedium> medium =
      (kind & 1) != 0 ? rings.spilled->Clone() : rings.in_ring->Clone();
  medium->SetWriteProtected(true);
  if ((kind & 2) != 0) {
    // Raw bytes over a slot and the first record.
    const ConstByteSpan slot = input.Take(300);
    medium->Poke(uint64_t{udf::kSlotASector} * kSectorSize, slot);
    medium->Poke(uint64_t{g.ring_first} * kSectorSize,
                 input.Take(size_t{4} * kSectorSize));
  } else {
    ApplyPatches(&input, rings.places, medium.get());
  }
  CheckLocated(udf::ReadControlLog(*medium, g).status());
  const Result<udf::ControlSlot> slot = udf::ReadControlSlot(*medium);
  CheckLocated(slot.status());
  if (!slot.ok()) return;
  const Result<udf::ScanResult> scan = udf::ScanRing(*medium, g, *slot);
  CheckLocated(scan.status());
  if (scan.ok()) {
    VELLUM_CHECK(scan->next_sector >= g.ring_first &&
                 scan->next_sector < g.ring_first + g.ring_sectors);
    VELLUM_CHECK(scan->next_sequence > 0);
  }
  // Then the replay, for good.
  medium->SetWriteProtected(false);
  const Result<udf::ReplayResult> replay =
      udf::ReplayJournal(*medium, g, *slot);
  CheckLocated(replay.status());
  if (!replay.ok()) return;
  // What follows on it finds its way back.
  udf::ControlSlot next = *slot;
  CheckLocated(udf::WriteControlSlot(*medium, &next));
  const Result<udf::ControlSlot> again = udf::ReadControlSlot(*medium);
  VELLUM_CHECK(again.ok() && again->epoch == next.epoch);
}

std::vector<Bytes> JournalSeeds() {
  std::vector<Bytes> seeds;
  for (uint8_t base : {uint8_t{0}, uint8_t{1}}) {
    seeds.push_back({std::byte{base}});
    for (uint8_t place = 0; place < TheRings().places.interesting.size();
         ++place) {
      Bytes seed = {std::byte{base}};
      // A count that is too large, then a sector number.
      AppendPatch(place, true, 92, udf::AsBytes("\xFF"), &seed);
      AppendPatch(place, true, 8, udf::AsBytes("\x20\x01"), &seed);
      seeds.push_back(seed);
    }
  }
  return seeds;
}

}  // namespace vellum::fuzz
