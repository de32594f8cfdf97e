// SPDX-License-Identifier: Apache-2.0
#include "copy/stages.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <set>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace vellum {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::duration_cast;
using std::chrono::milliseconds;

constexpr size_t kReadBytes = 1u << 20;

}  // namespace

const char* StageStateName(StageState state) {
  switch (state) {
    case StageState::kRunning:
      return "running";
    case StageState::kDone:
      return "done";
    case StageState::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

struct Stages::Stage {
  // One file that is to be read.
  struct StagePart {
    size_t file = 0;  // index
    InodeNumber ino = 0;
    uint64_t size = 0;
    uint64_t address = 0;
  };

  // What is to be read of one volume.
  struct StageGroup {
    std::shared_ptr<Volume> volume;
    std::vector<StagePart> parts;  // by address
    size_t next = 0;
  };

  Stage(Library* l, Volumes* v) : library(l), volumes(v) {}

  // --- Before it runs: what there is to read.
  void AddPath(const std::string& path);
  void AddTree(const std::shared_ptr<Volume>& volume, InodeNumber ino,
               const std::string& path);
  void AddFile(const std::shared_ptr<Volume>& volume, const Attr& attr,
               const std::string& path);
  void AddFailure(const std::string& path, Error error);
  void Order();

  // --- While it runs.
  void Work();
  // The group to read next: one whose volume is loaded, else the first. Null:
  // all are taken.
  std::unique_ptr<StageGroup> TakeGroup() EXCLUDES(mu);
  // Reads until the end of the group or of the turn.
  void ReadGroup(StageGroup* group) EXCLUDES(mu);
  Result<uint64_t> ReadFile(Volume& volume, const StagePart& part);
  void FinishFile(const StagePart& part, uint64_t bytes, Status status)
      EXCLUDES(mu);
  void FinishWorker() EXCLUDES(mu);
  StageRecord Told() const EXCLUDES(mu);

  Library* const library;
  Volumes* const volumes;
  const Clock::time_point begun = Clock::now();
  std::stop_source stop;
  std::vector<std::jthread> workers;  // joined by Shutdown or the last owner

  mutable Mutex mu;  // a leaf
  mutable CondVar changed;
  StageRecord record GUARDED_BY(mu);
  std::vector<StageFile> files GUARDED_BY(mu);
  std::deque<std::unique_ptr<StageGroup>> groups GUARDED_BY(mu);
  // Files and directories.
  std::set<std::pair<VolumeIndex, InodeNumber>> seen GUARDED_BY(mu);
  size_t running GUARDED_BY(mu) = 0;
};

void Stages::Stage::AddFailure(const std::string& path, Error error) {
  MutexLock lock(&mu);
  files.push_back({path, 0, true, Status(std::move(error))});
  ++record.files_failed;
}

void Stages::Stage::AddPath(const std::string& path) {
  std::string_view rest = path;
  while (rest.starts_with('/')) rest.remove_prefix(1);
  const size_t slash = rest.find('/');
  const std::string id(rest.substr(0, slash));
  const std::shared_ptr<Volume> volume = volumes->Find(id);
  if (volume == nullptr) {
    return AddFailure(
        path,
        {Errc::kNotFound, fmt::format("{}: no volume {} is known", path, id)});
  }
  if (volume->record().role != udf::Role::kPrimary) {
    return AddFailure(
        path, {Errc::kAccessDenied,
               fmt::format("{}: {} is a backup, its files are not opened", path,
                           id)});
  }
  rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash);
  InodeNumber ino = volume->root();
  std::string way = id;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('/'), rest.size());
    const std::string_view name = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (name.empty() || name == ".") continue;
    way += fmt::format("/{}", name);
    const Result<Attr> attr = volume->Lookup(ino, name);
    if (!attr.ok() && attr.error().code == Errc::kNotFound) {
      return AddFailure(
          path, {Errc::kNotFound, fmt::format("{}: volume {} has no {}", path,
                                              id, way.substr(id.size()))});
    }
    if (!attr.ok()) {
      return AddFailure(path, attr.status().WithContext(path).error());
    }
    ino = attr->ino;
  }
  AddTree(volume, ino, path);
}

void Stages::Stage::AddTree(const std::shared_ptr<Volume>& volume,
                            InodeNumber top, const std::string& top_path) {
  // Our own stack, of directories: trees may be deeper than that of a thread.
  std::vector<std::pair<InodeNumber, std::string>> todo;
  const auto add = [&](InodeNumber ino, std::string path) {
    const Result<Attr> attr = volume->GetAttr(ino);
    if (!attr.ok()) {
      AddFailure(path, attr.status().WithContext(path).error());
    } else if (attr->attr.type == udf::FileType::kRegular) {
      AddFile(volume, *attr, path);
    } else if (attr->attr.type == udf::FileType::kDirectory) {
      todo.emplace_back(ino, std::move(path));
    } else {
      AddFailure(path, {Errc::kInvalidArgument,
                        path + ": neither a file nor a directory"});
    }
  };
  add(top, top_path);
  while (!todo.empty()) {
    const auto [ino, path] = std::move(todo.back());
    todo.pop_back();
    {
      MutexLock lock(&mu);
      if (!seen.emplace(volume->index(), ino).second) continue;
    }
    std::vector<DirItem> items;
    const Status read = volume->ReadDir(ino, 0, [&items](const DirItem& item) {
      // Only what is named is complained of.
      if (item.type == udf::FileType::kRegular ||
          item.type == udf::FileType::kDirectory) {
        items.push_back(item);
      }
      return true;
    });
    if (!read.ok()) AddFailure(path, read.WithContext(path).error());
    for (const DirItem& item : items) add(item.ino, path + "/" + item.name);
  }
}

void Stages::Stage::AddFile(const std::shared_ptr<Volume>& volume,
                            const Attr& attr, const std::string& path) {
  StagePart part;
  part.ino = attr.ino;
  part.size = attr.attr.size;
  part.address = volume->DataAddress(attr.ino);
  MutexLock lock(&mu);
  if (!seen.emplace(volume->index(), attr.ino).second) return;  // once
  part.file = files.size();
  files.push_back({path, part.size, false, Status()});
  record.bytes += part.size;
  auto group = std::find_if(groups.begin(), groups.end(),
                            [&](const auto& g) { return g->volume == volume; });
  if (group == groups.end()) {
    groups.push_back(std::make_unique<StageGroup>());
    group = std::prev(groups.end());
    (*group)->volume = volume;
  }
  (*group)->parts.push_back(part);
}

void Stages::Stage::Order() {
  MutexLock lock(&mu);
  seen.clear();
  for (const auto& group : groups) {
    std::stable_sort(group->parts.begin(), group->parts.end(),
                     [](const StagePart& a, const StagePart& b) {
                       return a.address < b.address;
                     });
  }
  record.files = files.size();
  record.volumes = groups.size();
  record.started = Now();
}

std::unique_ptr<Stages::Stage::StageGroup> Stages::Stage::TakeGroup() {
  std::vector<std::shared_ptr<Volume>> wanted;
  {
    MutexLock lock(&mu);
    for (const auto& group : groups) wanted.push_back(group->volume);
  }
  // Asked without the lock: Volumes has one of its own.
  std::set<const Volume*> loaded;
  for (const auto& volume : wanted) {
    if (volumes->loaded(*volume)) loaded.insert(volume.get());
  }
  MutexLock lock(&mu);
  if (groups.empty() || stop.stop_requested()) return nullptr;
  auto chosen = std::find_if(groups.begin(), groups.end(), [&](const auto& g) {
    return loaded.count(g->volume.get()) != 0;
  });
  if (chosen == groups.end()) chosen = groups.begin();
  std::unique_ptr<StageGroup> group = std::move(*chosen);
  groups.erase(chosen);
  record.reading.push_back(group->volume->id());
  return group;
}

Result<uint64_t> Stages::Stage::ReadFile(Volume& volume,
                                         const StagePart& part) {
  Bytes buffer(
      std::min<uint64_t>(kReadBytes, std::max<uint64_t>(part.size, 1)));
  uint64_t offset = 0;
  for (;;) {
    if (stop.stop_requested()) {
      return Error{Errc::kAborted, "the stage was cancelled"};
    }
    ASSIGN_OR_RETURN(const size_t count, volume.Read(part.ino, offset, buffer));
    offset += count;
    if (count == 0 || offset >= part.size) return offset;
  }
}

void Stages::Stage::FinishFile(const StagePart& part, uint64_t bytes,
                               Status status) {
  MutexLock lock(&mu);
  StageFile& file = files[part.file];
  file.done = true;
  file.bytes = bytes;
  file.status = std::move(status);
  ++(file.status.ok() ? record.files_done : record.files_failed);
  record.bytes_done += bytes;
}

void Stages::Stage::ReadGroup(StageGroup* group) {
  Result<VolumeUse> use = volumes->Use(group->volume, stop.get_token());
  if (!use.ok()) {
    if (stop.stop_requested()) return;
    for (; group->next < group->parts.size(); ++group->next) {
      FinishFile(group->parts[group->next], 0, use.status());
    }
    return;
  }
  const Clock::time_point turn = Clock::now();
  while (group->next < group->parts.size() && !stop.stop_requested()) {
    const StagePart& part = group->parts[group->next++];
    const Result<uint64_t> read = ReadFile(**use, part);
    if (!read.ok() && stop.stop_requested()) {
      --group->next;
      break;
    }
    FinishFile(part, read.ok() ? *read : 0, read.status());
    if (Clock::now() - turn > kStageTurn && library->WaitingRequests() > 0) {
      break;
    }
  }
  use->Release();
  MutexLock lock(&mu);
  record.reading_time += duration_cast<milliseconds>(Clock::now() - turn);
}

void Stages::Stage::Work() {
  while (const std::unique_ptr<StageGroup> group = TakeGroup()) {
    while (group->next < group->parts.size() && !stop.stop_requested()) {
      ReadGroup(group.get());
    }
    MutexLock lock(&mu);
    const auto it = std::find(record.reading.begin(), record.reading.end(),
                              group->volume->id());
    if (it != record.reading.end()) record.reading.erase(it);
    if (group->next == group->parts.size()) ++record.volumes_done;
  }
  FinishWorker();
}

void Stages::Stage::FinishWorker() {
  MutexLock lock(&mu);
  if (--running > 0) return;
  const bool all = record.volumes_done == record.volumes;
  for (StageFile& file : files) {
    if (file.done) continue;
    file.bytes = 0;
    file.status = Status(Errc::kAborted, "the stage was cancelled");
  }
  record.reading.clear();
  record.ended = Now();
  record.elapsed = duration_cast<milliseconds>(Clock::now() - begun);
  record.state = all ? StageState::kDone : StageState::kCancelled;
  changed.NotifyAll();
}

StageRecord Stages::Stage::Told() const {
  MutexLock lock(&mu);
  StageRecord told = record;
  if (told.state == StageState::kRunning) {
    told.elapsed = duration_cast<milliseconds>(Clock::now() - begun);
  }
  return told;
}

Stages::Stages(Library* library, Volumes* volumes)
    : library_(library), volumes_(volumes) {}

Stages::~Stages() { Shutdown(); }

Result<StageRecord> Stages::Start(const std::vector<std::string>& paths) {
  if (paths.empty()) {
    return Error{Errc::kInvalidArgument, "stage: no path is given"};
  }
  const auto stage = std::make_shared<Stage>(library_, volumes_);
  for (const std::string& path : paths) stage->AddPath(path);
  stage->Order();
  {
    MutexLock lock(&mu_);
    if (shutdown_) return Error{Errc::kAborted, "stage: shutting down"};
    size_t running = 0;
    for (const auto& [id, other] : stages_) {
      running += other->Told().state == StageState::kRunning ? 1 : 0;
    }
    if (running >= kRunning) {
      return Error{
          Errc::kBusy,
          fmt::format("stage: {} run already: wait for one of them", running)};
    }
    // The oldest that ended makes room.
    for (auto it = stages_.begin();
         stages_.size() >= kKept && it != stages_.end();) {
      const bool ended = it->second->Told().state != StageState::kRunning;
      it = ended ? stages_.erase(it) : std::next(it);
    }
    MutexLock inner(&stage->mu);
    // One for each drive: so many volumes can be read at once.
    const size_t wanted = std::max<size_t>(
        1, std::min(stage->groups.size(), library_->OnlineDrives()));
    try {
      for (; stage->running < wanted; ++stage->running) {
        stage->workers.emplace_back([raw = stage.get()] { raw->Work(); });
      }
    } catch (const std::system_error& e) {
      // Fewer do the same, later.
      if (stage->running == 0) {
        return Error{Errc::kNotReady,
                     fmt::format("stage: no thread can be started: {}; try "
                                 "again",
                                 e.what())};
      }
    }
    const StageId id = next_++;
    stages_[id] = stage;
    stage->record.id = id;
  }
  return stage->Told();
}

Result<Stages::StagePtr> Stages::Find(StageId id) const {
  MutexLock lock(&mu_);
  const auto it = stages_.find(id);
  if (it == stages_.end()) {
    return Error{Errc::kNotFound, fmt::format("no stage {} is known", id)};
  }
  return it->second;
}

Result<StageRecord> Stages::Get(StageId id) const {
  ASSIGN_OR_RETURN(const StagePtr stage, Find(id));
  return stage->Told();
}

std::vector<StageRecord> Stages::List() const {
  MutexLock lock(&mu_);
  std::vector<StageRecord> records;
  for (const auto& [id, stage] : stages_) records.push_back(stage->Told());
  return records;
}

Result<std::vector<StageFile>> Stages::Files(StageId id, size_t first,
                                             size_t limit) const {
  ASSIGN_OR_RETURN(const StagePtr stage, Find(id));
  MutexLock lock(&stage->mu);
  std::vector<StageFile> files;
  for (size_t i = first; i < stage->files.size() && files.size() < limit; ++i) {
    files.push_back(stage->files[i]);
  }
  return files;
}

Status Stages::Cancel(StageId id) {
  ASSIGN_OR_RETURN(const StagePtr stage, Find(id));
  const StageState state = stage->Told().state;
  if (state != StageState::kRunning) {
    return Status(Errc::kBusy, fmt::format("stage {} has ended already: {}", id,
                                           StageStateName(state)));
  }
  stage->stop.request_stop();
  return Status::Ok();
}

Result<StageRecord> Stages::Wait(StageId id, std::stop_token stop) const {
  ASSIGN_OR_RETURN(const StagePtr stage, Find(id));
  const std::stop_callback wake(stop, [&stage] {
    MutexLock lock(&stage->mu);
    stage->changed.NotifyAll();
  });
  {
    MutexLock lock(&stage->mu);
    while (stage->record.state == StageState::kRunning) {
      if (stop.stop_requested()) {
        return Error{Errc::kInterrupted,
                     fmt::format("stage {}: the wait was given up", id)};
      }
      stage->changed.Wait(&stage->mu);
    }
  }
  return stage->Told();
}

void Stages::Shutdown() {
  std::map<StageId, StagePtr> stages;
  {
    MutexLock lock(&mu_);
    shutdown_ = true;
    stages.swap(stages_);
  }
  for (const auto& [id, stage] : stages) stage->stop.request_stop();
  for (const auto& [id, stage] : stages) stage->workers.clear();
}

}  // namespace vellum
