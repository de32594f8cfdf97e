// SPDX-License-Identifier: Apache-2.0
#include "copy/file_copy_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "copy/shelf.h"

namespace vellum {
namespace {

LeaseRequest LeaseFor(const MediumId& medium, LeaseMode mode,
                      const std::string& owner) {
  LeaseRequest request;
  request.medium = medium;
  request.mode = mode;
  request.priority = LeasePriority::kCopy;
  request.owner = owner;
  return request;
}

}  // namespace

FileCopyRunner::FileCopyRunner(JobSteps* steps)
    : steps_(steps), request_(steps->job().Record().request) {}

Status FileCopyRunner::Run() {
  // The log of a job that was taken up again says so.
  const JobRecord job = steps_->job().Record();
  resumed_ = job.started != TimeSpec();
  RETURN_IF_ERROR(FindVolumes());
  RETURN_IF_ERROR(steps_->archive().library->RefreshElements(steps_->stop()));
  RETURN_IF_ERROR(
      CheckLoadable(*steps_->archive().library, source_record_.medium)
          .WithContext("volume " + source_record_.id));
  // One volume onto itself needs one drive only.
  const Library& library = *steps_->archive().library;
  const bool staged =
      source_ != primary_ &&
      (library.OnlineDrives() < 2 ||
       (primary_ != nullptr && IsOtherSide(library, primary_->record().medium,
                                           source_record_.medium)));
  const Status status = staged ? RunStaged() : RunStreaming();
  Unpin().IgnoreError("nothing is read any more");
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(steps_->Enter(JobState::kReturning));
  content_.reset();
  steps_->context().spool->Release(steps_->job().id());
  steps_->SendAllHome();
  return Status::Ok();
}

Status FileCopyRunner::FindVolumes() {
  const Volumes& volumes = *steps_->archive().volumes;
  const bool restore = steps_->job().Record().kind == JobKind::kRestore;
  const std::string& from = restore ? request_.target : request_.source;
  const std::string& to = restore ? request_.source : request_.target;
  source_ = volumes.Find(from);
  if (source_ == nullptr) return Status(Errc::kNotFound, "no volume " + from);
  source_record_ = source_->record();
  RETURN_IF_ERROR(CheckNotExported(source_record_));
  purpose_ = restore ? FilePurpose::kRestore : FilePurpose::kBackup;
  const std::shared_ptr<Volume> target = volumes.Find(to);
  if (restore && target == nullptr) {
    return Status(Errc::kNotFound, "no volume " + to);
  }
  if (target != nullptr && target->record().role == udf::Role::kPrimary) {
    primary_ = target;
    if (!restore) purpose_ = FilePurpose::kPrimary;
    RETURN_IF_ERROR(CheckNotExported(primary_->record()));
  } else if (restore) {
    return Status(Errc::kInvalidArgument, to + " is no PRIMARY");
  }
  return Status::Ok();
}

// --- The source
// ---------------------------------------------------------------

Status FileCopyRunner::Pin() {
  ASSIGN_OR_RETURN(use_, steps_->archive().volumes->Hold(
                             source_, steps_->stop(), steps_->owner()));
  ASSIGN_OR_RETURN(snapshot_, use_->TakeSnapshot());
  source_record_ = snapshot_->record();
  names_ = snapshot_->catalog();
  tree_ = TreeOfSnapshot(*steps_->archive().catalog, source_record_, *names_);
  ASSIGN_OR_RETURN(content_, SourceOfSnapshot(*snapshot_));
  steps_->job().Update([this](JobRecord* job) {
    job->method = "files";
    job->generation = source_record_.generation;
  });
  return Status::Ok();
}

Status FileCopyRunner::Unpin() {
  if (snapshot_ != nullptr) content_.reset();
  snapshot_.reset();
  use_.Release();
  return Status::Ok();
}

Result<FilePlan> FileCopyRunner::Plan(const FileTree* target) const {
  Result<FilePlan> plan =
      MakeFilePlan(*tree_, source_record_.id, target, request_.files, purpose_);
  if (!plan.ok()) return plan;
  if (resumed_ && target != nullptr &&
      request_.files.select == FileSelect::kAll) {
    RETURN_IF_ERROR(LeaveOutDone(&*plan, *target));
  }
  return plan;
}

Status FileCopyRunner::LeaveOutDone(FilePlan* plan,
                                    const FileTree& target) const {
  const Catalog& catalog = *steps_->archive().catalog;
  for (PlannedDirectory& dir : plan->directories) {
    if (dir.existing == 0) continue;
    Status status;
    const auto done = [&](const PlannedFile& file) {
      if (!status.ok() || file.link) return false;
      const Result<FileResult> result = GetFileResult(
          catalog, steps_->job().id(), JoinPath(dir.path, file.name));
      if (!result.ok() || result->result != "copied") return false;
      const Result<TreeNode> node = tree_->Node(file.source);
      const auto there = target.Lookup(dir.existing, file.name);
      if (!node.ok() || !there.ok()) {
        status = !node.ok() ? node.status() : there.status();
        return false;
      }
      // A further name may need it as the first one.
      return node->attr.links == 1 && *there &&
             IsSameVersion(*node, **there, purpose_);
    };
    const auto end = std::remove_if(dir.files.begin(), dir.files.end(), done);
    RETURN_IF_ERROR(status);
    const auto left_out = static_cast<uint64_t>(dir.files.end() - end);
    dir.files.erase(end, dir.files.end());
    dir.unchanged += left_out;
    plan->files -= left_out;
  }
  return Status::Ok();
}

// --- One drive
// ----------------------------------------------------------------

Status FileCopyRunner::StageIn() {
  const Archive& archive = steps_->archive();
  // As the catalog knows the target; what is on it is planned again when it is
  // loaded.
  std::shared_ptr<Volume> target = primary_;
  if (ToBackup()) {
    TargetLoader loader(steps_, &avoid_);
    ASSIGN_OR_RETURN(const MediumId medium, loader.Choose(source_record_));
    target = archive.volumes->FindByMedium(medium);
    const bool holds_files =
        target != nullptr &&
        target->record().owner_uuid == source_record_.medium_uuid &&
        target->record().tree == TreeState::kValid &&
        target->record().state != udf::SlotState::kIncomplete;
    if (!holds_files) target = nullptr;
  }
  RETURN_IF_ERROR(steps_->Enter(JobState::kStagingIn));
  const MediumId source_medium = source_record_.medium;
  steps_->Touch(source_medium);
  RETURN_IF_ERROR(Pin());
  std::unique_ptr<FileTree> there;
  if (target != nullptr) there = TreeOfVolume(*target);
  ASSIGN_OR_RETURN(const FilePlan plan, Plan(there.get()));
  Spool* const spool = steps_->context().spool;
  RETURN_IF_ERROR(spool->Reserve(steps_->job().id(), plan.bytes));
  ASSIGN_OR_RETURN(std::unique_ptr<StagedFiles> staged,
                   StagedFiles::Create(*spool, steps_->job().id()));
  CopyCounters& counters = steps_->job().counters;
  counters.Begin(plan.bytes / kRegionSize);
  uint64_t bytes = 0;
  for (const PlannedDirectory& dir : plan.directories) {
    for (const PlannedFile& file : dir.files) {
      if (file.allocated == 0) continue;
      const Status added = staged->Add(
          file.source, content_.get(), [&](uint64_t more) -> Status {
            if (steps_->stop().stop_requested()) {
              return Status(Errc::kAborted, "cancelled");
            }
            bytes += more;
            counters.regions_done =
                std::min<uint64_t>(counters.regions_total, bytes / kRegionSize);
            return Status::Ok();
          });
      if (added.ok()) continue;
      if (added.Is(Errc::kAborted) || !content_->CheckWhole().ok()) {
        return added;
      }
      unreadable_.insert(file.source);
      steps_->Log(fmt::format("{} cannot be read: {}",
                              JoinPath(dir.path, file.name),
                              added.error().message));
    }
  }
  RETURN_IF_ERROR(content_->CheckWhole());
  RETURN_IF_ERROR(Unpin());
  staged_ = staged.get();
  content_ = std::move(staged);
  steps_->SendHome(source_medium);
  return Status::Ok();
}

bool FileCopyRunner::NeedsMore(const FilePlan& plan) {
  if (staged_ == nullptr || staged_again_) return false;
  for (const PlannedDirectory& dir : plan.directories) {
    for (const PlannedFile& file : dir.files) {
      if (file.allocated > 0 && !staged_->Holds(file.source) &&
          unreadable_.count(file.source) == 0) {
        return true;
      }
    }
  }
  return false;
}

Status FileCopyRunner::RunStaged() {
  RETURN_IF_ERROR(StageIn());
  RETURN_IF_ERROR(WriteStaged());
  if (!stage_again_) return Status::Ok();
  stage_again_ = false;
  staged_again_ = true;
  steps_->Log(
      "the target lost files that were not committed: stages again what it "
      "lacks");
  staged_ = nullptr;
  content_.reset();
  RETURN_IF_ERROR(StageIn());
  return WriteStaged();
}

Status FileCopyRunner::WriteStaged() {
  RETURN_IF_ERROR(steps_->Enter(JobState::kLoadTarget));
  if (ToBackup()) {
    TargetLoader loader(steps_, &avoid_);
    ASSIGN_OR_RETURN(
        LoadedTarget target,
        loader.Load(steps_->job().Record().target_medium, source_record_,
                    /*with_source=*/false));
    RETURN_IF_ERROR(steps_->Enter(JobState::kWriting));
    return WriteToBackup(&target);
  }
  const MediumId medium = primary_->record().medium;
  steps_->Touch(medium);
  std::vector<LeaseRequest> requests;
  requests.push_back(LeaseFor(medium, LeaseMode::kShared, steps_->owner()));
  ASSIGN_OR_RETURN(const std::vector<MediumLease> leases,
                   steps_->archive().library->AcquireAndWait(
                       std::move(requests), steps_->stop()));
  RETURN_IF_ERROR(steps_->Enter(JobState::kWriting));
  return WriteToPrimary(&leases.back().medium());
}

// --- Two drives
// ---------------------------------------------------------------

Status FileCopyRunner::RunStreaming() {
  const Archive& archive = steps_->archive();
  if (ToBackup()) {
    TargetLoader loader(steps_, &avoid_);
    ASSIGN_OR_RETURN(const MediumId medium, loader.Choose(source_record_));
    // First, so that a job that has to wait for the target is queued still.
    RETURN_IF_ERROR(loader.Reserve(medium));
    RETURN_IF_ERROR(steps_->Enter(JobState::kStreaming));
    ASSIGN_OR_RETURN(LoadedTarget target,
                     loader.Load(medium, source_record_, /*with_source=*/true));
    RETURN_IF_ERROR(Pin());
    const Status status = WriteToBackup(&target);
    RETURN_IF_ERROR(Unpin());
    return status;
  }
  RETURN_IF_ERROR(steps_->Enter(JobState::kStreaming));
  // Together, so that no two jobs wait for each other's drive.
  std::vector<LeaseRequest> requests;
  const MediumId target_medium = primary_->record().medium;
  if (source_ != primary_) {
    requests.push_back(
        LeaseFor(source_record_.medium, LeaseMode::kShared, steps_->owner()));
    steps_->Touch(source_record_.medium);
  }
  requests.push_back(
      LeaseFor(target_medium, LeaseMode::kShared, steps_->owner()));
  steps_->Touch(target_medium);
  ASSIGN_OR_RETURN(
      const std::vector<MediumLease> leases,
      archive.library->AcquireAndWait(std::move(requests), steps_->stop()));
  RETURN_IF_ERROR(Pin());
  const Status status = WriteToPrimary(&leases.back().medium());
  RETURN_IF_ERROR(Unpin());
  return status;
}

// --- Writing
// ------------------------------------------------------------------

void FileCopyRunner::NoteTarget(const std::string& medium,
                                const std::string& volume) {
  steps_->job().Update([&](JobRecord* job) {
    job->target_medium = medium;
    job->target_volume = volume;
  });
}

Status FileCopyRunner::WriteToPrimary(Medium* medium) {
  ASSIGN_OR_RETURN(VolumeUse use,
                   steps_->archive().volumes->Hold(primary_, steps_->stop(),
                                                   steps_->owner()));
  NoteTarget(primary_->record().medium, primary_->id());
  const std::unique_ptr<FileTree> there = TreeOfVolume(*primary_);
  ASSIGN_OR_RETURN(const FilePlan plan, Plan(there.get()));
  if (NeedsMore(plan)) {
    stage_again_ = true;
    return Status::Ok();
  }
  if (request_.files.replace == false && plan.replaced > 0) {
    return Status(Errc::kExists,
                  fmt::format("{} exists on {}, and nobody has confirmed that "
                              "it is replaced",
                              plan.replaced_paths.front(), primary_->id()));
  }
  const uint64_t more =
      plan.new_blocks - std::min(plan.new_blocks, plan.replaced_blocks);
  if (const uint64_t free = primary_->Space().free_blocks; more > free) {
    return Status(
        Errc::kNoSpace,
        fmt::format("{} has {} blocks (2048 bytes) free up to its threshold, "
                    "the files need {} more than what they replace: nothing "
                    "was changed",
                    primary_->id(), free, more));
  }
  Status status;
  if (!plan.NothingToDo()) {
    status = Write(primary_.get(), medium, plan, nullptr);
    if (steps_->dead()) return status;
  }
  RETURN_IF_ERROR(Judge(plan, status));
  RETURN_IF_ERROR(steps_->Enter(JobState::kCommitting));
  steps_->job().Update([this](JobRecord* job) { job->message = message_; });
  return Status::Ok();
}

Status FileCopyRunner::WriteToBackup(LoadedTarget* target) {
  NoteTarget(target->medium, target->volume_id);
  RETURN_IF_ERROR(steps_->Save());
  FileBackup backup(steps_, target, source_record_);
  ASSIGN_OR_RETURN(const FileTree* const there, backup.Look());
  ASSIGN_OR_RETURN(FilePlan plan, Plan(there));
  if (NeedsMore(plan)) {
    stage_again_ = true;
    return Status::Ok();
  }
  const bool image = target->content.slot && target->ours &&
                     target->content.slot->state == udf::SlotState::kComplete;
  // It is as its primary was: to tidy it up would make it no image any more.
  if (image) plan.left_over = false;
  if (there != nullptr && plan.NothingToDo()) {
    // The backup is not touched.
    RETURN_IF_ERROR(Judge(plan, Status::Ok()));
    RETURN_IF_ERROR(steps_->Enter(JobState::kCommitting));
    steps_->job().Update([this](JobRecord* job) { job->message = message_; });
    return Status::Ok();
  }
  RETURN_IF_ERROR(backup.Check(plan, WriterOptions()));
  if (image) {
    steps_->Log(fmt::format(
        "{} was an image of {}: from now on it is a backup made file by file, "
        "and the next image or incremental copy onto it is a full one",
        target->volume_id, source_record_.id));
  }
  RETURN_IF_ERROR(backup.Open());
  Status status = Write(backup.volume(), &target->target(), plan, &backup);
  if (steps_->dead()) return status;
  status = Judge(plan, status);
  Status entered;
  if (status.ok()) {
    entered = steps_->Enter(JobState::kCommitting);
    if (steps_->dead()) return entered;
    if (!entered.ok()) status = entered;
  }
  std::string state = "done";
  if (!status.ok()) {
    state = steps_->job().cancel_requested()  ? "cancelled"
            : steps_->stop().stop_requested() ? "interrupted"
                                              : "failed";
  }
  const Status closed = backup.Close(
      counts_, state, status.ok() ? message_ : status.error().message);
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(closed);
  steps_->job().Update([this](JobRecord* job) { job->message = message_; });
  return Status::Ok();
}

FileWriterOptions FileCopyRunner::WriterOptions() const {
  FileWriterOptions options;
  options.job = steps_->job().id();
  options.purpose = purpose_;
  options.verify = request_.verify;
  options.replace = request_.files.replace;
  options.batch_bytes = steps_->context().options->file_batch_bytes;
  options.dead = [this] { return steps_->dead(); };
  return options;
}

Status FileCopyRunner::Write(Volume* volume, Medium* medium,
                             const FilePlan& plan, FileBackup* backup) {
  const auto told = [&](const std::vector<FileResult>& results) -> Status {
    CatalogBatch batch;
    for (const FileResult& result : results) {
      PutFileResult(steps_->job().id(), result, &batch);
    }
    RETURN_IF_ERROR(steps_->archive().catalog->Write(batch, Sync::kNo));
    if (backup != nullptr) {
      RETURN_IF_ERROR(backup->Note(results));
    } else {
      volume->TellTreeChanged();
    }
    return steps_->Tell();
  };
  FileWriter writer(volume, medium, tree_.get(), content_.get(), &plan,
                    WriterOptions(), steps_->hooks(), told);
  const Status status = writer.Run();
  counts_ = writer.counts();
  return status;
}

// What the job comes to.
Status FileCopyRunner::Judge(const FilePlan& plan, const Status& written) {
  if (plan.NothingToDo()) {
    for (const PlannedDirectory& dir : plan.directories) {
      counts_.unchanged += dir.unchanged;
      counts_.not_selected += dir.not_selected;
      counts_.failed += dir.problems.size();
      if (!dir.problems.empty() && counts_.first_failure.empty()) {
        counts_.first_failure = dir.problems.front().error.message;
      }
    }
  }
  const JobRecord job = steps_->job().Record();
  message_ =
      fmt::format("{} {} of {} copied to {}, {} unchanged", counts_.copied,
                  counts_.copied == 1 ? "file" : "files", source_record_.id,
                  job.target_volume, counts_.unchanged);
  if (counts_.not_selected > 0) {
    message_ += fmt::format(", {} not selected", counts_.not_selected);
  }
  if (plan.not_entered > 0) {
    message_ +=
        fmt::format(", {} {} left out: not recursive (-r)", plan.not_entered,
                    plan.not_entered == 1 ? "directory" : "directories");
  }
  if (!written.ok()) {
    return Status(written.code(),
                  fmt::format("{}; {}", written.error().message, message_));
  }
  const uint64_t failed = counts_.failed + counts_.failed_directories;
  if (failed == 0) return Status::Ok();
  return Status(Errc::kCorruption,
                fmt::format("{} files or directories were not copied, the "
                            "first: {}; {}",
                            failed, counts_.first_failure, message_));
}

}  // namespace vellum
