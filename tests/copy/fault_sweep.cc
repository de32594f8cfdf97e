// SPDX-License-Identifier: Apache-2.0
#include "tests/copy/fault_sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "media/udf/control.h"
#include "tests/support/logged_lines.h"

namespace vellum {
namespace {

using Op = FaultPlan::Op;

constexpr const char* kAnnouncement = "without an atomic commit";
constexpr uint64_t kParts = 24;  // of a medium, for BadPart
constexpr const char* kFrozen = "that cannot be committed";
constexpr const char* kTreeLater = "its tree is not in the catalog yet";

}  // namespace

// --- Watchdog
// ---------------------------------------------------------------------

Watchdog::Watchdog() {
  thread_ = std::thread([this] {
    MutexLock lock(&mu_);
    uint64_t seen = turn_;
    auto since = std::chrono::steady_clock::now();
    while (!ended_) {
      cv_.WaitFor(&mu_, std::chrono::seconds(5));
      const auto now = std::chrono::steady_clock::now();
      if (turn_ != seen) {
        seen = turn_;
        since = now;
      } else if (now - since > std::chrono::seconds(60)) {
        fmt::print(stderr, "hangs: {}\n", what_);
        std::abort();
      }
    }
  });
}

Watchdog::~Watchdog() {
  {
    const MutexLock lock(&mu_);
    ended_ = true;
    cv_.NotifyAll();
  }
  thread_.join();
}

void Watchdog::Watch(const std::string& what) {
  const MutexLock lock(&mu_);
  what_ = what;
  ++turn_;
}

// --- Kinds of faults
// --------------------------------------------------------------

FaultKind MediumFails(FaultPlan::Op op) {
  FaultKind kind;
  constexpr const char* kNames[] = {"read", "write", "flush", "discard",
                                    "search"};
  kind.name = kNames[static_cast<size_t>(op)];
  kind.arm = [op](FaultLab& lab, uint64_t n) {
    lab.media().At(n, op, FaultMedia::Act::kFail);
  };
  kind.reached = [](FaultLab& lab) { return lab.media().reached(); };
  kind.only_reads = [op](FaultLab&) { return op == Op::kRead; };
  kind.at_all = true;
  return kind;
}

FaultKind MediumFallsShort(Op op) {
  FaultKind kind = MediumFails(op);
  kind.name += " short";
  kind.at_all = false;
  kind.arm = [op](FaultLab& lab, uint64_t n) {
    lab.media().At(n, op, FaultMedia::Act::kShort);
  };
  return kind;
}

FaultKind MediumGoes() {
  FaultKind kind;
  kind.name = "medium gone";
  kind.arm = [](FaultLab& lab, uint64_t n) {
    lab.media().At(n, std::nullopt, FaultMedia::Act::kGone);
  };
  kind.reached = [](FaultLab& lab) { return lab.media().reached(); };
  return kind;
}

FaultKind MediumFills() {
  FaultKind kind = MediumGoes();
  kind.name = "medium full";
  kind.arm = [](FaultLab& lab, uint64_t n) {
    lab.media().At(n, Op::kWrite, FaultMedia::Act::kFull);
  };
  return kind;
}

FaultKind DeviceFails(FaultDevices::Device device, FaultDevices::Act act) {
  FaultKind kind;
  kind.name = device == FaultDevices::Device::kChanger ? "changer" : "drive";
  if (act == FaultDevices::Act::kDone) kind.name += " at the end";
  if (act == FaultDevices::Act::kGone) kind.name += " gone";
  kind.arm = [device, act](FaultLab& lab, uint64_t n) {
    lab.devices().At(n, device, act);
  };
  kind.reached = [](FaultLab& lab) { return lab.devices().reached(); };
  kind.at_all = true;
  return kind;
}

FaultKind SpoolFails() {
  FaultKind kind;
  kind.name = "spool";
  kind.told = "Input/output error";
  kind.arm = [](FaultLab& lab, uint64_t n) {
    lab.spool_disk().At(n, SpoolFaults::Act::kFail);
  };
  kind.reached = [](FaultLab& lab) { return lab.spool_disk().reached(); };
  kind.at_all = true;
  return kind;
}

FaultKind SpoolFills() {
  FaultKind kind = SpoolFails();
  kind.name = "spool full";
  kind.struck = [](FaultLab& lab) { return lab.spool_disk().struck(); };
  kind.told = "No space left";
  kind.at_all = false;
  kind.arm = [](FaultLab& lab, uint64_t n) {
    lab.spool_disk().At(n, SpoolFaults::Act::kFull);
  };
  return kind;
}

FaultKind CatalogFails(FaultyFileSystem::Fault fault) {
  FaultKind kind;
  kind.name =
      fault == FaultyFileSystem::Fault::kFull ? "catalog full" : "catalog sync";
  kind.told =
      fault == FaultyFileSystem::Fault::kFull ? "disk is full" : "sync failed";
  kind.arm = [fault](FaultLab& lab, uint64_t n) {
    lab.catalog_disk().FaultAt(n, fault);
    lab.LoseFailedSyncs(n);
  };
  kind.reached = [](FaultLab& lab) { return lab.catalog_disk().faulty(); };
  kind.struck = [](FaultLab& lab) { return lab.catalog_disk().struck(); };
  kind.of_catalog = true;
  kind.at_all = fault == FaultyFileSystem::Fault::kFailedSync;
  return kind;
}

FaultKind CatalogReadFails() {
  FaultKind kind;
  kind.name = "catalog read";
  kind.arm = [](FaultLab& lab, uint64_t n) {
    lab.catalog_disk().FailReadAt(n);
  };
  kind.reached = [](FaultLab& lab) { return lab.catalog_disk().read_failed(); };
  // Masked are reads of filters, and those of the database's own work, after
  // which it takes nothing more.
  kind.may_stop_catalog = true;
  kind.only_reads = [](FaultLab&) { return true; };
  kind.at_all = true;
  return kind;
}

FaultKind BadPart() {
  FaultKind kind;
  kind.name = "bad sectors";
  kind.only_reads = [](FaultLab& lab) { return !lab.media().bad_changes(); };
  kind.parts = kParts;
  kind.arm = [](FaultLab& lab, uint64_t n) {
    // The media one after the other; finer where the structure is.
    const std::vector<VolumeTag> tags = lab.tags();
    const uint64_t medium = (n - 1) / kParts;
    if (medium >= tags.size()) return;
    const uint64_t part = (n - 1) % kParts;
    const uint64_t sectors = lab.content(tags[medium]).Info().sectors;
    const uint64_t size = part < 8 ? 32 : sectors / 16;
    const uint64_t first = part < 8 ? 16 + part * 32 : (part - 8) * size;
    lab.media().BadSectors(tags[medium], {first, size});
  };
  kind.reached = [](FaultLab& lab) { return lab.media().reached(); };
  return kind;
}

FaultKind PowerGoesIn(const std::string& where) {
  FaultKind kind;
  kind.name = where;
  kind.arm = [where](FaultLab& lab, uint64_t n) {
    if (where == "medium") {
      lab.media().At(n, std::nullopt, FaultMedia::Act::kCut);
    } else if (where == "catalog") {
      lab.catalog_disk().CutPowerAt(n);
    } else {
      lab.spool_disk().At(n, SpoolFaults::Act::kCut);
    }
  };
  kind.reached = [](FaultLab& lab) { return !lab.power(); };
  return kind;
}

// --- The sweep
// --------------------------------------------------------------------

FaultSweep::FaultSweep(FaultScenario scenario, bool quiet)
    : scenario_(std::move(scenario)), quiet_(quiet) {
  watchdog_.Watch(scenario_.name + ": start");
  Result<std::unique_ptr<FaultLab>> lab = MakeLab(&scenario_);
  if (lab.ok()) {
    lab_ = std::move(*lab);
  } else {
    Violated("no start: " + lab.error().ToString());
  }
}

void FaultSweep::Violated(const std::string& what) {
  violations_.push_back(where_ + ": " + what);
  if (quiet_) return;
  fmt::print("VIOLATION {}: {}\n", where_, what);
  std::fflush(stdout);
}

void FaultSweep::Expect(const std::string& wrong) {
  if (!wrong.empty()) Violated(wrong);
}

uint64_t FaultSweep::FailEverywhere(const FaultKind& kind) {
  const uint64_t before = runs_;
  const uint64_t step = StepOf(kind);
  for (uint64_t n = 1 + seed_ % step; lab_ != nullptr && !TooMany();
       n += step) {
    if (FailOnce(kind, n)) continue;
    if (kind.parts == 0 || n >= kind.parts * lab_->tags().size()) break;
  }
  // A long step may miss all of a few.
  if (runs_ == before && kind.parts == 0 && step > 1 && lab_ != nullptr) {
    FailOnce(kind, 1);
  }
  // Nobody touches most parts: a long step may miss all others.
  for (uint64_t n = 1; lab_ != nullptr && !TooMany() && runs_ == before &&
                       n <= kind.parts * lab_->tags().size();
       ++n) {
    FailOnce(kind, n);
  }
  return runs_ - before;
}

uint64_t FaultSweep::CutEverywhere(const FaultKind& kind) {
  const bool all = FromEnvironment("VELLUM_DEATHS", 1) > 1;
  uint64_t sites = 0;
  const uint64_t step = StepOf(kind);
  for (uint64_t n = 1 + seed_ % step; lab_ != nullptr && !TooMany();
       n += step) {
    bool reached = false;
    for (uint64_t death = 0; death < 4; ++death) {
      if (!all && death != (n / step + n) % 4) continue;
      if (!CutOnce(kind, n, static_cast<LabDeath>(death))) break;
      reached = true;
    }
    if (!reached) break;
    ++sites;
  }
  // A long step may miss all of a few.
  if (sites == 0 && step > 1 && lab_ != nullptr && !TooMany() &&
      CutOnce(kind, 1, static_cast<LabDeath>(seed_ % 4))) {
    ++sites;
  }
  return sites;
}

bool FaultSweep::FailOnce(const FaultKind& kind, uint64_t n) {
  where_ = fmt::format("{}, {} {}", scenario_.name, kind.name, n);
  watchdog_.Watch(where_);
  const LoggedLines daemon_log;
  lab_->GoToStart();
  if (const Status opened = lab_->Open(); !opened.ok()) {
    Violated("open: " + opened.ToString());
    lab_->Close();
    return false;
  }
  kind.arm(*lab_, n);
  const Status status = scenario_.run(*lab_);
  const bool reached = kind.reached(*lab_);
  const bool struck = kind.struck ? kind.struck(*lab_) : reached;
  const bool only_reads = kind.only_reads && kind.only_reads(*lab_);
  const Status healed = lab_->Heal();
  if (!healed.ok()) Violated("after it answers again: " + healed.ToString());
  if (!struck) {
    if (!status.ok()) Violated("without a fault: " + status.ToString());
    lab_->Close();
    return reached;
  }
  ++runs_;
  const std::string log = lab_->log();
  if (status.ok()) {
    ++masked_;
    // What a job logs is in the daemon's log, too. The catalog's own work goes
    // on behind the answer, and nobody need hear of it: what is missing then is
    // found below, after the next start.
    if (!only_reads && !kind.of_catalog && daemon_log.Count(kind.told) == 0) {
      Violated("the fault was swallowed");
    }
  } else if (!lab_->NamesSomething(status.error().message)) {
    Violated("names nothing: " + status.ToString());
  }
  // Half of them in the session in which it failed, whatever the step.
  const Status taken = lab_->archive().catalog->CheckWrite(0);
  const bool stopped =
      !taken.ok() || lab_->catalog_disk().background_read_failed();
  if (stopped && !kind.of_catalog && !kind.may_stop_catalog) {
    Violated("the catalog: " + taken.ToString());
  }
  const bool of_catalog = kind.of_catalog || stopped;
  bool anew = of_catalog || (n * 0x9E3779B97F4A7C15) >> 63 == 0;
  if (!of_catalog) {
    const std::string leak = lab_->FindLeaks();
    if (scenario_.may_freeze && leak.find(kFrozen) != std::string::npos) {
      anew = true;
    } else {
      Expect(leak);
      if (status.ok() && daemon_log.Count(kTreeLater) > 0) ReadTrees();
      if (status.ok()) CompareCatalog(/*done=*/true);
      if (!status.ok()) CheckBrokenOff();
    }
  }
  if (anew) {
    lab_->Close();
    CheckMedia();
    // What succeeds all the same has done all of it.
    if (status.ok()) CheckDone();
    ExpectAnnounced(log);
    if (const Status opened = lab_->Open(); !opened.ok()) {
      Violated("open: " + opened.ToString());
      lab_->Close();
      return true;
    }
    lab_->FinishAll().IgnoreError("what was taken up is run again below");
    // Nothing is made good by the next run.
    if (status.ok()) {
      Expect(lab_->FindLeaks());
      if (daemon_log.Count(kTreeLater) > 0) ReadTrees();
      CompareCatalog(/*done=*/true);
    } else {
      CheckBrokenOff();
    }
  }
  RunAgain();
  if (!quiet_ && !violations_.empty() &&
      violations_.back().rfind(where_, 0) == 0) {
    fmt::print("  it had said: {}\n{}", status.ToString(), daemon_log.Text());
  }
  return true;
}

bool FaultSweep::CutOnce(const FaultKind& kind, uint64_t n, LabDeath death) {
  where_ = fmt::format("seed {}, {}, power cut in {} {}, death {}", seed_,
                       scenario_.name, kind.name, n, static_cast<int>(death));
  watchdog_.Watch(where_);
  const LoggedLines daemon_log;
  lab_->GoToStart();
  if (const Status opened = lab_->Open(); !opened.ok()) {
    Violated("open: " + opened.ToString());
    lab_->Close();
    return false;
  }
  before_.clear();
  for (const JobRecord& job : lab_->jobs().List()) before_.insert(job.id);
  kind.arm(*lab_, n);
  const Status status = scenario_.run(*lab_);
  if (!kind.reached(*lab_)) {
    if (!status.ok()) Violated("without a cut: " + status.ToString());
    lab_->Close();
    return false;
  }
  ++runs_;
  lab_->Die(death, seed_ * 1000 + n);
  CheckMedia();
  if (kind.damages_catalog) lab_->DamageCatalog();
  Status opened = lab_->Open();
  bool salvaged = false;
  if (opened.Is(Errc::kCorruption) &&
      opened.error().message.find("MANIFEST") != std::string::npos) {
    // The database cannot be opened when a page is missing in the middle of
    // what it had not synced. The jobs are not taken up then.
    ++rebuilt_;
    salvaged = true;
    if (!quiet_ && !kind.damages_catalog) {
      fmt::print("catalog made anew: {}: {}\n", where_, opened.error().message);
    }
    lab_->Close();
    need_announcement_.clear();
    opened = lab_->SalvageCatalog();
    if (opened.ok()) {
      Expect(lab_->FindLeaks());
      CompareCatalog(/*done=*/false);
    }
  }
  if (!opened.ok()) {
    Violated("open: " + opened.ToString());
    lab_->Close();
    return true;
  }
  const Status resumed = lab_->FinishAll();
  const std::vector<JobRecord> jobs = NewJobs();
  if (!jobs.empty()) ++resumed_;
  if (!resumed.ok() && scenario_.somewhere.empty()) {
    Violated("taken up: " + resumed.ToString() + "\n" + lab_->log());
  }
  ExpectAnnounced(lab_->log());
  if (!salvaged) CheckBrokenOff();
  const bool finished =
      !jobs.empty() &&
      std::all_of(jobs.begin(), jobs.end(), [](const JobRecord& job) {
        return job.state == JobState::kDone;
      });
  if (finished) {
    // What it has made, before the next run makes it good.
    ++finished_;
    where_ += ", taken up";
    if (daemon_log.Count(kTreeLater) > 0) ReadTrees();
    CheckEnd(true);
    opened = lab_->Open();
    if (!opened.ok()) {
      Violated("open: " + opened.ToString());
      lab_->Close();
      return true;
    }
  }
  RunAgain(salvaged);
  return true;
}

void FaultSweep::CheckMedia() {
  need_announcement_.clear();
  for (const VolumeTag& tag : lab_->tags()) {
    bool announcement = false;
    Expect(lab_->CheckMedium(tag, scenario_.allowed[tag], &announcement));
    if (announcement) need_announcement_.push_back(tag);
  }
}

void FaultSweep::ExpectAnnounced(const std::string& log) {
  for (const VolumeTag& tag : need_announcement_) {
    if (log.find(kAnnouncement) == std::string::npos) {
      Violated(tag + " is INCOMPLETE, and nobody announced it");
    }
  }
}

std::vector<JobRecord> FaultSweep::NewJobs() const {
  std::vector<JobRecord> jobs = lab_->jobs().List();
  std::erase_if(jobs, [this](const JobRecord& job) {
    return before_.count(job.id) != 0;
  });
  return jobs;
}

void FaultSweep::ReadTrees() {
  for (const auto& volume : lab_->volumes().List()) {
    const VolumeRecord record = volume->record();
    if (record.tree == TreeState::kValid || !record.location.empty()) continue;
    const Status used = lab_->volumes().Use(volume).status();
    // A backup that has no generation has no tree; what it has instead is
    // judged with the others.
    const bool none =
        record.role == udf::Role::kBackup && used.Is(Errc::kNoMedium);
    if (!used.ok() && !none) Violated("its tree: " + used.ToString());
  }
}

void FaultSweep::RunAgain(bool salvaged) {
  const Status status =
      scenario_.again ? scenario_.again(*lab_) : scenario_.run(*lab_);
  const bool refused =
      salvaged && !status.ok() && !scenario_.refusal.empty() &&
      status.error().message.find(scenario_.refusal) != std::string::npos;
  if (!status.ok() && !refused) {
    Violated("again: " + status.ToString() + "\n" + lab_->log());
  }
  // The start read no medium that was exported.
  if (salvaged && status.ok()) ReadTrees();
  CheckEnd(status.ok());
  if (refused) CheckMedia();
}

void FaultSweep::CheckEnd(bool done) {
  Expect(lab_->FindLeaks());
  if (done) CompareCatalog(/*done=*/true);
  lab_->Close();
  if (done) CheckDone();
}

void FaultSweep::CompareCatalog(bool done) {
  Expect(lab_->CompareCatalog(scenario_.other_label, scenario_.forgotten));
  for (const VolumeTag& tag : scenario_.forgotten) {
    if (done && lab_->volumes().FindByMedium(tag) != nullptr) {
      Violated("the volume on " + tag + " is known still");
    }
  }
}

void FaultSweep::CheckBrokenOff() {
  if (scenario_.check) Expect(scenario_.check(*lab_));
}

void FaultSweep::CheckDone() {
  bool announcement = false;
  for (const auto& [tag, tree] : scenario_.done) {
    Allowed exactly;
    exactly.trees = {tree};
    exactly.released = scenario_.allowed[tag].released;
    Expect(lab_->CheckMedium(tag, exactly, &announcement));
  }
  for (const auto& [primary, backup] : scenario_.equal) {
    Expect(lab_->CompareSectors(primary, backup));
  }
  if (!scenario_.somewhere.empty()) {
    Allowed exactly;
    exactly.trees = {scenario_.somewhere};
    bool found = false;
    for (const VolumeTag& tag : lab_->tags()) {
      if (scenario_.done.count(tag) != 0) continue;
      found = found || lab_->CheckMedium(tag, exactly, &announcement).empty();
    }
    if (!found) Violated("no medium holds the copy");
  }
  Expect(lab_->CheckPlaces(scenario_.places));
}

}  // namespace vellum
