// SPDX-License-Identifier: Apache-2.0
// Catalog: what Vellum knows of all volumes without touching a medium. RocksDB
// is hidden behind it. A cache of the media plus what only the library knows
// (jobs, history, pool): it can be deleted and rebuilt. Never loaded whole into
// memory.
//
// Thread-safety: every method may be called concurrently. Durability: what is
// written with Sync::kYes has survived a power cut when the call returns; later
// unsynced writes never survive without earlier ones.
// Errors: kCorruption (names the key), kNoSpace, kDeviceError. Every write, and
// Open, needs room on the file system: Options::disk_reserve and what it
// writes; below that it is refused with kNoSpace before the database is
// touched, and works again as soon as there is room. After a write that the
// database itself failed the batch is not applied, reading goes on, and all
// further writes are refused with that error until the catalog is reopened.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "index/records.h"
#include "media/error.h"

namespace rocksdb {
class Env;
}

namespace vellum {

enum class Sync : bool { kNo = false, kYes = true };

// A set of changes that is applied whole or not at all.
class CatalogBatch {
 public:
  CatalogBatch();
  CatalogBatch(CatalogBatch&&) noexcept;
  CatalogBatch& operator=(CatalogBatch&&) noexcept;
  ~CatalogBatch();

  void PutVolume(const VolumeRecord& record);
  void PutInode(VolumeIndex volume, InodeNumber ino, const InodeRecord& record);
  void DeleteInode(VolumeIndex volume, InodeNumber ino);
  void PutDirent(VolumeIndex volume, InodeNumber dir,
                 const DirentRecord& record);
  void DeleteDirent(VolumeIndex volume, InodeNumber dir, uint64_t cookie);
  // One chunk of the change map (index/change_map.h).
  void PutChangeChunk(VolumeIndex volume, uint32_t chunk,
                      std::string_view value);
  void DeletePending(VolumeIndex volume);
  void DeleteVolume(VolumeIndex volume);
  // Records of the layers above: `table` is a short name ("job", "history",
  // "pool", …), keys sort as bytes.
  void PutRow(std::string_view table, std::string_view key,
              std::string_view value);
  void DeleteRow(std::string_view table, std::string_view key);

  // Adds what a batch does that is applied after this one, and leaves out what
  // it undoes: of each key the last change stays.
  void Merge(const CatalogBatch& later);
  // The record that it puts of a volume. kCorruption: it puts none, or changes
  // what does not belong to that volume's tree and change map.
  Result<VolumeRecord> RecordOf(VolumeIndex volume) const;

  size_t bytes() const;
  // The batch as bytes, and back, for the pending protocol.
  std::string Serialize() const;
  static Result<CatalogBatch> Parse(std::string_view bytes);

 private:
  friend class Catalog;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The batch of a generation that was stored before the medium commits it.
struct PendingBatch {
  Generation generation;
  uint32_t record_crc = 0;
  std::string batch;  // CatalogBatch::Serialize
};

// A frozen view. Must not outlive the catalog.
class CatalogSnapshot {
 public:
  ~CatalogSnapshot();

 private:
  friend class Catalog;
  struct Impl;
  explicit CatalogSnapshot(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class Catalog {
 public:
  struct Options {
    uint64_t cache_bytes = 64ull << 20;
    bool in_memory = false;  // tests, `mount --image`: nothing touches the disk
    // Free bytes that the file system must have for a write. The database must
    // never meet a full disk: its log takes no more writes after an error.
    uint64_t disk_reserve = 16ull << 20;
    // Tests: what to use in place of the operating system (faults below the
    // database). Null: the default. The catalog keeps it alive.
    std::shared_ptr<rocksdb::Env> env;
  };
  // Makes the database when there is none. kIncompatible: newer schema version;
  // kBusy: another process has it.
  static Result<std::unique_ptr<Catalog>> Open(const std::string& path,
                                               const Options& options);
  ~Catalog();

  // kNoSpace when a write of `bytes` would be refused; the error that refuses
  // all of them. Cheap: one statvfs(2).
  Status CheckWrite(uint64_t bytes) const;
  // Bytes that it takes before it is full; UINT64_MAX: nothing is known to
  // limit them. Fails when it takes nothing until it is opened anew. Asks the
  // file system: not under a lock.
  Result<uint64_t> Room() const;
  Status Write(const CatalogBatch& batch, Sync sync);
  // Makes everything written so far durable.
  Status SyncLog();
  // What tells this catalog from all others: random, made when it is first
  // asked for, not synced by itself. The row "identity" of the table "catalog".
  Result<std::string> Identity();

  // Volumes.
  Result<std::vector<VolumeRecord>> Volumes() const;
  Result<VolumeRecord> GetVolume(VolumeIndex index) const;  // kNotFound
  // The next index, durably taken.
  Result<VolumeIndex> NewVolumeIndex();

  // Tree. `snapshot` null: the newest state.
  Result<InodeRecord> GetInode(VolumeIndex volume, InodeNumber ino,
                               const CatalogSnapshot* snapshot = nullptr) const;
  // All names of `dir` with this hash: normally none or one.
  Result<std::vector<DirentRecord>> FindDirents(
      VolumeIndex volume, InodeNumber dir, uint64_t hash56,
      const CatalogSnapshot* snapshot = nullptr) const;
  // kNotFound when the directory has no such name.
  Result<DirentRecord> FindDirent(
      VolumeIndex volume, InodeNumber dir, std::string_view name,
      const CatalogSnapshot* snapshot = nullptr) const;
  // Names with cookie > after, in cookie order, until `visit` answers false.
  using VisitDirent = std::function<bool(DirentRecord&&)>;
  Status ForEachDirent(VolumeIndex volume, InodeNumber dir, uint64_t after,
                       const VisitDirent& visit,
                       const CatalogSnapshot* snapshot = nullptr) const;
  using VisitInode = std::function<bool(InodeNumber, InodeRecord&&)>;
  Status ForEachInode(VolumeIndex volume, const VisitInode& visit,
                      const CatalogSnapshot* snapshot = nullptr) const;

  // Deletes the tree of a volume (inodes and names, not the record), or its
  // change map, in bounded batches that are not synced: a crash may leave a
  // part. Nothing may rely on what is deleted: the record of the volume says
  // so before, kScanning or kNone for the tree.
  Status ClearTree(VolumeIndex volume);
  Status ClearChangeMap(VolumeIndex volume);

  // Copies the tree (inodes and names) of one volume as of `snapshot` over that
  // of another, in bounded batches. The target's record must say kScanning
  // before and kValid after; the caller writes both.
  Status CopyTree(VolumeIndex from, const CatalogSnapshot& snapshot,
                  VolumeIndex to);

  // Change map chunks.
  Result<std::string> GetChangeChunk(
      VolumeIndex volume, uint32_t chunk,
      const CatalogSnapshot* snapshot = nullptr) const;  // empty when none
  Status ForEachChangeChunk(
      VolumeIndex volume,
      const std::function<bool(uint32_t chunk, std::string_view value)>& visit,
      const CatalogSnapshot* snapshot = nullptr) const;

  // The pending protocol (format: P before S3, but for small commits).
  // PutPending is synced.
  Status PutPending(VolumeIndex volume, const PendingBatch& pending);
  Result<std::optional<PendingBatch>> GetPending(VolumeIndex volume) const;
  // Applies the stored batch and deletes it in one atomic write (not synced:
  // the pending record stays behind until it is). With `batch` given, that one
  // is applied without reading the stored bytes.
  Status ApplyPending(VolumeIndex volume, const CatalogBatch* batch = nullptr);

  // Rows of the layers above.
  Result<std::string> GetRow(std::string_view table,
                             std::string_view key) const;
  Status ForEachRow(
      std::string_view table,
      const std::function<bool(std::string_view key, std::string_view value)>&
          visit) const;

  std::shared_ptr<CatalogSnapshot> Snapshot() const;

 private:
  struct Impl;
  explicit Catalog(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace vellum
