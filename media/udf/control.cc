// SPDX-License-Identifier: Apache-2.0
// Control slot, one sector; the other sectors of its place are never written.
// Integers little-endian; texts without terminator, padded with zeros.
//
//   offset  bytes
//        0      8  magic "VELLUMCS"
//        8      4  format version, 1
//       12      4  CRC32C of the sector with these four bytes zero
//       16      8  epoch
//       24     32  format UUID, hex digits
//       56     32  medium UUID, hex digits
//       88     32  owner UUID, hex digits; zeros: none
//      120      1  role                121  1  state
//      122      1  length of volume id 123  1  length of owner id
//      124     32  volume id
//      156     32  owner id
//      188      4  zero
//      192      8  lineage             200  8  generation number
//      208      8  record floor        216  8  end of the control log, bytes
//      224      4  threshold, per cent 228  4  CRC32C of the LVID sector
//      232      4  ring head           236  4  time, nanoseconds
//      240      8  time, seconds
//      248         zeros to the end of the sector
#include "media/udf/control.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "media/udf/bytes.h"
#include "media/udf/codec.h"
#include "media/udf/counters.h"
#include "media/udf/format.h"
#include "media/udf/slot_error.h"
#include "media/udf/slot_places.h"
#include "media/udf/tag.h"

namespace vellum::udf {
namespace {

constexpr std::string_view kSlotMagic = "VELLUMCS";
constexpr uint32_t kSlotVersion = 1;
constexpr size_t kSlotUuidLength = 32;
constexpr size_t kIdLength = 30;
constexpr std::array<uint32_t, 2> kPlaces = {kSlotASector, kSlotBSector};

enum class PlaceState { kBlank, kInvalid, kNewer, kValid };

struct Place {
  PlaceState state = PlaceState::kBlank;
  ControlSlot slot;      // kValid
  uint32_t version = 0;  // kNewer
  Status read;           // what the device said
};

bool IsHexUuid(const std::string& text) {
  return text.size() == kSlotUuidLength &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

uint32_t SectorCrc(const Sector& sector) {
  Sector copy = sector;
  Store32(copy, 12, 0);
  return Crc32c(copy);
}

Status CheckSlot(const ControlSlot& slot) {
  const auto bad = [&slot](std::string_view what) {
    return Status(
        Errc::kInvalidArgument,
        fmt::format("control slot of volume {}: {}", slot.volume_id, what));
  };
  if (!IsHexUuid(slot.format_uuid)) return bad("format UUID is malformed");
  if (!IsHexUuid(slot.medium_uuid)) return bad("medium UUID is malformed");
  if (!slot.owner_uuid.empty() && !IsHexUuid(slot.owner_uuid)) {
    return bad("owner UUID is malformed");
  }
  RETURN_IF_ERROR(CheckVolumeId(slot.volume_id));
  if (!slot.owner_id.empty()) RETURN_IF_ERROR(CheckVolumeId(slot.owner_id));
  if (slot.time.nsec >= 1'000'000'000) return bad("time is malformed");
  if (std::max({slot.epoch, slot.record_floor, slot.generation.number}) >=
      kCounterLimit) {
    return bad("a counter is out of range");
  }
  return Status::Ok();
}

Sector EncodeSlot(const ControlSlot& slot) {
  Sector out{};
  StoreBytes(out, 0, AsBytes(kSlotMagic));
  Store32(out, 8, kSlotVersion);
  Store64(out, 16, slot.epoch);
  StoreBytes(out, 24, AsBytes(slot.format_uuid));
  StoreBytes(out, 56, AsBytes(slot.medium_uuid));
  StoreBytes(out, 88, AsBytes(slot.owner_uuid));
  Store8(out, 120, static_cast<uint8_t>(slot.role));
  Store8(out, 121, static_cast<uint8_t>(slot.state));
  Store8(out, 122, static_cast<uint8_t>(slot.volume_id.size()));
  Store8(out, 123, static_cast<uint8_t>(slot.owner_id.size()));
  StoreBytes(out, 124, AsBytes(slot.volume_id));
  StoreBytes(out, 156, AsBytes(slot.owner_id));
  Store64(out, 192, slot.generation.lineage);
  Store64(out, 200, slot.generation.number);
  Store64(out, 208, slot.record_floor);
  Store64(out, 216, slot.log_end);
  Store32(out, 224, slot.threshold);
  Store32(out, 228, slot.lvid_crc);
  Store32(out, 232, slot.ring_head);
  Store32(out, 236, slot.time.nsec);
  Store64(out, 240, static_cast<uint64_t>(slot.time.sec));
  Store32(out, 12, SectorCrc(out));
  return out;
}

// nullopt: the values are none that a writer of this version makes.
std::optional<ControlSlot> DecodeSlot(const Sector& sector) {
  const ConstByteSpan in = sector;
  const uint8_t role = Load8(in, 120);
  const uint8_t state = Load8(in, 121);
  const size_t volume_length = Load8(in, 122);
  const size_t owner_length = Load8(in, 123);
  if (role < 1 || role > 2 || state < 1 || state > 6 ||
      volume_length > kIdLength || owner_length > kIdLength) {
    return std::nullopt;
  }
  ControlSlot slot;
  slot.epoch = Load64(in, 16);
  slot.format_uuid = ToText(in.subspan(24, kSlotUuidLength));
  slot.medium_uuid = ToText(in.subspan(56, kSlotUuidLength));
  if (Load8(in, 88) != 0)
    slot.owner_uuid = ToText(in.subspan(88, kSlotUuidLength));
  slot.role = static_cast<Role>(role);
  slot.state = static_cast<SlotState>(state);
  slot.volume_id = ToText(in.subspan(124, volume_length));
  slot.owner_id = ToText(in.subspan(156, owner_length));
  slot.generation = {Load64(in, 192), Load64(in, 200)};
  slot.record_floor = Load64(in, 208);
  slot.log_end = Load64(in, 216);
  slot.threshold = Load32(in, 224);
  slot.lvid_crc = Load32(in, 228);
  slot.ring_head = Load32(in, 232);
  slot.time = {static_cast<int64_t>(Load64(in, 240)), Load32(in, 236)};
  if (!CheckSlot(slot).ok()) return std::nullopt;
  return slot;
}

Place ReadPlace(Medium& medium, uint32_t sector_number) {
  Place place;
  Sector sector{};
  place.read = medium.Read(sector_number, sector);
  // One sector decides which of two states of the volume counts: an error that
  // passes must not bring the older one back.
  if (place.read.Is(Errc::kDeviceError)) {
    place.read = medium.Read(sector_number, sector);
  }
  if (!place.read.ok()) {
    place.state = PlaceState::kInvalid;
    return place;
  }
  const ConstByteSpan in = sector;
  if (ToText(in.first(kSlotMagic.size())) != kSlotMagic) return place;
  place.state = PlaceState::kInvalid;
  if (Load32(in, 12) != SectorCrc(sector)) return place;
  // Magic, version and CRC stand where they are in every version.
  place.version = Load32(in, 8);
  if (place.version > kSlotVersion) {
    place.state = PlaceState::kNewer;
  } else if (std::optional<ControlSlot> slot = DecodeSlot(sector)) {
    place.state = PlaceState::kValid;
    place.slot = std::move(*slot);
  }
  return place;
}

// A device that is gone or not ready says nothing about the slot.
Status FatalReadError(const std::array<Place, 2>& places) {
  for (const Place& place : places) {
    if (!place.read.ok() && !place.read.Is(Errc::kDeviceError)) {
      return place.read.WithContext("control slot");
    }
  }
  return Status::Ok();
}

std::array<Place, 2> ReadPlaces(Medium& medium) {
  return {ReadPlace(medium, kPlaces[0]), ReadPlace(medium, kPlaces[1])};
}

// A slot that was written where nothing could be read before may be lost there:
// the other one would go on to count, and what is written after it would be
// taken for something older, or for another system's.
Status CheckReadsBack(Medium& medium, size_t place, const ControlSlot& slot) {
  RETURN_IF_ERROR(medium.Flush());
  medium.DropReadCache(kPlaces[place], 1);
  const Place now = ReadPlace(medium, kPlaces[place]);
  if (now.state == PlaceState::kValid && now.slot.epoch == slot.epoch) {
    return Status::Ok();
  }
  if (!now.read.ok() && !now.read.Is(Errc::kDeviceError)) return now.read;
  return Status(
      Errc::kDeviceError,
      fmt::format("{}: the control slot of volume {} cannot be written: "
                  "sector {} does not read back{}{}",
                  medium.Info().name, slot.volume_id, kPlaces[place],
                  now.read.ok() ? "" : ": ",
                  now.read.ok() ? "" : now.read.error().message));
}

Bytes RandomBytes(size_t count) {
  Bytes bytes(count);
  size_t done = 0;
  while (done < count) {
    const ssize_t n = getrandom(bytes.data() + done, count - done, 0);
    // Without randomness no identity is safe to hand out; the call cannot fail
    // otherwise with these arguments.
    VELLUM_CHECK(n > 0 || errno == EINTR);
    if (n > 0) done += static_cast<size_t>(n);
  }
  return bytes;
}

// Write-once media are written from the first sector to the last, and the slot
// that says COMPLETE is near the beginning: the backup is complete when the
// anchor in its last sector is there.
Result<bool> EndsWithAnchor(Medium& medium) {
  const Result<VolumeDescription> description = ReadDescription(medium);
  if (!description.ok()) {
    if (SaysNoSlot(description.error().code)) return false;
    return description.error();
  }
  const uint64_t last = description->geometry.sectors - 1;
  Sector sector{};
  RETURN_IF_ERROR(medium.Read(last, sector).WithContext("last anchor"));
  return CheckTag(sector, kTagAnchor, static_cast<uint32_t>(last)).ok();
}

}  // namespace

Result<ControlSlot> ReadControlSlot(Medium& medium) {
  const std::string name = medium.Info().name;
  if (medium.Info().sectors < kMinVolumeSectors) {
    return Status(Errc::kNotFound,
                  fmt::format("{} is too small for a Vellum volume", name));
  }
  std::array<Place, 2> places = ReadPlaces(medium);
  RETURN_IF_ERROR(FatalReadError(places));
  const Place* newest = nullptr;
  for (const Place& place : places) {
    if (place.state == PlaceState::kNewer) {
      return Status(
          Errc::kIncompatible,
          fmt::format("{}: control slot has format version {}, newer than {}",
                      name, place.version, kSlotVersion));
    }
    if (place.state == PlaceState::kValid &&
        (newest == nullptr || place.slot.epoch > newest->slot.epoch)) {
      newest = &place;
    }
  }
  if (newest != nullptr) {
    ControlSlot slot = newest->slot;
    if (slot.state == SlotState::kComplete &&
        medium.Info().medium_class == MediumClass::kWriteOnce) {
      ASSIGN_OR_RETURN(const bool ended, EndsWithAnchor(medium));
      if (!ended) slot.state = SlotState::kIncomplete;
    }
    return slot;
  }
  for (const Place& place : places) {
    if (!place.read.ok()) return place.read.WithContext("control slot");
  }
  if (std::all_of(places.begin(), places.end(), [](const Place& place) {
        return place.state == PlaceState::kBlank;
      })) {
    return Status(Errc::kNotFound,
                  fmt::format("{} holds no Vellum control slot", name));
  }
  return Status(Errc::kCorruption,
                fmt::format("{}: no valid control slot at sectors {} and {}",
                            name, kSlotASector, kSlotBSector));
}

Status WriteControlSlot(Medium& medium, ControlSlot* slot) {
  RETURN_IF_ERROR(CheckSlot(*slot));
  std::array<Place, 2> places = ReadPlaces(medium);
  RETURN_IF_ERROR(FatalReadError(places));
  const auto age = [](const Place& place) {
    return place.state == PlaceState::kValid ? place.slot.epoch : 0;
  };
  const size_t older = age(places[0]) <= age(places[1]) ? 0 : 1;
  ControlSlot next = *slot;
  next.epoch = std::max({slot->epoch, age(places[0]), age(places[1])}) + 1;
  RETURN_IF_ERROR(CheckSlot(next));
  RETURN_IF_ERROR(medium.Write(kPlaces[older], EncodeSlot(next))
                      .WithContext(fmt::format("control slot of volume {}",
                                               slot->volume_id)));
  if (!places[older].read.ok()) {
    RETURN_IF_ERROR(CheckReadsBack(medium, older, next));
  }
  slot->epoch = next.epoch;
  return Status::Ok();
}

Status CheckSlotPlaces(Medium& medium) {
  const MediumInfo info = medium.Info();
  if (info.medium_class == MediumClass::kWriteOnce) return Status::Ok();
  const std::array<Place, 2> places = ReadPlaces(medium);
  RETURN_IF_ERROR(FatalReadError(places));
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i].read.ok()) continue;
    return Status(Errc::kDeviceError,
                  fmt::format("{}: the control slot at sector {} cannot be "
                              "read, the one at sector {} counts and may be "
                              "older: {}",
                              info.name, kPlaces[i], kPlaces[1 - i],
                              places[i].read.error().message));
  }
  return Status::Ok();
}

Status RepairSlotPlaces(Medium& medium, ControlSlot* slot,
                        std::string* repaired) {
  repaired->clear();
  const Status checked = CheckSlotPlaces(medium);
  if (!checked.Is(Errc::kDeviceError)) return checked;
  // It goes to the place that is not valid.
  RETURN_IF_ERROR(WriteControlSlot(medium, slot));
  RETURN_IF_ERROR(medium.Flush());
  *repaired = checked.error().message;
  return Status::Ok();
}

std::string NewUuid() {
  std::string text;
  for (std::byte b : RandomBytes(kSlotUuidLength / 2)) {
    text += fmt::format("{:02x}", std::to_integer<unsigned>(b));
  }
  return text;
}

uint64_t NewLineage() {
  uint64_t lineage = 0;
  while (lineage == 0) lineage = Load64(RandomBytes(8), 0);
  return lineage;
}

Status CheckVolumeId(const std::string& id) {
  const auto alphanumeric = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  const auto bad = [&id](std::string_view rule) {
    return Status(Errc::kInvalidArgument,
                  fmt::format("volume id \"{}\": {}", id, rule));
  };
  if (id.empty()) {
    return bad(fmt::format(
        "must not be empty: 1 to {} of A-Z 0-9 - _ . beginning with A-Z or 0-9",
        kIdLength));
  }
  if (id.size() > kIdLength) {
    return bad(fmt::format("longer than {} characters", kIdLength));
  }
  if (!alphanumeric(id[0])) return bad("must begin with A-Z or 0-9");
  for (char c : id) {
    if (!alphanumeric(c) && c != '-' && c != '_' && c != '.') {
      return bad(fmt::format("character {:#04x} is not one of A-Z 0-9 - _ .",
                             static_cast<unsigned char>(c)));
    }
  }
  return Status::Ok();
}

}  // namespace vellum::udf
