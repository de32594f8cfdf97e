// SPDX-License-Identifier: Apache-2.0
// A patched volume is loaded, read, changed, committed and unloaded, as the
// daemon does it: by a library that never saw it, or by one whose catalog knows
// it from before the damage.
#include "index/volume.h"
#include "media/udf/bytes.h"
#include "media/udf/format.h"
#include "tests/fuzz/base_volume.h"
#include "tests/fuzz/targets.h"
#include "tests/fuzz/use_volume.h"
#include "tests/index/volume_fixture.h"

namespace vellum::fuzz {

void RunAttach(ConstByteSpan data) {
  Input input(data);
  const uint8_t kind = input.Byte();
  const bool cut = (kind & 3) == 3;
  const BaseVolume& base = cut ? LargerBase() : Base();
  const MemoryMedium& good = (kind & 1) != 0   ? *base.pending
                             : (kind & 2) != 0 ? *base.backup
                                               : *base.clean;
  const bool known = (kind & 4) != 0;
  const bool protect = (kind & 8) != 0;
  const uint16_t sectors = cut ? input.Word() : 0;
  Bytes operations(size_t{kind} >> 4);
  for (std::byte& operation : operations) operation = std::byte{input.Byte()};

  const Place place = NewPlace();
  std::unique_ptr<MemoryMedium> medium = good.Clone();
  const Result<udf::ControlSlot> before = udf::ReadControlSlot(*medium);
  VELLUM_CHECK(before.ok());
  Volume volume(place.catalog, RecordFor(*before, base.geometry, place.index),
                {});
  if (known) {
    VELLUM_CHECK(volume.Attach(medium.get()).ok() && volume.Detach().ok());
  }
  ApplyPatches(&input, base.places, medium.get());
  if (cut) medium = CutOff(*medium, sectors);
  medium->SetWriteProtected(protect);
  const Status attached = volume.Attach(medium.get());
  CheckReported(attached);
  if (!attached.ok()) return;
  UseVolume(&volume, operations);
}

std::vector<Bytes> AttachSeeds() {
  std::vector<Bytes> seeds;
  for (uint8_t kind : {0x00, 0x01, 0x02, 0x06, 0x08, 0x0C, 0xC0, 0xC4}) {
    Bytes seed = {std::byte{kind}};
    for (uint8_t i = 0; i < kind >> 4; ++i) {
      seed.push_back(std::byte(static_cast<uint8_t>(i * 13)));
    }
    seeds.push_back(seed);
  }
  // The end is missing.
  for (uint8_t sectors : {0, 1, 200, 255}) {
    for (uint8_t kind : {0x03, 0x07}) {
      seeds.push_back({std::byte{kind}, std::byte{sectors}, std::byte{3}});
    }
  }
  // Damage to each place, under every operation.
  for (uint8_t place = 0; place < Base().places.interesting.size(); ++place) {
    Bytes seed = {std::byte{0xC4}};
    for (uint8_t i = 0; i < 12; ++i) {
      seed.push_back(std::byte(static_cast<uint8_t>(i * 13)));
    }
    AppendPatch(place, true, place % 2 == 0 ? 30 : 216,
                udf::AsBytes("\xFF\xFF\xFF\xFF"), &seed);
    seeds.push_back(seed);
  }
  return seeds;
}

}  // namespace vellum::fuzz
