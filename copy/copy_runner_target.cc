// SPDX-License-Identifier: Apache-2.0
// The second half of a copy: what happens on the loaded target.
#include <fmt/format.h>

#include <utility>

#include "copy/atomic_copy.h"
#include "copy/copy_runner.h"
#include "copy/full_copy.h"
#include "copy/write_once_copy.h"

namespace vellum {

Status CopyRunner::OpenTarget(LoadedTarget* target,
                              std::optional<OpenedBackup>* opened) {
  if (!target->ours) return Status::Ok();
  const udf::SlotState state = target->content.slot->state;
  // One that was made file by file is no generation, but a backup all the same.
  if (state == udf::SlotState::kFiles) {
    steps_->Log(fmt::format("{} was made file by file: all of it is replaced",
                            target->volume_id));
  } else if (state != udf::SlotState::kComplete) {
    return Status::Ok();
  }
  Result<OpenedBackup> backup =
      OpenBackup(target->target(), *target->content.slot);
  if (backup.ok()) {
    *opened = std::move(*backup);
    return Status::Ok();
  }
  if (backup.error().code == Errc::kCorruption ||
      backup.error().code == Errc::kNotFound ||
      backup.error().code == Errc::kIncompatible) {
    steps_->Log("not a complete backup any more: " + backup.error().message);
    return Status::Ok();
  }
  return backup.status();
}

Result<CopyRunner::Again> CopyRunner::CopyTo(
    LoadedTarget* target, const CopySource& source,
    const std::function<void()>& read_done) {
  steps_->job().Update([target](JobRecord* job) {
    job->target_medium = target->medium;
    job->target_volume = target->volume_id;
  });
  if (target->content.info.medium_class == MediumClass::kWriteOnce) {
    return CopyOnce(target, source, read_done);
  }
  std::optional<OpenedBackup> opened;
  RETURN_IF_ERROR(OpenTarget(target, &opened));
  if (opened && resumed_ && opened->generation == source.identity.generation) {
    steps_->Log("the copy was committed before the restart");
    RETURN_IF_ERROR(steps_->Enter(JobState::kCommitting));
    RETURN_IF_ERROR(Record(target, source, opened->slot, opened->record_crc));
    return Again::kNo;
  }
  if (staged_since_) {
    Status possible(Errc::kIncompatible,
                    target->volume_id + " is no complete backup");
    if (opened) possible = AtomicCopy::CheckPossible(*opened, source);
    if (possible.ok() &&
        opened->generation.lineage == source.identity.generation.lineage &&
        opened->generation.number > source.identity.generation.number) {
      possible = Status(Errc::kIncompatible,
                        target->volume_id + " is newer than its primary");
    }
    if (!possible.ok()) {
      image_.reset();
      RETURN_IF_ERROR(FallBackToFull(possible.error().message));
      return Again::kYes;
    }
    if (opened->generation.lineage != staged_since_->lineage ||
        opened->generation.number < staged_since_->number) {
      // The catalog knew of another generation: what was read does not do.
      steps_->Log(fmt::format("{} holds generation {}, not {}",
                              target->volume_id, ToString(opened->generation),
                              ToString(*staged_since_)));
      real_base_ = opened->generation;
      image_.reset();
      return Again::kYes;
    }
    return CopyAtomic(target, std::move(*opened), source, true, read_done);
  }
  if (opened && IsLastComplete(steps_->archive(), source.identity.medium_uuid,
                               target->medium)) {
    const Status possible = AtomicCopy::CheckPossible(*opened, source);
    if (!possible.ok()) {
      return NoAtomicCommit(target, source, possible, true, read_done);
    }
    return CopyAtomic(target, std::move(*opened), source, false, read_done);
  }
  if (opened) {
    steps_->Log(fmt::format(
        "overwrites {} without an atomic commit, it is incomplete until the "
        "copy is done: another complete backup of {} is there",
        target->volume_id, source.identity.volume_id));
  }
  return CopyFull(target, source, read_done);
}

Result<CopyRunner::Again> CopyRunner::CopyFull(
    LoadedTarget* target, const CopySource& source,
    const std::function<void()>& read_done) {
  FullCopyOptions options;
  options.volume_id = target->volume_id;
  options.verify = request_.verify;
  options.chunk_regions = steps_->context().options->chunk_regions;
  options.wipe = request_.wipe;
  FullCopy copy(&target->target(), target->content, &source, options,
                steps_->hooks());
  SetMethod(false, source.identity);
  RETURN_IF_ERROR(copy.CheckTarget());
  if (staged_) RETURN_IF_ERROR(steps_->Enter(JobState::kWriting));
  // The log says what is given up here: durable before it is.
  RETURN_IF_ERROR(steps_->Save());
  RETURN_IF_ERROR(copy.Begin());
  RETURN_IF_ERROR(Bind(target, source, copy.slot()));
  RETURN_IF_ERROR(copy.Write());
  read_done();
  RETURN_IF_ERROR(steps_->Enter(JobState::kVerifying));
  RETURN_IF_ERROR(copy.Verify());
  RETURN_IF_ERROR(steps_->Enter(JobState::kCommitting));
  RETURN_IF_ERROR(copy.Commit(Note(source.identity, false)));
  RETURN_IF_ERROR(Record(target, source, copy.slot(), 0));
  return Again::kNo;
}

Result<CopyRunner::Again> CopyRunner::CopyOnce(
    LoadedTarget* target, const CopySource& source,
    const std::function<void()>& read_done) {
  WriteOnceCopyOptions options;
  options.volume_id = target->volume_id;
  options.verify = request_.verify;
  options.chunk_regions = steps_->context().options->chunk_regions;
  WriteOnceCopy copy(&target->target(), target->content, &source, options,
                     steps_->hooks());
  SetMethod(false, source.identity);
  RETURN_IF_ERROR(copy.CheckTarget());
  if (staged_) RETURN_IF_ERROR(steps_->Enter(JobState::kWriting));
  // The disc takes it once; after a power cut it is compared with the image.
  if (image_ != nullptr) RETURN_IF_ERROR(image_->Settle());
  RETURN_IF_ERROR(copy.Prepare(Note(source.identity, false)));
  // Known as what it is until the last sector is there.
  udf::ControlSlot unfinished = copy.slot();
  unfinished.state = udf::SlotState::kIncomplete;
  unfinished.generation = {};
  const bool known = target->volume != nullptr;
  // A restart asks on which one it was.
  RETURN_IF_ERROR(steps_->Save());
  RETURN_IF_ERROR(Bind(target, source, unfinished));
  const auto run = [&]() -> Status {
    RETURN_IF_ERROR(copy.Write());
    read_done();
    RETURN_IF_ERROR(steps_->Enter(JobState::kVerifying));
    RETURN_IF_ERROR(copy.Verify());
    RETURN_IF_ERROR(steps_->Enter(JobState::kCommitting));
    return copy.Commit();
  };
  const Status done = run();
  if (!done.ok() && !copy.began()) {
    if (!known) {
      const Status forgotten = ForgetBlank(target);
      if (!forgotten.ok()) steps_->Log(forgotten.error().message);
    }
    return done.error();
  }
  if (!done.ok()) {
    std::string message = done.error().message;
    if (copy.says_complete()) {
      const Status noted = NoteBadDisc(copy.slot().medium_uuid, message);
      if (!noted.ok()) message += "; " + noted.error().message;
    }
    return Error{done.error().code,
                 fmt::format("{}; the write-once medium {} is spoiled and "
                             "takes nothing more",
                             message, target->medium)};
  }
  RETURN_IF_ERROR(Record(target, source, copy.slot(), 0));
  return Again::kNo;
}

Result<CopyRunner::Again> CopyRunner::CopyAtomic(
    LoadedTarget* target, OpenedBackup opened, const CopySource& source,
    bool incremental, const std::function<void()>& read_done) {
  const uint32_t record_crc = opened.record_crc;
  AtomicCopyOptions options;
  options.verify = request_.verify;
  options.chunk_regions = steps_->context().options->chunk_regions;
  AtomicCopy copy(&target->target(), std::move(opened), &source, options,
                  steps_->hooks());
  SetMethod(incremental, source.identity);
  if (staged_) RETURN_IF_ERROR(steps_->Enter(JobState::kWriting));
  const CopyNote note = Note(source.identity, incremental);
  const Status written = copy.Write();
  if (!written.ok()) {
    if (!copy.no_room()) return written.error();
    return NoAtomicCommit(target, source, written, !incremental, read_done);
  }
  read_done();
  RETURN_IF_ERROR(steps_->Enter(JobState::kVerifying));
  RETURN_IF_ERROR(copy.Verify());
  RETURN_IF_ERROR(steps_->Enter(JobState::kCommitting));
  const Status committed = copy.Commit(note);
  if (!committed.ok()) {
    if (!copy.committed()) return committed.error();
    return Error{committed.error().code,
                 fmt::format("{}; {} is committed at generation {} and will "
                             "be completed when it is loaded next",
                             committed.error().message, target->volume_id,
                             ToString(source.identity.generation))};
  }
  RETURN_IF_ERROR(
      Record(target, source, copy.slot(),
             copy.record_crc() != 0 ? copy.record_crc() : record_crc));
  return Again::kNo;
}

Result<CopyRunner::Again> CopyRunner::NoAtomicCommit(
    LoadedTarget* target, const CopySource& source, const Status& why,
    bool covers_all, const std::function<void()>& read_done) {
  if (!covers_all && request_.policy == CopyPolicy::kMinicopy) {
    return why.error();
  }
  const bool last = IsLastComplete(steps_->archive(),
                                   source.identity.medium_uuid, target->medium);
  if (last && !request_.overwrite_last) return AnotherMedium(*target, why);
  if (!covers_all) {
    image_.reset();
    RETURN_IF_ERROR(FallBackToFull(why.error().message));
    return Again::kYes;
  }
  // A copy that broke off here leaves no backup: the slot says so first, and
  // the log of the job before that.
  steps_->Log(fmt::format(
      "overwrites {}{} without an atomic commit, it is incomplete until the "
      "copy is done: {}",
      target->volume_id,
      last ? fmt::format(", the last complete backup of {}, as asked for,",
                         source.identity.volume_id)
           : "",
      why.error().message));
  return CopyFull(target, source, read_done);
}

Result<CopyRunner::Again> CopyRunner::AnotherMedium(const LoadedTarget& target,
                                                    const Status& why) {
  const std::string reason = fmt::format(
      "{} is the last complete backup of {} and cannot be replaced in one "
      "atomic commit ({})",
      target.volume_id, source_record_.id, why.error().message);
  if (!request_.target.empty() || !give_up_medium_.empty()) {
    return Error{Errc::kNoSpace,
                 reason +
                     "; overwrite-last=yes would overwrite it all the "
                     "same"};
  }
  steps_->Log(reason + ": another medium of the pool is taken");
  give_up_medium_ = target.medium;
  give_up_volume_ = target.volume_id;
  give_up_reason_ = reason;
  avoid_.insert(target.medium);
  if (staged_since_) {
    image_.reset();
    force_full_ = true;
    full_reason_ = reason;
  }
  return Again::kYes;
}

}  // namespace vellum
