// SPDX-License-Identifier: Apache-2.0
// A write-once medium that the job had finished when it was ended, and that the
// catalog has as INCOMPLETE still, or does not have all of: it is taken up, or
// another one would be written for nothing.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "copy/copy_runner.h"
#include "copy/damage_notes.h"
#include "copy/medium_notes.h"
#include "media/udf/allocator.h"
#include "media/udf/fsck.h"

namespace vellum {
namespace {

// What says that the disc is no good, and nothing of the library.
bool IsOfTheDisc(Errc code) {
  return code == Errc::kCorruption || code == Errc::kDeviceError ||
         code == Errc::kNotSupported || code == Errc::kIncompatible ||
         code == Errc::kNotReady || code == Errc::kNotFound;
}

// The job that made this note of the control log; 0: it is none.
JobId JobOfNote(const udf::LogEntry& entry) {
  const nlohmann::json json =
      nlohmann::json::parse(entry.text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("job") ||
      !json["job"].is_number_unsigned()) {
    return 0;
  }
  return json["job"].get<JobId>();
}

// What was written last on it, whole, by this job.
Status CheckMadeBy(Medium& disc, const TargetContent& content,
                   const std::string& medium_uuid, JobId job) {
  if (!content.slot || content.slot->state != udf::SlotState::kComplete ||
      content.slot->medium_uuid != medium_uuid) {
    return Status(Errc::kNotFound, "it is not complete");
  }
  ASSIGN_OR_RETURN(const udf::VolumeDescription description,
                   udf::ReadDescription(disc));
  ASSIGN_OR_RETURN(const std::vector<udf::LogEntry> log,
                   udf::ReadControlLog(disc, description.geometry));
  if (log.empty() || JobOfNote(log.back()) != job) {
    return Status(Errc::kNotFound, "another job has written it");
  }
  return Status::Ok();
}

}  // namespace

Result<bool> CopyRunner::CompareDisc(const LoadedTarget& disc,
                                     const CopySource& with) {
  Medium& medium = disc.target();
  CopyCounters& counters = steps_->job().counters;
  counters.Begin(with.regions.count());
  Status unread;     // of the thread that reads, which ends before the pump
  Status different;  // what is wrong with the disc
  const auto compare = [&](RegionChunk& chunk) -> Status {
    RegionChunk there = chunk;
    RETURN_IF_ERROR(medium.Read(chunk.sectors.first, there.data));
    HashChunk(&there);
    if (there.hashes != chunk.hashes) {
      return Status(
          Errc::kCorruption,
          fmt::format("{}: sectors from {} on are not what was copied",
                      disc.content.info.name, chunk.sectors.first));
    }
    counters.regions_done += chunk.regions;
    counters.bytes_verified += chunk.sectors.count * kSectorSize;
    return Status::Ok();
  };
  const Status pumped = PumpRegions(
      with.regions, with.map->geometry().sectors, steps_->stop(),
      [&](RegionChunk* chunk) {
        unread = with.Fill(chunk);
        return unread;
      },
      [&](RegionChunk& chunk) {
        different = compare(chunk);
        return different;
      },
      steps_->context().options->chunk_regions);
  RETURN_IF_ERROR(different);
  if (!unread.ok()) return CannotCompare(disc, unread.error());
  RETURN_IF_ERROR(pumped);
  return true;
}

Result<bool> CopyRunner::CannotCompare(const LoadedTarget& disc,
                                       const Error& why) {
  if (steps_->stop().stop_requested() || why.code == Errc::kAborted ||
      why.code == Errc::kInterrupted) {
    return why;
  }
  steps_->Log(fmt::format("{} cannot be compared with what was copied: {}",
                          disc.medium, why.message));
  return false;
}

Result<bool> CopyRunner::CompareWithPrimary(
    const LoadedTarget& disc, const std::shared_ptr<const SectorMap>& map) {
  const Result<VolumeUse> use =
      steps_->archive().volumes->Hold(source_, steps_->stop(), steps_->owner());
  if (!use.ok()) return CannotCompare(disc, use.error());
  const Result<std::unique_ptr<VolumeSnapshot>> taken =
      use->volume()->TakeSnapshot();
  if (!taken.ok()) return CannotCompare(disc, taken.error());
  const VolumeSnapshot& snapshot = **taken;
  if (!(snapshot.generation() == disc.content.slot->generation)) return false;
  tree_ = snapshot.catalog();
  source_record_ = snapshot.record();
  if (!request_.verify) return true;
  const CopySource primary = SourceOf(snapshot, map, map->UsedRegions());
  ASSIGN_OR_RETURN(const bool same, CompareDisc(disc, primary));
  if (!same) return false;
  const Status whole = primary.check_whole();
  if (!whole.ok()) return CannotCompare(disc, whole.error());
  return true;
}

Status CopyRunner::VerifyDisc(const LoadedTarget& disc, CopySource* source) {
  Medium& medium = disc.target();
  const udf::ControlSlot& slot = *disc.content.slot;
  if (image_ != nullptr && image_->identity().generation == slot.generation) {
    *source = image_->Source();
    if (!request_.verify) return Status::Ok();
    ASSIGN_OR_RETURN(const bool same, CompareDisc(disc, *source));
    if (same) return Status::Ok();
  }
  // Of the generation's primary only what it says of itself is needed later.
  ASSIGN_OR_RETURN(const udf::VolumeDescription description,
                   udf::ReadDescription(medium));
  ASSIGN_OR_RETURN(Bytes bitmap, udf::ReadBitmap(medium, description.geometry));
  *source = CopySource();
  source->identity = {source_record_.id, source_record_.medium_uuid,
                      slot.format_uuid, slot.generation};
  source->map = std::make_shared<const SectorMap>(
      description.geometry, std::move(bitmap), request_.whole);
  if (disc.leases.size() > 1) {
    ASSIGN_OR_RETURN(const bool same, CompareWithPrimary(disc, source->map));
    if (same) return Status::Ok();
  }
  // The generation is nowhere else any more, or cannot be read there.
  read_back_ = false;
  if (!request_.verify) return Status::Ok();
  udf::FsckOptions all;
  all.check_data = true;
  ASSIGN_OR_RETURN(const udf::FsckReport report, udf::CheckVolume(medium, all));
  if (report.clean()) return Status::Ok();
  return Status(Errc::kCorruption,
                fmt::format("{}: {} errors, the first at sector {}: {}",
                            disc.content.info.name, report.errors.size(),
                            report.errors[0].sector, report.errors[0].text));
}

Status CopyRunner::NoteBadDisc(const std::string& medium_uuid,
                               const std::string& why) {
  return NoteDamage(steps_->archive().catalog, medium_uuid,
                    DamageFinder::kCompare,
                    fmt::format("job {} closed it and could not verify it: {}",
                                steps_->job().id(), why))
      .WithContext("noting in the catalog that it is bad");
}

Status CopyRunner::ForgetBlank(LoadedTarget* disc) {
  const Archive& archive = steps_->archive();
  RETURN_IF_ERROR(archive.volumes->Forget(disc->volume));
  disc->exclusion.Release();
  disc->volume = nullptr;
  steps_->Log(
      fmt::format("the write-once medium {} is blank still", disc->medium));
  return NoteMediumContent(archive.catalog, disc->medium,
                           udf::MediumContent::kBlank, disc->content.info);
}

Result<bool> CopyRunner::TakeUpDisc() {
  const Archive& archive = steps_->archive();
  const JobRecord job = steps_->job().Record();
  if (job.target_medium.empty() || job.target_volume.empty()) return false;
  const auto volume = archive.volumes->Find(job.target_volume);
  if (volume == nullptr) return false;
  const VolumeRecord bound = volume->record();
  ASSIGN_OR_RETURN(const MediumNote note,
                   ReadMediumNote(*archive.catalog, bound.medium));
  if (!note.write_once || bound.medium != job.target_medium ||
      bound.role != udf::Role::kBackup ||
      bound.owner_uuid != source_record_.medium_uuid ||
      !archive.library->FindMedium(bound.medium).ok()) {
    return false;
  }
  Status status;
  {
    TargetLoader loader(steps_, &avoid_);
    RETURN_IF_ERROR(loader.Reserve(bound.medium));
    RETURN_IF_ERROR(steps_->Enter(JobState::kLoadTarget));
    const bool with_source =
        image_ == nullptr && archive.library->OnlineDrives() > 1;
    Result<LoadedTarget> disc =
        loader.LoadWritten(bound.medium, source_record_, with_source);
    if (!disc.ok() && with_source && IsOfTheDisc(disc.error().code)) {
      // It may be the source's medium that cannot be loaded.
      disc = loader.LoadWritten(bound.medium, source_record_, false);
    }
    status = disc.status();
    if (status.ok() && disc->content.content == udf::MediumContent::kBlank &&
        !disc->content.info.write_protected && disc->volume == volume &&
        bound.state == udf::SlotState::kIncomplete) {
      RETURN_IF_ERROR(ForgetBlank(&*disc));
      return false;
    }
    if (status.ok()) {
      status =
          CheckMadeBy(disc->target(), disc->content, bound.medium_uuid, job.id);
    }
    CopySource source;
    if (status.ok()) {
      steps_->Log(
          fmt::format("{} was finished before the restart", bound.medium));
      RETURN_IF_ERROR(steps_->Enter(JobState::kVerifying));
      status = VerifyDisc(*disc, &source);
      if (!status.ok() && IsOfTheDisc(status.code())) {
        RETURN_IF_ERROR(NoteBadDisc(bound.medium_uuid, status.error().message));
      }
    }
    if (status.ok()) {
      SetMethod(false, source.identity);
      RETURN_IF_ERROR(steps_->Enter(JobState::kCommitting));
      target_medium_ = bound.medium;
      RETURN_IF_ERROR(Record(&*disc, source, *disc->content.slot, 0));
      return true;
    }
  }
  if (!IsOfTheDisc(status.code())) return status;
  steps_->Log(
      fmt::format("the write-once medium {} was begun before the "
                  "restart and is not used: {}",
                  bound.medium, status.error().message));
  steps_->SendHome(bound.medium);
  return false;
}

}  // namespace vellum
