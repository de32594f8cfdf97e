// SPDX-License-Identifier: Apache-2.0
#include "copy/file_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "copy/region_pump.h"

namespace vellum {
namespace {

NewInode InodeLike(const TreeNode& node) {
  NewInode inode;
  inode.type = node.attr.type;
  inode.mode = node.attr.mode;
  inode.uid = node.attr.uid;
  inode.gid = node.attr.gid;
  inode.major = node.attr.major;
  inode.minor = node.attr.minor;
  inode.symlink_target = node.symlink_target;
  inode.xattrs = node.attr.xattrs;
  return inode;
}

}  // namespace

FileWriter::FileWriter(Volume* target, Medium* medium, const FileTree* source,
                       FileSource* content, const FilePlan* plan,
                       FileWriterOptions options, CopyHooks hooks, Told told)
    : target_(target),
      medium_(medium),
      source_(source),
      content_(content),
      plan_(plan),
      options_(options),
      hooks_(std::move(hooks)),
      told_(std::move(told)),
      states_(plan->directories.size()) {
  for (size_t i = 0; i < states_.size(); ++i) {
    const PlannedDirectory& dir = plan_->directories[i];
    states_[i].ino = dir.existing;
    counts_.unchanged += dir.unchanged;
    counts_.not_selected += dir.not_selected;
  }
  states_[0].ino = target_->root();
}

Status FileWriter::Run() {
  hooks_.counters->Begin(plan_->bytes / kRegionSize + plan_->files);
  RETURN_IF_ERROR(RemoveLeftOvers());
  for (size_t i = 0; i < states_.size(); ++i) {
    for (const PlannedProblem& problem : plan_->directories[i].problems) {
      const std::string& path = plan_->directories[i].path;
      NoteFailure(i, problem.name.empty() ? path : JoinPath(path, problem.name),
                  problem.error);
    }
  }
  Status status = CopyAll();
  if (status.ok()) status = FinishBatch();
  if (options_.dead && options_.dead()) return status;
  // What is in its place stays, and the rest goes, however it ended.
  for (const Incoming& incoming : batch_) {
    Drop(incoming).IgnoreError("the next run removes it");
  }
  batch_.clear();
  if (incoming_ != 0) {
    const Status removed =
        RemoveIncoming(incoming_, IncomingName(options_.job));
    if (status.ok()) status = removed;
  }
  const Status finished = FinishDirectories(/*make=*/status.ok());
  if (status.ok()) status = finished;
  const Status synced = target_->Sync();
  if (status.ok()) status = synced;
  if (!synced.ok()) return status;
  const Status told = Tell(/*all_directories=*/status.ok());
  return status.ok() ? told : status;
}

// --- The directory for files on their way
// -------------------------------------------------------

Status FileWriter::KeepRootTime(const std::function<Status()>& change) {
  ASSIGN_OR_RETURN(const Attr before, target_->GetAttr(target_->root()));
  RETURN_IF_ERROR(change());
  AttrChange time;
  time.mtime = before.attr.mtime;
  if (ExactTimes(options_.purpose)) time.ctime = before.attr.ctime;
  return target_->SetAttr(target_->root(), time).status();
}

Status FileWriter::RemoveLeftOvers() {
  std::vector<DirItem> left;
  RETURN_IF_ERROR(
      target_->ReadDir(target_->root(), 0, [&](const DirItem& item) {
        // Of whichever job: no two work on one volume at a time.
        if (IsIncomingName(item.name) &&
            item.type == udf::FileType::kDirectory) {
          left.push_back(item);
        }
        return true;
      }));
  for (const DirItem& item : left) {
    bool ours = true;
    RETURN_IF_ERROR(target_->ReadDir(item.ino, 0, [&](const DirItem& file) {
      ours = IsIncomingFile(file.name, file.type);
      return ours;
    }));
    if (ours) RETURN_IF_ERROR(RemoveIncoming(item.ino, item.name));
  }
  return Status::Ok();
}

Status FileWriter::RemoveIncoming(InodeNumber directory,
                                  const std::string& name) {
  std::vector<std::string> names;
  RETURN_IF_ERROR(target_->ReadDir(directory, 0, [&](const DirItem& item) {
    names.push_back(item.name);
    return true;
  }));
  for (const std::string& file : names) {
    RETURN_IF_ERROR(target_->Unlink(directory, file));
  }
  incoming_ = 0;
  return KeepRootTime([&] { return target_->Rmdir(target_->root(), name); });
}

Status FileWriter::MakeIncoming() {
  if (incoming_ != 0) return Status::Ok();
  return KeepRootTime([&]() -> Status {
    NewInode inode;
    inode.type = udf::FileType::kDirectory;
    inode.mode = 0700;
    ASSIGN_OR_RETURN(
        const Attr made,
        target_->Create(target_->root(), IncomingName(options_.job), inode));
    incoming_ = made.ino;
    return Status::Ok();
  });
}

// --- Files
// --------------------------------------------------------------------

Status FileWriter::CopyAll() {
  for (size_t d = 0; d < plan_->directories.size(); ++d) {
    const std::vector<PlannedFile>& files = plan_->directories[d].files;
    for (size_t f = 0; f < files.size(); ++f) {
      if (hooks_.stop.stop_requested()) {
        return Status(Errc::kAborted, "cancelled");
      }
      RETURN_IF_ERROR(AddToBatch(d, f));
      if (batch_bytes_ >= options_.batch_bytes ||
          batch_.size() >= options_.batch_files) {
        RETURN_IF_ERROR(FinishBatch());
      }
    }
    if (!files.empty()) complete_.push_back(d);
  }
  return Status::Ok();
}

Status FileWriter::AddToBatch(size_t directory, size_t file) {
  Incoming incoming;
  incoming.directory = directory;
  incoming.file = file;
  const PlannedFile& planned = FileOf(incoming);
  ASSIGN_OR_RETURN(incoming.node, source_->Node(planned.source));
  if (!planned.link) {
    Status written = WriteIncoming(&incoming);
    if (written.Is(Errc::kNoSpace) && !batch_.empty()) {
      // What the batch replaces becomes free.
      RETURN_IF_ERROR(Drop(incoming));
      RETURN_IF_ERROR(FinishBatch());
      RETURN_IF_ERROR(target_->Sync());
      incoming.pieces.clear();
      incoming.bytes = 0;
      written = WriteIncoming(&incoming);
    }
    if (!written.ok()) {
      RETURN_IF_ERROR(Drop(incoming));
      if (IsFatal(written)) return written;
      incoming.name.clear();
      incoming.failure = written;
    }
  }
  batch_bytes_ += incoming.bytes;
  batch_.push_back(std::move(incoming));
  return Status::Ok();
}

Status FileWriter::WriteIncoming(Incoming* incoming) {
  RETURN_IF_ERROR(MakeIncoming());
  incoming->name = std::to_string(next_name_++);
  ASSIGN_OR_RETURN(const Attr made, target_->Create(incoming_, incoming->name,
                                                    InodeLike(incoming->node)));
  incoming->ino = made.ino;
  if (incoming->node.attr.type == udf::FileType::kRegular) {
    RETURN_IF_ERROR(target_->Open(made.ino));
    const Status written = WriteContent(incoming);
    target_->Close(made.ino);
    RETURN_IF_ERROR(written);
  }
  return SetTimes(made.ino, incoming->node);
}

Status FileWriter::WriteContent(Incoming* incoming) {
  Status refused;  // of the target
  uint64_t end = 0;
  const Status read = content_->Read(
      FileOf(*incoming).source,
      [&](uint64_t offset, ConstByteSpan data) -> Status {
        if (hooks_.stop.stop_requested()) {
          refused = Status(Errc::kAborted, "cancelled");
          return refused;
        }
        for (size_t done = 0; done < data.size();) {
          const Result<size_t> n =
              target_->Write(incoming->ino, offset + done, data.subspan(done));
          if (!n.ok()) {
            refused = n.status();
            return refused;
          }
          done += *n;
        }
        incoming->pieces.push_back(
            {offset, static_cast<uint32_t>(data.size()), HashRegion(data)});
        incoming->bytes += data.size();
        end = offset + data.size();
        hooks_.counters->bytes_copied += data.size();
        Progress(data.size(), 0);
        return Status::Ok();
      });
  RETURN_IF_ERROR(refused);
  if (!read.ok()) {
    RETURN_IF_ERROR(content_->CheckWhole());
    // The source's trouble is the file's alone.
    return Status(Errc::kCorruption, "cannot be read: " + read.error().message);
  }
  if (incoming->node.attr.size == end) return Status::Ok();
  AttrChange size;
  size.size = incoming->node.attr.size;
  return target_->SetAttr(incoming->ino, size).status();
}

Status FileWriter::FinishBatch() {
  if (batch_.empty()) return Status::Ok();
  RETURN_IF_ERROR(content_->CheckWhole());
  RETURN_IF_ERROR(target_->Sync());
  RETURN_IF_ERROR(Tell(/*all_directories=*/false));
  for (Incoming& incoming : batch_) {
    if (!incoming.failure.ok() || !options_.verify || incoming.name.empty()) {
      continue;
    }
    if (hooks_.stop.stop_requested()) {
      return Status(Errc::kAborted, "cancelled");
    }
    incoming.failure = Verify(&incoming);
  }
  for (Incoming& incoming : batch_) {
    Status status = incoming.failure;
    if (status.ok()) status = Place(&incoming);
    if (!status.ok()) {
      RETURN_IF_ERROR(Drop(incoming));
      if (IsFatal(status)) return status;
    }
    incoming.name.clear();
    NoteFile(incoming, status);
    Progress(0, 1);
  }
  batch_.clear();
  batch_bytes_ = 0;
  return Status::Ok();
}

// Reads the file back from the medium, past all that is in memory.
Status FileWriter::Verify(Incoming* incoming) {
  if (reader_ == nullptr) {
    ASSIGN_OR_RETURN(reader_, udf::Reader::Open(medium_));
  }
  const udf::Geometry& geometry = reader_->description().geometry;
  const auto differs = [&](const std::string& what) {
    return Status(Errc::kCorruption,
                  fmt::format("{} reads back from {} differently from what was "
                              "written",
                              what, medium_->Info().name));
  };
  medium_->DropReadCache(geometry.Sector(incoming->ino), 1);
  const Result<udf::FileEntry> entry = reader_->ReadEntry(incoming->ino);
  if (!entry.ok()) return differs("its entry: " + entry.error().message);
  const udf::InodeAttr& got = entry->attr;
  const udf::InodeAttr& want = incoming->node.attr;
  if (got.type != want.type || got.mode != want.mode || got.uid != want.uid ||
      got.gid != want.gid || got.mtime != want.mtime ||
      got.xattrs != want.xattrs || got.size != want.size ||
      entry->symlink_target != incoming->node.symlink_target) {
    return differs("its entry");
  }
  for (const udf::Extent& extent : entry->extents) {
    medium_->DropReadCache(geometry.Sector(extent.block), extent.count);
  }
  Bytes buffer;
  for (const Piece& piece : incoming->pieces) {
    buffer.resize(piece.bytes);
    ASSIGN_OR_RETURN(const size_t n,
                     reader_->ReadFile(*entry, piece.offset, buffer));
    if (n != buffer.size() || HashRegion(buffer) != piece.hash) {
      return differs(fmt::format("byte {} and what follows", piece.offset));
    }
    hooks_.counters->bytes_verified += n;
  }
  return Status::Ok();
}

Status FileWriter::Place(Incoming* incoming) {
  const PlannedFile& file = FileOf(*incoming);
  if (file.link) return PlaceLink(incoming);
  ASSIGN_OR_RETURN(const InodeNumber dir, EnsureDirectory(incoming->directory));
  RETURN_IF_ERROR(target_->Rename(
      incoming_, incoming->name, dir, file.name,
      options_.replace ? RenameMode::kReplace : RenameMode::kNoReplace));
  states_[incoming->directory].touched = true;
  if (incoming->node.attr.links > 1) copies_[file.source] = incoming->ino;
  return SetTimes(incoming->ino, incoming->node);
}

Status FileWriter::PlaceLink(Incoming* incoming) {
  const PlannedFile& file = FileOf(*incoming);
  InodeNumber ino = file.linked;
  if (ino == 0) {
    const auto copy = copies_.find(file.source);
    if (copy == copies_.end()) {
      return Status(Errc::kNotFound,
                    "the file that it is a further name of was not copied");
    }
    ino = copy->second;
  }
  ASSIGN_OR_RETURN(const InodeNumber dir, EnsureDirectory(incoming->directory));
  states_[incoming->directory].touched = true;
  if (!file.replaces) {
    RETURN_IF_ERROR(target_->Link(ino, dir, file.name).status());
  } else {
    RETURN_IF_ERROR(MakeIncoming());
    const std::string name = std::to_string(next_name_++);
    RETURN_IF_ERROR(target_->Link(ino, incoming_, name).status());
    incoming->name = name;
    RETURN_IF_ERROR(
        target_->Rename(incoming_, name, dir, file.name, RenameMode::kReplace));
  }
  incoming->ino = ino;
  return SetTimes(ino, incoming->node);
}

// Takes away what is on its way.
Status FileWriter::Drop(const Incoming& incoming) {
  if (incoming.name.empty() || incoming_ == 0) return Status::Ok();
  const Status removed = target_->Unlink(incoming_, incoming.name);
  return removed.Is(Errc::kNotFound) ? Status::Ok() : removed;
}

Status FileWriter::SetTimes(InodeNumber ino, const TreeNode& node) {
  AttrChange change;
  change.atime = node.attr.atime;
  change.mtime = node.attr.mtime;
  if (ExactTimes(options_.purpose)) {
    change.ctime = node.attr.ctime;
    change.btime = node.attr.btime;
  }
  return target_->SetAttr(ino, change).status();
}

// --- Directories
// ----------------------------------------------------------------

Result<InodeNumber> FileWriter::EnsureDirectory(size_t index) {
  // From the first one that is missing on; trees may be deep.
  std::vector<size_t> missing;
  for (size_t at = index; states_[at].ino == 0;
       at = plan_->directories[at].parent) {
    missing.push_back(at);
  }
  for (auto it = missing.rbegin(); it != missing.rend(); ++it) {
    const PlannedDirectory& dir = plan_->directories[*it];
    NewInode inode;
    inode.type = udf::FileType::kDirectory;
    inode.mode = 0755;
    if (dir.source != 0) {
      ASSIGN_OR_RETURN(const TreeNode node, source_->Node(dir.source));
      inode = InodeLike(node);
    }
    const InodeNumber parent = states_[dir.parent].ino;
    Result<Attr> made = target_->Create(parent, dir.name, inode);
    if (!made.ok() && made.error().code == Errc::kExists) {
      // Somebody else was quicker.
      made = target_->Lookup(parent, dir.name);
      if (made.ok() && made->attr.type != udf::FileType::kDirectory) {
        return Error{Errc::kNotDirectory,
                     fmt::format("{} is no directory on the target", dir.path)};
      }
    } else if (made.ok()) {
      states_[*it].made = true;
      states_[dir.parent].touched = true;
    }
    if (!made.ok()) return made.status();
    states_[*it].ino = made->ino;
  }
  return states_[index].ino;
}

Status FileWriter::FinishDirectories(bool make) {
  // Children first: making one changes the times of its parent.
  for (size_t i = states_.size(); i-- > 0;) {
    const PlannedDirectory& dir = plan_->directories[i];
    DirectoryState& state = states_[i];
    Status status;
    if (make && dir.wanted && state.ino == 0 && dir.problems.empty()) {
      status = EnsureDirectory(i).status();
    }
    if (status.ok()) status = SetDirectory(i);
    if (status.ok()) continue;
    if (IsFatal(status)) return status;
    ++counts_.failed_directories;
    state.failure = status;
    if (counts_.first_failure.empty()) {
      counts_.first_failure = dir.path + ": " + status.error().message;
    }
  }
  return Status::Ok();
}

Status FileWriter::SetDirectory(size_t index) {
  const PlannedDirectory& dir = plan_->directories[index];
  DirectoryState& state = states_[index];
  if (state.ino == 0 || dir.source == 0) return Status::Ok();
  const bool outdated = dir.wanted && !dir.same_attributes;
  if (!state.made && !(dir.set_attributes && (state.touched || outdated))) {
    return Status::Ok();
  }
  ++counts_.directories;
  ASSIGN_OR_RETURN(const TreeNode node, source_->Node(dir.source));
  ASSIGN_OR_RETURN(const Attr now, target_->GetAttr(state.ino));
  AttrChange change;
  change.mode = node.attr.mode;
  change.uid = node.attr.uid;
  change.gid = node.attr.gid;
  for (const auto& [name, value] : now.attr.xattrs) {
    if (node.attr.xattrs.count(name) == 0) change.xattrs[name] = std::nullopt;
  }
  for (const auto& [name, value] : node.attr.xattrs) {
    change.xattrs[name] = value;
  }
  RETURN_IF_ERROR(target_->SetAttr(state.ino, change).status());
  return SetTimes(state.ino, node);
}

// --- What is told
// -------------------------------------------------------------

bool FileWriter::IsFatal(const Status& status) const {
  switch (status.code()) {
    case Errc::kExists:
    case Errc::kNotFound:
    case Errc::kStale:
    case Errc::kIsDirectory:
    case Errc::kNotDirectory:
    case Errc::kNotEmpty:
    case Errc::kNameTooLong:
    case Errc::kTooLarge:
    case Errc::kTooManyLinks:
    case Errc::kCorruption:
      return false;
    default:
      return true;
  }
}

void FileWriter::NoteFile(const Incoming& incoming, const Status& status) {
  const PlannedFile& file = FileOf(incoming);
  const std::string path =
      JoinPath(plan_->directories[incoming.directory].path, file.name);
  if (!status.ok()) {
    NoteFailure(incoming.directory, path, status);
    return;
  }
  FileResult result;
  result.path = path;
  result.result = file.link ? "linked" : "copied";
  result.bytes = incoming.bytes;
  results_.push_back(std::move(result));
  ++counts_.copied;
  ++states_[incoming.directory].copied;
}

void FileWriter::NoteFailure(size_t directory, const std::string& path,
                             const Status& status) {
  ++counts_.failed;
  ++states_[directory].failed;
  const std::string text = status.error().message;
  if (counts_.first_failure.empty()) {
    counts_.first_failure = fmt::format("{}: {}", path, text);
  }
  hooks_.log(fmt::format("{} is not copied: {}", path, text));
  if (path == plan_->directories[directory].path) return;
  FileResult result;
  result.path = path;
  result.result = "failed";
  result.error = status.code();
  result.message = text;
  results_.push_back(std::move(result));
}

FileResult FileWriter::ResultOf(size_t directory) const {
  const PlannedDirectory& dir = plan_->directories[directory];
  const DirectoryState& state = states_[directory];
  FileResult result;
  result.path = dir.path;
  result.directory = true;
  result.copied = state.copied;
  result.failed = state.failed;
  result.unchanged = dir.unchanged;
  result.not_selected = dir.not_selected;
  if (state.failed > 0 || !state.failure.ok()) {
    result.result = "failed";
    const Status why =
        !state.failure.ok() ? state.failure
        : !dir.problems.empty()
            ? Status(dir.problems.front().error)
            : Status(Errc::kCorruption, "not all files in it were copied");
    result.error = why.code();
    result.message = why.error().message;
  } else {
    result.result = state.made      ? "made"
                    : state.touched ? "updated"
                                    : "unchanged";
  }
  return result;
}

// REQUIRES: what was done is committed.
Status FileWriter::Tell(bool all_directories) {
  std::vector<FileResult> results = std::move(results_);
  results_.clear();
  for (const size_t index : complete_) {
    // Its last files may still be on their way.
    const bool waits = std::any_of(batch_.begin(), batch_.end(),
                                   [index](const Incoming& incoming) {
                                     return incoming.directory == index;
                                   });
    if (!waits) {
      results.push_back(ResultOf(index));
      states_[index].told = true;
    }
  }
  std::erase_if(complete_,
                [this](size_t index) { return states_[index].told; });
  if (all_directories) {
    for (size_t i = 0; i < states_.size(); ++i) {
      const PlannedDirectory& dir = plan_->directories[i];
      const bool of_interest = dir.listed || states_[i].made ||
                               states_[i].failed > 0 ||
                               !states_[i].failure.ok();
      const bool news = !states_[i].told || !states_[i].failure.ok();
      if (of_interest && news) results.push_back(ResultOf(i));
    }
  }
  if (results.empty()) return Status::Ok();
  return told_(results);
}

void FileWriter::Progress(uint64_t bytes, uint64_t files) {
  done_bytes_ += bytes;
  done_files_ += files;
  hooks_.counters->regions_done = std::min<uint64_t>(
      hooks_.counters->regions_total, done_bytes_ / kRegionSize + done_files_);
}

}  // namespace vellum
