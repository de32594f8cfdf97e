// SPDX-License-Identifier: Apache-2.0
#include "tests/copy/fault_media.h"

#include <utility>

#include "media/borrowed_medium.h"
#include "media/forwarding_medium.h"

namespace vellum {
namespace {

Status PowerIsOff(const std::string& what) {
  return Status(Errc::kOffline, what + ": power is off");
}

}  // namespace

// Counts, and has the power go; the faults stand below.
class PoweredMedium : public ForwardingMedium {
 public:
  PoweredMedium(FaultMedia* media, FaultMedia::Entry* entry,
                std::unique_ptr<Medium> loaded, std::unique_ptr<Medium> base)
      : ForwardingMedium(std::move(base)),
        media_(media),
        entry_(entry),
        loaded_(std::move(loaded)) {}

  MediumInfo Info() const override {
    MediumInfo info = ForwardingMedium::Info();
    info.name = loaded_->Info().name;
    return info;
  }
  Status Read(uint64_t lba, ByteSpan out) override {
    return Do(FaultPlan::Op::kRead, {lba, out.size() / kSectorSize},
              [&] { return below().Read(lba, out); });
  }
  Status WriteBy(Writer write, uint64_t lba, ConstByteSpan data) override {
    return Do(FaultPlan::Op::kWrite, {lba, data.size() / kSectorSize},
              [&] { return ForwardingMedium::WriteBy(write, lba, data); });
  }
  Status Flush() override {
    return Do(FaultPlan::Op::kFlush, {}, [&] { return below().Flush(); });
  }
  Status Finalize() override {
    return Do(FaultPlan::Op::kFlush, {}, [&] { return below().Finalize(); });
  }
  Status Discard(uint64_t lba, uint64_t count) override {
    return Do(FaultPlan::Op::kDiscard, {lba, count},
              [&] { return below().Discard(lba, count); });
  }
  Result<SectorRange> NextAllocated(SectorRange from) override {
    if (!media_->power()) return PowerIsOff(Info().name).error();
    media_->Count(FaultPlan::Op::kSearch, from, entry_);
    return below().NextAllocated(from);
  }

 private:
  template <typename Call>
  Status Do(FaultPlan::Op op, SectorRange range, const Call& call) {
    if (!media_->power()) return PowerIsOff(Info().name);
    if (!media_->Count(op, range, entry_)) return call();
    // A flush that is cut has flushed nothing; of anything else, which counts
    // as unflushed, any part may have arrived.
    if (op != FaultPlan::Op::kFlush) {
      call().IgnoreError("nobody hears of it any more");
    }
    media_->Cut();
    return PowerIsOff(Info().name);
  }

  FaultMedia* const media_;
  FaultMedia::Entry* const entry_;
  const std::unique_ptr<Medium> loaded_;
};

void FaultMedia::Add(const VolumeTag& tag, const MemoryMedium& content) {
  Entry& entry = entries_[tag];
  entry.content = std::make_shared<CrashMedium>(content);
  entry.plan = std::make_shared<FaultPlan>();
}

void FaultMedia::AddWriteOnce(const VolumeTag& tag, const MemoryMedium& content,
                              WrittenState state) {
  Add(tag, content);
  entries_[tag].written = state;
}

FaultMedia::Entry& FaultMedia::Find(const VolumeTag& tag) {
  return entries_.at(tag);
}

WrittenState FaultMedia::written(const VolumeTag& tag) {
  const MutexLock lock(&mu_);
  return Find(tag).written.value_or(WrittenState::kOpen);
}

void FaultMedia::At(uint64_t n, std::optional<Op> op, Act act) {
  const MutexLock lock(&mu_);
  left_ = n;
  loses_.unflushed = static_cast<Unflushed>(n % 4);
  loses_.seed = n;
  op_ = op;
  act_ = act;
  reached_ = false;
}

void FaultMedia::BadSectors(const VolumeTag& tag, SectorRange range) {
  const MutexLock lock(&mu_);
  Entry& entry = Find(tag);
  entry.bad = range;
  for (const Op op : {Op::kRead, Op::kWrite, Op::kDiscard}) {
    entry.plan->FailRange(op, range);
  }
}

bool FaultMedia::reached() const {
  const MutexLock lock(&mu_);
  return reached_;
}

bool FaultMedia::bad_changes() const {
  const MutexLock lock(&mu_);
  return bad_changes_;
}

void FaultMedia::Clear() {
  const MutexLock lock(&mu_);
  left_ = 0;
  reached_ = bad_changes_ = false;
  for (auto& [tag, entry] : entries_) {
    entry.plan->Clear();
    entry.bad = {};
    entry.hangs = false;
  }
}

bool FaultMedia::Count(Op op, SectorRange range, Entry* entry) {
  bool cut = false;
  bool hangs = false;
  {
    const MutexLock lock(&mu_);
    cut = CountLocked(op, range, entry);
    hangs = entry->hangs;
  }
  if (hangs) hold_->Stay();
  return cut;
}

bool FaultMedia::CountLocked(Op op, SectorRange range, Entry* entry) {
  if (entry->bad.first < range.end() && range.first < entry->bad.end()) {
    reached_ = true;
    bad_changes_ = bad_changes_ || op == Op::kWrite || op == Op::kDiscard;
  }
  if (left_ == 0 || (op_ && *op_ != op)) return false;
  if (act_ == Act::kCut && (op == Op::kRead || op == Op::kSearch)) return false;
  if (--left_ > 0) return false;
  reached_ = true;
  switch (act_) {
    case Act::kFail:
      entry->plan->FailNth(op, 1);
      if (op == Op::kFlush) entry->content->LoseUnflushed(loses_);
      break;
    case Act::kShort:
      entry->plan->Shorten(op, 1);
      break;
    case Act::kGone:
      entry->plan->SetGone(true);
      break;
    case Act::kHang:
      entry->hangs = true;
      break;
    case Act::kFull:
      entry->plan->FailRange(op, {0, UINT64_MAX}, Errc::kNoSpace);
      break;
    case Act::kCut:
      return true;
  }
  return false;
}

std::unique_ptr<Medium> FaultMedia::Open(std::unique_ptr<Medium> loaded) {
  const VolumeTag tag = loaded->Info().name;
  Entry* const entry = &Find(tag);
  std::unique_ptr<Medium> base = ShareMedium(entry->content);
  {
    const MutexLock lock(&mu_);
    if (entry->written) {
      base = std::make_unique<WriteOnceMedium>(
          std::move(base), *entry->written, [this, entry](WrittenState state) {
            const MutexLock state_lock(&mu_);
            entry->written = state;
            return Status::Ok();
          });
    }
  }
  base = std::make_unique<FaultMedium>(std::move(base), entry->plan);
  return std::make_unique<PoweredMedium>(this, entry, std::move(loaded),
                                         std::move(base));
}

}  // namespace vellum
