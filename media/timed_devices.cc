// SPDX-License-Identifier: Apache-2.0
#include "media/timed_devices.h"

#include <algorithm>

namespace vellum {

namespace {

using std::chrono::milliseconds;

void Take(DeviceClock& clock, uint32_t ms) {
  if (ms > 0) clock.SleepUntil(clock.Now() + milliseconds(ms));
}

}  // namespace

Status TimedChanger::MoveMedium(ElementAddress from, ElementAddress to) {
  Take(*clock_, model_.move_ms);
  return base_->MoveMedium(from, to);
}

Status TimedChanger::MoveMediumTurned(ElementAddress from, ElementAddress to) {
  Take(*clock_, model_.move_ms);
  return base_->MoveMediumTurned(from, to);
}

Status TimedChanger::ExchangeMedium(ElementAddress from, ElementAddress to,
                                    ElementAddress rest) {
  Take(*clock_, model_.move_ms);
  return base_->ExchangeMedium(from, to, rest);
}

Result<std::unique_ptr<Medium>> TimedDrive::Open() {
  Take(*clock_, model_.load_ms);
  ASSIGN_OR_RETURN(std::unique_ptr<Medium> medium, base_->Open());
  open_ = true;
  return std::unique_ptr<Medium>(
      std::make_unique<TimedMedium>(std::move(medium), model_, clock_));
}

Status TimedDrive::Close() {
  if (open_) Take(*clock_, model_.unload_ms);
  open_ = false;
  return base_->Close();
}

DeviceClock::Duration TimedMedium::Book(uint64_t lba, uint64_t bytes,
                                        bool write) {
  const uint64_t sectors = below().Info().sectors;
  const uint64_t rate = write ? model_.write_rate : model_.read_rate;
  const DeviceClock::Duration now = clock_->Now();
  MutexLock lock(&mu_);
  DeviceClock::Duration start = std::max(free_at_, now);
  if (lba == head_ && !write && !wrote_) {
    // Meanwhile the drive has read on.
    start = std::max(free_at_, now - TimingModel::Transfer(model_.read_ahead,
                                                           model_.read_rate));
  } else {
    start += model_.Seek(head_, lba, sectors);
  }
  head_ = lba + bytes / kSectorSize;
  wrote_ = write;
  free_at_ = start + TimingModel::Transfer(bytes, rate);
  return free_at_;
}

Status TimedMedium::Read(uint64_t lba, ByteSpan out) {
  const DeviceClock::Duration end = Book(lba, out.size(), /*write=*/false);
  Status status = below().Read(lba, out);
  clock_->SleepUntil(end);
  return status;
}

Status TimedMedium::WriteBy(Writer write, uint64_t lba, ConstByteSpan data) {
  const DeviceClock::Duration end = Book(lba, data.size(), /*write=*/true);
  Status status = ForwardingMedium::WriteBy(write, lba, data);
  clock_->SleepUntil(end);
  return status;
}

}  // namespace vellum
