// SPDX-License-Identifier: Apache-2.0
// The part of FaultSweep in which a device does not answer.
#include <fmt/format.h>

#include <chrono>
#include <future>
#include <thread>

#include "tests/copy/fault_sweep.h"
#include "tests/support/logged_lines.h"

namespace vellum {
namespace {

// Answers from memory take far less. The control waits it out each time.
constexpr std::chrono::seconds kPatience{30};
constexpr std::chrono::milliseconds kPatienceOfControl{500};

}  // namespace

FaultKind MediumHangs() {
  FaultKind kind;
  kind.name = "medium hangs";
  kind.arm = [](FaultLab& lab, uint64_t n) {
    lab.media().At(n, std::nullopt, FaultMedia::Act::kHang);
  };
  return kind;
}

FaultKind DeviceHangs(FaultDevices::Device device) {
  FaultKind kind;
  kind.name = device == FaultDevices::Device::kChanger ? "changer hangs"
                                                       : "drive hangs";
  kind.arm = [device](FaultLab& lab, uint64_t n) {
    lab.devices().At(n, device, FaultDevices::Act::kHang);
  };
  kind.at_all = true;
  return kind;
}

uint64_t FaultSweep::HoldEverywhere(const FaultKind& kind,
                                    const std::vector<Question>& questions) {
  uint64_t sites = 0;
  const uint64_t step = StepOf(kind);
  for (uint64_t n = 1 + seed_ % step; lab_ != nullptr && !TooMany();
       n += step) {
    if (!HoldOnce(kind, n, questions)) break;
    ++sites;
  }
  // A long step may miss all of a few.
  if (sites == 0 && step > 1 && lab_ != nullptr &&
      HoldOnce(kind, 1, questions)) {
    ++sites;
  }
  return sites;
}

bool FaultSweep::Ask(const Question& question) {
  watchdog_.Watch(where_ + ": " + question.name);
  auto answer =
      std::async(std::launch::async, [&] { return question.ask(*lab_); });
  const std::chrono::milliseconds patience =
      quiet_ ? kPatienceOfControl : kPatience;
  if (answer.wait_for(patience) != std::future_status::ready) {
    Violated(question.name + ": waits for what it does not need");
    lab_->hold().LetGo();
    answer.get().IgnoreError("it came too late");
    return false;
  }
  const Status status = answer.get();
  if (!status.ok()) Violated(question.name + ": " + status.ToString());
  return true;
}

bool FaultSweep::HoldOnce(const FaultKind& kind, uint64_t n,
                          const std::vector<Question>& questions) {
  where_ = fmt::format("{}, {} {}", scenario_.name, kind.name, n);
  watchdog_.Watch(where_);
  const LoggedLines daemon_log;
  lab_->GoToStart();
  if (const Status opened = lab_->Open(); !opened.ok()) {
    Violated("open: " + opened.ToString());
    lab_->Close();
    return false;
  }
  VolumeUse other;
  if (const auto volume = lab_->volumes().Find(kOther)) {
    Result<VolumeUse> use = lab_->volumes().Use(volume);
    if (use.ok()) other = std::move(*use);
    if (!use.ok()) Violated(kOther + (": " + use.error().ToString()));
  }
  kind.arm(*lab_, n);
  Status status;
  std::thread runner([&] {
    status = scenario_.run(*lab_);
    lab_->hold().End();
  });
  const bool held = lab_->hold().AwaitStay();
  bool cancel = false;
  if (held) {
    ++runs_;
    bool answered = true;
    for (size_t i = 0; answered && i < questions.size(); ++i) {
      answered = Ask(questions[i]);
    }
    // Whatever the step, half of them.
    cancel = !quiet_ && (n * 0x9E3779B97F4A7C15) >> 63 == 1;
    if (answered && cancel) {
      Ask({"cancel", [](FaultLab& lab) {
             for (const JobRecord& job : lab.jobs().List()) {
               if (JobEnded(job.state)) continue;
               const Status asked = lab.jobs().Cancel(job.id);
               // From its commit on it is too late.
               if (!asked.ok() && !asked.Is(Errc::kBusy)) return asked;
             }
             return Status::Ok();
           }});
    }
  }
  watchdog_.Watch(where_ + ": go on");
  lab_->hold().LetGo();
  runner.join();
  other.Release();
  const std::string log = lab_->log();
  if (!status.ok() && !(held && cancel && status.Is(Errc::kAborted))) {
    Violated("failed: " + status.ToString());
  }
  if (!status.ok()) ++cancelled_;
  Expect(lab_->FindLeaks());
  if (status.ok()) CompareCatalog(/*done=*/true);
  lab_->Close();
  if (!held) return false;
  CheckMedia();
  ExpectAnnounced(log);
  if (status.ok()) {
    CheckDone();
    return true;
  }
  if (const Status opened = lab_->Open(); !opened.ok()) {
    Violated("open: " + opened.ToString());
    lab_->Close();
    return true;
  }
  RunAgain();
  return true;
}

}  // namespace vellum
