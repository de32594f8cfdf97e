// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "copy/medium_notes.h"
#include "copy/operations.h"
#include "copy/shelf.h"
#include "media/udf/control.h"

namespace vellum {
namespace {

// OWNER-OLD1, OWNER-OLD2, …: the first that is free.
std::string RetiredId(const Archive& archive, const std::string& owner) {
  constexpr size_t kMaxId = 30;
  for (uint32_t n = 1;; ++n) {
    const std::string suffix = fmt::format("-OLD{}", n);
    std::string id = owner.substr(0, kMaxId - suffix.size()) + suffix;
    if (archive.volumes->Find(id) == nullptr) return id;
  }
}

// Writes the name on the medium, if that is possible at all: an original that
// is replaced is often one that cannot be read any more.
Status Relabel(const Archive& archive, const VolumeRecord& record,
               const std::string& id, const std::stop_token& stop) {
  RETURN_IF_ERROR(CheckNotExported(record));
  LeaseRequest request;
  request.medium = record.medium;
  request.mode = LeaseMode::kExclusive;
  request.priority = LeasePriority::kForeground;
  request.owner = "promote";
  std::vector<LeaseRequest> requests;
  requests.push_back(std::move(request));
  ASSIGN_OR_RETURN(const std::vector<MediumLease> leases,
                   archive.library->AcquireAndWait(std::move(requests), stop));
  Medium& medium = leases.front().medium();
  ASSIGN_OR_RETURN(udf::ControlSlot slot, udf::ReadControlSlot(medium));
  if (slot.medium_uuid != record.medium_uuid) {
    return Status(Errc::kNoMedium,
                  fmt::format("medium {} holds another volume", record.medium));
  }
  slot.volume_id = id;
  RETURN_IF_ERROR(udf::WriteControlSlot(medium, &slot));
  return medium.Flush();
}

// The original, which an attempt that broke off has renamed already.
std::string RenamedId(const Archive& archive, const VolumeRecord& copy) {
  for (const auto& volume : archive.volumes->List()) {
    const VolumeRecord record = volume->record();
    if (record.role == udf::Role::kPrimary &&
        record.medium_uuid == copy.owner_uuid) {
      return record.id;
    }
  }
  return std::string();
}

Status Rename(const Archive& archive, const std::shared_ptr<Volume>& volume,
              const std::string& id) {
  VolumeRecord record = volume->record();
  record.id = id;
  return archive.volumes->Put(std::move(record)).status();
}

// A promotion that came to nothing: the original keeps its name.
Status GiveBackName(const Archive& archive,
                    const std::shared_ptr<Volume>& original,
                    const Promoted& promoted, const std::string& id) {
  // Where the label could not be changed it is as it was.
  const Status labelled = promoted.problem.empty()
                              ? Relabel(archive, original->record(), id, {})
                              : Status::Ok();
  RETURN_IF_ERROR(Rename(archive, original, id)
                      .WithContext(fmt::format("{} is called {} now", id,
                                               promoted.retired)));
  return labelled.WithContext(fmt::format(
      "the label of medium {} says {} in place of {}, and could not be changed "
      "back",
      original->record().medium, promoted.retired, id));
}

}  // namespace

Result<Promoted> Promote(const Archive& archive, const std::string& copy,
                         std::stop_token stop) {
  const std::shared_ptr<Volume> backup = archive.volumes->Find(copy);
  if (backup == nullptr) {
    return Error{Errc::kNotFound, fmt::format("no volume {} is known", copy)};
  }
  const VolumeRecord record = backup->record();
  if (record.role != udf::Role::kBackup || record.owner_id.empty()) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{} is no copy of a volume", copy)};
  }
  if (record.state == udf::SlotState::kFiles) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{} was made file by file, and may hold more or "
                             "less than its original: `vellum convert {}` "
                             "makes it a primary",
                             copy, copy)};
  }
  if (record.state != udf::SlotState::kComplete) {
    return Error{Errc::kInvalidArgument,
                 copy +
                     " is not complete: it cannot take the place of its "
                     "original"};
  }
  RETURN_IF_ERROR(CheckNotExported(record));
  ASSIGN_OR_RETURN(const MediumNote note,
                   ReadMediumNote(*archive.catalog, record.medium));
  if (note.write_once) {
    return Error{
        Errc::kWriteProtected,
        fmt::format("{} is on the write-once medium {} and cannot take the "
                    "place of {}: `vellum restore {} --from {}` brings what is "
                    "on it back",
                    copy, record.medium, record.owner_id, record.owner_id,
                    copy)};
  }
  Promoted promoted;
  const std::shared_ptr<Volume> original =
      archive.volumes->Find(record.owner_id);
  Volumes::Exclusion exclusion;
  if (original != nullptr) {
    if (original->record().medium_uuid != record.owner_uuid) {
      return Error{
          Errc::kExists,
          fmt::format("volume {} on medium {} is not the original of {}: "
                      "`vellum convert {} --name VOL` gives it another name",
                      record.owner_id, original->record().medium, copy, copy)};
    }
    if (const size_t open = original->open_files(); open > 0) {
      return Error{Errc::kBusy, fmt::format("{} files are open on {}", open,
                                            record.owner_id)};
    }
    ASSIGN_OR_RETURN(exclusion, archive.volumes->Exclude(original, stop));
    promoted.retired = RetiredId(archive, record.owner_id);
    const Status labelled =
        Relabel(archive, original->record(), promoted.retired, stop);
    if (!labelled.ok()) {
      if (labelled.code() == Errc::kInterrupted) return labelled;
      promoted.problem = labelled.error().message;
      spdlog::warn("the label of {} still says {}: {}", promoted.retired,
                   record.owner_id, promoted.problem);
    }
    RETURN_IF_ERROR(Rename(archive, original, promoted.retired));
  } else {
    promoted.retired = RenamedId(archive, record);
  }
  bool on_medium = false;
  Result<VolumeRecord> primary =
      Convert(archive, copy, record.owner_id, stop, &on_medium);
  if (!primary.ok()) {
    if (on_medium) {
      // Two volumes must not carry the name.
      return primary.status().WithContext(fmt::format(
          "{} is the PRIMARY {} on its medium, or may be, and what is left to "
          "do is done when it is promoted again",
          copy, record.owner_id));
    }
    if (original != nullptr) {
      const Status back =
          GiveBackName(archive, original, promoted, record.owner_id);
      if (!back.ok()) {
        return primary.status().WithContext(back.error().message);
      }
    }
    return primary.status();
  }
  promoted.primary = std::move(*primary);
  return promoted;
}

}  // namespace vellum
