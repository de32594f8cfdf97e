// SPDX-License-Identifier: Apache-2.0
// One run of random operations on a volume whose medium records every write,
// to be crashed at any of them and recovered.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "index/catalog.h"
#include "index/volume.h"
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
};

struct CrashRunOptions {
  Break broken = Break::kNothing;
  // Of the medium. Above 1 each power cut destroys the unit that was being
  // written.
  uint32_t atomic_sectors = 1;
};

class CrashRun {
 public:
  CrashRun(uint64_t seed, const CrashRunOptions& options);
  ~CrashRun();

  // A testing failure when volume and model disagree.
  void Operate();

  // Crashes at a random event, recovers, compares. Good(result), or it says
  // what is wrong.
  std::string Crash(std::mt19937_64& rng);
  // The same, and nobody recovers: a reader that knows nothing of the journal
  // may find old content or none, but never that of another file.
  std::string CrashUnreplayed(std::mt19937_64& rng);
  static bool Good(const std::string& result) {
    return result.ends_with(": ok");
  }
  // Bytes that CrashUnreplayed could tell apart so far.
  uint64_t tags_seen() const { return tags_seen_; }

 private:
  struct Point;  // where a run was crashed, and how
  Point Pick(std::mt19937_64& rng) const;
  void Promise();
  std::string Recover(std::unique_ptr<MemoryMedium> found, const Point& point,
                      std::mt19937_64& rng);
  std::string Compare(MemoryMedium& found, uint64_t number, size_t at);
  std::string UseAgain(const MemoryMedium& found);

  const uint64_t seed_;
  const CrashRunOptions options_;
  std::unique_ptr<CrashMedium> medium_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Volume> volume_;
  std::unique_ptr<VolumeFuzzer> fuzzer_;
  std::map<uint64_t, Model> history_;
  std::map<size_t, uint64_t> promised_;  // events done -> generation
  size_t first_event_ = 0;
  uint64_t tags_seen_ = 0;
};

}  // namespace vellum
