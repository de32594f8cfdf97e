// SPDX-License-Identifier: Apache-2.0
// Overlay: the old content of sectors that were overwritten in place while a
// snapshot needs them. In memory first, then in an unnamed file of the spool.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "media/error.h"
#include "media/mutex.h"
#include "media/types.h"
#include "media/udf/codec.h"

namespace vellum {

// Thread-safety: all methods may be called concurrently; one writer at a time.
class Overlay {
 public:
  // `limit`: bytes that it may keep. `directory` empty: memory only.
  Overlay(uint64_t limit, std::string directory);
  ~Overlay();

  bool Has(uint64_t sector) const;
  // Keeps the first content given for a sector. kNoSpace: past the limit or the
  // spool is full; then the overlay is not whole and Error() stays set.
  Status Put(uint64_t sector, const udf::Sector& content);
  // What it was to keep could not be had: it is not whole any more. The first
  // reason stays.
  void Fail(const Status& why);
  // Replaces the sectors that it holds in `data` (whole sectors from `lba`).
  Status Patch(uint64_t lba, ByteSpan data) const;
  // Why the overlay is not whole; Ok while it is.
  Status Whole() const;
  uint64_t sectors() const;

 private:
  struct Place {
    std::shared_ptr<const udf::Sector> memory;
    int64_t file_offset = -1;
  };
  const uint64_t limit_;
  const std::string directory_;
  mutable Mutex mu_;  // leaf
  std::unordered_map<uint64_t, Place> places_ GUARDED_BY(mu_);
  int fd_ GUARDED_BY(mu_) = -1;
  int64_t file_end_ GUARDED_BY(mu_) = 0;
  Status error_ GUARDED_BY(mu_);
};

}  // namespace vellum
