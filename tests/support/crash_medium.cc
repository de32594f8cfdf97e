// SPDX-License-Identifier: Apache-2.0
#include "tests/support/crash_medium.h"

#include <algorithm>
#include <random>

#include "media/medium_range.h"

namespace vellum {

namespace {

constexpr size_t kTornUnit = 512;
constexpr size_t kPiecesPerSector = kSectorSize / kTornUnit;

using Rng = std::mt19937_64;

}  // namespace

CrashMedium::CrashMedium(const MemoryMediumOptions& options)
    : CrashMedium(MemoryMedium(options)) {}

CrashMedium::CrashMedium(const MemoryMedium& base)
    : live_(base.Clone()), start_(base.Clone()) {}

Status CrashMedium::Read(uint64_t lba, ByteSpan out) {
  return live_->Read(lba, out);
}

Status CrashMedium::Write(uint64_t lba, ConstByteSpan data) {
  // One lock over both steps: the order of the records is the order in which
  // readers see the writes.
  MutexLock lock(&mu_);
  RETURN_IF_ERROR(live_->Write(lba, data));
  Record record;
  record.event.kind = Event::Kind::kWrite;
  record.event.range = {lba, data.size() / kSectorSize};
  record.data.assign(data.begin(), data.end());
  records_.push_back(std::move(record));
  return Status::Ok();
}

Status CrashMedium::Flush() {
  MutexLock lock(&mu_);
  Record record;
  record.event.kind = Event::Kind::kFlush;
  record.durable = live_->Clone();
  records_.push_back(std::move(record));
  return Status::Ok();
}

Status CrashMedium::Discard(uint64_t lba, uint64_t count) {
  MutexLock lock(&mu_);
  RETURN_IF_ERROR(live_->Discard(lba, count));
  Record record;
  record.event.kind = Event::Kind::kDiscard;
  record.event.range = {lba, count};
  records_.push_back(std::move(record));
  return Status::Ok();
}

Result<SectorRange> CrashMedium::NextAllocated(SectorRange from) {
  return live_->NextAllocated(from);
}

size_t CrashMedium::EventCount() const {
  MutexLock lock(&mu_);
  return records_.size();
}

std::vector<CrashMedium::Event> CrashMedium::Events(size_t begin,
                                                    size_t end) const {
  MutexLock lock(&mu_);
  std::vector<Event> events;
  end = std::min(end, records_.size());
  for (size_t i = begin; i < end; ++i) events.push_back(records_[i].event);
  return events;
}

size_t CrashMedium::FirstUnflushed(size_t k) const {
  size_t first = k;
  while (first > 0 && records_[first - 1].event.kind != Event::Kind::kFlush) {
    --first;
  }
  return first;
}

const MemoryMedium& CrashMedium::DurableAt(size_t first_unflushed) const {
  return first_unflushed == 0 ? *start_
                              : *records_[first_unflushed - 1].durable;
}

std::unique_ptr<CrashMedium> CrashMedium::AfterKill(size_t k) const {
  MutexLock lock(&mu_);
  VELLUM_CHECK(k <= records_.size());
  const size_t first = FirstUnflushed(k);
  auto medium = std::make_unique<CrashMedium>(DurableAt(first));
  for (size_t i = first; i < k; ++i) {
    const Record& record = records_[i];
    const SectorRange range = record.event.range;
    const Status status = record.event.kind == Event::Kind::kDiscard
                              ? medium->Discard(range.first, range.count)
                              : medium->Write(range.first, record.data);
    VELLUM_CHECK(status.ok());
  }
  return medium;
}

std::unique_ptr<MemoryMedium> CrashMedium::ContentAfterCrash(
    size_t k, const CrashOptions& options) const {
  MutexLock lock(&mu_);
  return ContentLocked(k, options);
}

void CrashMedium::LoseUnflushed(const CrashOptions& options) {
  MutexLock lock(&mu_);
  const size_t end = records_.size();
  const std::unique_ptr<MemoryMedium> left = ContentLocked(end, options);
  Bytes data;
  for (size_t i = FirstUnflushed(end); i < end; ++i) {
    const SectorRange range = records_[i].event.range;
    data.resize(range.count * kSectorSize);
    left->Peek(range.first * kSectorSize, data);
    live_->Poke(range.first * kSectorSize, data);
  }
  Record record;
  record.event.kind = Event::Kind::kFlush;
  record.durable = live_->Clone();
  records_.push_back(std::move(record));
}

std::unique_ptr<MemoryMedium> CrashMedium::ContentLocked(
    size_t k, const CrashOptions& options) const {
  VELLUM_CHECK(k <= records_.size());
  const size_t first = FirstUnflushed(k);
  std::unique_ptr<MemoryMedium> medium = DurableAt(first).Clone();

  const size_t end = std::min(k + 1, records_.size());
  std::vector<const Record*> pending;
  for (size_t i = first; i < end; ++i) {
    if (records_[i].event.kind != Event::Kind::kFlush) {
      pending.push_back(&records_[i]);
    }
  }
  const bool one_under_way =
      k < records_.size() && !pending.empty() && pending.back() == &records_[k];

  Rng rng(options.seed * 0x9E3779B97F4A7C15ull + k);
  const auto apply = [&medium](const Record& record) {
    const SectorRange range = record.event.range;
    if (record.event.kind == Event::Kind::kDiscard) {
      VELLUM_CHECK(medium->Discard(range.first, range.count).ok());
    } else {
      VELLUM_CHECK(medium->Write(range.first, record.data).ok());
    }
  };

  switch (options.unflushed) {
    case Unflushed::kKept:
      for (const Record* record : pending) {
        // The one under way has not happened; kTorn shows it half done.
        if (one_under_way && record == pending.back()) continue;
        apply(*record);
      }
      break;
    case Unflushed::kLost:
      break;
    case Unflushed::kReordered: {
      std::vector<const Record*> order = pending;
      std::shuffle(order.begin(), order.end(), rng);
      order.resize(order.empty() ? 0 : rng() % (order.size() + 1));
      for (const Record* record : order) apply(*record);
      break;
    }
    case Unflushed::kTorn: {
      struct Piece {
        uint64_t offset;
        const std::byte* data;  // nullptr: zeros
      };
      static constexpr std::array<std::byte, kTornUnit> kZeros{};
      std::vector<Piece> pieces;
      for (const Record* record : pending) {
        const SectorRange range = record->event.range;
        const bool zeros = record->event.kind == Event::Kind::kDiscard;
        for (uint64_t i = 0; i < range.count * kPiecesPerSector; ++i) {
          pieces.push_back(
              {range.first * kSectorSize + i * kTornUnit,
               zeros ? nullptr : record->data.data() + i * kTornUnit});
        }
      }
      std::shuffle(pieces.begin(), pieces.end(), rng);
      pieces.resize(pieces.empty() ? 0 : rng() % (pieces.size() + 1));
      for (const Piece& piece : pieces) {
        medium->Poke(
            piece.offset,
            ConstByteSpan(piece.data != nullptr ? piece.data : kZeros.data(),
                          kTornUnit));
      }
      break;
    }
  }

  if (options.destroy_unit && !pending.empty()) {
    // A cached write may be going out as well as the one under way.
    const Record* victim = pending[rng() % pending.size()];
    if (one_under_way && rng() % 2 == 0) victim = pending.back();
    const SectorRange range = victim->event.range;
    if (range.count > 0) {
      const MediumInfo info = medium->Info();
      const uint64_t unit = std::max<uint32_t>(1, info.atomic_sectors);
      const uint64_t sector = range.first + rng() % range.count;
      const uint64_t begin = sector / unit * unit;
      const uint64_t count = std::min(unit, info.sectors - begin);
      Bytes garbage(count * kSectorSize);
      for (std::byte& b : garbage) b = static_cast<std::byte>(rng());
      medium->Poke(begin * kSectorSize, garbage);
      if (options.destroyed_unreadable) medium->MakeUnreadable({begin, count});
    }
  }
  return medium;
}

}  // namespace vellum
