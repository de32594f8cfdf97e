// SPDX-License-Identifier: Apache-2.0
#include "media/udf/fsck_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "media/udf/codec.h"
#include "media/udf/sector_stream.h"

namespace vellum::udf {
namespace {

constexpr size_t kMaxFindings = 1000;
constexpr uint64_t kFirstUniqueId = 16;

}  // namespace

void Findings::Add(uint64_t sector, std::string text) {
  ++report_->error_count;
  if (report_->errors.size() < kMaxFindings) {
    report_->errors.push_back({sector, std::move(text)});
  }
}

void Findings::AddIfError(uint64_t sector, const Status& status) {
  if (!status.ok()) Add(sector, status.error().message);
}

TreeCheck::TreeCheck(const Reader& reader, Medium* medium, bool check_data,
                     FsckReport* report, Findings* findings)
    : reader_(reader),
      geometry_(reader.description().geometry),
      medium_(medium),
      check_data_(check_data),
      report_(report),
      findings_(findings),
      used_(geometry_.partition_blocks),
      followed_(geometry_.partition_blocks),
      inodes_(geometry_.partition_blocks) {}

uint64_t TreeCheck::SectorOf(uint32_t block) const {
  return geometry_.Sector(block);
}

void TreeCheck::Use(uint32_t block, uint32_t count, uint32_t owner) {
  bool twice = false;
  for (uint32_t i = block; i < block + count; ++i) {
    if (used_[i] && !twice) {
      findings_->Add(SectorOf(i),
                     fmt::format("block {} of the file entry in block {} is "
                                 "in use already (double allocation)",
                                 i, owner));
      twice = true;
    }
    used_[i] = true;
  }
}

Result<FileEntry> TreeCheck::ReadEntry(uint32_t icb) {
  return reader_.ReadEntry(icb, [this, icb](uint32_t block) {
    if (followed_[block]) {
      return Status(Errc::kCorruption,
                    fmt::format("file entry in block {} goes on in block {}, "
                                "which belongs to another one (double "
                                "allocation)",
                                icb, block));
    }
    followed_[block] = true;
    return Status::Ok();
  });
}

void TreeCheck::Run() {
  std::fill_n(used_.begin(), geometry_.root_block, true);
  const Result<FileEntry> root = ReadEntry(geometry_.root_block);
  if (!root.ok()) {
    findings_->Add(SectorOf(geometry_.root_block), root.error().message);
    return;
  }
  if (root->attr.type != FileType::kDirectory || root->attr.unique_id != 0) {
    findings_->Add(SectorOf(geometry_.root_block),
                   "the root is not a directory with unique id 0");
    return;
  }
  inodes_[geometry_.root_block] = true;
  CheckInode(geometry_.root_block, *root);
  pending_.push_back({geometry_.root_block, geometry_.root_block, 0, *root});
  while (!pending_.empty()) {
    const Directory directory = std::move(pending_.back());
    pending_.pop_back();
    CheckDirectory(directory);
  }
  CheckLinkCounts();
  CheckUniqueIds();
}

void TreeCheck::CheckInode(uint32_t icb, const FileEntry& entry) {
  Use(icb, 1, icb);
  for (const uint32_t aed : entry.aed_blocks) Use(aed, 1, icb);
  for (const Extent& extent : entry.extents) {
    Use(extent.block, extent.count, icb);
  }
  report_->extents += entry.extents.size();
  switch (entry.attr.type) {
    case FileType::kDirectory:
      ++report_->directories;
      break;
    case FileType::kRegular:
      ++report_->files;
      break;
    default:
      ++report_->other;
      break;
  }
  if (icb != geometry_.root_block) {
    unique_ids_.push_back(entry.attr.unique_id);
    if (entry.attr.unique_id < kFirstUniqueId) {
      findings_->Add(SectorOf(icb), fmt::format("unique id {} is reserved",
                                                entry.attr.unique_id));
    }
  }
  if (check_data_) CheckData(entry);
}

void TreeCheck::CheckData(const FileEntry& entry) {
  Bytes buffer(kTransferSectors * kSectorSize);
  for (const Extent& extent : entry.extents) {
    if (extent.unwritten) continue;
    for (uint64_t done = 0; done < extent.count;) {
      const uint64_t count = std::min(extent.count - done, kTransferSectors);
      const uint64_t sector = SectorOf(extent.block) + done;
      findings_->AddIfError(
          sector,
          medium_->Read(sector, ByteSpan(buffer).first(count * kSectorSize)));
      done += count;
    }
  }
}

void TreeCheck::CheckParent(const Directory& directory, const Fid& fid) {
  if (fid.icb_block != directory.parent_icb ||
      fid.unique_id != static_cast<uint32_t>(directory.parent_unique_id)) {
    findings_->Add(
        SectorOf(directory.entry.extents[0].block),
        fmt::format("parent of the directory in block {} is block "
                    "{} (unique id {}), its entry says {} ({})",
                    directory.icb, directory.parent_icb,
                    directory.parent_unique_id, fid.icb_block, fid.unique_id));
  }
}

void TreeCheck::CheckDirectory(const Directory& directory) {
  const FileEntry& entry = directory.entry;
  const uint64_t icb_sector = SectorOf(directory.icb);
  if (entry.inline_data || entry.extents.size() != 1 ||
      entry.extents[0].unwritten || entry.attr.size > kMaxDirectorySize) {
    findings_->Add(icb_sector,
                   fmt::format("directory in block {} is not one recorded "
                               "extent",
                               directory.icb));
    return;
  }
  Bytes content(entry.attr.size);
  const Result<size_t> read = reader_.ReadFile(entry, 0, content);
  if (!read.ok()) {
    findings_->Add(SectorOf(entry.extents[0].block), read.error().message);
    return;
  }
  uint32_t subdirectories = 0;
  std::unordered_set<std::string> names;
  bool parent_seen = false;
  const Status status = ForEachFid(
      content, entry.extents[0].block,
      [&](size_t offset, const DecodedFid& decoded) {
        const Fid& fid = decoded.fid;
        const uint64_t sector =
            SectorOf(entry.extents[0].block) + offset / kSectorSize;
        if (fid.parent != (offset == 0)) {
          findings_->Add(sector,
                         fmt::format("directory in block {}: the parent is "
                                     "not its first entry alone",
                                     directory.icb));
        }
        if (fid.deleted) {
          findings_->Add(sector,
                         fmt::format("directory in block {} has a deleted "
                                     "entry",
                                     directory.icb));
        } else if (fid.parent) {
          parent_seen = true;
          CheckParent(directory, fid);
        } else {
          if (!names.insert(fid.name).second) {
            findings_->Add(sector,
                           fmt::format("directory in block {} has the name "
                                       "'{}' twice",
                                       directory.icb, fid.name));
          }
          if (CheckLink(directory, fid)) ++subdirectories;
        }
        return Status::Ok();
      });
  findings_->AddIfError(SectorOf(entry.extents[0].block), status);
  if (status.ok() && !parent_seen) {
    findings_->Add(icb_sector,
                   fmt::format("directory in block {} has no parent entry",
                               directory.icb));
  }
  if (entry.attr.links != 2 + subdirectories) {
    findings_->Add(
        icb_sector,
        fmt::format("directory in block {} has link count {} and "
                    "{} subdirectories",
                    directory.icb, entry.attr.links, subdirectories));
  }
}

bool TreeCheck::CheckLink(const Directory& directory, const Fid& fid) {
  if (!fid.directory) ++file_names_;
  const uint32_t icb = fid.icb_block;
  if (icb >= geometry_.partition_blocks) {
    findings_->Add(SectorOf(directory.entry.extents[0].block),
                   fmt::format("'{}' points to block {}, outside the "
                               "partition",
                               fid.name, icb));
    return fid.directory;
  }
  if (inodes_[icb]) {
    CheckSecondLink(fid);
    return fid.directory;
  }
  Result<FileEntry> entry = ReadEntry(icb);
  if (!entry.ok()) {
    findings_->Add(SectorOf(icb),
                   fmt::format("'{}': {}", fid.name, entry.error().message));
    return fid.directory;
  }
  inodes_[icb] = true;
  CheckInode(icb, *entry);
  const bool is_directory = entry->attr.type == FileType::kDirectory;
  if (is_directory != fid.directory) {
    findings_->Add(SectorOf(icb),
                   fmt::format("'{}': name and file entry disagree about a "
                               "directory",
                               fid.name));
  }
  if (fid.unique_id != static_cast<uint32_t>(entry->attr.unique_id)) {
    findings_->Add(SectorOf(icb),
                   fmt::format("'{}': name has unique id {}, file entry {}",
                               fid.name, fid.unique_id, entry->attr.unique_id));
  }
  if (is_directory) {
    pending_.push_back({icb, directory.icb, directory.entry.attr.unique_id,
                        *std::move(entry)});
  } else if (entry->attr.links != 1) {
    links_[icb] = {entry->attr.links, 1};
  }
  return fid.directory;
}

void TreeCheck::CheckSecondLink(const Fid& fid) {
  const uint32_t icb = fid.icb_block;
  const auto links = links_.find(icb);
  if (links != links_.end()) {
    ++links->second.found;
  } else if (fid.directory) {
    findings_->Add(SectorOf(icb),
                   fmt::format("directory '{}' in block {} has two parents",
                               fid.name, icb));
  } else {
    links_[icb] = {1, 2};
  }
}

void TreeCheck::CheckLinkCounts() {
  for (const auto& [icb, links] : links_) {
    if (links.expected == links.found) continue;
    findings_->Add(SectorOf(icb),
                   fmt::format("file entry in block {} has link count {} and "
                               "{} names",
                               icb, links.expected, links.found));
  }
}

void TreeCheck::CheckUniqueIds() {
  std::sort(unique_ids_.begin(), unique_ids_.end());
  for (size_t i = 1; i < unique_ids_.size(); ++i) {
    if (unique_ids_[i] == unique_ids_[i - 1]) {
      findings_->Add(0,
                     fmt::format("unique id {} is not unique", unique_ids_[i]));
    }
  }
  if (!unique_ids_.empty()) largest_unique_id_ = unique_ids_.back();
}

}  // namespace vellum::udf
