// SPDX-License-Identifier: Apache-2.0
// Finds the fixed descriptors of a volume on a medium.
#include <fmt/format.h>

#include <optional>

#include "media/udf/descriptors.h"
#include "media/udf/format.h"
#include "media/udf/sector_io.h"

namespace vellum::udf {
namespace {

// Anchors stand at 256, N - 257 and N - 1.
constexpr uint64_t kAnchorDistances[] = {257, 1};

Result<VolumeDescription> ReadVds(Medium& medium, uint32_t first) {
  // An anchor may name anything, or the medium has lost its end.
  const uint64_t end = medium.Info().sectors;
  if (uint64_t{first} + kVdsSectors > end) {
    return Error{Errc::kCorruption,
                 fmt::format("volume descriptor sequence at sector {}, outside "
                             "the medium of {}",
                             first, end)};
  }
  std::vector<Sector> sectors;
  for (uint32_t i = 0; i < kVdsSectors; ++i) {
    ASSIGN_OR_RETURN(const Sector sector,
                     ReadSector(medium, uint64_t{first} + i));
    sectors.push_back(sector);
  }
  return ParseVds(sectors, first);
}

Status CheckOnMedium(Medium& medium, const VolumeDescription& description) {
  const Geometry& g = description.geometry;
  if (g.sectors > medium.Info().sectors) {
    return Status(Errc::kCorruption,
                  fmt::format("volume of {} sectors on a medium that ends "
                              "at sector {}",
                              g.sectors, medium.Info().sectors));
  }
  ASSIGN_OR_RETURN(const Sector file_set,
                   ReadSector(medium, g.Sector(kFileSetBlock)));
  return CheckFileSet(file_set, g);
}

Result<VolumeDescription> ReadFromAnchor(Medium& medium, uint32_t sector) {
  ASSIGN_OR_RETURN(const Sector anchor, ReadSector(medium, sector));
  ASSIGN_OR_RETURN(const AnchorContent content, ParseAnchor(anchor, sector));
  Result<VolumeDescription> description = ReadVds(medium, content.main);
  if (!description.ok() && description.error().code != Errc::kIncompatible) {
    Result<VolumeDescription> reserve = ReadVds(medium, content.reserve);
    if (reserve.ok()) description = std::move(reserve);
  }
  if (!description.ok()) return description;
  RETURN_IF_ERROR(CheckOnMedium(medium, *description));
  return description;
}

// Whether anything says that there is, or was, a UDF volume.
bool LooksLikeUdf(Medium& medium, const std::vector<uint32_t>& anchors) {
  std::array<Sector, 3> recognition{};
  for (uint32_t i = 0; i < recognition.size(); ++i) {
    const Result<Sector> sector = ReadSector(medium, kRecognitionSector + i);
    if (sector.ok()) recognition[i] = *sector;
  }
  if (NamesUdf(recognition)) return true;
  for (const uint32_t at : anchors) {
    const Result<Sector> sector = ReadSector(medium, at);
    if (sector.ok() && ParseAnchor(*sector, at).ok()) return true;
  }
  return false;
}

}  // namespace

Result<VolumeDescription> ReadDescription(Medium& medium) {
  const MediumInfo info = medium.Info();
  if (info.sectors < kMinVolumeSectors) {
    return Error{Errc::kNotFound, fmt::format("{}: {} sectors hold no volume",
                                              info.name, info.sectors)};
  }
  std::vector<uint32_t> anchors = {kAnchorSector};
  for (const uint64_t distance : kAnchorDistances) {
    if (info.sectors - distance <= UINT32_MAX) {
      anchors.push_back(static_cast<uint32_t>(info.sectors - distance));
    }
  }
  std::optional<Error> first_error;
  for (const uint32_t anchor : anchors) {
    Result<VolumeDescription> description = ReadFromAnchor(medium, anchor);
    if (description.ok()) return description;
    // The errors of a device say more than those of what is on it.
    if (!first_error || (first_error->code == Errc::kCorruption &&
                         description.error().code != Errc::kCorruption)) {
      first_error = description.error();
    }
  }
  if (first_error->code == Errc::kCorruption &&
      !LooksLikeUdf(medium, anchors)) {
    return Error{Errc::kNotFound, fmt::format("{}: no UDF volume", info.name)};
  }
  return Error{first_error->code,
               fmt::format("{}: {}", info.name, first_error->message)};
}

std::vector<SectorRange> DescriptorRanges(const Geometry& geometry) {
  return {{kRecognitionSector, kMainVdsSector - kRecognitionSector},
          {kMainVdsSector, kVdsSectors},
          {kAnchorSector, 1},
          {geometry.reserve_vds(), kVdsSectors},
          {geometry.sectors - 257, 1},
          {geometry.sectors - 1, 1}};
}

}  // namespace vellum::udf
