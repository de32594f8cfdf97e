// SPDX-License-Identifier: Apache-2.0
// The copy pool: which medium a copy goes to. Decided from the catalog and the
// element status alone; what really is on the medium shows when it is loaded.
#pragma once

#include <map>
#include <set>
#include <string>

#include "copy/job.h"
#include "copy/operations.h"
#include "copy/pool_book.h"
#include "index/records.h"
#include "media/error.h"
#include "media/library.h"
#include "media/mutex.h"
#include "media/types.h"

namespace vellum {

// Which jobs that have not ended mean to write to which medium. Jobs of one
// source may share a medium (they run one after the other).
// Thread-safety: every method may be called concurrently.
class TargetClaims {
 public:
  // Replaces what the job had claimed. kExists: a job of another source has the
  // medium (names both); then the job keeps what it had.
  Status Claim(JobId job, const std::string& source, const MediumId& medium);
  void Drop(JobId job);
  bool ClaimedByOther(const std::string& source, const MediumId& medium) const;
  // A medium that jobs of this source have claimed; empty: none.
  MediumId ClaimOf(const std::string& source) const;

 private:
  struct Entry {
    std::string source;
    MediumId medium;
  };
  mutable Mutex mu_;  // leaf
  std::map<JobId, Entry> entries_ GUARDED_BY(mu_);
};

// Can the medium be loaded, as far as the element status tells? kNoMedium when
// it is not in the library, or its element says what is wrong with it (a
// missing image file): names medium, element and reason.
Status CheckLoadable(const Library& library, const MediumId& medium);
// Are they the two sides of one medium, which are never in use at once?
bool IsOtherSide(const Library& library, const MediumId& medium,
                 const MediumId& of);
// Does no medium of the library but `medium` hold a complete backup of the
// owner (its medium uuid)?
bool IsLastComplete(const Archive& archive, const std::string& owner_uuid,
                    const MediumId& medium);
// owner-B1, owner-B2, … or the medium's volume tag: the first that is free.
std::string ChooseBackupId(const Archive& archive, const VolumeTag& tag,
                           const std::string& owner);

// As whose the job claims its target: copies of files and others of one volume
// do not share one.
std::string ClaimantOf(const CopyRequest& request);

class TargetChooser {
 public:
  TargetChooser(const Archive& archive, const TargetClaims* claims,
                PoolRange range)
      : archive_(archive), claims_(claims), range_(range) {}

  // The medium that the request names. kNotFound, kNoMedium, kInvalidArgument
  // (the source's own), kExists (a PRIMARY, another primary's backup, claimed
  // by a job for another volume), kNoSpace (known to be too small),
  // kWriteProtected (known to be); CheckLoadable.
  Result<MediumId> Named(const CopyRequest& request,
                         const VolumeRecord& source) const;
  // The bound backup that was copied longest ago, else the first unused medium
  // of the pool; never one of `avoid`. Where more than one generation is kept,
  // an unused medium comes first as long as there are fewer, and for a copy
  // that writes a medium whole in any case: no old backup is written over
  // before the new one is verified, unless the pool has nothing else (A8).
  // kNoSpace: the pool is exhausted; kWriteProtected and CheckLoadable of a
  // bound backup: it is not given up silently.
  // A copy of files takes the backup that was made file by file, or an unused
  // medium; other copies leave such a backup alone: what was deleted on the
  // primary is still on it.
  // For a copy that may be nothing but incremental (`minicopy`) the bound
  // backups that can take one come first of all: complete, tracked, whole and
  // loadable; of several the newest, which takes the least, or the oldest where
  // more than one generation is kept.
  struct Policy {
    uint32_t generations = 1;
    bool incremental = false;
    bool files = false;
    bool minicopy = false;
  };
  // `generations`: the library's, for volumes that have no number of their own.
  Result<Policy> PolicyOf(const CopyRequest& request,
                          const VolumeRecord& source,
                          uint32_t generations) const;
  Result<MediumId> Automatic(const VolumeRecord& source,
                             const std::set<MediumId>& avoid,
                             const Policy& policy) const;
  // The complete backups of the source in the pool, oldest first.
  Result<std::vector<VolumeRecord>> Generations(
      const VolumeRecord& source) const;

 private:
  bool HoldsCompleteOf(const VolumeRecord& source,
                       const MediumId& medium) const;
  Result<MediumId> Unused(const PoolBook& pool, const VolumeRecord& source,
                          const std::set<MediumId>& avoid, bool files) const;
  // Empty: none can take an incremental copy.
  Result<MediumId> Incremental(const PoolBook& pool, const VolumeRecord& source,
                               const std::set<MediumId>& avoid,
                               bool newest) const;
  MediumId Bound(const PoolBook& pool, const VolumeRecord& source,
                 const std::set<MediumId>& avoid, bool files) const;

  const Archive archive_;
  const TargetClaims* const claims_;
  const PoolRange range_;
};

}  // namespace vellum
