// SPDX-License-Identifier: Apache-2.0
// A volume with its catalog on disk and its medium, both of which lose power at
// the same moment: fault tests kill, cut, reopen and compare with the model of
// the generation that the medium holds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "index/catalog.h"
#include "index/change_map.h"
#include "index/volume.h"
#include "media/borrowed_medium.h"
#include "media/udf/journal.h"
#include "tests/index/bystander.h"
#include "tests/index/faulty_file_system.h"
#include "tests/index/volume_model.h"
#include "tests/support/crash_medium.h"
#include "tests/support/environment.h"
#include "tests/support/temp_dir.h"

namespace vellum {

// A medium that has power while the catalog's file system has.
// Thread-safety: as Medium says.
class PowerMedium : public BorrowedMedium {
 public:
  PowerMedium(CrashMedium* base, std::shared_ptr<FaultyFileSystem> power)
      : BorrowedMedium(base), power_(std::move(power)) {}
  // Power goes during the `n`th write, flush or discard from now on (0: never).
  void CutPowerAt(uint64_t n) { left_ = n; }

  Status Read(uint64_t lba, ByteSpan out) override;
  Status WriteBy(Writer write, uint64_t lba, ConstByteSpan data) override;
  Status Flush() override;
  Status Discard(uint64_t lba, uint64_t count) override;
  Result<SectorRange> NextAllocated(SectorRange from) override;

 private:
  bool Cut();  // counts the operation

  const std::shared_ptr<FaultyFileSystem> power_;
  uint64_t left_ = 0;  // 0: never; one writer at a time in these tests
};

// How a session ends that does not end well.
enum class Death : uint8_t {
  kKill,  // of the process: what was written is there
  kPowerKept,
  kPowerLost,
  kPowerReordered,
  kPowerTorn,
};
inline constexpr int kDeaths = 5;

struct LabOptions {
  uint64_t sectors = 8192;  // the ring has 256
  FuzzOptions fuzz;
  bool break_note = false;  // VolumeOptions::break_note
  // Called for each generation with its number and the regions that it marks.
  std::function<void(uint64_t number, RegionSet*)> marks;
};

// Thread-safety: none.
// Few and small files; of the records some do not fit the ring.
inline LabOptions SmallLab() {
  LabOptions options;
  options.fuzz.max_file_bytes = 100'000;
  options.fuzz.max_nodes = 130;
  options.fuzz.touch_all = true;
  return options;
}

class VolumeLab {
 public:
  // Formats a medium, opens a catalog and attaches the volume.
  VolumeLab(uint64_t seed, LabOptions options);

  Volume* volume() { return volume_.get(); }
  Catalog* catalog() { return catalog_.get(); }
  VolumeFuzzer& fuzzer() { return *fuzzer_; }
  CrashMedium& medium() { return *medium_; }
  PowerMedium& power_medium() { return *powered_; }
  FaultyFileSystem& file_system() { return *file_system_; }

  // Random operations; a testing failure when volume and model disagree.
  void Operate(int count);
  // Runs `commit`. At a random step of the commit that it makes, not behind the
  // one that ends it (KillAt), some operations run, and then `then`.
  Status Accompanied(const std::function<Status()>& commit,
                     std::function<void()> then = {});
  uint64_t accompanied() const { return accompanied_; }
  void OperateUntilDirty();
  // The next commit that comes to `step` ends there.
  void KillAt(std::optional<CommitStep> step) { kill_at_ = step; }
  // Volume and catalog are gone; the medium holds what `death` leaves on it.
  void Die(Death death, uint64_t seed);

  // The session ends well: detaches (unless that was done), closes.
  void Close();
  Status OpenCatalog();
  // A new Volume from the catalog's record; made from the control slot when
  // there is none, as the discovery of a medium does.
  // Power goes at the `cut_at`th write of the medium (0: it does not).
  Status Attach(uint64_t cut_at = 0);

  // What the medium says of itself, recovery planned but not carried out.
  udf::ReplayResult OnMedium() const;
  // The model goes back (or on) to generation `number`.
  void Resume(uint64_t number);
  // Volume, catalog and medium against the model; fsck.
  void Check();

  // REQUIRES: closed.
  void SaveCatalog(const std::string& name);
  void RestoreCatalog(const std::string& name);
  void DeleteCatalog();
  void SetMedium(const MemoryMedium& content);

  const std::map<uint64_t, std::shared_ptr<const VolumeFuzzer>>& history()
      const {
    return history_;
  }

 private:
  std::string CatalogPath() const { return dir_.Sub("catalog"); }
  Status OnStep(CommitStep step);

  const LabOptions options_;
  TempDir dir_;
  std::unique_ptr<CrashMedium> medium_;
  std::shared_ptr<FaultyFileSystem> file_system_;
  std::unique_ptr<PowerMedium> powered_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Volume> volume_;
  std::unique_ptr<VolumeFuzzer> fuzzer_;
  // By number; what was frozen last under it.
  std::map<uint64_t, std::shared_ptr<const VolumeFuzzer>> history_;
  std::optional<CommitStep> kill_at_;
  std::mt19937_64 company_rng_;
  std::optional<CommitStep> company_;  // the step that will have some
  std::function<void()> then_;
  uint64_t accompanied_ = 0;
  Bystander bystander_;  // last: it uses the others
};

}  // namespace vellum
