// SPDX-License-Identifier: Apache-2.0
// Private to catalog*.cc: the database behind a Catalog.
#pragma once

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/iterator.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>
#include <rocksdb/write_batch.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "index/catalog.h"
#include "index/catalog_rocksdb.h"
#include "index/keys.h"
#include "media/mutex.h"

namespace vellum {

// The error of a row that is there but wrong.
inline Error AtKey(const Status& status, std::string_view key) {
  return status.WithContext("catalog: " + DescribeKey(key)).error();
}

struct CatalogSnapshot::Impl {
  Impl(rocksdb::DB* database, const rocksdb::Snapshot* taken)
      : db(database), snapshot(taken) {}
  ~Impl() { db->ReleaseSnapshot(snapshot); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  rocksdb::DB* const db;
  const rocksdb::Snapshot* const snapshot;
};

// What the database reports of its work in the background. Thread-safe.
class CatalogWatch : public rocksdb::EventListener {
 public:
  void OnBackgroundError(rocksdb::BackgroundErrorReason reason,
                         rocksdb::Status* error) override;
  // Its own recovery would write to a log that has failed.
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason reason,
                            rocksdb::Status error,
                            bool* auto_recovery) override;
  void Fail(const Error& error);  // the first one stays
  Status failure() const;

 private:
  mutable Mutex mu_;  // a leaf
  Status failure_ GUARDED_BY(mu_);
};

struct Catalog::Impl {
  std::string path;
  uint64_t disk_reserve = 0;
  // Outlives db, which keeps it, too.
  const std::shared_ptr<CatalogWatch> watch = std::make_shared<CatalogWatch>();
  std::shared_ptr<rocksdb::Env> env;  // null: the default; outlives db
  std::unique_ptr<rocksdb::DB> db;
  std::array<rocksdb::ColumnFamilyHandle*, kFamilies> handles{};

  // Held over the read and the write of NewVolumeIndex and Identity. No other
  // lock is taken with it held.
  Mutex index_mu;

  ~Impl();

  rocksdb::ColumnFamilyHandle* Handle(Family family) const {
    return handles[static_cast<size_t>(family)];
  }
  Error Failed(const rocksdb::Status& status, const std::string& what) const {
    return TranslateRocksStatus(status,
                                fmt::format("catalog {}: {}", path, what));
  }
  // Room for `bytes` beyond the reserve on the file system of `directory`.
  Status CheckRoom(const std::string& directory, uint64_t bytes) const;
  // UINT64_MAX: nobody knows.
  uint64_t FreeBytes(const std::string& directory) const;
  Status CheckAlive() const;
  Status CheckWrite(uint64_t bytes) const;
  Status Open(const Options& options);
  Status CheckFamilies(const rocksdb::DBOptions& options);
  // Without CURRENT the database would be made anew over what is there.
  Status CheckNothingThere(rocksdb::Env* files) const;
  // RocksDB takes a MANIFEST whose end is missing for one that was never
  // longer, and deletes the tables that it does not name. So its size is noted
  // where all of it is durable: when the database was opened and when it was
  // closed. A note that is missing or torn says nothing.
  Status CheckManifest(rocksdb::Env* files) const;
  // Zeros in the place of a record end its block for RocksDB, silently.
  Status CheckRecords(rocksdb::Env* files, const std::string& name,
                      uint64_t noted) const;
  // RocksDB syncs each change of the MANIFEST before it acts on it, but refuses
  // a MANIFEST whose end is torn: what power cut off there, behind the size
  // that was noted and with nothing whole after it, is left out.
  Status CutTornEnd(rocksdb::Env* files) const;
  void NoteManifest() const;
  Status CheckSchema();
  Result<bool> Empty() const;

  rocksdb::ReadOptions Reading(const CatalogSnapshot* snapshot) const {
    rocksdb::ReadOptions options;
    if (snapshot != nullptr) options.snapshot = snapshot->impl_->snapshot;
    return options;
  }
  // False: there is no such key.
  Result<bool> Get(Family family, std::string_view key,
                   const CatalogSnapshot* snapshot,
                   rocksdb::PinnableSlice* value) const;
  // Calls visit(key, value) -> Result<bool> for the keys of [begin, end) in
  // order, until it answers false or an error.
  template <typename Visit>
  Status Scan(Family family, std::string_view begin, std::string_view end,
              const CatalogSnapshot* snapshot, bool fill_cache,
              const Visit& visit) const;
  template <typename Visit>
  Status ScanPrefix(Family family, std::string_view prefix,
                    const CatalogSnapshot* snapshot, bool fill_cache,
                    const Visit& visit) const {
    return Scan(family, prefix, PrefixEnd(prefix), snapshot, fill_cache, visit);
  }
  Status Append(std::string_view ops, rocksdb::WriteBatch* out) const;
  // Deletes every key that begins so, in bounded batches, not synced. Key by
  // key: RocksDB 7.8 with its assertions on, as Debian builds it, aborts when
  // the disk fails under a compaction whose output is deleted ranges alone.
  Status DeletePrefix(Family family, std::string_view prefix, const char* what);
  Status Write(rocksdb::WriteBatch* batch, Sync sync, const char* what);
  Status SyncLog();
};

template <typename Visit>
Status Catalog::Impl::Scan(Family family, std::string_view begin,
                           std::string_view end,
                           const CatalogSnapshot* snapshot, bool fill_cache,
                           const Visit& visit) const {
  const rocksdb::Slice upper(end);
  rocksdb::ReadOptions options = Reading(snapshot);
  options.total_order_seek = true;  // a range crosses Bloom prefixes
  options.iterate_upper_bound = &upper;
  options.fill_cache = fill_cache;
  const std::unique_ptr<rocksdb::Iterator> it(
      db->NewIterator(options, Handle(family)));
  for (it->Seek(begin); it->Valid(); it->Next()) {
    ASSIGN_OR_RETURN(const bool more, visit(it->key().ToStringView(),
                                            it->value().ToStringView()));
    if (!more) return Status::Ok();
  }
  if (it->status().ok()) return Status::Ok();
  return Failed(it->status(), "read on from " + DescribeKey(begin));
}

}  // namespace vellum
