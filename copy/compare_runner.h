// SPDX-License-Identifier: Apache-2.0
// CompareRunner: compares two volumes sector by sector: what the generation of
// the second one uses. Regions that the first one changed since, those that
// only it uses among them, are counted instead. Works with one drive: the
// hashes of one volume are kept in memory (8 bytes a region) while the other
// one is read.
//
// Thread-safety: the job's own thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "copy/copy_source.h"
#include "copy/job_steps.h"
#include "index/volumes.h"
#include "media/error.h"

namespace vellum {

class CompareRunner {
 public:
  explicit CompareRunner(JobSteps* steps);

  // Up to and with kReturning. kCorruption: they differ, and where.
  Status Run();

 private:
  Status HashB();
  Status ReadA();
  // Counts the regions that only a uses: changed since b was made, or, where
  // that cannot be (not `tracked`), different.
  void CountOnlyA(const SectorMap& a, bool tracked);
  // Loads b once more to say which sectors of the first regions differ.
  Status LocateSectors();
  Status Differences() const;
  // Whom differences between the two speak of; `changes` is what the change map
  // of a said of b's generation, if it was asked.
  void Judge(const VolumeRecord& a, const Status& changes);
  // The catalog learns what was found of the backup.
  Status NoteResult(const Status& differences);

  JobSteps* const steps_;
  const std::string a_, b_;

  // The backup that differences are damage of: one of the two is the primary
  // that the other one is a copy of, and what changed since is known. Empty:
  // neither, and why not.
  std::string backup_uuid_, no_damage_;
  // What b has.
  VolumeRecord record_;
  SourceIdentity identity_;
  std::shared_ptr<const SectorMap> map_;
  RegionSet used_;
  std::vector<uint64_t> hashes_;  // of used_, in order
  // What differs.
  uint64_t compared_ = 0;   // regions
  uint64_t changed_ = 0;    // regions not compared: changed since b was made
  uint64_t differing_ = 0;  // of those compared
  std::map<uint64_t, Bytes> kept_;  // the first of them, as a has them
  std::vector<uint64_t> sectors_;   // the first differing sectors
};

}  // namespace vellum
