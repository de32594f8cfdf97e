// SPDX-License-Identifier: Apache-2.0
#include "media/device_faults.h"

#include <fmt/format.h>

#include <thread>

#include "media/borrowed_medium.h"

namespace vellum {

namespace {

using std::chrono::milliseconds;

// A medium that others look at, too: the faults of it may end its power.
class SharedVolatileMedium : public BorrowedMedium {
 public:
  explicit SharedVolatileMedium(std::shared_ptr<VolatileMedium> medium)
      : BorrowedMedium(medium.get()), medium_(std::move(medium)) {}

 private:
  const std::shared_ptr<VolatileMedium> medium_;
};

const char* AccessName(DeviceFaults::Access access) {
  switch (access) {
    case DeviceFaults::Access::kRead:
      return "read";
    case DeviceFaults::Access::kWrite:
      return "write";
    case DeviceFaults::Access::kBoth:
      return "read and write";
  }
  return "";
}

}  // namespace

std::shared_ptr<FaultPlan> DeviceFaults::PlanLocked(const VolumeTag& tag) {
  std::shared_ptr<FaultPlan>& plan = plans_[tag];
  if (plan == nullptr) plan = std::make_shared<FaultPlan>();
  return plan;
}

void DeviceFaults::FailSectors(const VolumeTag& tag, Access access,
                               SectorRange range) {
  MutexLock lock(&mu_);
  const std::shared_ptr<FaultPlan> plan = PlanLocked(tag);
  if (access != Access::kWrite) {
    plan->FailRange(FaultPlan::Op::kRead, range);
  }
  if (access != Access::kRead) {
    plan->FailRange(FaultPlan::Op::kWrite, range);
  }
  sectors_.push_back({"medium-error", tag,
                      fmt::format("{} of sectors {} to {}", AccessName(access),
                                  range.first, range.end() - 1)});
}

void DeviceFaults::ShortenTransfers(const VolumeTag& tag, Access access,
                                    uint32_t times) {
  MutexLock lock(&mu_);
  const std::shared_ptr<FaultPlan> plan = PlanLocked(tag);
  if (access != Access::kWrite) plan->Shorten(FaultPlan::Op::kRead, times);
  if (access != Access::kRead) plan->Shorten(FaultPlan::Op::kWrite, times);
}

void DeviceFaults::SlowLoad(const VolumeTag& tag, milliseconds delay) {
  MutexLock lock(&mu_);
  slow_[tag] = delay;
}

void DeviceFaults::FailLoads(const VolumeTag& tag, uint32_t times) {
  MutexLock lock(&mu_);
  failing_[tag] = times;
}

void DeviceFaults::StickTransport() {
  MutexLock lock(&mu_);
  stuck_ = true;
}

void DeviceFaults::LoseDrive(ElementAddress drive) {
  MutexLock lock(&mu_);
  lost_.insert(drive);
  const auto it = loaded_.find(drive);
  if (it != loaded_.end() && !it->second.medium.expired()) {
    PlanLocked(it->second.tag)->SetGone(true);
  }
}

void DeviceFaults::RaiseAttention() {
  MutexLock lock(&mu_);
  attention_ = true;
}

void DeviceFaults::HideTag(const VolumeTag& tag) {
  MutexLock lock(&mu_);
  hidden_.insert(tag);
}

void DeviceFaults::ArmPowerCut() {
  MutexLock lock(&mu_);
  armed_ = true;
  for (const auto& [drive, loaded] : loaded_) {
    if (const auto medium = loaded.medium.lock()) medium->Arm(true);
  }
}

Result<uint64_t> DeviceFaults::CutPower(bool tear, uint64_t seed) {
  std::vector<std::shared_ptr<VolatileMedium>> media;
  {
    MutexLock lock(&mu_);
    if (!armed_) {
      return Error{Errc::kNotReady,
                   "the power cut is not armed: what was written until now is "
                   "not known"};
    }
    for (const auto& [drive, loaded] : loaded_) {
      if (auto medium = loaded.medium.lock()) media.push_back(medium);
    }
  }
  uint64_t sectors = 0;
  for (const auto& medium : media) {
    ASSIGN_OR_RETURN(const uint64_t taken, medium->CutPower(tear, seed++));
    sectors += taken;
  }
  return sectors;
}

void DeviceFaults::Clear() {
  MutexLock lock(&mu_);
  for (const auto& [tag, plan] : plans_) plan->Clear();
  sectors_.clear();
  slow_.clear();
  failing_.clear();
  lost_.clear();
  hidden_.clear();
  stuck_ = attention_ = armed_ = false;
  for (const auto& [drive, loaded] : loaded_) {
    if (const auto medium = loaded.medium.lock()) medium->Arm(false);
  }
}

std::vector<FaultRow> DeviceFaults::List() const {
  MutexLock lock(&mu_);
  std::vector<FaultRow> rows = sectors_;
  for (const auto& [tag, plan] : plans_) {
    const uint64_t reads = plan->ToShorten(FaultPlan::Op::kRead);
    const uint64_t writes = plan->ToShorten(FaultPlan::Op::kWrite);
    if (reads + writes == 0) continue;
    rows.push_back({"short-transfer", tag,
                    fmt::format("{} reads and {} writes", reads, writes)});
  }
  for (const auto& [tag, delay] : slow_) {
    rows.push_back({"slow-load", tag, fmt::format("{} ms", delay.count())});
  }
  for (const auto& [tag, times] : failing_) {
    rows.push_back({"failing-load", tag, fmt::format("{} more", times)});
  }
  for (const ElementAddress drive : lost_) {
    rows.push_back({"drive-gone", ToString(drive), "does not answer"});
  }
  for (const VolumeTag& tag : hidden_) {
    rows.push_back({"lost-bar-code", tag, "cannot be read"});
  }
  if (stuck_) rows.push_back({"stuck-transport", "transport", "no move"});
  if (attention_) {
    rows.push_back({"unit-attention", "transport", "the next move"});
  }
  if (armed_) {
    rows.push_back({"power-cut", "drives", "armed: what is not flushed"});
  }
  return rows;
}

bool DeviceFaults::stuck() const {
  MutexLock lock(&mu_);
  return stuck_;
}

bool DeviceFaults::TakeAttention() {
  MutexLock lock(&mu_);
  return std::exchange(attention_, false);
}

bool DeviceFaults::lost(ElementAddress drive) const {
  MutexLock lock(&mu_);
  return lost_.count(drive) != 0;
}

bool DeviceFaults::hidden(const VolumeTag& tag) const {
  MutexLock lock(&mu_);
  return hidden_.count(tag) != 0;
}

std::pair<milliseconds, bool> DeviceFaults::TakeLoad(const VolumeTag& tag) {
  MutexLock lock(&mu_);
  milliseconds delay{0};
  const auto slow = slow_.find(tag);
  if (slow != slow_.end()) delay = slow->second;
  const auto failing = failing_.find(tag);
  const bool fails = failing != failing_.end();
  if (fails && --failing->second == 0) failing_.erase(failing);
  return {delay, fails};
}

std::unique_ptr<Medium> DeviceFaults::Wrap(const VolumeTag& tag,
                                           ElementAddress drive,
                                           std::unique_ptr<Medium> base) {
  MutexLock lock(&mu_);
  const auto medium = std::make_shared<VolatileMedium>(std::move(base), armed_);
  loaded_[drive] = Loaded{tag, medium};
  // It came back from a drive that is gone.
  PlanLocked(tag)->SetGone(false);
  return std::make_unique<FaultMedium>(
      std::make_unique<SharedVolatileMedium>(medium), PlanLocked(tag));
}

Result<std::vector<ElementStatus>> FaultyChanger::ReadElementStatus() {
  ASSIGN_OR_RETURN(std::vector<ElementStatus> statuses,
                   base_->ReadElementStatus());
  for (ElementStatus& status : statuses) {
    if (!status.full || !faults_->hidden(status.volume_tag)) continue;
    status.volume_tag.clear();
    if (status.note.empty()) status.note = "the bar code cannot be read";
  }
  return statuses;
}

Status FaultyChanger::CheckMove(ElementAddress from, ElementAddress to) {
  const std::string what =
      fmt::format("move a medium from {} to {}", from.value, to.value);
  if (faults_->TakeAttention()) {
    return Status(Errc::kNotReady,
                  what +
                      ": unit attention, media may have changed (6/28/00, "
                      "injected)");
  }
  if (faults_->stuck()) {
    return Status(Errc::kDeviceError,
                  what + ": the transport is stuck (4/15/01, injected)");
  }
  return Status::Ok();
}

Status FaultyChanger::MoveMedium(ElementAddress from, ElementAddress to) {
  RETURN_IF_ERROR(CheckMove(from, to));
  return base_->MoveMedium(from, to);
}

Status FaultyChanger::MoveMediumTurned(ElementAddress from, ElementAddress to) {
  RETURN_IF_ERROR(CheckMove(from, to));
  return base_->MoveMediumTurned(from, to);
}

Status FaultyChanger::ExchangeMedium(ElementAddress from, ElementAddress to,
                                     ElementAddress rest) {
  RETURN_IF_ERROR(CheckMove(from, to));
  return base_->ExchangeMedium(from, to, rest);
}

Result<DriveIdentity> FaultyDrive::Identify() {
  if (faults_->lost(base_->Address())) {
    return Error{Errc::kOffline, fmt::format("drive {}: it is gone (injected)",
                                             base_->Address().value)};
  }
  return base_->Identify();
}

Result<std::unique_ptr<Medium>> FaultyDrive::Open() {
  const ElementAddress drive = base_->Address();
  const VolumeTag tag = tag_of_(drive);
  const std::string name = fmt::format("{} in drive {}", tag, drive.value);
  if (faults_->lost(drive)) {
    return Error{Errc::kOffline, name + ": the drive is gone (injected)"};
  }
  const auto [delay, fails] = faults_->TakeLoad(tag);
  std::this_thread::sleep_for(delay);
  if (fails) {
    return Error{Errc::kNotReady,
                 name + ": does not become ready (2/04/00, injected)"};
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Medium> medium, base_->Open());
  return faults_->Wrap(tag, drive, std::move(medium));
}

}  // namespace vellum
