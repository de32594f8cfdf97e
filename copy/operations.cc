// SPDX-License-Identifier: Apache-2.0
#include "copy/operations.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "copy/backup_medium.h"
#include "copy/clearing.h"
#include "copy/damage_notes.h"
#include "copy/medium_notes.h"
#include "copy/metered_medium.h"
#include "copy/shelf.h"
#include "media/udf/format.h"
#include "media/udf/release.h"

namespace vellum {
namespace {

constexpr uint32_t kBackupThreshold = 99;

// The medium for this command alone, with the volume on it (if any is known)
// detached. Given up in the opposite order.
struct Taken {
  Volumes::Exclusion exclusion;
  MediumLease lease;
};

Result<Taken> Take(const Archive& archive, const MediumId& medium,
                   const std::shared_ptr<Volume>& volume, LeaseMode mode,
                   const std::string& owner, const std::stop_token& stop) {
  Taken taken;
  if (volume != nullptr) {
    RETURN_IF_ERROR(CheckNotExported(volume->record()));
    ASSIGN_OR_RETURN(taken.exclusion, archive.volumes->Exclude(volume, stop));
  }
  LeaseRequest request;
  request.medium = medium;
  request.mode = mode;
  request.priority = LeasePriority::kForeground;
  request.owner = owner;
  std::vector<LeaseRequest> requests;
  requests.push_back(std::move(request));
  if (archive.meter != nullptr) archive.meter->Say("loads " + medium);
  Result<std::vector<MediumLease>> leases =
      archive.library->AcquireAndWait(std::move(requests), stop);
  if (!leases.ok()) {
    // The library knows media only.
    return volume == nullptr
               ? leases.status()
               : leases.status().WithContext("volume " + volume->id());
  }
  taken.lease = std::move(leases->front());
  if (archive.meter != nullptr) archive.meter->Say("works on " + medium);
  return taken;
}

// About how much a check reads: a little more, rather than less.
uint64_t BytesToCheck(const VolumeRecord& record, bool data) {
  if (data) return record.used_blocks * kSectorSize;
  constexpr uint64_t kNameBytes = 80;      // of a directory's entry, on average
  constexpr uint64_t kFixedSectors = 512;  // descriptors, slots, log, journal
  const uint64_t names = record.files + record.directories;
  const uint64_t sectors = names + 2 * record.directories +
                           names * kNameBytes / kSectorSize +
                           record.geometry.partition_blocks / 8 / kSectorSize;
  return (sectors + kFixedSectors) * kSectorSize;
}

Status CheckFormat(const FormatRequest& request) {
  RETURN_IF_ERROR(udf::CheckVolumeId(request.volume_id));
  if (request.role == udf::Role::kBackup && request.threshold != 0 &&
      request.threshold != kBackupThreshold) {
    return Status(
        Errc::kInvalidArgument,
        fmt::format("the threshold of a backup is {} %", kBackupThreshold));
  }
  if (request.threshold > 100) {
    return Status(Errc::kInvalidArgument, "threshold: 1 to 100 %");
  }
  return Status::Ok();
}

// A volume to be used: a generation of the primary, or files of it.
bool HoldsTree(udf::SlotState state) {
  return state == udf::SlotState::kComplete || state == udf::SlotState::kFiles;
}

// `*held`: the generation of the backup.
Result<udf::ControlSlot> WriteSlotOfPrimary(Medium& medium,
                                            udf::ControlSlot slot,
                                            const PrimaryIdentity& identity,
                                            Generation* held) {
  ASSIGN_OR_RETURN(const OpenedBackup opened, OpenBackup(medium, slot));
  *held = opened.generation;
  slot = opened.slot;
  slot.volume_id = identity.volume_id;
  slot.role = udf::Role::kPrimary;
  slot.state = udf::SlotState::kClean;
  slot.owner_id.clear();
  slot.owner_uuid.clear();
  slot.generation = {udf::NewLineage(), opened.generation.number};
  slot.lvid_crc = opened.lvid_crc;
  slot.threshold = identity.threshold;
  RETURN_IF_ERROR(WriteSlotWithNewFloor(medium, &slot, 0));
  RETURN_IF_ERROR(medium.Flush());
  return slot;
}

// A convert broke off between its write and the catalog: the catalog follows.
Result<VolumeRecord> EndConvert(const Archive& archive, Taken* taken,
                                const VolumeRecord& known,
                                const std::string& id) {
  RETURN_IF_ERROR(archive.catalog->ClearChangeMap(known.index));
  // Identify takes an exclusion of its own; the lease keeps others off.
  taken->exclusion.Release();
  ASSIGN_OR_RETURN(
      const std::shared_ptr<Volume> volume,
      archive.volumes->Identify(known.medium, taken->lease.medium()));
  if (volume == nullptr || volume->id() != id) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("medium {} holds no backup {}, but the PRIMARY {}",
                             known.medium, known.id,
                             volume == nullptr ? "?" : volume->id())};
  }
  spdlog::info("medium {}: backup {} had become the primary {} before",
               known.medium, known.id, id);
  return volume->record();
}

// True: a release had broken off behind its last write, and the catalog follows
// now.
Result<bool> EndRelease(const Archive& archive, const std::string& volume,
                        const std::stop_token& stop) {
  const MediumId former =
      DisplacedFrom(archive.volumes->Find(volume)->record().medium);
  if (former.empty()) return false;
  ASSIGN_OR_RETURN(const MediumNote note,
                   ReadMediumNote(*archive.catalog, former));
  if (note.clearing != volume) return false;
  ASSIGN_OR_RETURN(const std::string found, ReadLabel(archive, former, stop));
  return found == "foreign" && archive.volumes->Find(volume) == nullptr;
}

}  // namespace

Result<udf::ControlSlot> WritePrimarySlot(Medium& medium,
                                          const PrimaryIdentity& identity) {
  ASSIGN_OR_RETURN(const udf::ControlSlot slot, udf::ReadControlSlot(medium));
  Generation held;
  return WriteSlotOfPrimary(medium, slot, identity, &held);
}

Result<VolumeRecord> Format(const Archive& archive,
                            const FormatRequest& request,
                            std::stop_token stop) {
  RETURN_IF_ERROR(CheckFormat(request));
  ASSIGN_OR_RETURN(const MediumId medium,
                   ResolveMedium(archive, request.medium));
  const std::shared_ptr<Volume> old = archive.volumes->FindByMedium(medium);
  const std::shared_ptr<Volume> namesake =
      archive.volumes->Find(request.volume_id);
  if (namesake != nullptr && namesake != old) {
    const MediumId on = namesake->record().medium;
    const MediumId former = DisplacedFrom(on);
    if (former.empty()) {
      return Error{Errc::kExists, fmt::format("volume {} exists, on medium {}",
                                              request.volume_id, on)};
    }
    if (former != medium || !request.clear) {
      return Error{
          Errc::kExists,
          fmt::format("volume {} exists: it was on medium {}, which does not "
                      "hold it any more; clear (--clear, clear=yes) gives it "
                      "up and formats {}",
                      request.volume_id, former, former)};
    }
  }
  ASSIGN_OR_RETURN(const MediumNote known,
                   ReadMediumNote(*archive.catalog, medium));
  if (known.write_once) {
    return Error{Errc::kIncompatible,
                 fmt::format("medium {} is a write-once medium: it holds no "
                             "volume but a copy",
                             medium)};
  }
  if (old != nullptr && !request.clear) {
    return Error{Errc::kExists,
                 fmt::format("medium {} holds volume {}: clear (--clear, "
                             "clear=yes) formats it all the same",
                             medium, old->id())};
  }
  if (const size_t open = old == nullptr ? 0 : old->open_files(); open > 0) {
    return Error{
        Errc::kBusy,
        fmt::format("medium {} cannot be formatted: {} of the files of {} {} "
                    "open",
                    medium, open, old->id(), open == 1 ? "is" : "are")};
  }
  ASSIGN_OR_RETURN(const Taken taken,
                   Take(archive, medium, old, LeaseMode::kExclusive,
                        "format " + request.volume_id, stop));
  udf::FormatOptions options;
  options.volume_id = request.volume_id;
  options.role = request.role;
  options.threshold = request.role == udf::Role::kBackup ? kBackupThreshold
                      : request.threshold == 0           ? 100
                                                         : request.threshold;
  options.clear = request.clear;
  options.wipe = request.wipe;
  options.root_uid = request.root_uid;
  options.root_gid = request.root_gid;
  if (old != nullptr) RETURN_IF_ERROR(BeginClearing(archive, old));
  if (archive.meter != nullptr) {
    // To see that a medium is blank takes little; all of it is wiped.
    const bool wipes = options.clear && options.wipe;
    archive.meter->Begin(
        "bytes", wipes ? taken.lease.medium().Info().sectors * kSectorSize : 0);
  }
  MeteredMedium metered(&taken.lease.medium(), archive.meter);
  const auto formatted = udf::FormatVolume(metered, options);
  if (!formatted.ok()) {
    const Status ended = EndClearing(archive, medium, taken.lease.medium());
    if (!ended.ok()) spdlog::error("medium {}: {}", medium, ended.ToString());
    return formatted.status();
  }
  // Of an earlier format that was broken off, too.
  RETURN_IF_ERROR(EndClearing(archive, medium, taken.lease.medium()));
  if (namesake != nullptr && namesake != old) {
    RETURN_IF_ERROR(ForgetDisplaced(archive, request.volume_id, medium));
  }
  MediumNote note;
  note.found = "volume";
  note.sectors = taken.lease.medium().Info().sectors;
  RETURN_IF_ERROR(WriteMediumNote(archive.catalog, medium, note));
  ASSIGN_OR_RETURN(const std::shared_ptr<Volume> volume,
                   archive.volumes->Identify(medium, taken.lease.medium()));
  if (volume == nullptr) {
    return Error{
        Errc::kCorruption,
        fmt::format("medium {} holds no volume after its format", medium)};
  }
  spdlog::info("medium {}: formatted as {}", medium, request.volume_id);
  return volume->record();
}

Result<VolumeRecord> Convert(const Archive& archive, const std::string& backup,
                             const std::string& new_id, std::stop_token stop,
                             bool* on_medium) {
  bool ignored = false;
  if (on_medium == nullptr) on_medium = &ignored;
  *on_medium = false;
  const std::shared_ptr<Volume> volume = archive.volumes->Find(backup);
  if (volume == nullptr) {
    return Error{Errc::kNotFound, "no volume " + backup};
  }
  const VolumeRecord known = volume->record();
  if (known.role != udf::Role::kBackup) {
    return Error{Errc::kInvalidArgument, backup + " is a PRIMARY already"};
  }
  if (!HoldsTree(known.state)) {
    return Error{Errc::kInvalidArgument,
                 backup + " is not complete: there is nothing to convert"};
  }
  ASSIGN_OR_RETURN(const MediumNote written,
                   ReadMediumNote(*archive.catalog, known.medium));
  if (written.write_once) {
    return Error{Errc::kWriteProtected,
                 fmt::format("{} is on the write-once medium {}: it stays a "
                             "backup; mount it read-only",
                             backup, known.medium)};
  }
  const std::string id = new_id.empty() ? known.owner_id : new_id;
  RETURN_IF_ERROR(udf::CheckVolumeId(id));
  const std::shared_ptr<Volume> namesake = archive.volumes->Find(id);
  if (namesake != nullptr && namesake != volume) {
    return Error{Errc::kExists,
                 fmt::format("volume {} exists, on medium {}: give {} another "
                             "name",
                             id, namesake->record().medium, backup)};
  }
  ASSIGN_OR_RETURN(Taken taken,
                   Take(archive, known.medium, volume, LeaseMode::kExclusive,
                        "convert " + backup, stop));
  Medium& medium = taken.lease.medium();
  ASSIGN_OR_RETURN(udf::ControlSlot slot, udf::ReadControlSlot(medium));
  if (slot.medium_uuid == known.medium_uuid &&
      slot.role == udf::Role::kPrimary) {
    *on_medium = true;
    return EndConvert(archive, &taken, known, id);
  }
  if (slot.medium_uuid != known.medium_uuid ||
      slot.role != udf::Role::kBackup || !HoldsTree(slot.state)) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("medium {} does not hold the complete backup {}",
                             known.medium, backup)};
  }
  PrimaryIdentity identity;
  identity.volume_id = id;
  Generation held;
  *on_medium = true;
  const Result<udf::ControlSlot> converted =
      WriteSlotOfPrimary(medium, slot, identity, &held);
  if (!converted.ok()) {
    // A write or flush that failed may have been done all the same.
    const Result<udf::ControlSlot> now = udf::ReadControlSlot(medium);
    *on_medium = !now.ok() || now->role == udf::Role::kPrimary;
    return converted.status();
  }
  slot = *converted;

  VolumeRecord record = volume->record();
  // A crash had left the backup behind its journal: then the tree in the
  // catalog is not the one on the medium.
  if (!(record.generation == held)) record.tree = TreeState::kNone;
  record.id = id;
  record.role = slot.role;
  record.state = slot.state;
  record.owner_id.clear();
  record.owner_uuid.clear();
  record.generation = slot.generation;
  record.record_crc = 0;
  record.change_floor = slot.generation.number;
  record.threshold = slot.threshold;
  record.copied = TimeSpec();
  RETURN_IF_ERROR(archive.catalog->ClearChangeMap(record.index));
  ASSIGN_OR_RETURN(const std::shared_ptr<Volume> primary,
                   archive.volumes->Put(record));
  spdlog::info("medium {}: backup {} is the primary {} now", known.medium,
               backup, id);
  return primary->record();
}

Status Release(const Archive& archive, const std::string& volume,
               std::stop_token stop) {
  std::shared_ptr<Volume> found = archive.volumes->Find(volume);
  if (found == nullptr) return Status(Errc::kNotFound, "no volume " + volume);
  ASSIGN_OR_RETURN(const bool ended_now, EndRelease(archive, volume, stop));
  if (ended_now) return Status::Ok();
  found = archive.volumes->Find(volume);
  if (found == nullptr) return Status(Errc::kNotFound, "no volume " + volume);
  RETURN_IF_ERROR(archive.volumes->CheckExcludable(*found));
  // A volume that a killed daemon left behind is closed by loading it.
  RETURN_IF_ERROR(archive.volumes->Use(found, stop).status());
  // What cannot be committed is said before it is handed over.
  RETURN_IF_ERROR(archive.volumes->SyncVolume(*found));
  const MediumId medium = found->record().medium;
  ASSIGN_OR_RETURN(const Taken taken,
                   Take(archive, medium, found, LeaseMode::kExclusive,
                        "release " + volume, stop));
  RETURN_IF_ERROR(BeginClearing(archive, found));
  const Status released =
      udf::ReleaseVolume(taken.lease.medium()).WithContext("medium " + medium);
  const Status ended = EndClearing(archive, medium, taken.lease.medium());
  if (!released.ok()) {
    if (!ended.ok()) spdlog::error("medium {}: {}", medium, ended.ToString());
    return released;
  }
  RETURN_IF_ERROR(ended);
  MediumNote note;
  note.found = "foreign";
  note.sectors = taken.lease.medium().Info().sectors;
  RETURN_IF_ERROR(WriteMediumNote(archive.catalog, medium, note));
  spdlog::info("medium {}: volume {} was released", medium, volume);
  return Status::Ok();
}

Result<udf::FsckReport> Fsck(const Archive& archive, const std::string& volume,
                             const udf::FsckOptions& options,
                             std::stop_token stop) {
  const std::shared_ptr<Volume> found = archive.volumes->Find(volume);
  if (found == nullptr) return Error{Errc::kNotFound, "no volume " + volume};
  ASSIGN_OR_RETURN(const Taken taken,
                   Take(archive, found->record().medium, found,
                        LeaseMode::kShared, "fsck " + volume, stop));
  if (archive.meter != nullptr) {
    archive.meter->Begin("bytes",
                         BytesToCheck(found->record(), options.check_data));
  }
  MeteredMedium metered(&taken.lease.medium(), archive.meter, stop);
  const Result<udf::FsckReport> checked = udf::CheckVolume(metered, options);
  if (stop.stop_requested()) {
    return Error{Errc::kInterrupted, "fsck of " + volume + ": given up"};
  }
  if (!checked.ok()) return checked;
  const udf::FsckReport& report = *checked;
  std::string damage;
  if (!report.clean()) {
    damage = fmt::format("fsck found {} errors", report.error_count);
    if (!report.errors.empty()) {
      damage +=
          fmt::format("; the first, at sector {}: {}",
                      report.errors.front().sector, report.errors.front().text);
    }
  }
  RETURN_IF_ERROR(NoteDamage(archive.catalog, found->record().medium_uuid,
                             DamageFinder::kFsck, damage));
  return checked;
}

}  // namespace vellum
