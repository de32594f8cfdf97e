// SPDX-License-Identifier: Apache-2.0
// One scenario, run again and again, each time with another fault or power cut,
// and what must be so afterwards.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "media/error.h"
#include "media/mutex.h"
#include "tests/copy/fault_lab.h"
#include "tests/copy/fault_scenarios.h"
#include "tests/support/environment.h"

namespace vellum {

// Ends the program when what it watches takes longer than a minute: nothing
// else would say what hangs.
class Watchdog {
 public:
  Watchdog();
  ~Watchdog();
  void Watch(const std::string& what);

 private:
  Mutex mu_;
  CondVar cv_;
  std::string what_ GUARDED_BY(mu_);
  uint64_t turn_ GUARDED_BY(mu_) = 0;
  bool ended_ GUARDED_BY(mu_) = false;
  std::thread thread_;
};

// Unless the environment says at which: each operation fails once, and every so
// manieth in the other ways.
inline constexpr uint64_t kFaultStep = 4;

// One kind of fault.
struct FaultKind {
  std::string name;  // "read", "catalog: disk full", …
  // At the `n`th operation from now on.
  std::function<void(FaultLab&, uint64_t n)> arm;
  std::function<bool(FaultLab&)> reached;
  // And something has failed of it; empty: what reaches it does.
  std::function<bool(FaultLab&)> struck = {};
  bool of_catalog = false;        // it takes nothing more in this session
  bool may_stop_catalog = false;  // or takes all as before
  // What the log has when the scenario succeeds all the same,
  std::string told = "injected";
  // unless this (asked before all is healed) says that only reads failed: what
  // is there twice is read from the other place, and nobody need hear of it.
  std::function<bool(FaultLab&)> only_reads = {};
  bool at_all = false;           // operations, whatever kFaultStep is
  uint64_t coarser = 1;          // so many times the step
  bool damages_catalog = false;  // of a power cut: behind it
  // Not of operations, but of so many parts of each medium; some of them nobody
  // touches.
  uint64_t parts = 0;
};
FaultKind MediumFails(FaultPlan::Op op);
FaultKind MediumFallsShort(FaultPlan::Op op);  // kRead, kWrite
FaultKind MediumGoes();
FaultKind MediumFills();  // from then on: the disk under an image is full
FaultKind DeviceFails(FaultDevices::Device device, FaultDevices::Act act);
// Once; or from then on: a full disk.
FaultKind SpoolFails();
FaultKind SpoolFills();
FaultKind CatalogFails(FaultyFileSystem::Fault fault);
FaultKind CatalogReadFails();
// The `n`th of the parts of which all media consist cannot be read or written.
FaultKind BadPart();
FaultKind PowerGoesIn(const std::string& where);  // medium, catalog, spool
// It does not answer until it is let go (FaultLab::hold).
FaultKind MediumHangs();
FaultKind DeviceHangs(FaultDevices::Device device);

// What somebody asks who does not need the device that hangs.
struct Question {
  std::string name;
  std::function<Status(FaultLab&)> ask;
};

class FaultSweep {
 public:
  // `quiet`: a violation is wanted, and not printed; the sweep ends at it, and
  // takes the steps of a default run whatever the environment says.
  explicit FaultSweep(FaultScenario scenario, bool quiet = false);

  // At every operation, or every so manieth, until one is not reached. Answers
  // at how many.
  uint64_t FailEverywhere(const FaultKind& kind);
  uint64_t CutEverywhere(const FaultKind& kind);
  // The operation stays until all questions have their answers. Of the jobs
  // that ran then, half are cancelled meanwhile; all else ends as if nothing
  // had been.
  uint64_t HoldEverywhere(const FaultKind& kind,
                          const std::vector<Question>& questions);

  uint64_t runs() const { return runs_; }      // that failed or were cut
  uint64_t masked() const { return masked_; }  // succeeded all the same
  // Power cuts behind which jobs were there that the start had not, and those
  // of them where all of these ended well.
  uint64_t resumed() const { return resumed_; }
  uint64_t cancelled() const { return cancelled_; }  // while held
  uint64_t finished() const { return finished_; }
  // After how many cuts the catalog had to be made anew.
  uint64_t rebuilt() const { return rebuilt_; }
  const std::vector<std::string>& violations() const { return violations_; }

 private:
  // False: it was not reached.
  bool FailOnce(const FaultKind& kind, uint64_t n);
  bool CutOnce(const FaultKind& kind, uint64_t n, LabDeath death);
  bool HoldOnce(const FaultKind& kind, uint64_t n,
                const std::vector<Question>& questions);
  // While an operation is held. False: it waits for that.
  bool Ask(const Question& question);
  void CheckMedia();
  // Where CheckMedia has found that it was necessary.
  void ExpectAnnounced(const std::string& log);
  // Of those that the start had not.
  std::vector<JobRecord> NewJobs() const;
  // Those that are not in the catalog yet are read by their next use.
  void ReadTrees();
  // Runs it again, without faults, to its end. `salvaged`: it may be refused.
  void RunAgain(bool salvaged = false);
  // Everybody has let go of everything; the catalog, if it is `done`, says what
  // the media say. Closes, and then the media hold what they shall.
  void CheckEnd(bool done);
  void CompareCatalog(bool done);
  void CheckBrokenOff();
  void CheckDone();
  void Violated(const std::string& what);
  // Notes what is not empty.
  void Expect(const std::string& wrong);
  uint64_t StepOf(const FaultKind& kind) const {
    const uint64_t step = kind.at_all ? 1 : kFaultStep;
    return kind.coarser *
           (quiet_ ? step : FromEnvironment("VELLUM_FAULT_STEP", step));
  }
  bool TooMany() const { return violations_.size() >= (quiet_ ? 1 : 8); }

  FaultScenario scenario_;
  const bool quiet_;
  std::unique_ptr<FaultLab> lab_;
  Watchdog watchdog_;
  const uint64_t seed_ = FromEnvironment("VELLUM_SEED", 1);
  std::string where_;
  std::vector<std::string> violations_;
  std::vector<VolumeTag> need_announcement_;
  std::set<JobId> before_;  // the jobs of the start
  uint64_t runs_ = 0, masked_ = 0, resumed_ = 0, finished_ = 0, rebuilt_ = 0,
           cancelled_ = 0;
};

}  // namespace vellum
