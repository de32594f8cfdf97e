// SPDX-License-Identifier: Apache-2.0
// Commits with one flush. A small generation needs no flush before its record
// (F1) when the record holds all that the flush would have made durable: what
// the generation has written directly, and what S4 of the generation before has
// put in place. What was put in place before that is durable since the flush of
// the record before (media/udf/JOURNAL.md, rule 2 of the ring). And it needs no
// pending batch when the record says to the catalog all that this may lose.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>

#include "index/batch_ops.h"
#include "index/change_map.h"
#include "index/commit_note.h"
#include "index/keys.h"
#include "index/note_tree.h"
#include "index/records.h"
#include "index/volume.h"
#include "index/volume_impl.h"

namespace vellum {
namespace {

// Blocks of file data that are kept for the record, images of one generation
// that the next one has once more, images that it has at most in all, bytes of
// its note: with all of them it fits into half of the smallest ring.
constexpr size_t kMaxWritten = 64;
constexpr size_t kMaxBehind = 64;
constexpr size_t kMaxCarried = 80;
constexpr size_t kMaxCarriedNote = 16384;

bool IsBelow(uint32_t blocks, const InodeRecord& inode) {
  uint64_t mapped = 0;
  for (const udf::Extent& extent : inode.extents) {
    if (uint64_t{extent.block} + extent.count > blocks ||
        extent.file_end() > udf::kMaxFileSize / kSectorSize) {
      return false;
    }
    mapped += extent.count;
  }
  // Directories and what stands in the entry are read whole.
  uint64_t most = udf::kMaxFileSize;
  if (inode.attr.type == udf::FileType::kDirectory) {
    most = std::min(mapped * kSectorSize, udf::kMaxDirectorySize);
  }
  if (inode.inline_data) most = udf::InlineCapacity(inode.attr);
  return inode.parent < blocks && inode.attr.size <= most &&
         std::all_of(inode.aed_blocks.begin(), inode.aed_blocks.end(),
                     [blocks](uint32_t block) { return block < blocks; });
}

// As a directory that is read (media/udf/fid.cc, index/volume_scan.cc).
bool CanBe(const DirentRecord& entry) {
  return CheckName(entry.name).ok() &&
         entry.cookie >> 7 == NameHash(entry.name) &&
         entry.fid_offset < udf::kMaxDirectorySize;
}

// Of a batch that may be anybody's: does each key have the shape of its family,
// and does no value name a block that the volume does not have, or a file or
// name that cannot be?
bool ConcernsBlocksBelow(uint32_t blocks, std::string_view ops) {
  BatchReader reader(ops);
  BatchOp op;
  while (reader.Next(&op)) {
    const bool put = op.kind == OpKind::kPut;
    if (op.family == Family::kInodes) {
      const std::optional<InodeNumber> ino = ParseInodeKey(op.key);
      if (!ino || *ino >= blocks) return false;
      if (!put) continue;
      const Result<InodeRecord> inode = DecodeInodeRecord(op.value);
      if (!inode.ok() || !IsBelow(blocks, *inode)) return false;
    } else if (op.family == Family::kDirents) {
      const std::optional<uint64_t> cookie = ParseDirentKey(op.key);
      if (!cookie) return false;
      if (!put) continue;
      const Result<DirentRecord> name = DecodeDirentRecord(*cookie, op.value);
      if (!name.ok() || name->ino >= blocks || !CanBe(*name)) return false;
    } else if (op.family == Family::kChanges) {
      if (!ParseChangeChunkKey(op.key)) return false;
      if (put && !DecodeChunk(op.value).ok()) return false;
    }
  }
  return reader.status().ok();
}

}  // namespace

void Volume::Impl::NoteWritten(uint32_t block, ConstByteSpan data) {
  if (!written_.has_value()) return;
  const uint64_t count = data.size() / kSectorSize;
  if (unit_ > 1 || written_->size() + count > kMaxWritten) {
    written_.reset();
    return;
  }
  for (uint64_t i = 0; i < count; ++i) {
    auto image = std::make_shared<udf::Sector>();
    std::memcpy(image->data(), data.data() + i * kSectorSize, kSectorSize);
    written_->insert_or_assign(Sector(block) + i, std::move(image));
  }
}

void Volume::Impl::ForgetWritten(udf::BlockRun run) {
  const uint64_t first = Sector(run.block);
  images_.erase(images_.lower_bound(first),
                images_.lower_bound(first + run.count));
  if (!written_.has_value()) return;
  written_->erase(written_->lower_bound(first),
                  written_->lower_bound(first + run.count));
}

std::optional<udf::Record> Volume::Impl::CarryAll(
    const Frozen& frozen, const udf::SectorImages& direct,
    const udf::Record& record) {
  if (unit_ > 1 || !frozen.spill.empty() || !frozen.written.has_value() ||
      !behind_.has_value() || !unsynced_.has_value() ||
      record.images.size() + direct.size() + frozen.written->size() +
              behind_->size() >
          kMaxCarried ||
      journal_->NeedsSpill(kMaxCarried, kMaxCarriedNote)) {
    return std::nullopt;
  }
  MutexLock lock(&mu_);
  // To blocks that this generation does not use nothing leads any more. Later
  // loads may hand them out without a commit (to an unlinked file that is
  // open), and find this record still.
  const auto used = [this](uint64_t sector) REQUIRES(mu_) {
    return !geometry_.InPartition(sector) ||
           allocator_->UsedInFrozen(
               static_cast<uint32_t>(sector - geometry_.partition_first));
  };
  udf::Record whole = record;
  for (const udf::SectorImages* images : {&direct, &*frozen.written}) {
    if (options_.break_data) break;
    for (const auto& [sector, image] : *images) {
      if (!used(sector)) continue;
      // Whoever replays it writes them before what leads to them.
      whole.images.insert_or_assign(sector, image);
      whole.fresh.insert(sector);
    }
  }
  // Older than the generation's own.
  if (!options_.break_behind) {
    for (const auto& [sector, image] : *behind_) {
      if (used(sector)) whole.images.emplace(sector, image);
    }
  }
  whole.header.lvid_oldest = lvid_durable_;
  return whole;
}

bool Volume::Impl::CarryBatch(const CatalogBatch& batch,
                              const VolumeRecord& next, udf::Record* record) {
  // A merge that grows beyond all bounds is not worth its time.
  if (batch.bytes() + unsynced_->bytes() > 2 * kMaxCarriedNote) return false;
  unsynced_->Merge(batch);
  CommitNote note;
  note.catalog = catalog_identity_;
  note.volume = index_;
  note.generation = next.generation;
  note.base = synced_;
  note.batch = unsynced_->Serialize();
  std::string encoded = Encode(note);
  if (encoded.size() > kMaxCarriedNote) return false;
  if (!options_.break_note) record->note = std::move(encoded);
  return true;
}

// What the generations before have changed in the catalog is durable; this
// one's batch is pending there.
Status Volume::Impl::NoteStored(const PendingBatch& pending) {
  unsynced_.reset();
  if (pending.batch.size() > kMaxCarriedNote) return Status::Ok();
  ASSIGN_OR_RETURN(unsynced_, CatalogBatch::Parse(pending.batch));
  synced_ = pending.generation.number - 1;
  return Status::Ok();
}

// S4 is done: the next record has to hold it, too, or wait for a flush.
void Volume::Impl::NotePlaced(udf::Record record) {
  lvid_durable_ = lvid_crc_;
  lvid_crc_ = record.header.lvid_after;
  behind_.reset();
  if (unit_ == 1 && record.images.size() <= kMaxBehind) {
    behind_ = std::move(record.images);
  }
}

Result<bool> Volume::Impl::ApplyNote(const udf::ReplayResult& replay,
                                     const VolumeRecord& record) {
  Result<CommitNote> note = DecodeCommitNote(replay.note);
  // The record was whole: its images count, whatever its note is.
  if (!note.ok() || !(note->generation == replay.generation)) return false;
  ASSIGN_OR_RETURN(const std::string identity, catalog_->Identity());
  if (!note->LeadsFrom(record, identity)) return false;
  Result<CatalogBatch> batch = CatalogBatch::Parse(note->batch);
  if (!batch.ok()) return false;
  // The medium may have been in other hands: what it says concerns itself only.
  const Result<VolumeRecord> next = batch->RecordOf(index_);
  if (!next.ok() || next->index != index_ || next->id != record.id ||
      next->medium_uuid != record.medium_uuid ||
      next->format_uuid != record.format_uuid ||
      !(next->generation == replay.generation) ||
      next->record_crc != replay.record_crc || next->role != record.role ||
      !(next->geometry == record.geometry) ||
      !ConcernsBlocksBelow(record.geometry.partition_blocks,
                           note->batch.substr(1))) {
    spdlog::warn("volume {}: the note of its newest record is of no use",
                 record.id);
    return false;
  }
  const Status tree =
      CheckNotedTree(*catalog_, index_, record.geometry.root_block,
                     std::string_view(note->batch).substr(1));
  // The medium says what is right.
  if (tree.Is(Errc::kCorruption)) {
    spdlog::warn("volume {}: the note of its newest record is of no use: {}",
                 record.id, tree.error().message);
    return false;
  }
  RETURN_IF_ERROR(tree);
  // Its record as well.
  batch->PutVolume(AfterCommit(record, *next));
  RETURN_IF_ERROR(Decide(&*batch));
  return true;
}

void Volume::Impl::ForgetDurability() {
  behind_.reset();
  unsynced_.reset();
  lvid_durable_ = lvid_crc_;
}

}  // namespace vellum
