// SPDX-License-Identifier: Apache-2.0
#include "media/manual/manual_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "media/types.h"

namespace vellum {

namespace {

constexpr ConfigBounds kPlaces{1, 65536 - 1024};
constexpr ConfigBounds kDocks{1, 768 - 256};
constexpr ConfigBounds kUnit{kSectorSize, kRegionSize};

std::string UnitProblem(uint32_t bytes) {
  if (std::has_single_bit(bytes)) return "";
  return fmt::format("{} is not a power of two (64Ki is 65536)", bytes);
}

// Of the dock at `index`; empty: nothing is wrong.
std::string PathProblem(const ManualLibraryOptions& options, size_t index) {
  const std::string& path = options.docks[index];
  const bool printable =
      std::all_of(path.begin(), path.end(), [](char c) { return c >= 0x20; });
  if (path.empty() || path.front() != '/' || !printable) {
    return fmt::format("\"{}\" is no absolute path", path);
  }
  const auto end = options.docks.begin() + static_cast<ptrdiff_t>(index);
  if (std::find(options.docks.begin(), end, path) != end) {
    return path + " is a dock already";
  }
  return "";
}

std::string Escaped(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace

Status CheckManualOptions(const ManualLibraryOptions& options) {
  RETURN_IF_ERROR(CheckBounds("slots", options.slots, kPlaces));
  RETURN_IF_ERROR(CheckBounds("docks", options.docks.size(), kDocks));
  RETURN_IF_ERROR(CheckBounds("media", options.media, {0, options.slots}));
  RETURN_IF_ERROR(CheckBounds("atomic_unit", options.atomic_unit, kUnit));
  std::string problem = UnitProblem(options.atomic_unit);
  if (!problem.empty()) {
    return Status(Errc::kInvalidArgument, "atomic_unit: " + problem);
  }
  for (size_t i = 0; i < options.docks.size(); ++i) {
    problem = PathProblem(options, i);
    if (!problem.empty()) {
      return Status(Errc::kInvalidArgument, "dock: " + problem);
    }
  }
  return Status::Ok();
}

Status ReadManualConfig(ConfigTable* root, ManualLibraryOptions* options) {
  ASSIGN_OR_RETURN(ConfigTable shelf, root->Table("shelf"));
  RETURN_IF_ERROR(shelf.Integer("slots", kPlaces, &options->slots));
  RETURN_IF_ERROR(shelf.Integer("media", {0, kPlaces.max}, &options->media));
  RETURN_IF_ERROR(shelf.Integer("atomic_unit", kUnit, &options->atomic_unit));
  const std::string unit = UnitProblem(options->atomic_unit);
  if (!unit.empty()) return shelf.At("atomic_unit", unit);
  RETURN_IF_ERROR(shelf.RejectUnknown());
  ASSIGN_OR_RETURN(std::vector<ConfigTable> docks, root->Tables("dock"));
  if (docks.empty()) return root->At("dock", "a manual library needs a dock");
  for (ConfigTable& table : docks) {
    options->docks.emplace_back();
    RETURN_IF_ERROR(table.String("path", &options->docks.back()));
    RETURN_IF_ERROR(table.RejectUnknown());
    const std::string problem =
        PathProblem(*options, options->docks.size() - 1);
    if (!problem.empty()) return table.At("path", problem);
  }
  return Status::Ok();
}

const char* ManualConfigIntroduction() {
  return
      R"(# A manual library of Vellum: docks, shelf places, and an operator who carries
# the media. Edit this file only while no daemon serves the library; it is read
# when one starts. A key that is left out has its default; an unknown key is an
# error.
#
#   state/shelf.json  which medium belongs where (kept by the daemon)
#   catalog/          the index: may be deleted, it is rebuilt from the media
#   spool/            staging space of copies
)";
}

std::string ManualConfigText(const ManualLibraryOptions& options) {
  std::string media_note = "none";
  if (options.media > 0)
    media_note = fmt::format("V00001 to V{:05}", options.media);
  std::string text = fmt::format(
      R"([shelf]
# Shelf places (slots), addresses from 1024. 1 to {}. Not fewer than media.
slots = {}
# How many media `vellum init` put down ({}). A record: changing
# it makes and removes none.
media = {}
# Bytes that a drive may destroy when power goes while it writes one sector of
# them: {}, or 32768 for DVD-RAM, 65536 for BD-RE. A power of two, at most {}.
atomic_unit = {}

# One [[dock]] for each drive or disk dock, element addresses from 256: a block
# device, or a directory in which one appears, or an image file.
)",
      kPlaces.max, options.slots, media_note, options.media, kUnit.min,
      kUnit.max, options.atomic_unit);
  for (const std::string& path : options.docks) {
    text += fmt::format("[[dock]]\npath = {}\n", Escaped(path));
  }
  return text;
}

}  // namespace vellum
