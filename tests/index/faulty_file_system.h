// SPDX-License-Identifier: Apache-2.0
// A file system under RocksDB that runs full, fails reads and syncs, and loses
// power.
#pragma once

#include <rocksdb/file_system.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "media/mutex.h"

namespace rocksdb {
class Env;
}

namespace vellum {

// Syncs are recorded, not carried out: only what they promise is simulated.
// Renames, links and deletions count as durable at once. Thread-safe.
class FaultyFileSystem : public rocksdb::FileSystemWrapper {
 public:
  enum class Fault {
    kNone,
    kFull,        // an append writes half of its bytes, then kNoSpace
    kFailedSync,  // syncs report an I/O error
    kNoPower,     // nothing works
  };

  FaultyFileSystem();
  static const char* kClassName() { return "FaultyFileSystem"; }
  const char* Name() const override { return kClassName(); }

  void SetFault(Fault fault);
  // What GetFreeSpace answers from now on.
  void SetFreeSpace(uint64_t bytes);
  // `fault` from the `n`th append or sync from now on (1 = the next; 0: never).
  void FaultAt(uint64_t n, Fault fault);
  void CutPowerAt(uint64_t n) { FaultAt(n, Fault::kNoPower); }
  // The `n`th read of a table from now on fails, once; reads of logs, which
  // only an open database makes, do not count.
  void FailReadAt(uint64_t n);
  bool read_failed() const;
  // It was the database's own work, which ends a moment later: then the catalog
  // takes nothing more.
  bool background_read_failed() const;
  bool power() const;
  // Something is wrong: what FaultAt has asked for has come.
  bool faulty() const;
  // And an append or a sync has failed of it.
  bool struck() const;
  // From now on syncs answer that all is well and make nothing durable.
  void IgnoreSyncs();
  uint64_t appends_and_syncs() const;

  // After the database is closed: of every file, a random part of what was not
  // synced is gone: its end is cut off, a page of the rest is zeros.
  void LoseUnsynced(uint64_t seed);
  // The same of what syncs that failed were to make durable; by `seed` nothing,
  // all (the file ends before it, or holds zeros there), or a random part.
  void LoseFailed(uint64_t seed);

  rocksdb::IOStatus NewRandomAccessFile(
      const std::string& name, const rocksdb::FileOptions& options,
      std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
      rocksdb::IODebugContext* dbg) override;
  rocksdb::IOStatus NewWritableFile(
      const std::string& name, const rocksdb::FileOptions& options,
      std::unique_ptr<rocksdb::FSWritableFile>* result,
      rocksdb::IODebugContext* dbg) override;
  rocksdb::IOStatus ReopenWritableFile(
      const std::string& name, const rocksdb::FileOptions& options,
      std::unique_ptr<rocksdb::FSWritableFile>* result,
      rocksdb::IODebugContext* dbg) override;
  rocksdb::IOStatus NewDirectory(const std::string& name,
                                 const rocksdb::IOOptions& options,
                                 std::unique_ptr<rocksdb::FSDirectory>* result,
                                 rocksdb::IODebugContext* dbg) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* dbg) override;
  rocksdb::IOStatus GetFreeSpace(const std::string& path,
                                 const rocksdb::IOOptions& options,
                                 uint64_t* bytes,
                                 rocksdb::IODebugContext* dbg) override;
  rocksdb::IOStatus DeleteFile(const std::string& name,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* dbg) override;

 private:
  class File;
  class Table;
  struct Sizes {
    uint64_t written = 0;
    uint64_t synced = 0;
    uint64_t failed = 0;  // what was written when a sync failed last
  };
  // What the fault makes of an append or sync; counts it.
  Fault Operation();
  void Struck();
  void SyncFailed(const File* file);
  // A read of a table: true when it fails.
  bool ReadFails();
  void Written(const File* file, uint64_t bytes);
  void Synced(const File* file);

  mutable Mutex mu_;  // a leaf
  Fault fault_ GUARDED_BY(mu_) = Fault::kNone;
  uint64_t free_space_ GUARDED_BY(mu_) = UINT64_MAX;
  uint64_t operations_ GUARDED_BY(mu_) = 0;
  uint64_t fault_at_ GUARDED_BY(mu_) = 0;  // 0: never
  Fault next_fault_ GUARDED_BY(mu_) = Fault::kNone;
  bool struck_ GUARDED_BY(mu_) = false;
  uint64_t read_at_ GUARDED_BY(mu_) = 0;  // reads until one fails; 0: none
  bool read_failed_ GUARDED_BY(mu_) = false;
  bool background_read_failed_ GUARDED_BY(mu_) = false;
  bool ignore_syncs_ GUARDED_BY(mu_) = false;
  // Shared with the open file, which keeps writing after a rename.
  std::map<std::string, std::shared_ptr<Sizes>> files_ GUARDED_BY(mu_);
};

// The environment for Catalog::Options::env.
std::shared_ptr<rocksdb::Env> MakeEnv(
    const std::shared_ptr<FaultyFileSystem>& file_system);

}  // namespace vellum
