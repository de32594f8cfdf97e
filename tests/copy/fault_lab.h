// SPDX-License-Identifier: Apache-2.0
// A library with jobs over it, all parts of which fail on demand: media
// (FaultMedia), changer and drives (FaultDevices), the catalog's disk
// (FaultyFileSystem), the spool's (SpoolFaults). They lose power together; then
// everything is opened from what survived.
//
//   FaultLab lab(options);       // open, no volumes
//   ... make the start ...
//   lab.SaveStart();             // closes
//   for (...) { lab.GoToStart(); lab.Open(); ... lab.Close() or lab.Die(); }
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "copy/jobs.h"
#include "copy/operations.h"
#include "index/catalog.h"
#include "index/volumes.h"
#include "media/library.h"
#include "media/udf/control.h"
#include "tests/copy/fault_devices.h"
#include "tests/copy/fault_media.h"
#include "tests/copy/hold.h"
#include "tests/copy/spool_faults.h"
#include "tests/index/faulty_file_system.h"
#include "tests/support/fake_library.h"
#include "tests/support/temp_dir.h"

namespace vellum {

// Path -> content of a file; "dir", or "-> " and the target of a symlink.
using FileTreeText = std::map<std::string, std::string>;
// Of the volume on the medium, replayed in memory.
Result<FileTreeText> ReadTree(const MemoryMedium& medium);

struct FaultLabOptions {
  uint16_t drives = 1;
  uint16_t media = 3;
  uint16_t doors = 1;       // import/export elements
  uint64_t sectors = 4096;  // 8 MiB
  bool write_once = false;  // all media but the first
};

// What a medium may hold after something went wrong.
struct Allowed {
  std::vector<FileTreeText> trees;  // exactly one of these
  bool nothing = false;             // no volume: blank, or a broken format
  bool incomplete = false;          // a backup that says INCOMPLETE
  bool announced = false;           // the same, if the log of a job said before
                                    // that there will be no atomic commit
  bool released = false;  // no volume of Vellum's, but one of these trees
  // Not exactly: each file is that of one of the trees, or missing.
  bool by_file = false;
};

// What power leaves of what was not flushed, as Unflushed.
using LabDeath = Unflushed;

// Thread-safety: none; the library and the jobs have their threads.
class FaultLab {
 public:
  explicit FaultLab(const FaultLabOptions& options);
  ~FaultLab();

  // --- Sessions
  Status Open();
  // The session ends well, or as well as it can.
  void Close();
  // The power is gone already, or goes now.
  void Die(LabDeath death, uint64_t seed);
  // REQUIRES: open, no faults. Closes.
  void SaveStart();
  void GoToStart();  // REQUIRES: closed
  // The catalog alone does. REQUIRES: closed
  void GoToStartOfCatalog();
  void RemoveCatalog();  // REQUIRES: closed
  // REQUIRES: closed. Opens with what a start makes of a catalog that is gone,
  // and reads the media.
  Status RebuildCatalog();
  // REQUIRES: closed. The same with a damaged one; fails, too, when a person is
  // not told of that, or a job goes on as if nothing had been.
  Status SalvageCatalog();
  void DamageCatalog();  // zeros within its MANIFEST. REQUIRES: closed

  // --- Faults; of an open session
  FaultMedia& media() { return *media_; }
  FaultDevices& devices() { return *devices_; }
  FaultyFileSystem& catalog_disk() { return *catalog_disk_; }
  // As FaultyFileSystem::LoseFailed; when the session is closed.
  void LoseFailedSyncs(uint64_t seed) { catalog_loses_ = seed; }
  SpoolFaults& spool_disk() { return *spool_disk_; }
  // In which media and devices hang; let go before the session ends.
  Hold& hold() { return *hold_; }
  bool power() const { return catalog_disk_->power(); }
  // Media, devices and spool; the catalog needs a new session. After a
  // device was gone the library asks anew at once; fails when it does not take
  // it back.
  Status Heal();

  // --- What is done with it; of an open session
  Archive archive() { return {catalog_.get(), library_.get(), volumes_.get()}; }
  Jobs& jobs() { return *jobs_; }
  Volumes& volumes() { return *volumes_; }
  static VolumeTag Tag(int n) { return "V0000" + std::to_string(n); }
  // Makes or replaces a file, and the directories above it.
  Status Put(const std::string& volume, const std::string& path,
             const std::string& content);
  Status Unlink(const std::string& volume, const std::string& name);
  // The error of the job that ended in one; its log goes to log().
  Status Finish(const Result<JobId>& job);
  // All that have not ended: jobs that a new session took up.
  Status FinishAll();
  const std::string& log() const { return log_; }
  // Makes what the rest of a session may need impossible to have twice.
  void LimitSpool(uint64_t bytes) { job_options_.spool_limit = bytes; }
  // Called at each step of a job, in its thread. REQUIRES: closed.
  void OnTransition(std::function<Status(const JobRecord&)> call) {
    job_options_.on_transition = std::move(call);
  }

  // --- What is looked at; an empty text: as it shall be
  // Nobody has a volume, a medium or a drive; media go home, and the library
  // knows where each is; the spool is empty. REQUIRES: open, healed.
  std::string FindLeaks();
  // The catalog says of each volume what its medium says. REQUIRES: FindLeaks
  // was called. `other_label`: this medium may carry another name. `forgotten`:
  // the volumes on these may be unknown.
  std::string CompareCatalog(const VolumeTag& other_label,
                             const std::set<VolumeTag>& forgotten = {});
  // REQUIRES: closed. `announced` is set when the medium holds what only an
  // announcement allows.
  std::string CheckMedium(const VolumeTag& tag, const Allowed& allowed,
                          bool* needs_announcement);
  // The sectors that the backup's generation uses are those of the primary.
  std::string CompareSectors(const VolumeTag& primary, const VolumeTag& backup);
  // Every medium is there (0: in a slot), or where it started. REQUIRES: closed
  // well.
  std::string CheckPlaces(
      const std::map<VolumeTag, ElementAddress>& places) const;
  // A blank medium with the same volume tag is in its place. REQUIRES: closed.
  void Blank(const VolumeTag& tag);
  // One byte of the sector is another one. REQUIRES: closed.
  void Spoil(const VolumeTag& tag, uint64_t sector);
  const MemoryMedium& content(const VolumeTag& tag) const {
    return *contents_.at(tag);
  }
  // How far the write-once medium was written. REQUIRES: closed.
  WrittenState written(const VolumeTag& tag) const { return written_.at(tag); }
  std::vector<VolumeTag> tags() const;
  bool NamesSomething(const std::string& message) const;

 private:
  struct Shelf {
    std::map<VolumeTag, std::shared_ptr<const MemoryMedium>> contents;
    std::map<VolumeTag, WrittenState> written;
  };
  std::string SpoolPath() const { return dir_.Sub("spool"); }
  std::string CatalogPath() const { return dir_.Sub("catalog"); }
  void MakeShelf();
  std::shared_ptr<MemoryMedium> MakeBlank(const VolumeTag& tag) const;
  // As the drive would show it.
  Result<udf::ControlSlot> ReadSlot(const VolumeTag& tag,
                                    const MemoryMedium& content,
                                    WrittenState written) const;
  void TakeContents(const std::optional<CrashOptions>& crash);
  void CutPower();

  const FaultLabOptions options_;
  TempDir dir_;
  JobsOptions job_options_;
  std::unique_ptr<FakeLibrary> shelf_;
  std::map<VolumeTag, std::shared_ptr<const MemoryMedium>> contents_;
  std::map<VolumeTag, WrittenState> written_;
  Shelf start_;
  std::map<VolumeTag, ElementAddress> start_places_;
  std::string log_;
  std::shared_ptr<FaultyFileSystem> catalog_disk_;
  uint64_t catalog_loses_ = 0;
  std::unique_ptr<SpoolFaults> spool_disk_;
  std::unique_ptr<Hold> hold_;
  std::unique_ptr<FaultMedia> media_;
  std::unique_ptr<FaultDevices> devices_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Library> library_;
  std::unique_ptr<Volumes> volumes_;
  std::unique_ptr<Jobs> jobs_;
};

}  // namespace vellum
