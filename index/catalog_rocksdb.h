// SPDX-License-Identifier: Apache-2.0
// Private to catalog*.cc: how Catalog sets RocksDB up and reads its answers.
//
// Thread-safety: functions without state.
#pragma once

#include <cstdint>
#include <string>

#include "index/keys.h"
#include "media/error.h"

namespace rocksdb {
class Status;
struct BlockBasedTableOptions;
struct ColumnFamilyOptions;
struct DBOptions;
}  // namespace rocksdb

namespace vellum {

// index/SCHEMA.md; raised when older programs would misread what is written.
inline constexpr uint64_t kCatalogSchemaVersion = 1;

// The one place where RocksDB's errors become ours. `context` says what was
// done to which key. REQUIRES: !status.ok()
Error TranslateRocksStatus(const rocksdb::Status& status,
                           const std::string& context);

// Name of the column family on disk. Never renamed.
const char* FamilyName(Family family);

rocksdb::DBOptions MakeDbOptions();
// One for all families: they share the block cache of `cache_bytes`.
rocksdb::BlockBasedTableOptions MakeTableOptions(uint64_t cache_bytes);
rocksdb::ColumnFamilyOptions MakeFamilyOptions(
    Family family, const rocksdb::BlockBasedTableOptions& table);

}  // namespace vellum
