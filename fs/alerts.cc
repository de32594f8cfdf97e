// SPDX-License-Identifier: Apache-2.0
#include "fs/alerts.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "copy/damage_notes.h"
#include "copy/history.h"
#include "copy/library_catalog.h"
#include "copy/medium_notes.h"
#include "copy/pool_book.h"
#include "fs/service.h"
#include "media/health_flags.h"

namespace vellum {
namespace {

void AddAlert(Table* table, const char* severity, std::string object,
              std::string message) {
  table->rows.push_back({{"severity", severity},
                         {"object", std::move(object)},
                         {"message", std::move(message)}});
}

// Why a volume is not on its medium any more.
std::string DisplacedText(const Service& service, const MediumId& medium) {
  const Result<MediumNote> note = ReadMediumNote(service.catalog(), medium);
  if (note.ok() && !note->clearing.empty()) {
    return fmt::format(
        "a format of medium {}, which wipes it, was broken off: `vellum "
        "inventory` tells what became of it, `vellum format --clear` repeats "
        "the format",
        medium);
  }
  std::string found = "was replaced";
  if (const auto volume = service.volumes().FindByMedium(medium)) {
    found = "holds volume " + volume->id();
  } else if (note.ok() && note->found == "volume") {
    found = "holds another volume";
  } else if (note.ok() && note->found == "foreign") {
    found = "holds data that Vellum did not write";
  } else if (note.ok() && note->found == "blank") {
    found = "is blank";
  }
  return fmt::format(
      "medium {} {} and does not hold it any more (it was replaced or written "
      "elsewhere); `vellum inventory --all` looks for it on all media",
      medium, found);
}

// Since a power failure, or a move that failed: no other move can be made.
void AddRobotAlert(const Service& service, const ElementStatus& robot,
                   Table* table) {
  const Result<MediumPlace> place = service.library().MediumAt(robot.address);
  const bool home = place.ok() && place->home != robot.address;
  AddAlert(table, "error", "element " + ToString(robot.address),
           fmt::format("the robot holds {}: `vellum move {} {}` puts it {}",
                       place.ok() ? place->id : "a medium", robot.address.value,
                       home ? ToString(place->home) : "ELEMENT",
                       home ? "home" : "into a free one; no slot is free"));
}

// Flags that are more than information (H4), and faults that somebody asked
// for.
void AddHealthAlerts(const Service& service, Table* table) {
  for (const SetHealthFlag& set : service.auxiliary().Flags()) {
    const HealthFlag& flag = HealthFlagOf(set.number);
    if (flag.severity == FlagSeverity::kInformation) continue;
    const bool drive = set.object.starts_with("drive ");
    AddAlert(table, FlagSeverityName(flag.severity),
             drive ? set.object : "medium " + set.object,
             fmt::format("{}: {}{}{}; `vellum health clear {}` ends this alert",
                         flag.name, flag.meaning, set.note.empty() ? "" : ": ",
                         set.note, drive ? set.object.substr(6) : set.object));
  }
  if (service.virtual_controls() == nullptr) return;
  const size_t faults = service.virtual_controls()->faults()->List().size();
  if (faults == 0) return;
  AddAlert(table, "warning", "library",
           fmt::format("{} faults were asked for: `vellum faults`, `vellum "
                       "fault clear`",
                       faults));
}

// Slots of the pool whose medium somebody replaced (O16).
Status AddPoolAlerts(const Service& service, Table* table) {
  ASSIGN_OR_RETURN(const std::vector<PoolRow> rows,
                   ListPool(service.archive(), service.pool_range()));
  for (const PoolRow& row : rows) {
    if (row.state != "swapped") continue;
    AddAlert(
        table, "warning", "slot " + ToString(row.slot),
        fmt::format("held {}{} of the copy pool and holds {} now, which "
                    "is not used: put {} back, or take {} into the pool "
                    "with `vellum pool free {}`",
                    row.medium,
                    row.owner.empty() ? "" : ", a backup of " + row.owner + ",",
                    row.found, row.medium, row.found, row.slot.value));
  }
  return Status::Ok();
}

// Did a later job do what the failed one was to do? One that named a target
// only if that is the same.
bool Repeats(const JobRecord& later, const JobRecord& failed) {
  if (later.id <= failed.id || later.state != JobState::kDone ||
      later.kind != failed.kind ||
      later.request.source != failed.request.source ||
      (later.request.mode == CopyMode::kFiles) !=
          (failed.request.mode == CopyMode::kFiles)) {
    return false;
  }
  const std::string& named = failed.request.target;
  return named.empty() || later.request.target == named ||
         later.target_medium == failed.target_medium ||
         later.target_volume == named || later.target_medium == named;
}

// Failed jobs, until they are repeated with success, taken out of the history,
// or their volume is no more.
Status AddJobAlerts(const Service& service, Table* table) {
  const std::vector<JobRecord> jobs = service.jobs().List();
  const auto failed = [](const JobRecord& job) {
    // A comparison that found differences did what it was to do; the damage
    // stands by its volume.
    return job.state == JobState::kFailed && !job.differs;
  };
  if (std::none_of(jobs.begin(), jobs.end(), failed)) return Status::Ok();
  ASSIGN_OR_RETURN(const std::vector<HistoryRow> history,
                   ReadHistory(service.catalog()));
  std::set<JobId> kept;
  for (const HistoryRow& row : history) kept.insert(row.job);
  for (const JobRecord& job : jobs) {
    if (!failed(job)) continue;
    if (job.kind != JobKind::kCompare && kept.count(job.id) == 0) continue;
    if (service.volumes().Find(job.request.source) == nullptr) continue;
    if (std::any_of(jobs.begin(), jobs.end(), [&job](const JobRecord& later) {
          return Repeats(later, job);
        })) {
      continue;
    }
    AddAlert(table, "warning", fmt::format("job {}", job.id), job.message);
  }
  return Status::Ok();
}

}  // namespace

Result<Table> AlertsTable(const Service& service) {
  Table table;
  table.columns = {
      {"severity", "Severity"}, {"object", "Object"}, {"message", "Message"}};
  for (const ElementStatus& element : service.library().ElementStatuses()) {
    if (element.type == ElementType::kTransport && element.full) {
      AddRobotAlert(service, element, &table);
    }
    if (!element.exception) continue;
    AddAlert(&table, "error", "element " + ToString(element.address),
             element.note.empty() ? "exception" : element.note);
  }
  for (const DriveState& drive : service.library().Drives()) {
    if (drive.online) continue;
    AddAlert(&table, "error", "drive " + ToString(drive.address),
             drive.problem.empty() ? "offline" : "offline: " + drive.problem);
  }
  if (!service.library().online()) {
    AddAlert(&table, "error", "library",
             "offline: `vellum library online` ends that");
  }
  AddHealthAlerts(service, &table);
  const Status catalog = service.catalog().CheckWrite(0);
  if (!catalog.ok()) {
    AddAlert(&table, "error", "catalog", catalog.error().message);
  }
  ASSIGN_OR_RETURN(const std::optional<std::string> salvage,
                   SalvageNote(service.catalog()));
  if (salvage) AddAlert(&table, "error", "catalog", *salvage);
  const std::vector<std::shared_ptr<Volume>> volumes = service.volumes().List();
  if (volumes.empty()) {
    AddAlert(&table, "warning", "catalog",
             "the catalog knows no volumes: if media of this library hold "
             "some, `vellum inventory` reads them");
  }
  for (const std::shared_ptr<Volume>& volume : volumes) {
    const VolumeRecord record = volume->record();
    if (record.role == udf::Role::kPrimary) {
      const Status writable = volume->CheckWritable();
      if (!writable.ok()) {
        AddAlert(&table, "error", "volume " + record.id,
                 writable.error().message);
      }
    } else if (record.state == udf::SlotState::kIncomplete) {
      AddAlert(&table, "warning", "volume " + record.id,
               "the backup is incomplete");
    }
    const Result<std::string> damage =
        ReadDamage(service.catalog(), record.medium_uuid);
    if (!damage.ok() || !damage->empty()) {
      AddAlert(&table, "error", "volume " + record.id,
               damage.ok() ? *damage : damage.error().message);
    }
    if (record.location.empty() &&
        !service.library().FindMedium(record.medium).ok()) {
      const MediumId former = DisplacedFrom(record.medium);
      AddAlert(
          &table, former.empty() ? "warning" : "error", "volume " + record.id,
          former.empty()
              ? fmt::format("medium {} is not in the library", record.medium)
              : DisplacedText(service, former));
    }
  }
  for (const MediumPlace& place : service.library().Media()) {
    const Result<MediumNote> note = ReadMediumNote(service.catalog(), place.id);
    const std::string object = "medium " + place.id;
    if (!note.ok()) {
      AddAlert(&table, "error", object, note.error().message);
      continue;
    }
    if (!note->unreadable.empty()) {
      AddAlert(&table, "error", object,
               fmt::format("could not be read: {}; `vellum inventory` tries "
                           "again",
                           note->unreadable));
    }
    if (const std::string& text =
            note->replaced.empty() ? note->was_replaced : note->replaced;
        !text.empty()) {
      AddAlert(&table, note->replaced.empty() ? "warning" : "error", object,
               text + "; `vellum inventory --all` ends this alert");
    }
    if (!note->problem.empty() && !service.volumes().FindByMedium(place.id)) {
      AddAlert(&table, "warning", object, note->problem);
    }
  }
  RETURN_IF_ERROR(AddPoolAlerts(service, &table));
  RETURN_IF_ERROR(AddJobAlerts(service, &table));
  return table;
}

}  // namespace vellum
