// SPDX-License-Identifier: Apache-2.0
#include "copy/pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <tuple>
#include <vector>

#include "copy/damage_notes.h"
#include "copy/medium_notes.h"
#include "copy/own_generations.h"
#include "copy/shelf.h"
#include "copy/tracking.h"

namespace vellum {

// --- Claims
// ---------------------------------------------------------------------

Status TargetClaims::Claim(JobId job, const std::string& source,
                           const MediumId& medium) {
  MutexLock lock(&mu_);
  for (const auto& [other, entry] : entries_) {
    if (entry.medium == medium && entry.source != source) {
      return Status(Errc::kExists,
                    fmt::format("medium {} is the target of job {}, a copy of "
                                "volume {}: it cannot take one of volume {}",
                                medium, other, entry.source, source));
    }
  }
  entries_[job] = {source, medium};
  return Status::Ok();
}

void TargetClaims::Drop(JobId job) {
  MutexLock lock(&mu_);
  entries_.erase(job);
}

bool TargetClaims::ClaimedByOther(const std::string& source,
                                  const MediumId& medium) const {
  MutexLock lock(&mu_);
  return std::any_of(entries_.begin(), entries_.end(), [&](const auto& e) {
    return e.second.medium == medium && e.second.source != source;
  });
}

MediumId TargetClaims::ClaimOf(const std::string& source) const {
  MutexLock lock(&mu_);
  for (const auto& [job, entry] : entries_) {
    if (entry.source == source) return entry.medium;
  }
  return {};
}

// --- What the catalog says
// ------------------------------------------------------

bool IsOtherSide(const Library& library, const MediumId& medium,
                 const MediumId& of) {
  const Result<MediumPlace> place = library.FindMedium(medium);
  return place.ok() && place->two_sided() && place->other_side == of;
}

Status CheckLoadable(const Library& library, const MediumId& medium) {
  const Result<MediumPlace> place = library.FindMedium(medium);
  if (!place.ok()) return Status(Errc::kNoMedium, place.error().message);
  if (place->problem.empty()) return Status::Ok();
  return Status(Errc::kNoMedium,
                fmt::format("medium {} in element {} cannot be used: {}",
                            medium, place->element.value, place->problem));
}

bool IsLastComplete(const Archive& archive, const std::string& owner_uuid,
                    const MediumId& medium) {
  for (const auto& volume : archive.volumes->List()) {
    const VolumeRecord other = volume->record();
    if (other.role == udf::Role::kBackup &&
        other.state == udf::SlotState::kComplete &&
        other.owner_uuid == owner_uuid && other.medium != medium &&
        archive.library->FindMedium(other.medium).ok() &&
        !IsDamaged(*archive.catalog, other.medium_uuid)) {
      return false;
    }
  }
  return true;
}

std::string ChooseBackupId(const Archive& archive, const VolumeTag& tag,
                           const std::string& owner) {
  if (udf::CheckVolumeId(tag).ok() && archive.volumes->Find(tag) == nullptr) {
    return tag;
  }
  constexpr size_t kMaxId = 30;
  for (uint32_t n = 1;; ++n) {
    const std::string suffix = fmt::format("-B{}", n);
    const std::string id = owner.substr(0, kMaxId - suffix.size()) + suffix;
    if (archive.volumes->Find(id) == nullptr) return id;
  }
}

std::string ClaimantOf(const CopyRequest& request) {
  return request.mode == CopyMode::kFiles ? request.source + " (files)"
                                          : request.source;
}

// --- Choice
// ---------------------------------------------------------------------

Result<MediumId> TargetChooser::Named(const CopyRequest& request,
                                      const VolumeRecord& source) const {
  ASSIGN_OR_RETURN(const MediumId medium,
                   ResolveMedium(archive_, request.target));
  if (medium == source.medium) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{} is the medium of volume {} itself",
                             request.target, source.id)};
  }
  if (IsOtherSide(*archive_.library, medium, source.medium)) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{} is the other side of the medium of volume {}: "
                             "what destroys one destroys both",
                             medium, source.id)};
  }
  const bool files = request.mode == CopyMode::kFiles;
  if (claims_->ClaimedByOther(ClaimantOf(request), medium)) {
    return Error{Errc::kExists,
                 fmt::format("medium {} is the target of a copy of another "
                             "volume than {}, or of one of another kind",
                             medium, source.id)};
  }
  ASSIGN_OR_RETURN(const MediumNote note,
                   ReadMediumNote(*archive_.catalog, medium));
  uint64_t capacity = note.sectors;
  const auto volume = archive_.volumes->FindByMedium(medium);
  if (note.write_once && (volume != nullptr || note.found != "blank")) {
    return Error{Errc::kWriteProtected,
                 fmt::format("medium {} is a write-once medium that was "
                             "written already: it takes nothing more",
                             medium)};
  }
  if (note.write_once && (files || request.mode == CopyMode::kIncremental)) {
    return Error{Errc::kIncompatible,
                 fmt::format("medium {} is a write-once medium: it takes an "
                             "image or streaming copy, no other one",
                             medium)};
  }
  if (volume == nullptr && note.found == "foreign") {
    return Error{Errc::kExists,
                 fmt::format("medium {} holds data that Vellum did not write: "
                             "format it with clear (--clear, clear=yes) first",
                             medium)};
  }
  if (volume != nullptr) {
    const VolumeRecord record = volume->record();
    RETURN_IF_ERROR(CheckNotExported(record));
    if (record.role == udf::Role::kPrimary) {
      return Error{Errc::kExists,
                   fmt::format("medium {} holds the PRIMARY {}: it cannot take "
                               "a copy of {}",
                               medium, record.id, source.id)};
    }
    if (!record.owner_uuid.empty() && record.owner_uuid != source.medium_uuid &&
        note.freed != record.id) {
      return Error{Errc::kExists,
                   fmt::format("medium {} holds {}, a backup of {}: it cannot "
                               "take a copy of {}",
                               medium, record.id, record.owner_id, source.id)};
    }
    if (record.state == udf::SlotState::kFormatted) {
      capacity = std::max(capacity, record.geometry.sectors);
    }
  }
  if (note.write_protected) {
    return Error{Errc::kWriteProtected, WriteProtectionText(medium)};
  }
  if (!files && capacity != 0 && capacity < source.geometry.sectors) {
    return Error{
        Errc::kNoSpace,
        fmt::format("medium {} has {} sectors, volume {} has {}", medium,
                    capacity, source.id, source.geometry.sectors)};
  }
  RETURN_IF_ERROR(CheckLoadable(*archive_.library, medium));
  return medium;
}

MediumId TargetChooser::Bound(const PoolBook& pool, const VolumeRecord& source,
                              const std::set<MediumId>& avoid,
                              bool files) const {
  MediumId best;
  std::tuple<bool, bool, TimeSpec, ElementAddress> best_rank;
  for (const auto& volume : archive_.volumes->List()) {
    const VolumeRecord record = volume->record();
    if (record.role != udf::Role::kBackup ||
        record.owner_uuid != source.medium_uuid || !record.location.empty() ||
        avoid.count(record.medium) != 0 ||
        (record.state == udf::SlotState::kFiles) != files) {
      continue;
    }
    const Result<MediumPlace> place =
        archive_.library->FindMedium(record.medium);
    if (!place.ok() || !pool.Contains(*place)) continue;
    const Result<MediumNote> note =
        ReadMediumNote(*archive_.catalog, record.medium);
    if (note.ok() && note->write_once) continue;  // it stays as it is
    // One that was broken off or is damaged first, then the oldest copy; where
    // nothing can be written only if there is no other.
    const bool good = record.state == udf::SlotState::kComplete &&
                      !IsDamaged(*archive_.catalog, record.medium_uuid);
    const auto rank = std::make_tuple(note.ok() && note->write_protected, good,
                                      record.copied, place->home);
    if (best.empty() || rank < best_rank) {
      best = record.medium;
      best_rank = rank;
    }
  }
  return best;
}

Result<MediumId> TargetChooser::Incremental(const PoolBook& pool,
                                            const VolumeRecord& source,
                                            const std::set<MediumId>& avoid,
                                            bool newest) const {
  MediumId best;
  TimeSpec best_copied;
  for (const auto& volume : archive_.volumes->List()) {
    const VolumeRecord record = volume->record();
    if (!record.location.empty() || avoid.count(record.medium) != 0) continue;
    ASSIGN_OR_RETURN(const bool tracked,
                     IsTracked(*archive_.catalog, source, record));
    if (!tracked || !CheckLoadable(*archive_.library, record.medium).ok()) {
      continue;
    }
    const Result<MediumPlace> place =
        archive_.library->FindMedium(record.medium);
    if (!place.ok() || !pool.Contains(*place)) continue;
    ASSIGN_OR_RETURN(const MediumNote note,
                     ReadMediumNote(*archive_.catalog, record.medium));
    ASSIGN_OR_RETURN(const std::string damage,
                     ReadDamage(*archive_.catalog, record.medium_uuid));
    if (note.write_once || note.write_protected || !damage.empty()) continue;
    if (best.empty() ||
        (newest ? best_copied < record.copied : record.copied < best_copied)) {
      best = record.medium;
      best_copied = record.copied;
    }
  }
  return best;
}

bool TargetChooser::HoldsCompleteOf(const VolumeRecord& source,
                                    const MediumId& medium) const {
  const auto volume = archive_.volumes->FindByMedium(medium);
  if (volume == nullptr) return false;
  const VolumeRecord record = volume->record();
  return record.role == udf::Role::kBackup &&
         record.state == udf::SlotState::kComplete &&
         record.owner_uuid == source.medium_uuid;
}

Result<std::vector<VolumeRecord>> TargetChooser::Generations(
    const VolumeRecord& source) const {
  ASSIGN_OR_RETURN(const PoolBook book, ReadPool(*archive_.catalog, range_));
  std::vector<VolumeRecord> complete;
  for (const auto& volume : archive_.volumes->List()) {
    VolumeRecord record = volume->record();
    if (record.role != udf::Role::kBackup ||
        record.state != udf::SlotState::kComplete ||
        record.owner_uuid != source.medium_uuid || !record.location.empty()) {
      continue;
    }
    const Result<MediumPlace> place =
        archive_.library->FindMedium(record.medium);
    if (place.ok() && book.Contains(*place)) {
      complete.push_back(std::move(record));
    }
  }
  std::sort(complete.begin(), complete.end(),
            [](const VolumeRecord& a, const VolumeRecord& b) {
              return a.copied < b.copied;
            });
  return complete;
}

Result<TargetChooser::Policy> TargetChooser::PolicyOf(
    const CopyRequest& request, const VolumeRecord& source,
    uint32_t generations) const {
  Policy policy;
  ASSIGN_OR_RETURN(policy.generations,
                   KeptGenerations(*archive_.catalog, source, generations));
  policy.incremental = request.mode == CopyMode::kIncremental;
  policy.files = request.mode == CopyMode::kFiles;
  policy.minicopy = request.policy == CopyPolicy::kMinicopy;
  return policy;
}

Result<MediumId> TargetChooser::Automatic(const VolumeRecord& source,
                                          const std::set<MediumId>& avoid,
                                          const Policy& policy) const {
  ASSIGN_OR_RETURN(const PoolBook book, ReadPool(*archive_.catalog, range_));
  if (policy.minicopy && !policy.files) {
    ASSIGN_OR_RETURN(const MediumId medium,
                     Incremental(book, source, avoid,
                                 /*newest=*/policy.generations <= 1));
    if (!medium.empty()) return medium;
  }
  const MediumId bound = Bound(book, source, avoid, policy.files);
  if (policy.generations > 1 && !policy.files) {
    ASSIGN_OR_RETURN(std::vector<VolumeRecord> kept, Generations(source));
    // No good one is written over because of a bad one.
    std::erase_if(kept, [this](const VolumeRecord& record) {
      return IsDamaged(*archive_.catalog, record.medium_uuid);
    });
    const bool broken_off =
        !bound.empty() && std::none_of(kept.begin(), kept.end(),
                                       [&bound](const VolumeRecord& record) {
                                         return record.medium == bound;
                                       });
    const bool fewer = kept.size() < policy.generations;
    if (!broken_off && (fewer || !policy.incremental)) {
      const Result<MediumId> unused = Unused(book, source, avoid, false);
      if (unused.ok() || unused.error().code != Errc::kNoSpace) return unused;
      // The oldest of several may be written over: a newer one is there.
      if (kept.size() < 2) return unused;
    }
  }
  if (!bound.empty()) {
    const std::string context = "the backup of volume " + source.id;
    RETURN_IF_ERROR(
        CheckLoadable(*archive_.library, bound).WithContext(context));
    ASSIGN_OR_RETURN(const MediumNote note,
                     ReadMediumNote(*archive_.catalog, bound));
    if (!note.write_protected) return bound;
    return Status(Errc::kWriteProtected, WriteProtectionText(bound))
        .WithContext(context)
        .error();
  }
  return Unused(book, source, avoid, policy.files);
}

Result<MediumId> TargetChooser::Unused(const PoolBook& book,
                                       const VolumeRecord& source,
                                       const std::set<MediumId>& avoid,
                                       bool files) const {
  CopyRequest request;
  request.source = source.id;
  if (files) request.mode = CopyMode::kFiles;
  const std::string claimant = ClaimantOf(request);
  if (MediumId claimed = claims_->ClaimOf(claimant);
      !claimed.empty() && avoid.count(claimed) == 0 &&
      !HoldsCompleteOf(source, claimed)) {
    const Result<MediumPlace> place = archive_.library->FindMedium(claimed);
    ASSIGN_OR_RETURN(const MediumNote note,
                     ReadMediumNote(*archive_.catalog, claimed));
    const bool spoiled =
        note.write_once && archive_.volumes->FindByMedium(claimed) != nullptr;
    if (place.ok() && place->problem.empty() && book.Contains(*place) &&
        !spoiled && !note.write_protected) {
      return claimed;
    }
  }
  std::vector<MediumPlace> pool = archive_.library->Media();
  std::erase_if(pool, [&book](const MediumPlace& place) {
    return !book.Contains(place);
  });
  std::sort(pool.begin(), pool.end(),
            [](const MediumPlace& a, const MediumPlace& b) {
              return std::tuple(a.home, a.id) < std::tuple(b.home, b.id);
            });
  size_t used = 0, unsuitable = 0, small = 0, locked = 0;
  for (const MediumPlace& place : pool) {
    ASSIGN_OR_RETURN(const MediumNote note,
                     ReadMediumNote(*archive_.catalog, place.id));
    uint64_t capacity = note.sectors;
    if (const auto volume = archive_.volumes->FindByMedium(place.id)) {
      const VolumeRecord record = volume->record();
      const bool fresh = record.role == udf::Role::kBackup &&
                         record.state == udf::SlotState::kFormatted &&
                         record.owner_uuid.empty();
      if (note.write_once ||
          (!fresh && (note.freed.empty() || note.freed != record.id))) {
        ++used;
        continue;
      }
      if (fresh) capacity = std::max(capacity, record.geometry.sectors);
    } else if (note.found == "foreign") {
      ++unsuitable;
      continue;
    }
    if (claims_->ClaimedByOther(claimant, place.id)) {
      ++used;
      continue;
    }
    if (note.write_protected) {
      ++locked;
      continue;
    }
    if (avoid.count(place.id) != 0 || !place.problem.empty() ||
        (place.two_sided() && place.other_side == source.medium) ||
        (files && note.write_once)) {
      ++unsuitable;
      continue;
    }
    if (!files && capacity != 0 && capacity < source.geometry.sectors) {
      ++small;
      continue;
    }
    return place.id;
  }
  return Error{
      Errc::kNoSpace,
      fmt::format(
          "the copy pool has no unused medium for volume {}: of {} "
          "media {} are in use, {} unsuitable, {} too small{}",
          source.id, pool.size(), used, unsuitable, small,
          locked == 0 ? "" : fmt::format(", {} write-protected", locked))};
}

}  // namespace vellum
