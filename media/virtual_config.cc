// SPDX-License-Identifier: Apache-2.0
#include "media/virtual_config.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <bit>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "media/file_util.h"
#include "media/virtual_state.h"

namespace vellum {

namespace {

struct Bounds {
  uint64_t min;
  uint64_t max;
};

// The address ranges of VirtualElementMap must not run into each other.
constexpr Bounds kSlots{1, 65536 - 1024};
constexpr Bounds kDrives{1, 768 - 256};
constexpr Bounds kImportExport{0, 1024 - 768};
// Sector numbers are 32-bit on the medium.
constexpr Bounds kCapacity{8u << 20,
                           ((1ull << 32) - kRegionSectors) * kSectorSize};
constexpr Bounds kAtomicUnit{kSectorSize, kRegionSize};
constexpr Bounds kLibNum{0, 999'999};
constexpr Bounds kBytes{0, 1ull << 62};
constexpr Bounds kCheckpointMs{1, 3'600'000};
constexpr Bounds kAddress{0, 65535};

Status CheckBounds(std::string_view name, uint64_t value, Bounds bounds) {
  if (value >= bounds.min && value <= bounds.max) return Status::Ok();
  return Status(Errc::kInvalidArgument,
                fmt::format("{}: {} is not between {} and {}", name, value,
                            bounds.min, bounds.max));
}

// One table of the file. Every key that is asked for is remembered, so that
// those that nobody asked for can be named.
class Section {
 public:
  Section(const std::string& path, std::string name, const toml::table* table)
      : path_(path), name_(std::move(name)), table_(table) {}

  // Leaves `*value` alone when the key is absent.
  template <typename T>
  Status Integer(const char* key, Bounds bounds, T* value) {
    known_.push_back(key);
    const toml::node* node = table_ == nullptr ? nullptr : table_->get(key);
    if (node == nullptr) return Status::Ok();
    const toml::value<int64_t>* integer = node->as_integer();
    if (integer == nullptr) return At(*node, key, "must be a whole number");
    const int64_t number = integer->get();
    if (number < 0 || static_cast<uint64_t>(number) < bounds.min ||
        static_cast<uint64_t>(number) > bounds.max) {
      return At(*node, key,
                fmt::format("{} is not between {} and {}", number, bounds.min,
                            bounds.max));
    }
    *value = static_cast<T>(number);
    return Status::Ok();
  }

  Status RejectUnknown() const {
    if (table_ == nullptr) return Status::Ok();
    for (const auto& [key, node] : *table_) {
      bool known = false;
      for (const char* name : known_) known = known || key.str() == name;
      if (!known) {
        return Status(Errc::kInvalidArgument,
                      fmt::format("{}:{}: unknown key {}.{}", path_,
                                  key.source().begin.line, name_, key.str()));
      }
    }
    return Status::Ok();
  }

  // An error at the line of `key`, or at the file when it is absent.
  Status At(const char* key, const std::string& message) const {
    const toml::node* node = table_ == nullptr ? nullptr : table_->get(key);
    if (node != nullptr) return At(*node, key, message);
    return Status(Errc::kInvalidArgument,
                  fmt::format("{}: {}.{}: {}", path_, name_, key, message));
  }

 private:
  Status At(const toml::node& node, const char* key,
            const std::string& message) const {
    return Status(Errc::kInvalidArgument,
                  fmt::format("{}:{}: {}.{}: {}", path_,
                              node.source().begin.line, name_, key, message));
  }

  const std::string path_;
  const std::string name_;
  const toml::table* const table_;
  std::vector<const char*> known_;
};

std::string AtomicUnitProblem(uint32_t bytes) {
  if (std::has_single_bit(bytes)) return "";
  return fmt::format("{} is not a power of two (64Ki is 65536)", bytes);
}

Result<toml::table> Parse(const std::string& path, const std::string& text) {
  // The packaged toml++ reports syntax errors by throwing; it ends here.
  try {
    return toml::parse(text, std::string_view(path));
  } catch (const toml::parse_error& e) {
    return Error{
        Errc::kInvalidArgument,
        fmt::format("{}:{}: {}", path, e.source().begin.line, e.description())};
  }
}

Result<Section> FindSection(const std::string& path, const toml::table& root,
                            const char* name) {
  const toml::node* node = root.get(name);
  if (node == nullptr) return Section(path, name, nullptr);
  const toml::table* table = node->as_table();
  if (table == nullptr) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{}:{}: {} must be a table: [{}]", path,
                             node->source().begin.line, name, name)};
  }
  return Section(path, name, table);
}

Status ReadGeometry(Section* section, VirtualLibraryOptions* geometry) {
  RETURN_IF_ERROR(section->Integer("slots", kSlots, &geometry->slots));
  RETURN_IF_ERROR(section->Integer("drives", kDrives, &geometry->drives));
  RETURN_IF_ERROR(section->Integer("import_export", kImportExport,
                                   &geometry->import_export));
  RETURN_IF_ERROR(section->Integer("media", {0, kSlots.max}, &geometry->media));
  RETURN_IF_ERROR(section->Integer("capacity", kCapacity, &geometry->capacity));
  geometry->capacity = RoundCapacity(geometry->capacity);
  RETURN_IF_ERROR(
      section->Integer("atomic_unit", kAtomicUnit, &geometry->atomic_unit));
  const std::string problem = AtomicUnitProblem(geometry->atomic_unit);
  if (!problem.empty()) return section->At("atomic_unit", problem);
  return section->RejectUnknown();
}

Status CheckCopyRange(const Section& section, const LibraryConfig& config) {
  if (config.copy_start == 0 && config.copy_end == 0) return Status::Ok();
  const ElementMap map = VirtualElementMap(config.geometry);
  const auto valid = [&map](uint16_t address) {
    return map.storage.Contains({address}) ||
           map.import_export.Contains({address});
  };
  std::string ranges =
      fmt::format("storage {} to {}", map.storage.first.value,
                  map.storage.first.value + map.storage.count - 1);
  if (map.import_export.count > 0) {
    ranges += fmt::format(
        ", import/export {} to {}", map.import_export.first.value,
        map.import_export.first.value + map.import_export.count - 1);
  }
  if (!valid(config.copy_start)) {
    return section.At("copy_start", fmt::format("{} is no slot: {}",
                                                config.copy_start, ranges));
  }
  if (!valid(config.copy_end) || config.copy_end < config.copy_start) {
    return section.At("copy_end",
                      fmt::format("{} is no slot at or after copy_start: {}",
                                  config.copy_end, ranges));
  }
  return Status::Ok();
}

Status ReadPolicy(Section* section, LibraryConfig* config) {
  RETURN_IF_ERROR(section->Integer("checkpoint_interval_ms", kCheckpointMs,
                                   &config->checkpoint_interval_ms));
  RETURN_IF_ERROR(
      section->Integer("spool_limit", kBytes, &config->spool_limit));
  RETURN_IF_ERROR(
      section->Integer("overlay_limit", kBytes, &config->overlay_limit));
  RETURN_IF_ERROR(
      section->Integer("copy_start", kAddress, &config->copy_start));
  RETURN_IF_ERROR(section->Integer("copy_end", kAddress, &config->copy_end));
  RETURN_IF_ERROR(section->RejectUnknown());
  return CheckCopyRange(*section, *config);
}

}  // namespace

std::string VirtualConfigPath(const std::string& directory) {
  return directory + "/library.toml";
}

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

std::string LibraryConfigText(const LibraryConfig& config) {
  const VirtualLibraryOptions& g = config.geometry;
  std::string media_note = "none were made";
  if (g.media > 0) media_note = fmt::format("V00001 to V{:05}", g.media);
  return fmt::format(
      R"(# A virtual library of Vellum: a changer, its drives, slots and media, all in
# this directory. Edit this file only while no daemon serves the library; it
# is read when one starts. Numbers may be written 25_000_000_000. A key that is
# left out has its default; an unknown key is an error.
#
#   media/TAG.img        one medium, byte for byte; the name is its volume tag
#   state/elements.json  which medium is in which element (kept by the daemon)
#   catalog/             the index: may be deleted, it is rebuilt from the media
#   spool/               staging space of copies

[library]
# The number of this library, shown as LibNum. 0 to {lib_num_max}.
lib_num = {lib_num}

[geometry]
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
# Every image must have exactly this size, or its medium is shown as unusable.
capacity = {capacity}
# Bytes that a drive may destroy when power goes while it writes one sector of
# them: {unit_min}, or 32768 as DVD-RAM, 65536 as BD-RE. Changes are written so
# that nothing else is lost with them. A power of two, at most {unit_max}.
atomic_unit = {unit}

[policy]
# Milliseconds after which changes are committed to the medium by themselves;
# fsync and `vellum sync` commit at once. 1 to {checkpoint_max}.
checkpoint_interval_ms = {checkpoint}
# Most bytes that copies may stage in spool/. 0: what the disk has free.
spool_limit = {spool}
# Most bytes of old data that a running copy may keep while its volume changes.
overlay_limit = {overlay}
# The slots of the copy pool, first and last address. 0 and 0: every storage
# element.
copy_start = {copy_start}
copy_end = {copy_end}
)",
      fmt::arg("lib_num_max", kLibNum.max), fmt::arg("lib_num", config.lib_num),
      fmt::arg("slots_max", kSlots.max), fmt::arg("slots", g.slots),
      fmt::arg("drives_max", kDrives.max), fmt::arg("drives", g.drives),
      fmt::arg("ie_max", kImportExport.max), fmt::arg("ie", g.import_export),
      fmt::arg("media_note", media_note), fmt::arg("media", g.media),
      fmt::arg("region", kRegionSize), fmt::arg("capacity_min", kCapacity.min),
      fmt::arg("capacity", g.capacity), fmt::arg("unit_min", kAtomicUnit.min),
      fmt::arg("unit_max", kAtomicUnit.max), fmt::arg("unit", g.atomic_unit),
      fmt::arg("checkpoint_max", kCheckpointMs.max),
      fmt::arg("checkpoint", config.checkpoint_interval_ms),
      fmt::arg("spool", config.spool_limit),
      fmt::arg("overlay", config.overlay_limit),
      fmt::arg("copy_start", config.copy_start),
      fmt::arg("copy_end", config.copy_end));
}

Result<LibraryConfig> ReadLibraryConfig(const std::string& directory) {
  LibraryConfig config;
  std::error_code ec;
  config.directory = std::filesystem::canonical(directory, ec).string();
  if (ec) return ErrnoError("library " + directory, ec.value());
  const std::string path = VirtualConfigPath(config.directory);
  Result<std::string> text = ReadWholeFile(path);
  if (!text.ok()) {
    if (text.error().code != Errc::kNotFound) return text.error();
    return Error{Errc::kNotFound,
                 config.directory + " is no library: it has no library.toml"};
  }
  ASSIGN_OR_RETURN(toml::table root, Parse(path, *text));
  for (const auto& [key, node] : root) {
    if (key != "library" && key != "geometry" && key != "policy") {
      return Error{Errc::kInvalidArgument,
                   fmt::format("{}:{}: unknown key {}", path,
                               key.source().begin.line, key.str())};
    }
  }
  ASSIGN_OR_RETURN(Section library, FindSection(path, root, "library"));
  RETURN_IF_ERROR(library.Integer("lib_num", kLibNum, &config.lib_num));
  RETURN_IF_ERROR(library.RejectUnknown());
  ASSIGN_OR_RETURN(Section geometry, FindSection(path, root, "geometry"));
  RETURN_IF_ERROR(ReadGeometry(&geometry, &config.geometry));
  ASSIGN_OR_RETURN(Section policy, FindSection(path, root, "policy"));
  RETURN_IF_ERROR(ReadPolicy(&policy, &config));
  return config;
}

}  // namespace vellum
