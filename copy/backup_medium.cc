// SPDX-License-Identifier: Apache-2.0
#include "copy/backup_medium.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

#include "media/udf/allocator.h"

namespace vellum {
namespace {

constexpr size_t kRunSectors = 512;  // 1 MiB

using ImageIter = udf::SectorImages::const_iterator;

// Calls `run` with the first sector and the images of each run.
Status ForEachRun(
    const udf::SectorImages& images,
    const std::function<Status(uint64_t, ImageIter, ImageIter, size_t)>& run) {
  for (ImageIter it = images.begin(); it != images.end();) {
    ImageIter end = it;
    size_t count = 0;
    while (end != images.end() && count < kRunSectors &&
           end->first == it->first + count) {
      ++end;
      ++count;
    }
    RETURN_IF_ERROR(run(it->first, it, end, count));
    it = end;
  }
  return Status::Ok();
}

nlohmann::json TimeToJson(const TimeSpec& time) {
  return nlohmann::json::array({time.sec, time.nsec});
}

}  // namespace

Result<TargetContent> ProbeTarget(Medium& medium) {
  TargetContent target;
  target.info = medium.Info();
  ASSIGN_OR_RETURN(target.content, udf::ProbeMedium(medium));
  if (target.content == udf::MediumContent::kVellum) {
    ASSIGN_OR_RETURN(target.slot, udf::ReadControlSlot(medium));
  }
  return target;
}

Result<OpenedBackup> OpenBackup(Medium& medium, const udf::ControlSlot& slot) {
  const std::string name = "backup " + slot.volume_id;
  OpenedBackup backup;
  backup.slot = slot;
  Result<udf::VolumeDescription> description = udf::ReadDescription(medium);
  if (!description.ok()) return description.status().WithContext(name);
  if (description->format_uuid != slot.format_uuid) {
    return Error{Errc::kCorruption,
                 name + ": descriptors and control slot are of two volumes"};
  }
  backup.geometry = description->geometry;
  Result<udf::ReplayResult> replay =
      udf::ReplayJournal(medium, backup.geometry, slot);
  if (!replay.ok()) return replay.status().WithContext(name);
  if (replay->outcome == udf::ReplayOutcome::kForeign) {
    return Error{
        Errc::kCorruption,
        name + ": another system has written to medium " + medium.Info().name};
  }
  backup.generation = replay->generation;
  backup.record_crc = replay->record_crc;
  backup.next_sequence = replay->next_sequence;
  backup.next_sector = replay->next_sector;
  Result<Bytes> bitmap = udf::ReadBitmap(medium, backup.geometry);
  if (!bitmap.ok()) return bitmap.status().WithContext(name);
  backup.bitmap = std::move(*bitmap);
  udf::Sector lvid;
  RETURN_IF_ERROR(medium.Read(udf::kLvidSector, lvid).WithContext(name));
  backup.lvid_crc = udf::Crc32c(lvid);
  if (!(backup.generation == slot.generation)) {
    // The copy before was cut between its commit and its slot. The slot has to
    // follow before anything is written: the record's images may stand in
    // blocks that count as free.
    backup.slot.generation = backup.generation;
    backup.slot.lvid_crc = backup.lvid_crc;
    backup.slot.time = Now();
    RETURN_IF_ERROR(
        udf::WriteControlSlot(medium, &backup.slot).WithContext(name));
    RETURN_IF_ERROR(medium.Flush().WithContext(name));
  }
  return backup;
}

udf::LogEntry EncodeNote(const CopyNote& note) {
  const nlohmann::json json = {{"event", "copy"},
                               {"job", note.job},
                               {"source", note.source},
                               {"method", note.method},
                               {"lineage", note.generation.lineage},
                               {"generation", note.generation.number},
                               {"started", TimeToJson(note.started)},
                               {"ended", TimeToJson(note.ended)},
                               {"success", note.success}};
  udf::LogEntry entry;
  entry.time = note.ended;
  entry.text = json.dump();
  return entry;
}

Status WriteSlotWithNewFloor(Medium& medium, udf::ControlSlot* slot,
                             uint64_t above) {
  // The epoch is only known once the slot is written (another slot may carry a
  // higher one).
  for (;;) {
    slot->record_floor = slot->epoch + 1 + above;
    slot->time = Now();
    RETURN_IF_ERROR(udf::WriteControlSlot(medium, slot));
    if (slot->record_floor == slot->epoch + above) return Status::Ok();
  }
}

Status VerifyImages(Medium& medium, const udf::SectorImages& images) {
  Bytes buffer;
  return ForEachRun(
      images,
      [&](uint64_t first, ImageIter it, ImageIter end, size_t count) -> Status {
        buffer.resize(count * kSectorSize);
        medium.DropReadCache(first, count);
        RETURN_IF_ERROR(medium.Read(first, buffer));
        for (size_t at = 0; it != end; ++it, at += kSectorSize) {
          if (std::memcmp(buffer.data() + at, it->second->data(),
                          kSectorSize) != 0) {
            return Status(
                Errc::kCorruption,
                fmt::format("verify of {}: region {}, sector {} reads back "
                            "differently from what was written",
                            medium.Info().name, it->first / kRegionSectors,
                            it->first));
          }
        }
        return Status::Ok();
      });
}

}  // namespace vellum
