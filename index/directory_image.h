// SPDX-License-Identifier: Apache-2.0
// DirectoryImage: the content of one directory as it is on the medium, and how
// a batch of name changes turns it into the next. Pure: no I/O, no locks; only
// the committer uses it. (media/udf/FORMAT.md: rules 1 and 2 of a directory.)
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "media/error.h"
#include "media/types.h"
#include "media/udf/codec.h"

namespace vellum {

// A name that leaves the directory.
struct NameRemoval {
  uint32_t fid_offset = 0;  // bytes, of its FID in the content
};
// A name that enters it.
struct NameAddition {
  udf::Fid fid;
  uint32_t fid_offset = 0;  // out: where its FID is in the new content
};

class DirectoryImage {
 public:
  // A new directory: the parent FID alone.
  static Result<DirectoryImage> Make(uint32_t parent_block,
                                     uint32_t parent_unique_id);
  // Parses `content`, which starts at `first_block`. kCorruption.
  static Result<DirectoryImage> Parse(Bytes content, uint32_t first_block);

  const Bytes& content() const { return content_; }
  size_t size() const { return content_.size(); }
  size_t names() const { return offsets_.size(); }  // parent included

  // Removes and adds in place: a removed FID is swallowed by the one before
  // it, additions go to the end. Answers false, and has changed nothing, when
  // that cannot be done (a FID would pass 2048 bytes) or is not worth it (more
  // than half of the directory would be padding, unless `keep_padding`).
  // `first_block` is that of the content; additions get tag locations behind
  // it.
  Result<bool> Edit(std::vector<NameRemoval> removals,
                    std::vector<NameAddition>* additions, uint32_t first_block,
                    bool keep_padding = false);

  // As Edit, for removals that it cannot swallow: names from the end of the
  // content fill what a FID of 2048 bytes does not cover, and the content
  // becomes shorter. It changes no more sectors than those of the removed names
  // and the FIDs before them, and the additions. `moved(old_offset,
  // new_offset)` for each name that moved. False, and nothing is changed, when
  // a FID that another system wrote cannot be written anew.
  Result<bool> Compact(const std::vector<NameRemoval>& removals,
                       std::vector<NameAddition>* additions,
                       uint32_t first_block,
                       const std::function<void(uint32_t, uint32_t)>& moved);

  // The whole directory anew, without padding, in the old order with the
  // additions at the end. `moved(old_offset, new_offset)` for each name kept.
  Status Rewrite(std::vector<NameRemoval> removals,
                 std::vector<NameAddition>* additions, uint32_t new_first_block,
                 const std::function<void(uint32_t, uint32_t)>& moved);

  // The parent entry leads somewhere else (the directory was moved).
  Status SetParent(uint32_t parent_block, uint32_t parent_unique_id,
                   uint32_t first_block);

  // Sectors of the content that Edit and SetParent changed since the last call.
  std::set<uint32_t> TakeChangedSectors();

 private:
  size_t LengthAt(size_t index) const {
    return (index + 1 < offsets_.size() ? offsets_[index + 1]
                                        : content_.size()) -
           offsets_[index];
  }
  void MarkChanged(size_t offset, size_t length);
  // Index of each removal in offsets_, ascending. kCorruption: no such FID.
  Result<std::vector<size_t>> Find(
      const std::vector<NameRemoval>& removals) const;
  Status Append(std::vector<NameAddition>* additions, uint32_t first_block);

  Bytes content_;
  std::vector<uint32_t> offsets_;  // of every FID, ascending; [0] = parent
  size_t padding_ = 0;             // bytes of swallowed FIDs
  std::set<uint32_t> changed_;
};

}  // namespace vellum
