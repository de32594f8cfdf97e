// SPDX-License-Identifier: Apache-2.0
#include "media/virtual_config.h"

#include <fmt/format.h>

#include <bit>

#include "media/types.h"

namespace vellum {

namespace {

// The address ranges of VirtualElementMap must not run into each other.
constexpr ConfigBounds kSlots{1, 65536 - 1024};
constexpr ConfigBounds kDrives{1, 768 - 256};
constexpr ConfigBounds kImportExport{0, 1024 - 768};
// Sector numbers are 32-bit on the medium.
constexpr ConfigBounds kCapacity{8u << 20,
                                 ((1ull << 32) - kRegionSectors) * kSectorSize};
constexpr ConfigBounds kAtomicUnit{kSectorSize, kRegionSize};

std::string AtomicUnitProblem(uint32_t bytes) {
  if (std::has_single_bit(bytes)) return "";
  return fmt::format("{} is not a power of two (64Ki is 65536)", bytes);
}

}  // namespace

uint64_t RoundCapacity(uint64_t bytes) {
  return bytes / kRegionSize * kRegionSize;
}

Status CheckGeometry(const VirtualLibraryOptions& geometry) {
  RETURN_IF_ERROR(CheckBounds("slots", geometry.slots, kSlots));
  RETURN_IF_ERROR(CheckBounds("drives", geometry.drives, kDrives));
  RETURN_IF_ERROR(
      CheckBounds("import_export", geometry.import_export, kImportExport));
  RETURN_IF_ERROR(CheckBounds("media", geometry.media, {0, geometry.slots}));
  RETURN_IF_ERROR(CheckBounds("capacity", geometry.capacity, kCapacity));
  RETURN_IF_ERROR(
      CheckBounds("atomic_unit", geometry.atomic_unit, kAtomicUnit));
  const std::string problem = AtomicUnitProblem(geometry.atomic_unit);
  if (problem.empty()) return Status::Ok();
  return Status(Errc::kInvalidArgument, "atomic_unit: " + problem);
}

Status ReadVirtualConfig(ConfigTable* root, VirtualLibraryOptions* geometry) {
  ASSIGN_OR_RETURN(ConfigTable table, root->Table("geometry"));
  RETURN_IF_ERROR(table.Integer("slots", kSlots, &geometry->slots));
  RETURN_IF_ERROR(table.Integer("drives", kDrives, &geometry->drives));
  RETURN_IF_ERROR(
      table.Integer("import_export", kImportExport, &geometry->import_export));
  RETURN_IF_ERROR(table.Integer("media", {0, kSlots.max}, &geometry->media));
  RETURN_IF_ERROR(table.Integer("capacity", kCapacity, &geometry->capacity));
  geometry->capacity = RoundCapacity(geometry->capacity);
  RETURN_IF_ERROR(
      table.Integer("atomic_unit", kAtomicUnit, &geometry->atomic_unit));
  const std::string problem = AtomicUnitProblem(geometry->atomic_unit);
  if (!problem.empty()) return table.At("atomic_unit", problem);
  RETURN_IF_ERROR(table.RejectUnknown());
  return ReadTimingConfig(root, &geometry->timing);
}

const char* VirtualConfigIntroduction() {
  return
      R"(# A virtual library of Vellum: a changer, its drives, slots and media, all in
# this directory. Edit this file only while no daemon serves the library; it
# is read when one starts. Numbers may be written 25_000_000_000. A key that is
# left out has its default; an unknown key is an error.
#
#   media/TAG.img        one medium, byte for byte; the name is its volume tag
#   media/TAG.B.img      side B of a two-sided medium; the sides are TAGA and TAGB
#   media/TAG.json       of media that `vellum medium add` made: capacity, class
#   state/elements.json  which medium is in which element (kept by the daemon)
#   catalog/             the index: may be deleted, it is rebuilt from the media
#   spool/               staging space of copies
)";
}

std::string VirtualConfigText(const VirtualLibraryOptions& g) {
  std::string media_note = "none were made";
  if (g.media > 0) media_note = fmt::format("V00001 to V{:05}", g.media);
  return fmt::format(
      R"([geometry]
# Storage elements (slots), addresses from 1024. 1 to {slots_max}. Before lowering
# it, empty the slots that go away.
slots = {slots}
# Data transfer elements (drives), addresses from 256. 1 to {drives_max}.
drives = {drives}
# Import/export elements, addresses from 768. 0 to {ie_max}.
import_export = {ie}
# How many media `vellum init` made ({media_note}). A record:
# changing it makes and removes none.
media = {media}
# Bytes on each medium, rounded down to a multiple of {region}; at least {capacity_min}.
# Every image must have exactly this size (or what its TAG.json says), or its
# medium is shown as unusable.
capacity = {capacity}
# Bytes that a drive may destroy when power goes while it writes one sector of
# them: {unit_min}, or 32768 as DVD-RAM, 65536 as BD-RE. Changes are written so
# that nothing else is lost with them. A power of two, at most {unit_max}.
atomic_unit = {unit}

{timing})",
      fmt::arg("slots_max", kSlots.max), fmt::arg("slots", g.slots),
      fmt::arg("drives_max", kDrives.max), fmt::arg("drives", g.drives),
      fmt::arg("ie_max", kImportExport.max), fmt::arg("ie", g.import_export),
      fmt::arg("media_note", media_note), fmt::arg("media", g.media),
      fmt::arg("region", kRegionSize), fmt::arg("capacity_min", kCapacity.min),
      fmt::arg("capacity", g.capacity), fmt::arg("unit_min", kAtomicUnit.min),
      fmt::arg("unit_max", kAtomicUnit.max), fmt::arg("unit", g.atomic_unit),
      fmt::arg("timing", TimingConfigText(g.timing)));
}

}  // namespace vellum
