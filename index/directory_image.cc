// SPDX-License-Identifier: Apache-2.0
#include "index/directory_image.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace vellum {
namespace {

constexpr size_t kMaxFid = kSectorSize;

uint32_t BlockOf(uint32_t first_block, size_t offset) {
  return first_block + static_cast<uint32_t>(offset / kSectorSize);
}

// The FID in exactly `length` bytes. One that another system wrote may take
// more in our form than in its own, or less by so little that it cannot be
// padded: kCorruption.
Result<Bytes> EncodeAtLength(const udf::Fid& fid, uint32_t block,
                             size_t length) {
  const Result<size_t> needed = udf::FidLength(fid);
  Bytes encoded;
  if (!needed.ok() || *needed > length ||
      !udf::EncodeFid(fid, block, length - *needed, &encoded).ok()) {
    return Error{Errc::kCorruption,
                 fmt::format("directory entry '{}' in block {} cannot be "
                             "written in {} bytes",
                             fid.name, block, length)};
  }
  return encoded;
}

}  // namespace

Result<DirectoryImage> DirectoryImage::Make(uint32_t parent_block,
                                            uint32_t parent_unique_id) {
  DirectoryImage image;
  udf::Fid parent;
  parent.parent = true;
  parent.directory = true;
  parent.icb_block = parent_block;
  parent.unique_id = parent_unique_id;
  // Tagged for block 0: the first Rewrite gives it its place.
  RETURN_IF_ERROR(udf::EncodeFid(parent, 0, 0, &image.content_));
  image.offsets_.push_back(0);
  return image;
}

Result<DirectoryImage> DirectoryImage::Parse(Bytes content,
                                             uint32_t first_block) {
  DirectoryImage image;
  RETURN_IF_ERROR(udf::ForEachFid(
      content, first_block, [&](size_t offset, const udf::DecodedFid& decoded) {
        const udf::Fid& fid = decoded.fid;
        if (fid.parent != (offset == 0) || (fid.parent && fid.deleted)) {
          return Status(Errc::kCorruption,
                        fmt::format("directory at block {}: the parent "
                                    "is not its first entry",
                                    first_block));
        }
        image.offsets_.push_back(static_cast<uint32_t>(offset));
        image.padding_ += decoded.length - decoded.needed;
        return Status::Ok();
      }));
  if (image.offsets_.empty()) {
    return Error{
        Errc::kCorruption,
        fmt::format("directory at block {} has no parent entry", first_block)};
  }
  image.content_ = std::move(content);
  return image;
}

Result<std::vector<size_t>> DirectoryImage::Find(
    const std::vector<NameRemoval>& removals) const {
  std::vector<size_t> out;
  out.reserve(removals.size());
  for (const NameRemoval& removal : removals) {
    const auto it =
        std::lower_bound(offsets_.begin(), offsets_.end(), removal.fid_offset);
    if (it == offsets_.end() || *it != removal.fid_offset ||
        it == offsets_.begin()) {
      return Error{Errc::kCorruption,
                   fmt::format("no directory entry at offset {} of {} bytes",
                               removal.fid_offset, content_.size())};
    }
    out.push_back(static_cast<size_t>(it - offsets_.begin()));
  }
  std::sort(out.begin(), out.end());
  return out;
}

void DirectoryImage::MarkChanged(size_t offset, size_t length) {
  for (size_t s = offset / kSectorSize; s * kSectorSize < offset + length;
       ++s) {
    changed_.insert(static_cast<uint32_t>(s));
  }
}

Status DirectoryImage::Append(std::vector<NameAddition>* additions,
                              uint32_t first_block) {
  for (NameAddition& addition : *additions) {
    const size_t offset = content_.size();
    addition.fid_offset = static_cast<uint32_t>(offset);
    RETURN_IF_ERROR(udf::EncodeFid(addition.fid, BlockOf(first_block, offset),
                                   0, &content_));
    offsets_.push_back(static_cast<uint32_t>(offset));
    MarkChanged(offset, content_.size() - offset);
  }
  return Status::Ok();
}

Result<bool> DirectoryImage::Edit(std::vector<NameRemoval> removals,
                                  std::vector<NameAddition>* additions,
                                  uint32_t first_block, bool keep_padding) {
  ASSIGN_OR_RETURN(const std::vector<size_t> gone, Find(removals));
  // Each run of removed FIDs, with the kept one before it.
  struct Swallow {
    size_t keeper = 0;
    size_t end = 0;  // first index behind the run
  };
  std::vector<Swallow> swallows;
  size_t removed_bytes = 0;
  for (const size_t index : gone) {
    removed_bytes += LengthAt(index);
    if (!swallows.empty() && swallows.back().end == index) {
      ++swallows.back().end;
    } else {
      swallows.push_back({index - 1, index + 1});
    }
  }
  auto end_offset = [this](size_t index) {
    return index < offsets_.size() ? offsets_[index] : content_.size();
  };
  for (const Swallow& s : swallows) {
    if (end_offset(s.end) - offsets_[s.keeper] > kMaxFid) return false;
  }
  const size_t padding = padding_ + removed_bytes;
  if (!keep_padding && padding > 2 * size_t{kSectorSize} &&
      padding > content_.size() / 2) {
    return false;
  }
  std::vector<Bytes> keepers;
  for (const Swallow& s : swallows) {
    const size_t offset = offsets_[s.keeper];
    const uint32_t block = BlockOf(first_block, offset);
    ASSIGN_OR_RETURN(
        const udf::DecodedFid keeper,
        udf::DecodeFid(ConstByteSpan(content_).subspan(offset), block));
    Result<Bytes> encoded =
        EncodeAtLength(keeper.fid, block, end_offset(s.end) - offset);
    if (!encoded.ok()) return false;
    keepers.push_back(std::move(*encoded));
  }
  for (size_t i = 0; i < keepers.size(); ++i) {
    const size_t offset = offsets_[swallows[i].keeper];
    std::copy(keepers[i].begin(), keepers[i].end(),
              content_.begin() + static_cast<ptrdiff_t>(offset));
    MarkChanged(offset, keepers[i].size());
  }
  if (!gone.empty()) {
    std::vector<uint32_t> kept;
    kept.reserve(offsets_.size() - gone.size());
    size_t next = 0;
    for (size_t i = 0; i < offsets_.size(); ++i) {
      if (next < gone.size() && gone[next] == i) {
        ++next;
      } else {
        kept.push_back(offsets_[i]);
      }
    }
    offsets_ = std::move(kept);
  }
  padding_ = padding;
  RETURN_IF_ERROR(Append(additions, first_block));
  return true;
}

Result<bool> DirectoryImage::Compact(
    const std::vector<NameRemoval>& removals,
    std::vector<NameAddition>* additions, uint32_t first_block,
    const std::function<void(uint32_t, uint32_t)>& moved) {
  ASSIGN_OR_RETURN(const std::vector<size_t> gone, Find(removals));
  std::vector<bool> is_gone(offsets_.size());
  for (const size_t index : gone) is_gone[index] = true;
  // Names at `end` and behind it are gone or have moved.
  size_t end = offsets_.size();
  const auto trim = [&] {
    while (is_gone[end - 1]) --end;  // the parent entry is never gone
  };
  trim();

  struct Piece {
    size_t offset = 0;
    Bytes data;
  };
  std::vector<Piece> pieces;
  std::vector<uint32_t> kept;
  std::vector<std::pair<uint32_t, uint32_t>> moves;
  std::optional<size_t> cut;  // nothing is left behind a gap that begins here
  for (size_t i = 0; i < end && !cut;) {
    kept.push_back(offsets_[i]);
    size_t behind = i + 1;
    while (behind < end && is_gone[behind]) ++behind;
    if (behind == i + 1) {
      i = behind;
      continue;
    }
    const size_t gap_end = offsets_[behind];
    size_t at = offsets_[i];      // of the FID that swallows what is left
    size_t source = offsets_[i];  // where that FID stands now
    for (;;) {
      const ConstByteSpan data = ConstByteSpan(content_).subspan(source);
      ASSIGN_OR_RETURN(const udf::DecodedFid fid,
                       udf::DecodeFid(data, BlockOf(first_block, source)));
      const bool last = end <= behind || gap_end - at <= kMaxFid;
      const size_t length = last && end > behind ? gap_end - at : fid.needed;
      Result<Bytes> encoded =
          EncodeAtLength(fid.fid, BlockOf(first_block, at), length);
      if (!encoded.ok() || at + length > gap_end) return false;
      pieces.push_back({at, std::move(*encoded)});
      at += length;
      if (last) {
        if (end <= behind) cut = at;
        break;
      }
      // The next one comes from the end.
      source = offsets_[--end];
      trim();
      moves.emplace_back(static_cast<uint32_t>(source),
                         static_cast<uint32_t>(at));
      kept.push_back(static_cast<uint32_t>(at));
    }
    i = behind;
  }
  if (!cut) cut = end < offsets_.size() ? offsets_[end] : content_.size();
  content_.resize(*cut);
  for (const Piece& piece : pieces) {
    std::copy(piece.data.begin(), piece.data.end(),
              content_.begin() + static_cast<ptrdiff_t>(piece.offset));
    MarkChanged(piece.offset, piece.data.size());
  }
  offsets_ = std::move(kept);
  for (const auto& [from, to] : moves) moved(from, to);
  padding_ = 0;
  RETURN_IF_ERROR(udf::ForEachFid(content_, first_block,
                                  [&](size_t, const udf::DecodedFid& decoded) {
                                    padding_ += decoded.length - decoded.needed;
                                    return Status::Ok();
                                  }));
  RETURN_IF_ERROR(Append(additions, first_block));
  return true;
}

Status DirectoryImage::Rewrite(
    std::vector<NameRemoval> removals, std::vector<NameAddition>* additions,
    uint32_t new_first_block,
    const std::function<void(uint32_t, uint32_t)>& moved) {
  ASSIGN_OR_RETURN(const std::vector<size_t> gone, Find(removals));
  Bytes old = std::move(content_);
  const std::vector<uint32_t> old_offsets = std::move(offsets_);
  content_ = Bytes();
  content_.reserve(old.size());
  offsets_ = {};
  padding_ = 0;
  size_t next = 0;
  for (size_t i = 0; i < old_offsets.size(); ++i) {
    if (next < gone.size() && gone[next] == i) {
      ++next;
      continue;
    }
    const size_t offset = old_offsets[i];
    // Its own tag says where it was; a new directory's parent entry says 0.
    const ConstByteSpan data = ConstByteSpan(old).subspan(offset);
    uint32_t location = 0;
    for (int b = 3; b >= 0; --b) {
      location = location << 8 |
                 std::to_integer<uint32_t>(data[12 + static_cast<size_t>(b)]);
    }
    ASSIGN_OR_RETURN(const udf::DecodedFid decoded,
                     udf::DecodeFid(data, location));
    // Another system left it behind: nobody sees it.
    if (decoded.fid.deleted) continue;
    const size_t at = content_.size();
    RETURN_IF_ERROR(udf::EncodeFid(decoded.fid, BlockOf(new_first_block, at), 0,
                                   &content_));
    offsets_.push_back(static_cast<uint32_t>(at));
    if (i > 0 && at != offset) {
      moved(static_cast<uint32_t>(offset), static_cast<uint32_t>(at));
    }
  }
  RETURN_IF_ERROR(Append(additions, new_first_block));
  changed_.clear();
  return Status::Ok();
}

Status DirectoryImage::SetParent(uint32_t parent_block,
                                 uint32_t parent_unique_id,
                                 uint32_t first_block) {
  const size_t length = LengthAt(0);
  ASSIGN_OR_RETURN(udf::DecodedFid parent,
                   udf::DecodeFid(content_, first_block));
  parent.fid.icb_block = parent_block;
  parent.fid.unique_id = parent_unique_id;
  ASSIGN_OR_RETURN(const Bytes encoded,
                   EncodeAtLength(parent.fid, first_block, length));
  std::copy(encoded.begin(), encoded.end(), content_.begin());
  MarkChanged(0, length);
  return Status::Ok();
}

std::set<uint32_t> DirectoryImage::TakeChangedSectors() {
  return std::exchange(changed_, {});
}

}  // namespace vellum
