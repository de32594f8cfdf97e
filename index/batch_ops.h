// SPDX-License-Identifier: Apache-2.0
// What a CatalogBatch is made of: elementary changes as bytes (index/SCHEMA.md,
// "Batches"). Independent of RocksDB: these bytes are what a pending batch
// keeps.
//
// Thread-safety: values; no shared state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "index/catalog.h"
#include "index/keys.h"
#include "media/error.h"

namespace vellum {

enum class OpKind : uint8_t {
  kPut = 1,
  kDelete = 2,
};

struct BatchOp {
  OpKind kind = OpKind::kPut;
  Family family = Family::kMain;
  std::string_view key;
  std::string_view value;  // of a kPut
};

// Walks over the operations of encoded bytes, which may be anything.
class BatchReader {
 public:
  explicit BatchReader(std::string_view ops) : left_(ops) {}
  // False at the end and at the first malformed byte.
  bool Next(BatchOp* op);
  // REQUIRES: Next returned false. kCorruption when it was no regular end.
  Status status() const;

 private:
  std::string_view left_;
  bool malformed_ = false;
};

struct CatalogBatch::Impl {
  std::string ops;

  void Put(Family family, std::string_view key, std::string_view value);
  void Delete(Family family, std::string_view key);
};

}  // namespace vellum
