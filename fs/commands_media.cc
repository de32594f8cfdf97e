// SPDX-License-Identifier: Apache-2.0
// Commands about media: what is where, and what is on it.
#include <fmt/format.h>

#include <array>
#include <optional>

#include "copy/medium_notes.h"
#include "copy/operations.h"
#include "copy/pool_book.h"
#include "copy/shelf.h"
#include "fs/closed_volume.h"
#include "fs/command_group.h"
#include "fs/medium_info.h"
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
               "[threshold=P] [clear=yes] [wipe=no] [uid=N] [gid=N]");
  const std::optional<std::string> name = options.AnyText("name");
  request.role = options.Choice("role", {"primary", "backup"}, 0) == 0
                     ? udf::Role::kPrimary
                     : udf::Role::kBackup;
  request.threshold =
      static_cast<uint32_t>(options.Number("threshold", 0, 1, 100));
  request.clear = options.Flag("clear", false);
  request.wipe = options.Flag("wipe", true);
  request.root_uid =
      static_cast<uint32_t>(options.Number("uid", 0, 0, UINT32_MAX - 1));
  request.root_gid =
      static_cast<uint32_t>(options.Number("gid", 0, 0, UINT32_MAX - 1));
  RETURN_IF_ERROR(options.Finish());
  if (!name) return InvalidCommand("format: name=VOL is missing");
  request.medium = line.args[0];
  request.volume_id = *name;
  ASSIGN_OR_RETURN(const VolumeRecord record,
                   vellum::Format(ArchiveOf(service, line), request, stop));
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
  ClosedVolume closed;
  const Result<MediumPlace> place = service.library().MediumAt(from);
  if (place.ok()) {
    ASSIGN_OR_RETURN(closed, CloseVolumeOn(service.volumes(), place->id, stop));
  }
  SayStep(line, fmt::format("moves {} to {}", from.value, to.value));
  RETURN_IF_ERROR(service.library().Move(from, to, stop));
  RETURN_IF_ERROR(closed.Lost());
  return Json{{"from", from.value}, {"to", to.value}};
}

Json InventoryJson(const Service& service,
                   const std::vector<InventoryRow>& rows) {
  Json media = Json::array();
  for (const InventoryRow& row : rows) {
    Json element;  // null: not in the library
    const Result<MediumNote> note =
        ReadMediumNote(service.catalog(), row.medium);
    if (row.element.value != 0) element = row.element.value;
    media.push_back({{"medium", row.medium},
                     {"element", element},
                     {"found", row.found},
                     {"read", note.ok() && note->unreadable.empty() &&
                                  note->problem.empty()}});
  }
  return media;
}

// "1024-1035", or one address.
Result<ElementRange> ParseRange(const std::string& text) {
  const size_t dash = text.find('-');
  const std::optional<uint64_t> first = ParseNumber(text.substr(0, dash));
  const std::optional<uint64_t> last =
      dash == std::string::npos ? first : ParseNumber(text.substr(dash + 1));
  if (!first || !last || *last < *first || *last > UINT16_MAX ||
      *last - *first == UINT16_MAX) {
    return InvalidCommand(fmt::format(
        "inventory: range={}: FIRST-LAST are two element addresses", text));
  }
  return ElementRange{ElementAddress{static_cast<uint16_t>(*first)},
                      static_cast<uint16_t>(*last - *first + 1)};
}

Result<Json> TakeInventory(Service& service, const CommandLine& line,
                           std::stop_token stop) {
  OptionReader options(line);
  options.Args(
      0, 0, "inventory [all=yes | resume=yes] [scan=yes [range=FIRST-LAST]]");
  const bool all = options.Flag("all", false);
  const bool resume = options.Flag("resume", false);
  const bool scan = options.Flag("scan", false);
  const std::optional<std::string> range = options.Text("range");
  RETURN_IF_ERROR(options.Finish());
  if (all && resume) {
    return InvalidCommand("inventory: all=yes begins anew, resume=yes goes on");
  }
  if (range && !scan) {
    return InvalidCommand("inventory: range=FIRST-LAST is for scan=yes");
  }
  const Archive archive = ArchiveOf(service, line);
  if (scan) {
    std::optional<ElementRange> elements;
    if (range) {
      ASSIGN_OR_RETURN(elements, ParseRange(*range));
    }
    if (archive.meter != nullptr) {
      archive.meter->Say("the changer looks at its elements");
    }
    if (service.changer_controls() == nullptr) {
      return Error{Errc::kNotSupported,
                   "inventory: scan=yes is for libraries with a changer"};
    }
    RETURN_IF_ERROR(service.changer_controls()->ScanElements(service.library(),
                                                             elements, stop));
  }
  ASSIGN_OR_RETURN(
      const std::vector<InventoryRow> rows,
      resume ? ResumeInventory(archive, stop) : Inventory(archive, all, stop));
  return InventoryJson(service, rows);
}

Result<Json> TakeReindex(Service& service, const CommandLine& line,
                         std::stop_token stop) {
  OptionReader options(line);
  options.Args(0, 0, "reindex [mode=sync|update|reset]");
  const auto mode = static_cast<ReindexMode>(
      options.Choice("mode", {"sync", "update", "reset"}, 1));
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(const std::vector<InventoryRow> rows,
                   Reindex(ArchiveOf(service, line), mode, stop));
  return InventoryJson(service, rows);
}

Result<Json> ExportVolume(Service& service, const CommandLine& line,
                          std::stop_token stop) {
  OptionReader options(line);
  options.Args(1, 1, "export VOL [location=TEXT]");
  const std::string location = options.Text("location").value_or("");
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(
      const Exported exported,
      Export(ArchiveOf(service, line), line.args[0], location, stop));
  const bool here = exported.element != ElementAddress();
  return Json{{"volume", exported.record.id},
              {"medium", exported.record.medium},
              {"location", exported.record.location},
              {"element", here ? Json(exported.element.value) : Json()}};
}

Result<Json> ImportMedia(Service& service, const CommandLine& line,
                         std::stop_token stop) {
  OptionReader options(line);
  options.Args(0, 1, "import [ELEMENT|TAG|VOL]");
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(const std::vector<ImportRow> rows,
                   Import(ArchiveOf(service, line),
                          line.args.empty() ? "" : line.args[0], stop));
  Json media = Json::array();
  for (const ImportRow& row : rows) {
    media.push_back({{"medium", row.medium},
                     {"from", row.from.value},
                     {"element", row.to.value},
                     {"found", row.found},
                     {"imported", !row.failed}});
  }
  return media;
}

// Reads the medium: works where the catalog was lost, too (I6).
Result<Json> BackupInfo(Service& service, const CommandLine& line,
                        std::stop_token stop) {
  OptionReader options(line);
  options.Args(1, 1, "backup-info BACKUP|TAG|ELEMENT");
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(const MediumId medium,
                   ResolveMedium(service.archive(), line.args[0]));
  const std::shared_ptr<Volume> volume = service.volumes().FindByMedium(medium);
  if (volume != nullptr) RETURN_IF_ERROR(CheckNotExported(volume->record()));
  LeaseRequest request;
  request.medium = medium;
  request.owner = "backup-info";
  std::vector<LeaseRequest> requests;
  requests.push_back(std::move(request));
  SayStep(line, "loads " + medium);
  ASSIGN_OR_RETURN(const std::vector<MediumLease> leases,
                   service.library().AcquireAndWait(std::move(requests), stop));
  Result<Json> info = DescribeMedium(leases.front().medium());
  if (!info.ok()) return info.status().WithContext("medium " + medium);
  (*info)["medium"] = medium;
  return info;
}

Result<Json> SetCopyRange(Service& service, const CommandLine& line,
                          std::stop_token stop) {
  constexpr uint64_t kNotGiven = 1ull << 32;
  OptionReader options(line);
  options.Args(0, 0, "setcopyrange copy-start=ELEMENT copy-end=ELEMENT");
  const uint64_t start = options.Number("copy-start", kNotGiven, 0, UINT16_MAX);
  const uint64_t end = options.Number("copy-end", kNotGiven, 0, UINT16_MAX);
  RETURN_IF_ERROR(options.Finish());
  if (start == kNotGiven || end == kNotGiven) {
    return InvalidCommand(
        "setcopyrange: copy-start=ELEMENT and copy-end=ELEMENT are both "
        "needed");
  }
  ASSIGN_OR_RETURN(
      const PoolBook pool,
      SetPoolRange(service.archive(),
                   ElementAddress{static_cast<uint16_t>(start)},
                   ElementAddress{static_cast<uint16_t>(end)}, stop));
  return Json{{"copy_start", pool.range.first.value},
              {"copy_end", pool.range.last.value},
              {"media", pool.media.size()}};
}

Result<Json> Pool(Service& service, const CommandLine& line,
                  std::stop_token stop) {
  OptionReader options(line);
  options.Args(2, 2, "pool free SLOT|TAG");
  RETURN_IF_ERROR(options.Finish());
  if (line.args[0] != "free") {
    return InvalidCommand(
        "pool: usage: pool free SLOT|TAG, with the slot's element address or "
        "the medium in it");
  }
  const std::optional<uint64_t> number = ParseNumber(line.args[1]);
  FreedMedium freed;
  if (number && *number <= UINT16_MAX) {
    ASSIGN_OR_RETURN(
        freed,
        FreePoolSlot(service.archive(), service.jobs(), service.pool_range(),
                     ElementAddress{static_cast<uint16_t>(*number)}, stop));
  } else {
    ASSIGN_OR_RETURN(const MediumId medium,
                     ResolveMedium(service.archive(), line.args[1]));
    ASSIGN_OR_RETURN(freed, FreePoolMedium(service.archive(), service.jobs(),
                                           service.pool_range(), medium, stop));
  }
  return Json{{"slot", freed.slot.value},
              {"medium", freed.medium},
              {"volume", freed.volume.empty() ? Json() : Json(freed.volume)},
              {"owner", freed.owner.empty() ? Json() : Json(freed.owner)},
              {"last", freed.last}};
}

constexpr std::array<NamedCommand, 9> kMediaCommands = {{
    {"backup-info", BackupInfo},
    {"export", ExportVolume},
    {"format", Format},
    {"import", ImportMedia},
    {"inventory", TakeInventory},
    {"move", Move},
    {"pool", Pool},
    {"reindex", TakeReindex},
    {"setcopyrange", SetCopyRange},
}};

}  // namespace

std::span<const NamedCommand> MediaCommands() { return kMediaCommands; }

}  // namespace vellum
