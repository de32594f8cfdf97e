// SPDX-License-Identifier: Apache-2.0
// One run of random operations on a volume whose medium records every write,
// to be crashed at any of them and recovered. Half of the commits have company:
// operations that run while the commit does.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "index/catalog.h"
#include "index/volume.h"
#include "media/udf/journal.h"
#include "tests/index/bystander.h"
#include "tests/index/catalog_copy.h"
#include "tests/index/volume_model.h"
#include "tests/support/crash_medium.h"

namespace vellum {

// The rule that a run breaks, for negative controls.
enum class Break : uint8_t {
  kNothing,
  kReuse,        // blocks are reused as soon as they are freed
  kNoReplay,     // the journal is not replayed
  kNoFlush,      // it is replayed without any flush before
  kSharedUnits,  // units with committed blocks are written directly
  kEarlyFsync,   // Fsync answers before the flush of the record
  kNoBehind,     // a record without a flush before leaves out what is in place
  kNoData,       // or its own new data
};
// Whether the volume itself breaks it, while it operates: the others are broken
// by those who wait or recover, on the same run.
constexpr bool IsOfTheVolume(Break rule) {
  return rule == Break::kReuse || rule == Break::kSharedUnits ||
         rule == Break::kNoBehind || rule == Break::kNoData;
}

struct CrashRunOptions {
  Break broken = Break::kNothing;
  // Of the medium. Above 1 each power cut destroys the unit that was being
  // written.
  uint32_t atomic_sectors = 1;
  int operations = 400;
  bool plain = false;  // few files, none in hundreds of pieces: quicker
};

// What a run has met: figures that a test asserts, so that nothing that it is
// there for stays away unnoticed.
struct CrashFacts {
  uint64_t commits = 0;
  uint64_t one_flush = 0;         // those that flushed their record only
  uint64_t spilled = 0;           // records that stand in free blocks,
  uint64_t larger_than_ring = 0;  // those that the whole ring could not hold,
  uint64_t wraps = 0;             // returns of the ring to its start
  uint64_t new_descriptors = 0;   // blocks of extent chains written directly
  uint64_t changed_descriptors = 0;  // and through the record
  uint64_t fsyncs = 0;
  uint64_t fsyncs_beside = 0;  // those of a commit's company
  uint64_t accompanied = 0;    // commits that had company,
  uint64_t waited = 0;         // those whose company waited for their end
  uint64_t by_volume = 0;      // recoveries by a Volume with an old catalog,
  uint64_t applied = 0;        // those that applied a pending batch,
  uint64_t noted = 0;          // those that applied the note of a record,
  uint64_t rescanned = 0;      // those that read the medium anew
  FuzzCounts fuzz;
  TreeFacts found;  // in what was recovered

  void Add(const CrashFacts& other);
  std::string ToString() const;
};

class CrashRun {
 public:
  CrashRun(uint64_t seed, const CrashRunOptions& options);
  ~CrashRun();

  // A testing failure when volume and model disagree.
  void Operate();
  // Breaks another rule from now on. REQUIRES: neither is of the volume.
  void SetBroken(Break rule) { broken_ = aim_ = rule; }
  // Crashes from now on where it hurts most if `rule` is broken, be it or not.
  void SetAim(Break rule) { aim_ = rule; }

  // Crashes at a random event, recovers, compares. Good(result), or it says
  // what is wrong.
  std::string Crash(std::mt19937_64& rng);
  // The same, and nobody recovers: a reader that knows nothing of the journal
  // may find old content or none, but never that of another file, or names of
  // another directory.
  std::string CrashUnreplayed(std::mt19937_64& rng);
  static bool Good(const std::string& result) {
    return result.ends_with(": ok");
  }
  // Bytes and names that CrashUnreplayed could tell apart so far.
  uint64_t tags_seen() const { return tags_seen_; }
  uint64_t names_seen() const { return names_seen_; }
  CrashFacts facts() const;

 private:
  // Where a run was crashed, and how.
  struct Point {
    size_t at = 0;
    CrashOptions crash;
    std::string text;
  };
  // A node that an fsync promised, as it was when it was asked for.
  struct Promised {
    size_t at = 0;  // events
    VolumeFuzzer::Fsynced node;
    bool early = false;  // by kEarlyFsync only
  };

  // --- crash_run.cc
  Status OnStep(CommitStep step);
  void NoteNames();
  void Observe(CommitStep step, size_t begin, size_t end);
  uint64_t DescriptorBlocks(size_t begin, size_t end) const;
  void Accompany(CommitStep step);
  void JoinCompany();
  void Commit();
  void Fsync();
  void Promise();

  // --- crash_recovery.cc
  Point Pick(std::mt19937_64& rng) const;
  std::string Recover(std::unique_ptr<MemoryMedium> found, const Point& point,
                      std::mt19937_64& rng);
  std::string RecoverByVolume(MemoryMedium& found, const Point& point,
                              std::mt19937_64& rng);
  uint64_t PromisedGeneration(size_t at) const;
  std::string CheckPromises(const Model& model, size_t at) const;
  // With the model of that generation.
  std::string Compare(MemoryMedium& found, uint64_t number, size_t at);
  // With those of all generations that it may hold: what the first of them that
  // fits says, or what the newest one says.
  std::string CompareWithAny(MemoryMedium& found, size_t at);
  std::string UseAgain(const MemoryMedium& found);

  const uint64_t seed_;
  const CrashRunOptions options_;
  Break broken_;
  Break aim_;
  const std::thread::id thread_;
  std::mt19937_64 rng_;  // of what happens beside the operations
  std::unique_ptr<CrashMedium> medium_;
  udf::Geometry geometry_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Volume> volume_;
  std::unique_ptr<VolumeFuzzer> fuzzer_;

  // By number: what was frozen last under it, and at which event.
  std::map<uint64_t, Model> history_;
  std::map<uint64_t, size_t> frozen_at_;
  // What any of them has: unique ids of a directory and of what it names so.
  std::set<std::tuple<uint64_t, uint64_t, std::string>> names_;
  std::map<size_t, uint64_t> promised_;  // events done -> generation
  std::vector<Promised> fsynced_;
  std::map<size_t, CatalogCopy> catalogs_;  // by events done
  // The events between two steps of a commit: crashes are worth most there.
  std::vector<std::pair<size_t, size_t>> phases_;
  // Where a record was written that no flush preceded.
  std::vector<size_t> one_flush_at_;
  size_t first_event_ = 0;

  // Of the commit under way.
  size_t mark_ = 0;                    // events when the last step was left
  size_t flushes_ = 0;                 // of the commit so far
  std::optional<CommitStep> company_;  // the step that will have some
  // Not while an operation or an unload commits: one at a time uses the fuzzer.
  bool company_allowed_ = false;
  std::optional<VolumeFuzzer::Fsynced> fsyncing_;
  std::vector<Promised> fsynced_beside_;  // by the company, until it is joined
  uint64_t ring_position_ = 0;
  CrashFacts facts_;
  uint64_t tags_seen_ = 0;
  uint64_t names_seen_ = 0;

  Bystander bystander_;  // last: it uses the others
};

}  // namespace vellum
