// SPDX-License-Identifier: Apache-2.0
#include "media/udf/reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "media/udf/bytes.h"
#include "media/udf/sector_io.h"
#include "media/udf/sector_stream.h"

namespace vellum::udf {
namespace {

// The entries of a zone stand together, so a walk reads regions and keeps the
// last one. Not for concurrent use.
class RegionCache {
 public:
  RegionCache(Medium* medium, const Geometry& geometry)
      : medium_(medium), geometry_(geometry) {}

  Status Read(uint32_t block, Sector* out) {
    const uint64_t sector = geometry_.Sector(block);
    const uint64_t first = sector / kRegionSectors * kRegionSectors;
    if (region_.empty() || first != first_) {
      region_.resize(kRegionSize);
      const Status status = medium_->Read(first, region_);
      if (!status.ok()) {
        region_.clear();
        // One bad sector does not take its neighbours with it.
        return medium_->Read(sector, *out);
      }
      first_ = first;
    }
    const ConstByteSpan found = ConstByteSpan(region_).subspan(
        (sector - first) * kSectorSize, kSectorSize);
    std::copy(found.begin(), found.end(), out->begin());
    return Status::Ok();
  }

 private:
  Medium* const medium_;
  const Geometry& geometry_;
  Bytes region_;
  uint64_t first_ = 0;
};

// `read_chain`: for allocation extent descriptors.
Result<FileEntry> DecodeAt(uint32_t block, const Geometry& geometry,
                           const ReadBlock& read, const ReadBlock& read_chain) {
  if (block >= geometry.partition_blocks) {
    return Error{
        Errc::kCorruption,
        fmt::format("file entry in block {}, outside the partition", block)};
  }
  Sector icb;
  RETURN_IF_ERROR(read(block, &icb));
  return DecodeFileEntry(icb, block, geometry.partition_blocks, read_chain);
}

}  // namespace

Result<std::unique_ptr<Reader>> Reader::Open(Medium* medium) {
  ASSIGN_OR_RETURN(VolumeDescription description, ReadDescription(*medium));
  return std::unique_ptr<Reader>(new Reader(medium, std::move(description)));
}

Result<FileEntry> Reader::ReadEntry(uint32_t icb_block) const {
  const Geometry& g = description_.geometry;
  const ReadBlock read = [this, &g](uint32_t block, Sector* out) {
    return medium_->Read(g.Sector(block), *out);
  };
  return DecodeAt(icb_block, g, read, read);
}

Result<FileEntry> Reader::ReadEntry(
    uint32_t icb_block,
    const std::function<Status(uint32_t block)>& follow) const {
  const Geometry& g = description_.geometry;
  const ReadBlock read = [this, &g](uint32_t block, Sector* out) {
    return medium_->Read(g.Sector(block), *out);
  };
  const ReadBlock read_chain = [&](uint32_t block, Sector* out) {
    RETURN_IF_ERROR(follow(block));
    return read(block, out);
  };
  return DecodeAt(icb_block, g, read, read_chain);
}

Result<std::vector<DirEntry>> Reader::ReadDirectory(
    const FileEntry& directory) const {
  if (directory.attr.type != FileType::kDirectory) {
    return Error{Errc::kNotDirectory, "not a directory"};
  }
  if (directory.extents.size() != 1 || directory.extents[0].unwritten ||
      directory.attr.size > kMaxDirectorySize) {
    return Error{Errc::kCorruption,
                 fmt::format("directory of {} extents: it has to be one "
                             "recorded one",
                             directory.extents.size())};
  }
  const uint32_t first_block = directory.extents[0].block;
  if (directory.extents[0].file_sector != 0 ||
      directory.attr.size >
          uint64_t{directory.extents[0].count} * kSectorSize) {
    return Error{Errc::kCorruption,
                 fmt::format("directory in block {}: its extent of {} blocks "
                             "does not hold its {} bytes",
                             first_block, directory.extents[0].count,
                             directory.attr.size)};
  }
  Bytes content(directory.attr.size);
  ASSIGN_OR_RETURN(const size_t read, ReadFile(directory, 0, content));
  VELLUM_CHECK(read == content.size());
  std::vector<DirEntry> entries;
  bool parent_seen = false;
  RETURN_IF_ERROR(ForEachFid(
      content, first_block, [&](size_t offset, const DecodedFid& decoded) {
        if (decoded.fid.parent != (offset == 0)) {
          return Status(Errc::kCorruption,
                        fmt::format("directory in block {}: the parent is not "
                                    "its first entry",
                                    first_block));
        }
        parent_seen |= decoded.fid.parent;
        if (!decoded.fid.parent && !decoded.fid.deleted) {
          entries.push_back({decoded.fid, offset, decoded.length});
        }
        return Status::Ok();
      }));
  if (!parent_seen) {
    return Error{Errc::kCorruption,
                 fmt::format("directory in block {} is empty: it has no parent",
                             first_block)};
  }
  return entries;
}

Result<size_t> Reader::ReadFile(const FileEntry& entry, uint64_t offset,
                                ByteSpan out) const {
  const uint64_t size = entry.attr.size;
  if (offset >= size) return size_t{0};
  out = out.first(std::min<uint64_t>(out.size(), size - offset));
  if (entry.inline_data) {
    StoreBytes(out, 0,
               ConstByteSpan(*entry.inline_data).subspan(offset, out.size()));
    return out.size();
  }
  std::fill(out.begin(), out.end(), std::byte{0});
  const uint64_t end = offset + out.size();
  // The first extent that ends behind the offset.
  auto extent = std::upper_bound(
      entry.extents.begin(), entry.extents.end(), offset / kSectorSize,
      [](uint64_t sector, const Extent& e) { return sector < e.file_end(); });
  Bytes bounce;
  for (; extent != entry.extents.end(); ++extent) {
    const uint64_t from =
        std::max(offset, extent->file_sector * uint64_t{kSectorSize});
    const uint64_t to = std::min(end, extent->file_end() * kSectorSize);
    if (from >= end) break;
    if (extent->unwritten) continue;
    for (uint64_t at = from; at < to;) {
      const uint64_t sector = at / kSectorSize;
      const uint64_t lba = description_.geometry.Sector(extent->block) +
                           (sector - extent->file_sector);
      const uint64_t count =
          std::min((to - 1) / kSectorSize - sector + 1, kTransferSectors);
      const uint64_t take = std::min(to, (sector + count) * kSectorSize) - at;
      const ByteSpan part = out.subspan(at - offset, take);
      if (take == count * kSectorSize) {
        RETURN_IF_ERROR(medium_->Read(lba, part));
      } else {
        bounce.resize(count * kSectorSize);
        RETURN_IF_ERROR(medium_->Read(lba, bounce));
        StoreBytes(part, 0,
                   ConstByteSpan(bounce).subspan(at % kSectorSize, take));
      }
      at += take;
    }
  }
  return out.size();
}

Result<Lvid> Reader::ReadLvid() const {
  ASSIGN_OR_RETURN(const Sector sector, ReadSector(*medium_, kLvidSector));
  ASSIGN_OR_RETURN(const DecodedLvid decoded, DecodeLvid(sector));
  return decoded.lvid;
}

Status Reader::Walk(const Visitor& visitor) const {
  const Geometry& g = description_.geometry;
  RegionCache cache(medium_, g);
  const ReadBlock read = [&cache](uint32_t block, Sector* out) {
    return cache.Read(block, out);
  };
  // A chain that many entries share would be followed for each of them.
  std::vector<bool> chained(g.partition_blocks);
  const ReadBlock read_chain = [&cache, &chained](uint32_t block, Sector* out) {
    if (chained[block]) {
      return Status(Errc::kCorruption,
                    fmt::format("the allocation extent descriptor in block {} "
                                "belongs to two file entries",
                                block));
    }
    chained[block] = true;
    return cache.Read(block, out);
  };
  std::vector<bool> seen(g.partition_blocks);
  struct Pending {
    uint32_t icb;
    FileEntry entry;
  };
  std::vector<Pending> directories;

  ASSIGN_OR_RETURN(FileEntry root, DecodeAt(g.root_block, g, read, read_chain));
  if (root.attr.type != FileType::kDirectory) {
    return Status(Errc::kCorruption,
                  fmt::format("file entry in block {}: the root is not a "
                              "directory",
                              g.root_block));
  }
  seen[g.root_block] = true;
  if (visitor.inode) RETURN_IF_ERROR(visitor.inode(g.root_block, root));
  directories.push_back({g.root_block, std::move(root)});
  while (!directories.empty()) {
    const Pending directory = std::move(directories.back());
    directories.pop_back();
    Result<std::vector<DirEntry>> entries = ReadDirectory(directory.entry);
    if (!entries.ok()) {
      return entries.status().WithContext(
          fmt::format("directory entry in block {}", directory.icb));
    }
    for (const DirEntry& link : *entries) {
      if (visitor.link) RETURN_IF_ERROR(visitor.link(directory.icb, link));
      const uint32_t icb = link.fid.icb_block;
      if (icb < g.partition_blocks && seen[icb]) {
        if (!link.fid.directory) continue;
        return Status(Errc::kCorruption,
                      fmt::format("directory '{}' in block {} has two parents",
                                  link.fid.name, icb));
      }
      ASSIGN_OR_RETURN(FileEntry entry, DecodeAt(icb, g, read, read_chain));
      const bool is_directory = entry.attr.type == FileType::kDirectory;
      if (is_directory != link.fid.directory) {
        return Status(Errc::kCorruption,
                      fmt::format("'{}' in block {}: name and file entry "
                                  "disagree about a directory",
                                  link.fid.name, icb));
      }
      seen[icb] = true;
      if (visitor.inode) RETURN_IF_ERROR(visitor.inode(icb, entry));
      if (is_directory) directories.push_back({icb, std::move(entry)});
    }
  }
  return Status::Ok();
}

}  // namespace vellum::udf
