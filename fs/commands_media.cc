// SPDX-License-Identifier: Apache-2.0
// Commands about media: what is where, and what is on it.
#include <fmt/format.h>

#include <array>
#include <optional>

#include "copy/operations.h"
#include "fs/command_group.h"
#include "fs/service.h"
#include "fs/tables.h"

namespace vellum {
namespace {

Result<Json> Format(Service& service, const CommandLine& line,
                    std::stop_token stop) {
  FormatRequest request;
  OptionReader options(line);
  options.Args(1, 1,
               "format ELEMENT|TAG name=VOL [role=primary|backup] "
               "[threshold=P] [clear=yes] [uid=N] [gid=N]");
  const std::optional<std::string> name = options.Text("name");
  request.role = options.Choice("role", {"primary", "backup"}, 0) == 0
                     ? udf::Role::kPrimary
                     : udf::Role::kBackup;
  request.threshold =
      static_cast<uint32_t>(options.Number("threshold", 0, 1, 100));
  request.clear = options.Flag("clear", false);
  request.root_uid =
      static_cast<uint32_t>(options.Number("uid", 0, 0, UINT32_MAX - 1));
  request.root_gid =
      static_cast<uint32_t>(options.Number("gid", 0, 0, UINT32_MAX - 1));
  RETURN_IF_ERROR(options.Finish());
  if (!name) return InvalidCommand("format: name=VOL is missing");
  request.medium = line.args[0];
  request.volume_id = *name;
  ASSIGN_OR_RETURN(const VolumeRecord record,
                   vellum::Format(service.archive(), request, stop));
  return VolumeInfo(service, record);
}

// An element address, or the element in which a medium of that name is.
Result<ElementAddress> ResolveElement(const Service& service,
                                      const std::string& name) {
  const std::optional<uint64_t> number = ParseNumber(name);
  if (number && *number <= UINT16_MAX) {
    return ElementAddress{static_cast<uint16_t>(*number)};
  }
  ASSIGN_OR_RETURN(const MediumId medium,
                   ResolveMedium(service.archive(), name));
  ASSIGN_OR_RETURN(const MediumPlace place,
                   service.library().FindMedium(medium));
  return place.element;
}

Result<Json> Move(Service& service, const CommandLine& line,
                  std::stop_token stop) {
  OptionReader options(line);
  options.Args(2, 2, "move FROM TO");
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(const ElementAddress from,
                   ResolveElement(service, line.args[0]));
  const std::optional<uint64_t> number = ParseNumber(line.args[1]);
  if (!number || *number > UINT16_MAX) {
    return InvalidCommand(
        fmt::format("move: \"{}\" is not an element address", line.args[1]));
  }
  const ElementAddress to{static_cast<uint16_t>(*number)};
  // A volume that is loaded but not in use must not keep its medium from
  // moving: it is detached for the time of the move.
  Volumes::Exclusion exclusion;
  const Result<MediumPlace> place = service.library().MediumAt(from);
  if (place.ok()) {
    const std::shared_ptr<Volume> volume =
        service.volumes().FindByMedium(place->id);
    if (volume && service.volumes().loaded(*volume)) {
      ASSIGN_OR_RETURN(exclusion, service.volumes().Exclude(volume, stop));
    }
  }
  RETURN_IF_ERROR(service.library().Move(from, to));
  return Json{{"from", from.value}, {"to", to.value}};
}

Json InventoryJson(const std::vector<InventoryRow>& rows) {
  Json media = Json::array();
  for (const InventoryRow& row : rows) {
    Json element;  // null: not in the library
    if (row.element.value != 0) element = row.element.value;
    media.push_back(
        {{"medium", row.medium}, {"element", element}, {"found", row.found}});
  }
  return media;
}

Result<Json> TakeInventory(Service& service, const CommandLine& line,
                           std::stop_token stop) {
  OptionReader options(line);
  options.Args(0, 0, "inventory [all=yes]");
  const bool all = options.Flag("all", false);
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(const std::vector<InventoryRow> rows,
                   Inventory(service.archive(), all, stop));
  return InventoryJson(rows);
}

Result<Json> TakeReindex(Service& service, const CommandLine& line,
                         std::stop_token stop) {
  OptionReader options(line);
  options.Args(0, 0, "reindex [mode=sync|update|reset]");
  const auto mode = static_cast<ReindexMode>(
      options.Choice("mode", {"sync", "update", "reset"}, 1));
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(const std::vector<InventoryRow> rows,
                   Reindex(service.archive(), mode, stop));
  return InventoryJson(rows);
}

constexpr std::array<NamedCommand, 4> kMediaCommands = {{
    {"format", Format},
    {"inventory", TakeInventory},
    {"move", Move},
    {"reindex", TakeReindex},
}};

}  // namespace

std::span<const NamedCommand> MediaCommands() { return kMediaCommands; }

}  // namespace vellum
