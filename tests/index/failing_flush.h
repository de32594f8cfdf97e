// SPDX-License-Identifier: Apache-2.0
// A medium one of whose flushes fails and loses what it was to make durable.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "media/forwarding_medium.h"
#include "media/mutex.h"
#include "media/udf/codec.h"
#include "tests/support/crash_medium.h"

namespace vellum {

// Thread-safety: as Medium says; FailNth only while nothing is under way.
class FailingFlush : public ForwardingMedium {
 public:
  explicit FailingFlush(std::shared_ptr<CrashMedium> device)
      : ForwardingMedium(device.get()), device_(std::move(device)) {}

  // The `n`th flush from now on (1: the next) fails. Of what was not flushed
  // the device has then what `left` says. `cached`: reads show all of it, until
  // they are to come from the device, as the cache of an operating system does.
  void FailNth(uint64_t n, const CrashOptions& left, bool cached) {
    left_ = n;
    loses_ = left;
    cached_ = cached;
    failed_ = false;
    since_ = 0;
  }
  bool failed() const { return failed_; }
  // Writes, discards and flushes that came since.
  uint64_t changes_since() const { return since_; }

  Status Read(uint64_t lba, ByteSpan out) override {
    RETURN_IF_ERROR(below().Read(lba, out));
    const MutexLock lock(&mu_);
    const uint64_t end = lba + out.size() / kSectorSize;
    for (auto it = cache_.lower_bound(lba); it != cache_.end(); ++it) {
      if (it->first >= end) break;
      std::copy(it->second.begin(), it->second.end(),
                out.begin() +
                    static_cast<ptrdiff_t>((it->first - lba) * kSectorSize));
    }
    return Status::Ok();
  }
  Status Flush() override {
    const MutexLock lock(&mu_);
    if (failed_) ++since_;
    if (left_ == 0 || --left_ > 0) return below().Flush();
    failed_ = true;
    if (cached_) Cache();
    device_->LoseUnflushed(loses_);
    return Status(Errc::kDeviceError, Info().name + ": flush (injected fault)");
  }
  Status Discard(uint64_t lba, uint64_t count) override {
    Changed({lba, count});
    return below().Discard(lba, count);
  }
  void DropReadCache(uint64_t lba, uint64_t count) override {
    const MutexLock lock(&mu_);
    Drop({lba, count});
  }

 private:
  Status WriteBy(Writer write, uint64_t lba, ConstByteSpan data) override {
    Changed({lba, data.size() / kSectorSize});
    return ForwardingMedium::WriteBy(write, lba, data);
  }
  void Changed(SectorRange range) {
    const MutexLock lock(&mu_);
    if (failed_) ++since_;
    Drop(range);
  }
  void Drop(SectorRange range) REQUIRES(mu_) {
    cache_.erase(cache_.lower_bound(range.first),
                 cache_.lower_bound(range.end()));
  }
  void Cache() REQUIRES(mu_) {
    const auto events = device_->Events();
    for (auto it = events.rbegin(); it != events.rend(); ++it) {
      if (it->kind == CrashMedium::Event::Kind::kFlush) break;
      for (uint64_t s = it->range.first; s < it->range.end(); ++s) {
        VELLUM_CHECK(below().Read(s, cache_[s]).ok());
      }
    }
  }

  const std::shared_ptr<CrashMedium> device_;
  Mutex mu_;  // before those of the device
  uint64_t left_ = 0;
  CrashOptions loses_;
  bool cached_ = false;
  bool failed_ = false;
  uint64_t since_ = 0;
  std::map<uint64_t, udf::Sector> cache_ GUARDED_BY(mu_);
};

}  // namespace vellum
