// SPDX-License-Identifier: Apache-2.0
// Reads a volume from its medium alone: what rescan, fsck, `mount --image` and
// the tests use. Trusts nothing on the medium: every address is checked, loops
// are found, and what is wrong is said with its block.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "media/error.h"
#include "media/medium.h"
#include "media/udf/codec.h"
#include "media/udf/format.h"

namespace vellum::udf {

struct DirEntry {
  Fid fid;
  size_t offset = 0;  // of the FID in the directory's content, bytes
  size_t length = 0;  // bytes, swallowed ones included
};

// Thread-safety: const methods may be called concurrently. The medium must
// outlive the reader and be replayed (ReplayJournal or ReplayedMedium).
class Reader {
 public:
  static Result<std::unique_ptr<Reader>> Open(Medium* medium);

  const VolumeDescription& description() const { return description_; }
  uint32_t root_block() const { return description_.geometry.root_block; }
  Result<FileEntry> ReadEntry(uint32_t icb_block) const;
  // The same; `follow` is asked before each further block that the entry itself
  // consists of is read (its descriptors, a symlink's target); its error ends
  // the reading.
  Result<FileEntry> ReadEntry(
      uint32_t icb_block,
      const std::function<Status(uint32_t block)>& follow) const;
  // The directory's entries without the parent and deleted ones.
  Result<std::vector<DirEntry>> ReadDirectory(const FileEntry& directory) const;
  // Reads up to out.size() bytes at `offset`; answers the count (short at the
  // end). Holes and unwritten extents read as zeros.
  Result<size_t> ReadFile(const FileEntry& entry, uint64_t offset,
                          ByteSpan out) const;
  Result<Lvid> ReadLvid() const;

  // Every directory and file reachable from the root, parents first. `entry` is
  // visited once per inode; `link` once per name.
  struct Visitor {
    std::function<Status(uint32_t icb, const FileEntry&)> inode;
    std::function<Status(uint32_t parent_icb, const DirEntry&)> link;
  };
  // kCorruption on a directory loop or a bad structure.
  Status Walk(const Visitor& visitor) const;

 private:
  Reader(Medium* medium, VolumeDescription description)
      : medium_(medium), description_(std::move(description)) {}
  Medium* medium_;
  VolumeDescription description_;
};

}  // namespace vellum::udf
