// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/ring_volume.h"

#include "media/udf/bytes.h"
#include "media/udf/control.h"
#include "media/udf/format.h"
#include "media/udf/journal.h"
#include "tests/fuzz/checked.h"

namespace vellum::fuzz {
namespace {

udf::SectorImages Images(MemoryMedium* medium, const udf::Geometry& g,
                         uint32_t count) {
  udf::SectorImages images;
  const auto lvid = std::make_shared<udf::Sector>();
  Check(medium->Read(udf::kLvidSector, *lvid));
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

}  // namespace

RingVolume MakeRingVolume(const std::string& volume_id) {
  RingVolume rings;
  MemoryMedium medium(udf::kMinVolumeSectors);
  medium.AbortOutside();
  udf::FormatOptions format;
  format.volume_id = volume_id;
  const Result<udf::ControlSlot> slot = udf::FormatVolume(medium, format);
  Check(slot.status());
  const udf::Geometry g = udf::ReadDescription(medium)->geometry;
  rings.geometry = g;
  Check(udf::AppendControlLog(medium, g, std::make_unique<uint64_t>(0).get(),
                              {{{1, 2}, "{\"job\":1}"}, {{3, 4}, "{}"}}));
  udf::Journal journal(&medium, g, 1, g.ring_first);
  udf::Sector lvid;
  Check(medium.Read(udf::kLvidSector, lvid));
  const auto write = [&](uint32_t count, const udf::Spill& spill) {
    udf::Record record;
    record.header.format_uuid = slot->format_uuid;
    record.header.epoch = slot->epoch;
    record.header.generation = {slot->generation.lineage,
                                journal.next_sequence()};
    record.header.lvid_before = record.header.lvid_after = udf::Crc32c(lvid);
    record.images = Images(&medium, g, count);
    Check(journal.Write(&record, spill));
  };
  write(1, {});
  write(5, {});
  rings.in_ring = medium.Clone();
  const uint64_t free = g.Sector(1024);
  write(300, {{free, 100}, {free + 200, 1}, {free + 300, 300}});
  rings.spilled = medium.Clone();
  std::vector<uint64_t>& list = rings.places.interesting;
  list = {
      udf::kSlotASector, udf::kSlotBSector, udf::kLvidSector, g.log_first, free,
      free + 1,          free + 2,          free + 200};
  for (uint64_t i = 0; i < 4; ++i) {
    for (uint64_t j = 0; j < 3; ++j) {
      list.push_back(g.ring_first + i * kRegionSectors + j);
    }
  }
  list.push_back(g.ring_first + g.ring_sectors - kRegionSectors);
  rings.places.ring = {g.ring_first, g.ring_sectors};
  return rings;
}

}  // namespace vellum::fuzz
