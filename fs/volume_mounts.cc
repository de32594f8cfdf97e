// SPDX-License-Identifier: Apache-2.0
#include "fs/volume_mounts.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "fs/fuse_ops.h"
#include "fs/tree.h"

namespace vellum {

VolumeMounts::Entry::~Entry() {
  if (!loop) return;
  loop->Unmount(true).IgnoreError("nothing is left to do about it");
  // Answers go to the kernel while the session is there; then nothing comes
  // any more, and what a worker still runs ends by itself.
  fs.parked.InterruptAll();
  loop->Stop();
  fs.parked.InterruptAll();
  while (fs.requests > 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

VolumeMounts::VolumeMounts(Tree* tree, Volumes* volumes, const Options& options)
    : tree_(tree),
      volumes_(volumes),
      options_(options),
      reaper_([this](std::stop_token stop) { Reap(stop); }) {}

VolumeMounts::~VolumeMounts() { Shutdown(); }

Result<Json> VolumeMounts::Mount(const std::shared_ptr<Volume>& volume,
                                 const std::string& dir, bool only_me,
                                 std::stop_token stop) {
  ASSIGN_OR_RETURN(const std::string point, CheckMountPoint(dir));
  if (IsInside(point, options_.library) ||
      IsInside(point, options_.mount_point)) {
    return Error{
        Errc::kInvalidArgument,
        fmt::format("mount: {} is inside the library or its mount", point)};
  }
  auto entry = std::make_unique<Entry>();
  entry->volume_id = volume->id();
  ASSIGN_OR_RETURN(entry->reservation,
                   volumes_->Reserve(volume, "mount at " + point, stop));
  // Who mounts it learns now that the medium is missing or damaged.
  ASSIGN_OR_RETURN(VolumeUse use, volumes_->Use(volume, stop));
  use.Release();
  entry->fs.tree = tree_;
  entry->fs.volumes = volumes_;
  entry->fs.live = volume->record().role == udf::Role::kPrimary;
  entry->fs.root = MakeVolumeNode(volume->index(), volume->root());
  FuseMountOptions mount;
  mount.mount_point = point;
  mount.fsname = options_.library + ":" + entry->volume_id;
  mount.read_only = true;
  mount.allow_other = options_.allow_other && !only_me;
  ASSIGN_OR_RETURN(entry->loop,
                   FuseLoop::Mount(FuseOperations(), &entry->fs, mount));
  Json answer = {{"volume", entry->volume_id}, {"dir", point}};
  MutexLock lock(&mu_);
  if (closed_) return Error{Errc::kAborted, "the daemon is ending"};
  Entry* const raw = entry.get();
  raw->number = next_++;
  raw->loop->Start([this, raw] {
    {
      MutexLock ended(&mu_);
      raw->ended = true;
    }
    changed_.NotifyAll();
  });
  entries_.push_back(std::move(entry));
  return answer;
}

Status VolumeMounts::Unmount(const std::string& dir) {
  MutexLock lock(&mu_);
  const auto it =
      std::find_if(entries_.begin(), entries_.end(),
                   [&dir](const std::unique_ptr<Entry>& entry) {
                     return entry->loop->mount_point() == dir && !entry->ended;
                   });
  if (it == entries_.end()) {
    return Status(Errc::kNotFound,
                  fmt::format("no volume is mounted at {}", dir));
  }
  // The lock keeps the reaper off the entry; umount(2) of an idle mount asks
  // nothing of threads that need it.
  RETURN_IF_ERROR((*it)->loop->Unmount(false));
  // A copy may have the medium when this returns.
  const uint64_t number = (*it)->number;
  bool there = true;
  while (there || reaping_ > 0) {
    changed_.Wait(&mu_);
    there = std::any_of(entries_.begin(), entries_.end(),
                        [number](const std::unique_ptr<Entry>& entry) {
                          return entry->number == number;
                        });
  }
  return Status::Ok();
}

std::string VolumeMounts::InUse() const {
  MutexLock lock(&mu_);
  for (const std::unique_ptr<Entry>& entry : entries_) {
    if (!entry->ended && entry->fs.open_files > 0) {
      return entry->loop->mount_point();
    }
  }
  return "";
}

Json VolumeMounts::List() const {
  MutexLock lock(&mu_);
  Json list = Json::array();
  for (const std::unique_ptr<Entry>& entry : entries_) {
    list.push_back(
        {{"volume", entry->volume_id}, {"dir", entry->loop->mount_point()}});
  }
  return list;
}

void VolumeMounts::Reap(std::stop_token stop) {
  while (true) {
    std::list<std::unique_ptr<Entry>> ended;
    {
      MutexLock lock(&mu_);
      while (!stop.stop_requested()) {
        for (auto it = entries_.begin(); it != entries_.end();) {
          const auto next = std::next(it);
          if ((*it)->ended) ended.splice(ended.end(), entries_, it);
          it = next;
        }
        if (!ended.empty()) break;
        changed_.Wait(&mu_);
      }
      reaping_ = ended.size();
    }
    if (ended.empty()) return;
    // Joins the loops and ends the reservations, without the lock.
    ended.clear();
    {
      MutexLock lock(&mu_);
      reaping_ = 0;
    }
    changed_.NotifyAll();
  }
}

void VolumeMounts::Shutdown() {
  std::list<std::unique_ptr<Entry>> left;
  {
    MutexLock lock(&mu_);
    closed_ = true;
    reaper_.request_stop();
    left.swap(entries_);
  }
  changed_.NotifyAll();
  if (reaper_.joinable()) reaper_.join();
  left.clear();
}

}  // namespace vellum
