// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <map>
#include <optional>
#include <utility>

#include "index/batch_ops.h"
#include "index/catalog.h"
#include "index/coding.h"
#include "index/keys.h"

namespace vellum {
namespace {

constexpr uint8_t kBatchVersion = 1;

void PutOp(std::string* ops, OpKind kind, Family family, std::string_view key) {
  PutByte(ops, static_cast<uint8_t>(static_cast<uint8_t>(kind) << 4 |
                                    static_cast<uint8_t>(family)));
  PutString(ops, key);
}

}  // namespace

bool BatchReader::Next(BatchOp* op) {
  if (left_.empty()) return false;
  ByteReader in(left_);
  const uint8_t head = in.Byte();
  const uint8_t kind = head >> 4;
  const uint8_t family = head & 0x0F;
  if (kind < static_cast<uint8_t>(OpKind::kPut) ||
      kind > static_cast<uint8_t>(OpKind::kDelete) || family >= kFamilies) {
    in.Fail();
  }
  op->kind = static_cast<OpKind>(kind);
  op->family = static_cast<Family>(family);
  op->key = in.String();
  op->value = op->kind == OpKind::kDelete ? std::string_view() : in.String();
  if (!in.ok() || op->key.empty()) {
    malformed_ = true;
    left_ = {};
    return false;
  }
  left_ = left_.substr(left_.size() - in.left());
  return true;
}

Status BatchReader::status() const {
  if (!malformed_) return Status::Ok();
  return Status(Errc::kCorruption, "catalog batch is malformed");
}

void CatalogBatch::Impl::Put(Family family, std::string_view key,
                             std::string_view value) {
  PutOp(&ops, OpKind::kPut, family, key);
  PutString(&ops, value);
}

void CatalogBatch::Impl::Delete(Family family, std::string_view key) {
  PutOp(&ops, OpKind::kDelete, family, key);
}

CatalogBatch::CatalogBatch() : impl_(std::make_unique<Impl>()) {}
CatalogBatch::CatalogBatch(CatalogBatch&&) noexcept = default;
CatalogBatch& CatalogBatch::operator=(CatalogBatch&&) noexcept = default;
CatalogBatch::~CatalogBatch() = default;

void CatalogBatch::PutVolume(const VolumeRecord& record) {
  impl_->Put(Family::kMain, VolumeKey(record.index), Encode(record));
}

void CatalogBatch::PutInode(VolumeIndex volume, InodeNumber ino,
                            const InodeRecord& record) {
  impl_->Put(Family::kInodes, InodeKey(volume, ino), Encode(record));
}

void CatalogBatch::DeleteInode(VolumeIndex volume, InodeNumber ino) {
  impl_->Delete(Family::kInodes, InodeKey(volume, ino));
}

void CatalogBatch::PutDirent(VolumeIndex volume, InodeNumber dir,
                             const DirentRecord& record) {
  impl_->Put(Family::kDirents, DirentKey(volume, dir, record.cookie),
             Encode(record));
}

void CatalogBatch::DeleteDirent(VolumeIndex volume, InodeNumber dir,
                                uint64_t cookie) {
  impl_->Delete(Family::kDirents, DirentKey(volume, dir, cookie));
}

void CatalogBatch::PutChangeChunk(VolumeIndex volume, uint32_t chunk,
                                  std::string_view value) {
  impl_->Put(Family::kChanges, ChangeChunkKey(volume, chunk), value);
}

void CatalogBatch::DeletePending(VolumeIndex volume) {
  impl_->Delete(Family::kPending, PendingKey(volume));
}

void CatalogBatch::DeleteVolume(VolumeIndex volume) {
  impl_->Delete(Family::kMain, VolumeKey(volume));
}

void CatalogBatch::PutRow(std::string_view table, std::string_view key,
                          std::string_view value) {
  impl_->Put(Family::kMain, RowKey(table, key), value);
}

void CatalogBatch::DeleteRow(std::string_view table, std::string_view key) {
  impl_->Delete(Family::kMain, RowKey(table, key));
}

void CatalogBatch::Merge(const CatalogBatch& later) {
  std::map<std::pair<Family, std::string_view>, BatchOp> last;
  for (const std::string* ops : {&impl_->ops, &later.impl_->ops}) {
    BatchReader reader(*ops);
    BatchOp op;
    while (reader.Next(&op)) last.insert_or_assign({op.family, op.key}, op);
    VELLUM_CHECK(reader.status().ok());
  }
  Impl merged;
  for (const auto& [key, op] : last) {
    if (op.kind == OpKind::kPut) {
      merged.Put(op.family, op.key, op.value);
    } else {
      merged.Delete(op.family, op.key);
    }
  }
  impl_->ops = std::move(merged.ops);
}

Result<VolumeRecord> CatalogBatch::RecordOf(VolumeIndex volume) const {
  std::optional<VolumeRecord> record;
  BatchReader reader(impl_->ops);
  BatchOp op;
  while (reader.Next(&op)) {
    if (op.family == Family::kMain && op.kind == OpKind::kPut &&
        op.key == std::string_view(VolumeKey(volume))) {
      ASSIGN_OR_RETURN(record, DecodeVolumeRecord(op.value));
      continue;
    }
    const bool own =
        (op.family == Family::kInodes &&
         op.key.starts_with(std::string_view(InodesPrefix(volume)))) ||
        (op.family == Family::kDirents &&
         op.key.starts_with(std::string_view(DirentsPrefix(volume)))) ||
        (op.family == Family::kChanges &&
         op.key.starts_with(std::string_view(ChangeChunksPrefix(volume))));
    if (!own) {
      return Error{Errc::kCorruption,
                   fmt::format("a batch of volume index {} would change {}",
                               volume, DescribeKey(op.key))};
    }
  }
  RETURN_IF_ERROR(reader.status());
  if (!record.has_value()) {
    return Error{
        Errc::kCorruption,
        fmt::format("a batch of volume index {} has no record of it", volume)};
  }
  return std::move(*record);
}

size_t CatalogBatch::bytes() const { return impl_->ops.size(); }

std::string CatalogBatch::Serialize() const {
  std::string bytes;
  bytes.reserve(1 + impl_->ops.size());
  PutByte(&bytes, kBatchVersion);
  return bytes.append(impl_->ops);
}

Result<CatalogBatch> CatalogBatch::Parse(std::string_view bytes) {
  if (bytes.empty()) return Error{Errc::kCorruption, "catalog batch is empty"};
  const auto version = static_cast<uint8_t>(bytes[0]);
  if (version != kBatchVersion) {
    return Error{Errc::kCorruption,
                 fmt::format("catalog batch has version {}, only {} is known",
                             version, kBatchVersion)};
  }
  bytes.remove_prefix(1);
  BatchReader reader(bytes);
  BatchOp op;
  while (reader.Next(&op)) {
  }
  RETURN_IF_ERROR(reader.status());
  CatalogBatch batch;
  batch.impl_->ops = bytes;
  return batch;
}

}  // namespace vellum
