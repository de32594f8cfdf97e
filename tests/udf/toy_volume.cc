// SPDX-License-Identifier: Apache-2.0
#include "tests/udf/toy_volume.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace vellum::udf {
namespace {

// First block that is not the bitmap's; cells stand in units of their own.
constexpr uint32_t kFirstCell = 64;
// Images of a record without a flush before it, at most.
constexpr size_t kSmallRecord = 90;

uint64_t Mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

void Fill(uint64_t seed, ByteSpan out) {
  uint64_t x = Mix(seed);
  for (size_t at = 0; at + 8 <= out.size(); at += 8) {
    x += 0x9E3779B97F4A7C15ull;
    const uint64_t word = (x ^ (x >> 31)) * 0xBF58476D1CE4E5B9ull;
    std::memcpy(out.data() + at, &word, 8);
  }
}

// Cells stand in groups of eight with a gap behind each, or two to a unit.
uint32_t CellBlock(const ToyOptions& options, uint32_t cell) {
  return kFirstCell +
         (options.unit > 1 ? cell * options.unit / 2 : cell + cell / 8);
}

uint32_t FirstDataBlock(const ToyOptions& options) {
  return (CellBlock(options, options.cells) + 31) / 32 * 32;
}

Sector CellSector(uint32_t cell, const ToyState::Cell& content) {
  Sector sector;
  Fill(Mix(content.value) ^ cell ^ uint64_t{content.data} << 32, sector);
  return sector;
}

Bytes DataOf(const ToyState::Cell& content, uint32_t piece) {
  Bytes data(size_t{piece} * kSectorSize);
  Fill(~Mix(content.value), data);
  return data;
}

Sector LvidOf(const ToyState& state) {
  Lvid lvid;
  lvid.next_unique_id = 16 + state.number;
  lvid.time = {static_cast<int64_t>(state.nonce % 1'000'000'000), 0};
  return EncodeLvid(lvid);
}

Bytes BitmapOf(const ToyState& state, const ToyOptions& options,
               const Geometry& geometry) {
  Bytes bitmap(geometry.partition_blocks / 8, std::byte{0xFF});
  SetBitmap(&bitmap, {0, FirstDataBlock(options)}, false);
  for (const ToyState::Cell& cell : state.cells) {
    SetBitmap(&bitmap, {cell.data, options.unit}, false);
  }
  return bitmap;
}

Status Wrong(const ToyState& state, std::string_view what, uint64_t where) {
  return Status(Errc::kCorruption, fmt::format("generation {}: {} {} is wrong",
                                               state.number, what, where));
}

}  // namespace

Geometry ToyGeometry(const ToyOptions& options) {
  return ComputeGeometry(options.sectors).value();
}

ToyStatePtr FormatToy(Medium& medium, const ToyOptions& options) {
  const Geometry geometry = ToyGeometry(options);
  auto state = std::make_shared<ToyState>();
  uint32_t block = FirstDataBlock(options);
  for (uint32_t i = 0; i < options.cells; ++i) {
    state->cells.push_back({i, block});
    block += options.unit;
    VELLUM_CHECK(block <= geometry.partition_blocks / 2);
    const ToyState::Cell& cell = state->cells.back();
    VELLUM_CHECK(
        medium.Write(geometry.Sector(cell.data), DataOf(cell, options.unit))
            .ok());
    VELLUM_CHECK(
        medium
            .Write(geometry.Sector(CellBlock(options, i)), CellSector(i, cell))
            .ok());
  }
  const Bytes bitmap = BitmapOf(*state, options, geometry);
  for (uint32_t i = 0; i < BitmapSectors(geometry); ++i) {
    VELLUM_CHECK(medium
                     .Write(geometry.Sector(kBitmapBlock + i),
                            EncodeBitmapSector(geometry, bitmap, i))
                     .ok());
  }
  VELLUM_CHECK(medium.Write(kLvidSector, LvidOf(*state)).ok());
  ControlSlot slot;
  slot.format_uuid = NewUuid();
  slot.medium_uuid = NewUuid();
  slot.volume_id = "TOY";
  slot.generation = {NewLineage(), 0};
  slot.lvid_crc = Crc32c(LvidOf(*state));
  VELLUM_CHECK(WriteControlSlot(medium, &slot).ok());
  return state;
}

Status CheckToy(Medium& medium, const ToyOptions& options,
                const ToyState& state) {
  const Geometry geometry = ToyGeometry(options);
  Sector sector;
  RETURN_IF_ERROR(medium.Read(kLvidSector, sector));
  if (sector != LvidOf(state)) return Wrong(state, "LVID", kLvidSector);
  for (uint32_t i = 0; i < options.cells; ++i) {
    RETURN_IF_ERROR(
        medium.Read(geometry.Sector(CellBlock(options, i)), sector));
    if (sector != CellSector(i, state.cells[i])) {
      return Wrong(state, "cell", i);
    }
    Bytes data(size_t{options.unit} * kSectorSize);
    RETURN_IF_ERROR(medium.Read(geometry.Sector(state.cells[i].data), data));
    if (data != DataOf(state.cells[i], options.unit)) {
      return Wrong(state, "data of cell", i);
    }
  }
  ASSIGN_OR_RETURN(const Bytes bitmap, ReadBitmap(medium, geometry));
  if (bitmap != BitmapOf(state, options, geometry)) {
    return Wrong(state, "bitmap at block", kBitmapBlock);
  }
  return Status::Ok();
}

Result<std::unique_ptr<ToyVolume>> ToyVolume::Mount(
    Medium* medium, const ToyOptions& options, ToyObserver observer,
    const std::vector<ToyStatePtr>& candidates, uint64_t seed) {
  const Geometry geometry = ToyGeometry(options);
  std::unique_ptr<ToyVolume> toy(
      new ToyVolume(medium, options, std::move(observer), geometry));
  toy->rng_.seed(seed);
  ASSIGN_OR_RETURN(toy->slot_, ReadControlSlot(*medium));

  ReplayResult replay;
  if (options.mistakes.no_replay || options.mistakes.no_flush_before_replay) {
    ASSIGN_OR_RETURN(const ReplayPlan plan,
                     PlanReplay(*medium, geometry, toy->slot_));
    replay = plan.result;
    if (!options.mistakes.no_replay) {
      for (const uint32_t torn : plan.torn) {
        RETURN_IF_ERROR(medium->Write(torn, Sector{}));
      }
      RETURN_IF_ERROR(WriteInPlace(*medium, plan.images));
      RETURN_IF_ERROR(medium->Flush());
    }
  } else {
    ASSIGN_OR_RETURN(replay, ReplayJournal(*medium, geometry, toy->slot_));
  }
  if (replay.outcome == ReplayOutcome::kForeign) {
    return Status(Errc::kCorruption, "LVID taken for a foreign one");
  }

  Status mismatch(Errc::kCorruption, "no candidate has that number");
  for (const ToyStatePtr& state : candidates) {
    if (state->number != replay.generation.number) continue;
    mismatch = CheckToy(*medium, options, *state);
    if (mismatch.ok()) {
      toy->committed_ = state;
      break;
    }
  }
  RETURN_IF_ERROR(mismatch);

  ASSIGN_OR_RETURN(Bytes bitmap, ReadBitmap(*medium, geometry));
  toy->next_ = *toy->committed_;
  toy->next_.number = replay.generation.number + 1;
  toy->allocator_ = std::make_unique<Allocator>(geometry, std::move(bitmap),
                                                toy->next_.number);
  toy->journal_ = std::make_unique<Journal>(
      medium, geometry, replay.next_sequence, replay.next_sector);
  toy->slot_.generation = replay.generation;
  toy->slot_.lvid_crc = Crc32c(LvidOf(*toy->committed_));
  toy->slot_.state = SlotState::kInUse;
  RETURN_IF_ERROR(WriteControlSlot(*medium, &toy->slot_));
  RETURN_IF_ERROR(medium->Flush());
  return toy;
}

// S1: data to free blocks.
Status ToyVolume::Change(size_t count) {
  SectorImages data;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t cell = static_cast<uint32_t>(rng_() % options_.cells);
    const std::optional<BlockRun> run =
        allocator_->Allocate(Piece(), Piece(), hint_);
    if (!run) return Status(Errc::kNoSpace, "toy volume is full");
    ToyState::Cell& content = next_.cells[cell];
    allocator_->Free({content.data, Piece()});
    content = {rng_(), run->block};
    allocator_->Use(*run);
    changed_.push_back(cell);
    const Bytes bytes = DataOf(content, Piece());
    for (uint32_t s = 0; s < Piece(); ++s) {
      const auto sector = std::make_shared<Sector>();
      std::memcpy(sector->data(), bytes.data() + size_t{s} * kSectorSize,
                  kSectorSize);
      data[geometry_.Sector(run->block + s)] = sector;
    }
  }
  for (const auto& [sector, image] : data) {
    written_.insert_or_assign(sector, image);
  }
  return WriteInPlace(*medium_, data);
}

bool ToyVolume::Complete(Record* record, const SectorImages& data) {
  if (!options_.one_flush || options_.unit > 1 ||
      record->images.size() + data.size() + behind_.size() > kSmallRecord) {
    return false;
  }
  if (!options_.mistakes.forget_data) {
    record->images.insert(data.begin(), data.end());
  }
  if (!options_.mistakes.forget_behind) {
    record->images.insert(behind_.begin(), behind_.end());
  }
  record->header.lvid_oldest = lvid_oldest_;
  return true;
}

Status ToyVolume::Commit(size_t count) {
  const ToyMistakes& mistakes = options_.mistakes;
  RETURN_IF_ERROR(Change(count));

  // The generation is frozen; what follows belongs to the next one.
  next_.nonce = rng_();
  const auto state = std::make_shared<const ToyState>(next_);
  ++next_.number;
  Record record;
  for (const uint32_t cell : changed_) {
    record.images[geometry_.Sector(CellBlock(options_, cell))] =
        std::make_shared<Sector>(CellSector(cell, state->cells[cell]));
  }
  changed_.clear();
  const SectorImages data = std::exchange(written_, {});
  for (const auto& [index, sector] : allocator_->Freeze()) {
    record.images[geometry_.Sector(kBitmapBlock + index)] =
        std::make_shared<Sector>(sector);
  }
  if (mistakes.reuse_at_once) allocator_->Durable(state->number);
  record.images[kLvidSector] = std::make_shared<Sector>(LvidOf(*state));
  record.header.format_uuid = slot_.format_uuid;
  record.header.epoch = slot_.epoch;
  record.header.generation = {slot_.generation.lineage, state->number};
  record.header.lvid_before = Crc32c(LvidOf(*committed_));
  record.header.lvid_after = Crc32c(LvidOf(*state));
  RETURN_IF_ERROR(FillAtomicUnits(*medium_, &record.images));
  std::vector<BlockRun> spill_runs;
  Spill spill;
  if (journal_->NeedsSpill(record.images.size())) {
    ++spilled_;
    uint64_t need = Journal::SpillSectors(record.images.size());
    while (need > 0) {
      const uint32_t want = static_cast<uint32_t>(std::min<uint64_t>(
          (need + Piece() - 1) / Piece() * Piece(), 64 * Piece()));
      const std::optional<BlockRun> run =
          allocator_->Allocate(want, Piece(), 0);
      if (!run) return Status(Errc::kNoSpace, "no room for a spill");
      spill_runs.push_back(*run);
      spill.push_back({geometry_.Sector(run->block), run->count});
      need -= std::min<uint64_t>(need, run->count);
    }
  }

  SectorImages own = record.images;
  const bool one_flush = Complete(&record, data);
  if (one_flush) {
    ++one_flush_;
  } else {
    RETURN_IF_ERROR(medium_->Flush());  // F1
    allocator_->Durable(committed_->number);
  }
  if (mistakes.release_spill_early) {
    for (const BlockRun& run : spill_) allocator_->Unreserve(run);
    spill_.clear();
  }
  // Changes of the next generation go on meanwhile.
  RETURN_IF_ERROR(Change(rng_() % 6));
  observer_.attempt(state);
  RETURN_IF_ERROR(journal_->Write(&record, spill));  // S3
  if (!mistakes.place_before_flush) {
    RETURN_IF_ERROR(medium_->Flush());  // F2
  }
  observer_.committed(state);
  if (one_flush) allocator_->Durable(committed_->number);
  lvid_oldest_ = Crc32c(LvidOf(*committed_));
  committed_ = state;
  for (const BlockRun& run : spill_) allocator_->Unreserve(run);
  spill_ = std::move(spill_runs);
  // The blocks of a spill are the first to be taken once they are free.
  hint_ = spill_.empty() ? 0 : spill_.front().block;
  RETURN_IF_ERROR(Change(rng_() % 6));
  RETURN_IF_ERROR(WriteInPlace(*medium_, own));  // S4
  behind_ = std::move(own);
  return Status::Ok();
}

}  // namespace vellum::udf
