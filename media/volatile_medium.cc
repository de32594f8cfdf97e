// SPDX-License-Identifier: Apache-2.0
#include "media/volatile_medium.h"

#include <algorithm>
#include <random>

#include "media/medium_range.h"

namespace vellum {

namespace {

constexpr size_t kTornUnit = 512;

}  // namespace

void VolatileMedium::Arm(bool armed) {
  MutexLock lock(&mu_);
  armed_ = armed;
  if (!armed) before_.clear();
}

Status VolatileMedium::Begin(bool changes) {
  MutexLock lock(&mu_);
  if (dead_) {
    return Status(Errc::kNoMedium,
                  below().Info().name + ": the power is gone (injected)");
  }
  ++under_way_;
  if (changes) ++changes_;
  return Status::Ok();
}

void VolatileMedium::End() {
  MutexLock lock(&mu_);
  --under_way_;
  done_.NotifyAll();
}

Status VolatileMedium::Remember(uint64_t lba, uint64_t count) {
  // What was written once cannot be taken back.
  if (below().Info().medium_class != MediumClass::kRewritable) {
    return Status::Ok();
  }
  for (uint64_t sector = lba; sector < lba + count; ++sector) {
    {
      MutexLock lock(&mu_);
      if (!armed_) return Status::Ok();
      const auto it = before_.find(sector);
      if (it != before_.end()) {
        it->second.number = changes_;
        continue;
      }
    }
    Before before;
    before.data.resize(kSectorSize);
    RETURN_IF_ERROR(below().Read(sector, before.data));
    MutexLock lock(&mu_);
    before.number = changes_;
    before_.emplace(sector, std::move(before));
  }
  return Status::Ok();
}

void VolatileMedium::ForgetUpTo(uint64_t number) {
  MutexLock lock(&mu_);
  std::erase_if(before_, [number](const auto& entry) {
    return entry.second.number <= number;
  });
}

Result<uint64_t> VolatileMedium::CutPower(bool tear, uint64_t seed) {
  std::map<uint64_t, Before> before;
  {
    MutexLock lock(&mu_);
    dead_ = true;
    while (under_way_ > 0) done_.Wait(&mu_);
    before.swap(before_);
  }
  std::mt19937_64 random(seed);
  for (auto& [sector, entry] : before) {
    if (tear) {
      Bytes now(kSectorSize);
      RETURN_IF_ERROR(below().Read(sector, now));
      for (size_t at = 0; at < kSectorSize; at += kTornUnit) {
        if (random() % 2 == 0) continue;
        std::copy_n(now.begin() + static_cast<std::ptrdiff_t>(at), kTornUnit,
                    entry.data.begin() + static_cast<std::ptrdiff_t>(at));
      }
    }
    RETURN_IF_ERROR(below().Write(sector, entry.data));
  }
  RETURN_IF_ERROR(below().Flush());
  return before.size();
}

Status VolatileMedium::Read(uint64_t lba, ByteSpan out) {
  RETURN_IF_ERROR(Begin(false));
  Status status = below().Read(lba, out);
  End();
  return status;
}

Status VolatileMedium::WriteBy(Writer write, uint64_t lba, ConstByteSpan data) {
  RETURN_IF_ERROR(CheckTransfer(below().Info(), "write", lba, data.size()));
  RETURN_IF_ERROR(Begin(true));
  Status status = Remember(lba, data.size() / kSectorSize);
  if (status.ok()) status = ForwardingMedium::WriteBy(write, lba, data);
  End();
  return status;
}

Status VolatileMedium::Flush() {
  RETURN_IF_ERROR(Begin(false));
  uint64_t number = 0;
  {
    MutexLock lock(&mu_);
    number = changes_;
  }
  Status status = below().Flush();
  // What was written while it ran may be durable: a cut may keep it.
  if (status.ok()) ForgetUpTo(number);
  End();
  return status;
}

Status VolatileMedium::Discard(uint64_t lba, uint64_t count) {
  RETURN_IF_ERROR(CheckSectorRange(below().Info(), "discard", lba, count));
  RETURN_IF_ERROR(Begin(true));
  Status status = Remember(lba, count);
  if (status.ok()) status = below().Discard(lba, count);
  End();
  return status;
}

Status VolatileMedium::Finalize() {
  RETURN_IF_ERROR(Begin(true));
  Status status = below().Finalize();
  End();
  return status;
}

Result<SectorRange> VolatileMedium::NextAllocated(SectorRange from) {
  RETURN_IF_ERROR(Begin(false));
  Result<SectorRange> range = below().NextAllocated(from);
  End();
  return range;
}
}  // namespace vellum
