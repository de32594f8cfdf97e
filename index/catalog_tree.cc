// SPDX-License-Identifier: Apache-2.0
// The trees and change maps of a Catalog.
#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/iterator.h>
#include <rocksdb/options.h>
#include <rocksdb/write_batch.h>

#include <memory>
#include <utility>

#include "index/batch_ops.h"
#include "index/catalog.h"
#include "index/catalog_impl.h"
#include "index/keys.h"

namespace vellum {
namespace {

// What copying or deleting a tree writes at once.
constexpr size_t kTreeBatchBytes = 1 << 20;

}  // namespace

Result<InodeRecord> Catalog::GetInode(VolumeIndex volume, InodeNumber ino,
                                      const CatalogSnapshot* snapshot) const {
  const Key key = InodeKey(volume, ino);
  rocksdb::PinnableSlice value;
  ASSIGN_OR_RETURN(const bool found,
                   impl_->Get(Family::kInodes, key, snapshot, &value));
  if (!found) {
    return Error{Errc::kNotFound, DescribeKey(key) + " is not in the catalog"};
  }
  auto record = DecodeInodeRecord(value.ToStringView());
  if (!record) return AtKey(record.status(), key);
  return record;
}

Result<std::vector<DirentRecord>> Catalog::FindDirents(
    VolumeIndex volume, InodeNumber dir, uint64_t hash56,
    const CatalogSnapshot* snapshot) const {
  const Key prefix = DirentsPrefix(volume, dir, hash56);
  rocksdb::ReadOptions options = impl_->Reading(snapshot);
  options.prefix_same_as_start = true;  // asks the Bloom filters first
  const std::unique_ptr<rocksdb::Iterator> it(
      impl_->db->NewIterator(options, impl_->Handle(Family::kDirents)));
  std::vector<DirentRecord> found;
  for (it->Seek(std::string_view(prefix)); it->Valid(); it->Next()) {
    const std::string_view key = it->key().ToStringView();
    const auto cookie = ParseDirentKey(key);
    if (!cookie) {
      return AtKey(Status(Errc::kCorruption, "is no directory entry"), key);
    }
    auto record = DecodeDirentRecord(*cookie, it->value().ToStringView());
    if (!record) return AtKey(record.status(), key);
    found.push_back(std::move(*record));
  }
  if (!it->status().ok()) {
    return impl_->Failed(it->status(), fmt::format("look up in directory {} of "
                                                   "volume index {}",
                                                   dir, volume));
  }
  return found;
}

Result<DirentRecord> Catalog::FindDirent(
    VolumeIndex volume, InodeNumber dir, std::string_view name,
    const CatalogSnapshot* snapshot) const {
  const uint64_t hash56 = NameHash(name);
  // Nearly every name is the only one with its hash, and a point look-up costs
  // less than an iterator. Whatever else it finds decides nothing.
  const Key first = DirentKey(volume, dir, MakeCookie(hash56, 0));
  rocksdb::PinnableSlice value;
  ASSIGN_OR_RETURN(const bool present,
                   impl_->Get(Family::kDirents, first, snapshot, &value));
  if (present) {
    auto record =
        DecodeDirentRecord(MakeCookie(hash56, 0), value.ToStringView());
    if (!record) return AtKey(record.status(), first);
    if (record->name == name) return record;
  }
  ASSIGN_OR_RETURN(std::vector<DirentRecord> found,
                   FindDirents(volume, dir, hash56, snapshot));
  for (DirentRecord& record : found) {
    if (record.name == name) return std::move(record);
  }
  return Error{Errc::kNotFound,
               fmt::format("directory {} of volume index {} has no \"{}\"", dir,
                           volume, name)};
}

Status Catalog::ForEachDirent(VolumeIndex volume, InodeNumber dir,
                              uint64_t after, const VisitDirent& visit,
                              const CatalogSnapshot* snapshot) const {
  constexpr uint64_t kLastCookie = UINT64_MAX >> 1;
  if (after >= kLastCookie) return Status::Ok();
  return impl_->Scan(
      Family::kDirents, DirentKey(volume, dir, after + 1),
      PrefixEnd(DirentsPrefix(volume, dir)), snapshot, /*fill_cache=*/true,
      [&](std::string_view key, std::string_view value) -> Result<bool> {
        const auto cookie = ParseDirentKey(key);
        if (!cookie) {
          return AtKey(Status(Errc::kCorruption, "is no directory entry"), key);
        }
        auto record = DecodeDirentRecord(*cookie, value);
        if (!record) return AtKey(record.status(), key);
        return visit(std::move(*record));
      });
}

Status Catalog::ForEachInode(VolumeIndex volume, const VisitInode& visit,
                             const CatalogSnapshot* snapshot) const {
  return impl_->ScanPrefix(
      Family::kInodes, InodesPrefix(volume), snapshot, /*fill_cache=*/false,
      [&](std::string_view key, std::string_view value) -> Result<bool> {
        const auto ino = ParseInodeKey(key);
        if (!ino) {
          return AtKey(Status(Errc::kCorruption, "is no inode"), key);
        }
        auto record = DecodeInodeRecord(value);
        if (!record) return AtKey(record.status(), key);
        return visit(*ino, std::move(*record));
      });
}

Status Catalog::Impl::DeletePrefix(Family family, std::string_view prefix,
                                   const char* what) {
  rocksdb::WriteBatch batch;
  RETURN_IF_ERROR(ScanPrefix(
      family, prefix, nullptr, /*fill_cache=*/false,
      [&](std::string_view key, std::string_view) -> Result<bool> {
        const rocksdb::Status deleted = batch.Delete(Handle(family), key);
        if (!deleted.ok()) return Failed(deleted, "delete " + DescribeKey(key));
        if (batch.GetDataSize() < kTreeBatchBytes) return true;
        const Status written = Write(&batch, Sync::kNo, what);
        if (!written.ok()) return written;
        batch.Clear();
        return true;
      }));
  if (batch.Count() == 0) return Status::Ok();
  return Write(&batch, Sync::kNo, what);
}

Status Catalog::ClearTree(VolumeIndex volume) {
  constexpr const char* kWhat = "delete a tree";
  RETURN_IF_ERROR(
      impl_->DeletePrefix(Family::kInodes, InodesPrefix(volume), kWhat));
  return impl_->DeletePrefix(Family::kDirents, DirentsPrefix(volume), kWhat);
}

Status Catalog::ClearChangeMap(VolumeIndex volume) {
  return impl_->DeletePrefix(Family::kChanges, ChangeChunksPrefix(volume),
                             "delete a change map");
}

Status Catalog::CopyTree(VolumeIndex from, const CatalogSnapshot& snapshot,
                         VolumeIndex to) {
  if (from == to) {
    return Status(Errc::kInvalidArgument,
                  fmt::format("catalog: the tree of volume index {} cannot be "
                              "copied over itself",
                              from));
  }
  RETURN_IF_ERROR(ClearTree(to));
  rocksdb::WriteBatch batch;
  const auto write = [&] {
    const Status status = impl_->Write(&batch, Sync::kNo, "copy a tree");
    batch.Clear();
    return status;
  };
  for (const Family family : {Family::kInodes, Family::kDirents}) {
    const Key prefix =
        family == Family::kInodes ? InodesPrefix(from) : DirentsPrefix(from);
    RETURN_IF_ERROR(impl_->ScanPrefix(
        family, prefix, &snapshot, /*fill_cache=*/false,
        [&](std::string_view key, std::string_view value) -> Result<bool> {
          const rocksdb::Status put =
              batch.Put(impl_->Handle(family), RebaseKey(key, to), value);
          if (!put.ok()) return impl_->Failed(put, "copy " + DescribeKey(key));
          if (batch.GetDataSize() < kTreeBatchBytes) return true;
          const Status written = write();
          if (!written.ok()) return written;
          return true;
        }));
  }
  return write();
}

Result<std::string> Catalog::GetChangeChunk(
    VolumeIndex volume, uint32_t chunk, const CatalogSnapshot* snapshot) const {
  rocksdb::PinnableSlice value;
  ASSIGN_OR_RETURN(const bool found,
                   impl_->Get(Family::kChanges, ChangeChunkKey(volume, chunk),
                              snapshot, &value));
  return found ? value.ToString() : std::string();
}

Status Catalog::ForEachChangeChunk(
    VolumeIndex volume,
    const std::function<bool(uint32_t chunk, std::string_view value)>& visit,
    const CatalogSnapshot* snapshot) const {
  return impl_->ScanPrefix(
      Family::kChanges, ChangeChunksPrefix(volume), snapshot,
      /*fill_cache=*/false,
      [&](std::string_view key, std::string_view value) -> Result<bool> {
        const auto chunk = ParseChangeChunkKey(key);
        if (!chunk) {
          return AtKey(Status(Errc::kCorruption, "is no change map chunk"),
                       key);
        }
        return visit(*chunk, value);
      });
}

}  // namespace vellum
