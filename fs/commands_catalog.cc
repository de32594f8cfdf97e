// SPDX-License-Identifier: Apache-2.0
// Commands that are answered from the catalog alone: no medium moves.
#include <fmt/format.h>

#include <array>
#include <optional>
#include <utility>

#include "copy/shelf.h"
#include "fs/command_group.h"
#include "fs/service.h"
#include "fs/tables.h"
#include "index/name_search.h"

namespace vellum {
namespace {

// One answer of `find` holds at most so many names, and comes after so many
// were looked at: who searches more asks again.
constexpr uint64_t kMaxFound = 1000;
constexpr size_t kMaxSeen = 100'000;

const char* FileTypeName(udf::FileType type) {
  switch (type) {
    case udf::FileType::kRegular:
      return "file";
    case udf::FileType::kDirectory:
      return "directory";
    case udf::FileType::kSymlink:
      return "symlink";
    case udf::FileType::kBlockDevice:
    case udf::FileType::kCharDevice:
    case udf::FileType::kFifo:
    case udf::FileType::kSocket:
      break;
  }
  return "special";
}

// Where a name is: its volume, the medium, the element and the shelf.
Json NameRow(const Service& service, const VolumeRecord& record,
             const std::string& path, const Attr& attr) {
  const Result<MediumPlace> place = service.library().FindMedium(record.medium);
  return {
      {"path", path.empty() ? record.id : record.id + "/" + path},
      {"volume", record.id},
      {"role", RoleName(record.role)},
      {"type", FileTypeName(attr.attr.type)},
      {"size", attr.attr.size},
      {"modified", TimeJson(attr.attr.mtime)},
      {"medium", record.medium},
      {"state", MediumState(place, record.location)},
      {"element", place.ok() ? Json(place->element.value) : Json()},
      {"location", record.location.empty() ? Json() : Json(record.location)}};
}

Result<Json> Find(Service& service, const CommandLine& line,
                  std::stop_token stop) {
  NameQuery query;
  OptionReader options(line);
  options.Args(1, 1,
               "find PATTERN [volume=VOL] [role=primary|backup] [case=no] "
               "[limit=N] [after=PLACE]");
  query.volume = options.Text("volume").value_or("");
  if (options.Text("role")) {
    query.role = options.Choice("role", {"primary", "backup"}, 0) == 0
                     ? udf::Role::kPrimary
                     : udf::Role::kBackup;
  }
  query.ignore_case = !options.Flag("case", true);
  const uint64_t limit = options.Number("limit", kMaxFound, 1, kMaxFound);
  const std::string after = options.Text("after").value_or("");
  RETURN_IF_ERROR(options.Finish());
  if (!query.volume.empty()) {
    RETURN_IF_ERROR(FindVolume(service, query.volume).status());
  }
  query.pattern = line.args[0];
  ASSIGN_OR_RETURN(
      const NamePage page,
      SearchNames(service.volumes(), query, after, limit, kMaxSeen, stop));
  Json found = Json::array();
  for (const FoundName& name : page.found) {
    found.push_back(
        NameRow(service, name.volume->record(), name.path, name.attr));
  }
  return Json{{"found", std::move(found)},
              {"next", page.next.empty() ? Json() : Json(page.next)}};
}

Result<Attr> LookupPath(const Volume& volume, const std::string& path) {
  ASSIGN_OR_RETURN(Attr attr, volume.GetAttr(volume.root()));
  size_t begin = 0;
  while (begin < path.size()) {
    const size_t end = std::min(path.find('/', begin), path.size());
    if (end > begin) {
      Result<Attr> next =
          volume.Lookup(attr.ino, path.substr(begin, end - begin));
      if (!next.ok() && next.error().code == Errc::kNotFound) {
        return Error{Errc::kNotFound,
                     fmt::format("volume {} holds no {}", volume.id(),
                                 path.substr(0, end))};
      }
      ASSIGN_OR_RETURN(attr, std::move(next));
    }
    begin = end + 1;
  }
  return attr;
}

// Files that were copied one by one have ids of their own.
bool SameFile(const udf::InodeAttr& a, const udf::InodeAttr& b, bool by_file) {
  return (by_file || a.unique_id == b.unique_id) && a.size == b.size &&
         a.mtime == b.mtime && a.ctime == b.ctime;
}

Result<Json> Which(Service& service, const CommandLine& line, std::stop_token) {
  OptionReader options(line);
  options.Args(1, 1, "which VOL[/PATH]");
  RETURN_IF_ERROR(options.Finish());
  const std::string& text = line.args[0];
  const size_t slash = text.find('/');
  if (text.empty() || slash == 0) {
    return InvalidCommand(
        fmt::format("which: \"{}\" is neither VOL[/PATH] nor a path below {}",
                    text, service.mount_point()));
  }
  const std::string path =
      slash == std::string::npos ? "" : text.substr(slash + 1);
  ASSIGN_OR_RETURN(const std::shared_ptr<Volume> volume,
                   FindVolume(service, text.substr(0, slash)));
  const VolumeRecord named = volume->record();
  const Result<Attr> attr = LookupPath(*volume, path);
  if (!attr.ok()) return attr.status().WithContext("which " + text);
  Json row = NameRow(service, named, path, *attr);
  row["current"] = true;
  Json rows = Json::array({std::move(row)});
  // The other volumes of the same family: the primary and its backups.
  const std::string& family =
      named.role == udf::Role::kPrimary ? named.medium_uuid : named.owner_uuid;
  for (const std::shared_ptr<Volume>& other : service.volumes().List()) {
    const VolumeRecord record = other->record();
    const bool related = record.role == udf::Role::kPrimary
                             ? record.medium_uuid == family
                             : record.owner_uuid == family;
    if (other == volume || !related || family.empty() ||
        record.state == udf::SlotState::kIncomplete) {
      continue;
    }
    const Result<Attr> copy = LookupPath(*other, path);
    if (!copy.ok()) continue;  // it does not hold it
    Json copy_row = NameRow(service, record, path, *copy);
    const bool by_file = named.state == udf::SlotState::kFiles ||
                         record.state == udf::SlotState::kFiles;
    copy_row["current"] = SameFile(attr->attr, copy->attr, by_file);
    rows.push_back(std::move(copy_row));
  }
  return rows;
}

constexpr std::array<NamedCommand, 2> kCatalogCommands = {{
    {"find", Find},
    {"which", Which},
}};

}  // namespace

std::span<const NamedCommand> CatalogCommands() { return kCatalogCommands; }

}  // namespace vellum
