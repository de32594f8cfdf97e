// SPDX-License-Identifier: Apache-2.0
#include "index/catalog_rocksdb.h"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/status.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <vector>

namespace vellum {
namespace {

constexpr uint64_t kMiB = 1ull << 20;
// Of all families together.
constexpr uint64_t kWriteBuffers = 64 * kMiB;
constexpr uint64_t kFamilyWriteBuffer = 16 * kMiB;
// A pending batch is one value of up to tens of MiB that is deleted soon: a
// larger buffer lets most of them die in memory.
constexpr uint64_t kPendingWriteBuffer = 32 * kMiB;

constexpr double kBloomBitsPerKey = 10;

rocksdb::CompressionType Compression() {
  const auto supported = rocksdb::GetSupportedCompressions();
  const bool lz4 = std::find(supported.begin(), supported.end(),
                             rocksdb::kLZ4Compression) != supported.end();
  return lz4 ? rocksdb::kLZ4Compression : rocksdb::kNoCompression;
}

Errc CodeOf(const rocksdb::Status& status) {
  using Rocks = rocksdb::Status;
  if (status.subcode() == Rocks::SubCode::kNoSpace ||
      status.subcode() == Rocks::SubCode::kSpaceLimit) {
    return Errc::kNoSpace;
  }
  switch (status.code()) {
    case Rocks::Code::kNotFound:
      return Errc::kNotFound;
    case Rocks::Code::kCorruption:
      return Errc::kCorruption;
    case Rocks::Code::kNotSupported:
      return Errc::kIncompatible;
    case Rocks::Code::kBusy:
    case Rocks::Code::kTryAgain:
      return Errc::kBusy;
    case Rocks::Code::kTimedOut:
      return Errc::kTimedOut;
    case Rocks::Code::kAborted:
    case Rocks::Code::kShutdownInProgress:
      return Errc::kAborted;
    case Rocks::Code::kIOError:
      return Errc::kDeviceError;
    default:
      return Errc::kInternal;
  }
}

}  // namespace

Error TranslateRocksStatus(const rocksdb::Status& status,
                           const std::string& context) {
  return Error{CodeOf(status), context + ": " + status.ToString()};
}

const char* FamilyName(Family family) {
  switch (family) {
    case Family::kMain:
      return "default";  // the one that RocksDB always has
    case Family::kInodes:
      return "inodes";
    case Family::kDirents:
      return "dirents";
    case Family::kChanges:
      return "changes";
    case Family::kPending:
      return "pending";
  }
  return "unknown";
}

rocksdb::DBOptions MakeDbOptions() {
  rocksdb::DBOptions options;
  options.create_if_missing = true;
  options.create_missing_column_families = true;

  // Recovery stops at the first gap in the log, so that a later write never
  // survives without an earlier one. This rules out recycled log files: the
  // end of such a file cannot be told from a gap, and RocksDB refuses to
  // combine the two. The files are preallocated instead.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  options.recycle_log_file_num = 0;
  options.max_total_wal_size = kWriteBuffers;

  // After an error nothing is tried again on this database (catalog.h): its own
  // recovery, and a flush at the end, would use a log that has failed.
  options.max_bgerror_resume_count = 0;
  options.avoid_flush_during_shutdown = true;

  // Bounded memory and bounded time to open, however large the catalog is.
  options.db_write_buffer_size = kWriteBuffers;
  options.max_open_files = 256;
  options.skip_stats_update_on_db_open = true;
  options.max_background_jobs = 2;
  options.bytes_per_sync = kMiB;
  options.avoid_unnecessary_blocking_io = true;

  // RocksDB's own text log: small, and only what is unusual.
  options.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  options.max_log_file_size = kMiB;
  options.keep_log_file_num = 2;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.max_manifest_file_size = 16 * kMiB;
  return options;
}

rocksdb::BlockBasedTableOptions MakeTableOptions(uint64_t cache_bytes) {
  rocksdb::BlockBasedTableOptions table;
  constexpr int kShardBits = 4;
  constexpr bool kStrictLimit = false;
  constexpr double kIndexShare = 0.5;  // may be held against data blocks
  table.block_cache =
      rocksdb::NewLRUCache(cache_bytes, kShardBits, kStrictLimit, kIndexShare);
  // Indexes and filters in small pieces: those of a table with a million keys
  // are larger than a shard of the cache, and would be read for each look-up.
  table.index_type = rocksdb::BlockBasedTableOptions::kTwoLevelIndexSearch;
  table.partition_filters = true;
  table.metadata_block_size = 8 << 10;
  table.cache_index_and_filter_blocks = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(kBloomBitsPerKey));
  table.block_size = 8 << 10;
  table.format_version = 5;
  return table;
}

rocksdb::ColumnFamilyOptions MakeFamilyOptions(
    Family family, const rocksdb::BlockBasedTableOptions& table) {
  rocksdb::ColumnFamilyOptions options;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.compression = Compression();
  options.level_compaction_dynamic_level_bytes = true;
  options.write_buffer_size =
      family == Family::kPending ? kPendingWriteBuffer : kFamilyWriteBuffer;
  options.max_write_buffer_number = 3;
  if (family == Family::kInodes || family == Family::kDirents) {
    // Most look-ups of a name or inode that is being created find nothing.
    options.memtable_prefix_bloom_size_ratio = 0.05;
    options.memtable_whole_key_filtering = true;
  }
  if (family == Family::kDirents) {
    options.prefix_extractor.reset(
        rocksdb::NewFixedPrefixTransform(kDirentHashPrefix));
  }
  return options;
}

}  // namespace vellum
