// SPDX-License-Identifier: Apache-2.0
#include "tests/index/crash_run.h"

#include <fmt/format.h>

#include <algorithm>

#include "media/udf/tag.h"
#include "tests/index/volume_fixture.h"

namespace vellum {
namespace {

constexpr uint64_t kSectors = 16384;  // 32 MiB; the ring has 256 sectors
constexpr VolumeIndex kIndex = 1;
// What a commit's company gets to end; longer only if it waits for the commit.
constexpr std::chrono::milliseconds kPatience(2000);

FuzzOptions Fuzz(uint64_t seed, bool plain) {
  FuzzOptions fuzz;
  fuzz.max_file_bytes = 200'000;
  const size_t nodes[] = {60, 120, 400};
  fuzz.max_nodes = plain ? 60 : nodes[seed % 3];
  fuzz.crowds = !plain && seed % 3 == 2;
  fuzz.max_chains = !plain && seed % 2 == 0 ? 2 : 0;
  fuzz.touch_all = true;
  fuzz.tag_content = true;
  return fuzz;
}

}  // namespace

void CrashFacts::Add(const CrashFacts& other) {
  commits += other.commits;
  one_flush += other.one_flush;
  spilled += other.spilled;
  larger_than_ring += other.larger_than_ring;
  wraps += other.wraps;
  new_descriptors += other.new_descriptors;
  changed_descriptors += other.changed_descriptors;
  fsyncs += other.fsyncs;
  fsyncs_beside += other.fsyncs_beside;
  accompanied += other.accompanied;
  waited += other.waited;
  by_volume += other.by_volume;
  applied += other.applied;
  noted += other.noted;
  rescanned += other.rescanned;
  fuzz.fragmented += other.fuzz.fragmented;
  fuzz.chain_cut += other.fuzz.chain_cut;
  fuzz.chain_grown += other.fuzz.chain_grown;
  fuzz.chain_overwritten += other.fuzz.chain_overwritten;
  fuzz.grown_out += other.fuzz.grown_out;
  found.chains += other.found.chains;
  found.longest = std::max(found.longest, other.found.longest);
  found.sparse += other.found.sparse;
  found.in_entry += other.found.in_entry;
}

std::string CrashFacts::ToString() const {
  return fmt::format(
      "{} commits, {} with one flush, {} with company ({} waited), {} fsyncs "
      "and {} of company; {} records spilled, "
      "{} larger than the ring, {} wraps; {} files cut into pieces, {} chains "
      "cut, {} extended, {} overwritten, {} blocks of descriptors written "
      "anew, {} in place; {} files outgrew their entry; recovered: {} chains "
      "of up to {} blocks, {} sparse files, {} in their entry; {} recoveries "
      "with an old catalog, {} applied its batch, {} the note of a record, {} "
      "read the medium anew",
      commits, one_flush, accompanied, waited, fsyncs, fsyncs_beside, spilled,
      larger_than_ring, wraps, fuzz.fragmented, fuzz.chain_cut,
      fuzz.chain_grown, fuzz.chain_overwritten, new_descriptors,
      changed_descriptors, fuzz.grown_out, found.chains, found.longest,
      found.sparse, found.in_entry, by_volume, applied, noted, rescanned);
}

CrashRun::CrashRun(uint64_t seed, const CrashRunOptions& options)
    : seed_(seed),
      options_(options),
      broken_(options.broken),
      aim_(options.broken),
      thread_(std::this_thread::get_id()),
      rng_(seed * 7919 + 1) {
  MemoryMediumOptions medium;
  medium.sectors = kSectors;
  medium.atomic_sectors = options.atomic_sectors;
  MemoryMedium empty(medium);
  udf::FormatOptions format;
  format.volume_id = "CRASH";
  const Result<udf::ControlSlot> slot = udf::FormatVolume(empty, format);
  EXPECT_OK(slot);
  medium_ = std::make_unique<CrashMedium>(empty);
  catalog_ = MemoryCatalog();
  VolumeOptions volume_options;
  volume_options.break_reuse = options.broken == Break::kReuse;
  volume_options.break_units = options.broken == Break::kSharedUnits;
  volume_options.break_behind = options.broken == Break::kNoBehind;
  volume_options.break_data = options.broken == Break::kNoData;
  volume_options.on_commit_step = [this](CommitStep step) {
    return OnStep(step);
  };
  const VolumeRecord record = RecordFor(empty, *slot, kIndex);
  geometry_ = record.geometry;
  volume_ = std::make_unique<Volume>(catalog_.get(), record, volume_options);
  // A rescan at the first load renews the lineage, not the number.
  EXPECT_OK(volume_->Attach(medium_.get()));
  fuzzer_ = std::make_unique<VolumeFuzzer>(volume_.get(), seed,
                                           Fuzz(seed, options.plain));
  fuzzer_->NoteTimes();
  history_[volume_->generation().number] = fuzzer_->model();
  first_event_ = medium_->EventCount();
  frozen_at_[volume_->generation().number] = first_event_;
  catalogs_.emplace(first_event_, CatalogCopy(*catalog_, kIndex));
}

CrashRun::~CrashRun() = default;

CrashFacts CrashRun::facts() const {
  CrashFacts facts = facts_;
  facts.fuzz = fuzzer_->counts();
  return facts;
}

void CrashRun::Operate() {
  for (int i = 0; i < options_.operations; ++i) {
    fuzzer_->Step();
    if (testing::Test::HasFailure()) return;
    if (rng_() % 12 == 0) Commit();
    if (rng_() % 120 == 0) {
      EXPECT_OK(volume_->Detach());
      Promise();
      EXPECT_OK(volume_->Attach(medium_.get()));
    }
    if (testing::Test::HasFailure()) return;
  }
}

void CrashRun::Commit() {
  company_allowed_ = true;
  if (rng_() % 2 == 0) {
    Fsync();
  } else {
    EXPECT_OK(volume_->Sync());
    Promise();
  }
  JoinCompany();
  company_allowed_ = false;
}

void CrashRun::JoinCompany() {
  bystander_.Join();
  facts_.fsyncs_beside += fsynced_beside_.size();
  fsynced_.insert(fsynced_.end(), fsynced_beside_.begin(),
                  fsynced_beside_.end());
  fsynced_beside_.clear();
}

void CrashRun::Fsync() {
  const VolumeFuzzer::Fsynced node = fuzzer_->PickForFsync();
  fsyncing_ = node;
  EXPECT_OK(fuzzer_->Fsync(node));
  const size_t answered = medium_->EventCount();
  // The company may commit, too.
  JoinCompany();
  fsyncing_.reset();
  fsynced_.push_back({answered, node});
  ++facts_.fsyncs;
}

void CrashRun::Promise() {
  const uint64_t number = volume_->generation().number;
  promised_[medium_->EventCount()] = number;
}

Status CrashRun::OnStep(CommitStep step) {
  if (fuzzer_ == nullptr) return Status::Ok();
  const size_t begin = mark_;
  const size_t end = medium_->EventCount();
  if (step == CommitStep::kFrozen) {
    const uint64_t number = volume_->generation().number + 1;
    fuzzer_->NoteTimes();
    history_[number] = fuzzer_->model();
    NoteNames();
    frozen_at_[number] = end;
    flushes_ = 0;
    company_.reset();
    // Company that commits itself has none.
    const bool alone = std::this_thread::get_id() != thread_;
    if (company_allowed_ && !alone && rng_() % 2 == 0) {
      company_ = static_cast<CommitStep>(rng_() % 8);
    }
  } else {
    Observe(step, begin, end);
    phases_.emplace_back(begin, end);
  }
  if (step == CommitStep::kRecordWritten && fsyncing_) {
    fsynced_.push_back({end, *fsyncing_, true});
  }
  if (rng_() % 24 == 0) {
    catalogs_.insert_or_assign(end, CatalogCopy(*catalog_, kIndex));
  }
  if (company_ == step) Accompany(step);
  mark_ = medium_->EventCount();
  return Status::Ok();
}

void CrashRun::NoteNames() {
  const Model& model = fuzzer_->model();
  std::map<uint64_t, uint64_t> unique;
  for (const auto& [id, node] : model.nodes) unique[id] = fuzzer_->UniqueId(id);
  for (const auto& [id, node] : model.nodes) {
    for (const auto& [name, child] : node->names) {
      names_.emplace(unique[id], unique[child], name);
    }
  }
}

// What the commit wrote between this step and the one before.
void CrashRun::Observe(CommitStep step, size_t begin, size_t end) {
  for (const CrashMedium::Event& event : medium_->Events(begin, end)) {
    if (event.kind == CrashMedium::Event::Kind::kFlush) ++flushes_;
  }
  switch (step) {
    case CommitStep::kDataWritten:
      facts_.new_descriptors += DescriptorBlocks(begin, end);
      return;
    case CommitStep::kRecordWritten: {
      ++facts_.commits;
      if (flushes_ == 0) {
        ++facts_.one_flush;
        one_flush_at_.push_back(end);
      }
      const SectorRange ring{udf::kRingSector, geometry_.ring_sectors};
      bool spilled = false;
      for (const CrashMedium::Event& event : medium_->Events(begin, end)) {
        if (event.kind != CrashMedium::Event::Kind::kWrite) continue;
        const uint64_t first = event.range.first;
        if (first < ring.first || first >= ring.end()) {
          spilled = true;
          continue;
        }
        if (first == ring.first && ring_position_ > first) ++facts_.wraps;
        ring_position_ = first;
      }
      facts_.spilled += spilled ? 1 : 0;
      return;
    }
    case CommitStep::kInPlaceWritten: {
      facts_.changed_descriptors += DescriptorBlocks(begin, end);
      uint64_t images = 0;
      for (const CrashMedium::Event& event : medium_->Events(begin, end)) {
        images += event.range.count;
      }
      facts_.larger_than_ring += images > geometry_.ring_sectors ? 1 : 0;
      return;
    }
    default:
      return;
  }
}

uint64_t CrashRun::DescriptorBlocks(size_t begin, size_t end) const {
  uint64_t found = 0;
  udf::Sector sector;
  for (const CrashMedium::Event& event : medium_->Events(begin, end)) {
    if (event.kind != CrashMedium::Event::Kind::kWrite) continue;
    for (uint64_t i = 0; i < event.range.count; ++i) {
      const uint64_t at = event.range.first + i;
      if (!geometry_.InPartition(at)) continue;
      EXPECT_OK(medium_->Read(at, sector));
      const auto block = static_cast<uint32_t>(at - geometry_.partition_first);
      found += udf::CheckTag(sector, udf::kTagAllocationExtent, block).ok();
    }
  }
  return found;
}

// Operations of others that come while the commit is at `step`.
void CrashRun::Accompany(CommitStep step) {
  company_.reset();
  ++facts_.accompanied;
  const int count = 1 + static_cast<int>(rng_() % 4);
  // Now and then those as well that wait for the commit.
  const bool all = rng_() % 32 == 0;
  const bool fsync = rng_() % 64 == 0;
  const auto patience = all || fsync ? kPatience / 40 : kPatience;
  const bool ended = bystander_.Run(
      [this, count, all, fsync, step] {
        fuzzer_->StepsInCommit(count, all);
        if (fsync) {
          const VolumeFuzzer::Fsynced node = fuzzer_->PickForFsync();
          EXPECT_OK(fuzzer_->Fsync(node));
          fsynced_beside_.push_back({medium_->EventCount(), node});
        }
        if (testing::Test::HasFailure()) {
          ADD_FAILURE() << "seed " << seed_ << ", at step "
                        << static_cast<int>(step)
                        << " of a commit: " << fuzzer_->last();
        }
      },
      patience);
  facts_.waited += ended ? 0 : 1;
}

}  // namespace vellum
