// SPDX-License-Identifier: Apache-2.0
#include "media/fault_medium.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "media/medium_range.h"

namespace vellum {
namespace {

// Short transfers end at a multiple of it.
constexpr uint64_t kTornBytes = 512;

}  // namespace

void FaultPlan::FailNth(Op op, uint64_t n, Errc code) {
  MutexLock lock(&mu_);
  nth_.push_back({op, counts_[static_cast<size_t>(op)] + n, code});
}

void FaultPlan::FailRange(Op op, SectorRange range, Errc code) {
  MutexLock lock(&mu_);
  bad_.push_back({op, range, code});
}

void FaultPlan::Shorten(Op op, uint64_t times) {
  MutexLock lock(&mu_);
  shorten_[static_cast<size_t>(op)] = times;
}

uint64_t FaultPlan::ToShorten(Op op) const {
  MutexLock lock(&mu_);
  return shorten_[static_cast<size_t>(op)];
}

void FaultPlan::Delay(Op op, std::chrono::nanoseconds delay) {
  MutexLock lock(&mu_);
  delays_[static_cast<size_t>(op)] = delay;
}

void FaultPlan::SetGone(bool gone) {
  MutexLock lock(&mu_);
  gone_ = gone;
}

void FaultPlan::Clear() {
  MutexLock lock(&mu_);
  nth_.clear();
  bad_.clear();
  shorten_ = {};
  delays_ = {};
  gone_ = false;
}

uint64_t FaultPlan::Count(Op op) const {
  MutexLock lock(&mu_);
  return counts_[static_cast<size_t>(op)];
}

std::optional<FaultPlan::Fault> FaultPlan::Next(Op op, SectorRange range) {
  std::chrono::nanoseconds delay{0};
  std::optional<Fault> fault;
  {
    MutexLock lock(&mu_);
    const uint64_t count = ++counts_[static_cast<size_t>(op)];
    delay = delays_[static_cast<size_t>(op)];
    for (const Bad& bad : bad_) {
      if (bad.op != op || bad.range.first >= range.end() ||
          range.first >= bad.range.end()) {
        continue;
      }
      const uint64_t sector = std::max(bad.range.first, range.first);
      if (!fault || sector < fault->sector) {
        fault = Fault{bad.code, sector - range.first, sector};
      }
    }
    const auto nth = std::find_if(nth_.begin(), nth_.end(), [&](const Nth& n) {
      return n.op == op && n.at == count;
    });
    if (nth != nth_.end()) {
      const uint64_t done = range.count / 2;
      fault = Fault{nth->code, done, range.first + done};
      nth_.erase(nth);
    }
    uint64_t& shorten = shorten_[static_cast<size_t>(op)];
    if (shorten > 0 && range.count > 0 && !fault && !gone_) {
      --shorten;
      const uint64_t bytes = range.count * kSectorSize / 2 - kTornBytes;
      const uint64_t whole = bytes / kSectorSize;
      fault = Fault{Errc::kDeviceError, whole, range.first + whole, bytes};
    }
    if (gone_) fault = Fault{Errc::kNoMedium, 0, range.first};
  }
  if (delay > std::chrono::nanoseconds::zero()) {
    std::this_thread::sleep_for(delay);
  }
  return fault;
}

Status FaultMedium::Failed(const char* operation,
                           const FaultPlan::Fault& fault) const {
  if (fault.bytes) {
    return Status(fault.code,
                  fmt::format("{}: {} ended in sector {} behind {} bytes: "
                              "short transfer (injected fault)",
                              below().Info().name, operation, fault.sector,
                              *fault.bytes));
  }
  return Status(fault.code,
                fmt::format("{}: {} at sector {}: {}", below().Info().name,
                            operation, fault.sector,
                            fault.code == Errc::kNoMedium
                                ? "the medium is gone (injected)"
                                : "injected fault"));
}

Status FaultMedium::Read(uint64_t lba, ByteSpan out) {
  RETURN_IF_ERROR(CheckTransfer(below().Info(), "read", lba, out.size()));
  const auto fault =
      plan_->Next(FaultPlan::Op::kRead, {lba, out.size() / kSectorSize});
  if (!fault) return below().Read(lba, out);
  if (fault->bytes) RETURN_IF_ERROR(ReadPart(lba, out.first(*fault->bytes)));
  return Failed("read", *fault);
}

Status FaultMedium::ReadPart(uint64_t lba, ByteSpan out) {
  const uint64_t whole = out.size() / kSectorSize;
  if (whole > 0) {
    RETURN_IF_ERROR(below().Read(lba, out.first(whole * kSectorSize)));
  }
  Bytes last(kSectorSize);
  RETURN_IF_ERROR(below().Read(lba + whole, last));
  std::copy_n(last.begin(), out.size() % kSectorSize,
              out.begin() + static_cast<ptrdiff_t>(whole * kSectorSize));
  return Status::Ok();
}

Status FaultMedium::WritePart(uint64_t lba, ConstByteSpan data) {
  const uint64_t whole = data.size() / kSectorSize;
  if (whole > 0) {
    RETURN_IF_ERROR(below().Write(lba, data.first(whole * kSectorSize)));
  }
  Bytes last(kSectorSize);
  RETURN_IF_ERROR(below().Read(lba + whole, last));
  const ConstByteSpan rest = data.subspan(whole * kSectorSize);
  std::copy(rest.begin(), rest.end(), last.begin());
  return below().Write(lba + whole, last);
}

Status FaultMedium::WriteBy(Writer write, uint64_t lba, ConstByteSpan data) {
  RETURN_IF_ERROR(CheckTransfer(below().Info(), "write", lba, data.size()));
  const auto fault =
      plan_->Next(FaultPlan::Op::kWrite, {lba, data.size() / kSectorSize});
  if (!fault) return ForwardingMedium::WriteBy(write, lba, data);
  if (fault->bytes) {
    RETURN_IF_ERROR(WritePart(lba, data.first(*fault->bytes)));
  } else if (fault->done > 0) {
    RETURN_IF_ERROR(ForwardingMedium::WriteBy(
        write, lba, data.first(fault->done * kSectorSize)));
  }
  return Failed("write", *fault);
}

Status FaultMedium::Flush() {
  const auto fault = plan_->Next(FaultPlan::Op::kFlush, {0, 0});
  if (fault) return Failed("flush", *fault);
  return below().Flush();
}

Status FaultMedium::Finalize() {
  const auto fault = plan_->Next(FaultPlan::Op::kFlush, {0, 0});
  if (fault) return Failed("finalize", *fault);
  return below().Finalize();
}

Status FaultMedium::Discard(uint64_t lba, uint64_t count) {
  RETURN_IF_ERROR(CheckSectorRange(below().Info(), "discard", lba, count));
  const auto fault = plan_->Next(FaultPlan::Op::kDiscard, {lba, count});
  if (!fault) return below().Discard(lba, count);
  if (fault->done > 0) RETURN_IF_ERROR(below().Discard(lba, fault->done));
  return Failed("discard", *fault);
}

Result<SectorRange> FaultMedium::NextAllocated(SectorRange from) {
  const auto fault = plan_->Next(FaultPlan::Op::kSearch, from);
  if (fault) return Failed("search for data", *fault).error();
  return below().NextAllocated(from);
}
}  // namespace vellum
