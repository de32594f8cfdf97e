// SPDX-License-Identifier: Apache-2.0
// Control slots, ring and control log: patched records in the ring and in free
// blocks, or sectors of raw bytes.
#include "media/udf/bytes.h"
#include "media/udf/control.h"
#include "media/udf/format.h"
#include "media/udf/journal.h"
#include "tests/fuzz/patches.h"
#include "tests/fuzz/ring_volume.h"
#include "tests/fuzz/targets.h"

namespace vellum::fuzz {
namespace {

const RingVolume& TheRings() {
  static const RingVolume kRings = MakeRingVolume("RING");
  return kRings;
}

}  // namespace

void RunJournal(ConstByteSpan data) {
  Input input(data);
  const RingVolume& rings = TheRings();
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
  CheckReported(udf::ReadControlLog(*medium, g).status());
  const Result<udf::ControlSlot> slot = udf::ReadControlSlot(*medium);
  CheckReported(slot.status());
  if (!slot.ok()) return;
  const Result<udf::ScanResult> scan = udf::ScanRing(*medium, g, *slot);
  CheckReported(scan.status());
  if (scan.ok()) {
    VELLUM_CHECK(scan->next_sector >= g.ring_first &&
                 scan->next_sector < g.ring_first + g.ring_sectors);
    VELLUM_CHECK(scan->next_sequence > 0);
  }
  // Then the replay, for good.
  medium->SetWriteProtected(false);
  const Result<udf::ReplayResult> replay =
      udf::ReplayJournal(*medium, g, *slot);
  CheckReported(replay.status());
  if (!replay.ok()) return;
  // What follows on it finds its way back.
  udf::ControlSlot next = *slot;
  CheckReported(udf::WriteControlSlot(*medium, &next));
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
