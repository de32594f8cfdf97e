// SPDX-License-Identifier: Apache-2.0
// The volume of one image file, read from the image alone. No libfuse here.
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fs/node_id.h"
#include "media/error.h"
#include "media/file_util.h"
#include "media/medium.h"
#include "media/mutex.h"
#include "media/udf/reader.h"

namespace vellum {

// Locks the image against the drives of a library (flock(2), shared) until the
// descriptor is closed. kBusy: a drive has it, its content moves.
Result<UniqueFd> LockImage(const std::string& path);

// Thread-safety: every method may be called concurrently. Memory: the listings
// of the few directories used last.
class ImageTree {
 public:
  using Block = uint32_t;  // of an ICB

  // A pending journal record is replayed in memory; the image is not written.
  // Takes a backup as well as a primary. As udf::ReadDescription, and
  // kCorruption for an incomplete backup; kBusy as LockImage. The lock is kept:
  // no drive changes the image meanwhile.
  static Result<std::unique_ptr<ImageTree>> Open(const std::string& path);

  Block root() const { return reader_->root_block(); }
  const std::string& volume_id() const { return volume_id_; }
  Result<udf::FileEntry> Entry(Block block) const;
  static struct stat ToStat(Block block, const udf::FileEntry& entry);
  // kNotFound.
  Result<Block> Lookup(Block dir, std::string_view name) const;
  // Names in the order on the medium; the index of a name is its offset.
  struct Listing {
    std::vector<udf::DirEntry> entries;
    std::unordered_map<std::string_view, size_t> by_name;  // into entries
  };
  Result<std::shared_ptr<const Listing>> List(Block dir) const;
  Result<size_t> Read(const udf::FileEntry& entry, uint64_t offset,
                      ByteSpan out) const;
  Status StatFs(struct statvfs* out) const;

 private:
  ImageTree() = default;

  UniqueFd lock_;
  std::unique_ptr<Medium> medium_;  // replayed
  std::unique_ptr<udf::Reader> reader_;
  std::string volume_id_;

  static constexpr size_t kCachedDirectories = 8;
  mutable Mutex mu_;  // a leaf
  // The one used last is in front.
  mutable std::list<std::pair<Block, std::shared_ptr<const Listing>>> cache_
      GUARDED_BY(mu_);
};

}  // namespace vellum
