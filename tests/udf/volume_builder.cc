// SPDX-License-Identifier: Apache-2.0
#include "tests/udf/volume_builder.h"

#include <algorithm>

#include "media/udf/bytes.h"
#include "media/udf/descriptors.h"
#include "media/udf/format.h"
#include "media/udf/sector_io.h"

namespace vellum::udf {
namespace {

constexpr TimeSpec kTime = {1700000000, 123456789};

void Check(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "volume builder: %s\n", status.ToString().c_str());
  std::abort();
}

template <typename T>
T Value(Result<T> result) {
  Check(result.status());
  return std::move(*result);
}

uint32_t SectorsOf(uint64_t bytes) {
  return static_cast<uint32_t>((bytes + kSectorSize - 1) / kSectorSize);
}

}  // namespace

VolumeBuilder::VolumeBuilder(Medium* medium, const std::string& volume_id)
    : medium_(medium) {
  FormatOptions options;
  options.volume_id = volume_id;
  slot_ = Value(FormatVolume(*medium, options));
  geometry_ = Value(ReadDescription(*medium)).geometry;
  used_.resize(geometry_.partition_blocks);
  std::fill_n(used_.begin(), geometry_.root_block + 1, true);
  next_block_ = geometry_.root_block + 1;
  Node root;
  root.entry.attr.type = FileType::kDirectory;
  root.entry.attr.mode = 0755;
  root.entry.attr.atime = root.entry.attr.mtime = root.entry.attr.ctime =
      root.entry.attr.btime = kTime;
  root.parent = geometry_.root_block;
  Child parent;
  parent.fid.parent = parent.fid.directory = true;
  parent.fid.icb_block = geometry_.root_block;
  root.children.push_back(parent);
  nodes_[geometry_.root_block] = root;
}

uint32_t VolumeBuilder::Allocate(uint32_t blocks) {
  const uint32_t block = next_block_;
  VELLUM_CHECK(block + blocks <= geometry_.partition_blocks);
  std::fill_n(used_.begin() + block, blocks, true);
  next_block_ += blocks;
  return block;
}

void VolumeBuilder::WriteBlocks(uint32_t block, const Bytes& data) {
  Bytes padded = data;
  padded.resize(SectorsOf(data.size()) * size_t{kSectorSize});
  Check(medium_->Write(geometry_.Sector(block), padded));
}

uint32_t VolumeBuilder::AddNode(uint32_t parent, const std::string& name,
                                FileEntry entry) {
  const uint32_t icb = Allocate(1);
  Node node;
  node.entry = std::move(entry);
  node.entry.attr.unique_id = next_unique_id_++;
  node.entry.attr.atime = node.entry.attr.mtime = node.entry.attr.ctime =
      node.entry.attr.btime = kTime;
  node.entry.attr.links = 0;  // Finish counts
  node.parent = parent;
  node.path = nodes_.at(parent).path + "/" + name;
  if (node.entry.attr.type == FileType::kDirectory) {
    Child up;
    up.fid.parent = up.fid.directory = true;
    up.fid.icb_block = parent;
    up.fid.unique_id =
        static_cast<uint32_t>(nodes_.at(parent).entry.attr.unique_id);
    node.children.push_back(up);
  }
  nodes_[icb] = std::move(node);
  AddLink(parent, name, icb);
  return icb;
}

void VolumeBuilder::AddLink(uint32_t parent, const std::string& name,
                            uint32_t icb) {
  const InodeAttr& attr = nodes_.at(icb).entry.attr;
  Child child;
  child.fid.name = name;
  child.fid.icb_block = icb;
  child.fid.unique_id = static_cast<uint32_t>(attr.unique_id);
  child.fid.directory = attr.type == FileType::kDirectory;
  nodes_.at(parent).children.push_back(child);
  const auto content = files_.find(nodes_.at(icb).path);
  if (content != files_.end()) {
    files_[nodes_.at(parent).path + "/" + name] = content->second;
  }
}

uint32_t VolumeBuilder::AddDirectory(uint32_t parent, const std::string& name) {
  FileEntry entry;
  entry.attr.type = FileType::kDirectory;
  entry.attr.mode = 0755;
  return AddNode(parent, name, std::move(entry));
}

uint32_t VolumeBuilder::AddFile(uint32_t parent, const std::string& name,
                                const Bytes& content, Shape shape) {
  FileEntry entry;
  entry.attr.mode = 0644;
  entry.attr.size = content.size();
  const uint32_t sectors = SectorsOf(content.size());
  Bytes seen = content;
  if (shape == Shape::kInline) {
    entry.inline_data = content;
  } else if (shape == Shape::kOneExtent) {
    entry.extents = {{0, Allocate(sectors), sectors, false}};
    WriteBlocks(entry.extents[0].block, content);
  } else {
    for (uint32_t i = 0; i < sectors; ++i) {
      const auto from = content.begin() + i * ptrdiff_t{kSectorSize};
      const size_t length =
          std::min<size_t>(kSectorSize, content.size() - i * kSectorSize);
      const bool sparse = shape == Shape::kSparse;
      if (sparse && (i % 2 == 1 || i + 1 == sectors)) {
        std::fill_n(seen.begin() + i * ptrdiff_t{kSectorSize}, length,
                    std::byte{0});
        if (i + 1 < sectors) continue;
      }
      const uint32_t block = Allocate(1);
      next_block_ += shape == Shape::kScattered ? 1 : 0;
      entry.extents.push_back({i, block, 1, sparse && i + 1 == sectors});
      // What stands in an unwritten extent must not show.
      WriteBlocks(block, Bytes(from, from + static_cast<ptrdiff_t>(length)));
    }
    const size_t aeds = AedsNeeded(entry);
    for (size_t i = 0; i < aeds; ++i) entry.aed_blocks.push_back(Allocate(1));
  }
  files_[nodes_.at(parent).path + "/" + name] = seen;
  return AddNode(parent, name, std::move(entry));
}

uint32_t VolumeBuilder::AddSymlink(uint32_t parent, const std::string& name,
                                   const std::string& target) {
  FileEntry entry;
  entry.attr.type = FileType::kSymlink;
  entry.attr.mode = 0777;
  entry.attr.size = target.size();
  entry.symlink_target = target;
  if (SymlinkNeedsExtent(target)) {
    const Bytes data = EncodeSymlinkData(target);
    const uint32_t sectors = SectorsOf(data.size());
    entry.extents = {{0, Allocate(sectors), sectors, false}};
    WriteBlocks(entry.extents[0].block, data);
  }
  return AddNode(parent, name, std::move(entry));
}

uint32_t VolumeBuilder::AddDevice(uint32_t parent, const std::string& name,
                                  FileType type, uint32_t major,
                                  uint32_t minor) {
  FileEntry entry;
  entry.attr.type = type;
  entry.attr.mode = 0600;
  entry.attr.major = major;
  entry.attr.minor = minor;
  return AddNode(parent, name, std::move(entry));
}

void VolumeBuilder::Swallow(uint32_t directory, const std::string& name) {
  std::vector<Child>& children = nodes_.at(directory).children;
  const auto found =
      std::find_if(children.begin(), children.end(),
                   [&name](const Child& c) { return c.fid.name == name; });
  VELLUM_CHECK(found != children.end() && found != children.begin());
  (found - 1)->extra += Value(FidLength(found->fid)) + found->extra;
  const uint32_t icb = found->fid.icb_block;
  children.erase(found);
  // The builder swallows files with one name only.
  Node& node = nodes_.at(icb);
  for (const Extent& extent : node.entry.extents) {
    std::fill_n(used_.begin() + extent.block, extent.count, false);
  }
  used_[icb] = false;
  files_.erase(node.path);
  nodes_.erase(icb);
}

void VolumeBuilder::FinishDirectory(uint32_t icb, const Hooks& hooks) {
  Node& node = nodes_.at(icb);
  uint64_t size = 0;
  for (const Child& child : node.children) {
    size += Value(FidLength(child.fid)) + child.extra;
  }
  const uint32_t block = Allocate(SectorsOf(size));
  Bytes content;
  uint32_t subdirectories = 0;
  for (const Child& child : node.children) {
    Fid fid = child.fid;
    if (fid.directory && !fid.parent) ++subdirectories;
    if (hooks.fid) hooks.fid(icb, &fid);
    const auto at = static_cast<uint32_t>(content.size() / kSectorSize);
    Check(EncodeFid(fid, block + at, child.extra, &content));
  }
  if (hooks.directory_content) hooks.directory_content(&content);
  WriteBlocks(block, content);
  node.entry.attr.size = content.size();
  node.entry.attr.links = 2 + subdirectories;
  node.entry.extents = {{0, block, SectorsOf(content.size()), false}};
}

void VolumeBuilder::WriteBitmap(const std::vector<bool>& used) {
  Bytes bitmap(size_t{geometry_.bitmap_blocks} * kSectorSize);
  StoreBytes(bitmap, 0, EncodeBitmapHeader(geometry_));
  for (uint32_t block = 0; block < geometry_.partition_blocks; ++block) {
    if (!used[block]) {
      bitmap[kBitmapHeaderSize + block / 8] |=
          std::byte(static_cast<uint8_t>(1u << (block % 8)));
    }
  }
  Check(medium_->Write(geometry_.Sector(kBitmapBlock), bitmap));
}

void VolumeBuilder::Finish(const Hooks& hooks) {
  Lvid lvid;
  lvid.time = kTime;
  lvid.next_unique_id = next_unique_id_;
  lvid.partition_blocks = geometry_.partition_blocks;
  lvid.directories = 0;
  for (auto& [icb, node] : nodes_) {
    if (node.entry.attr.type != FileType::kDirectory) continue;
    ++lvid.directories;
    FinishDirectory(icb, hooks);
    for (const Child& child : node.children) {
      if (child.fid.directory) continue;
      ++lvid.files;
      ++nodes_.at(child.fid.icb_block).entry.attr.links;
    }
  }
  for (auto& [icb, node] : nodes_) {
    FileEntry entry = node.entry;
    if (hooks.entry) hooks.entry(icb, &entry);
    const EncodedEntry encoded = Value(EncodeFileEntry(entry, icb));
    Check(WriteSector(*medium_, geometry_.Sector(icb), encoded.icb));
    for (size_t i = 0; i < encoded.aeds.size(); ++i) {
      Check(WriteSector(*medium_, geometry_.Sector(entry.aed_blocks[i]),
                        encoded.aeds[i]));
    }
  }
  lvid.free_blocks =
      static_cast<uint32_t>(std::count(used_.begin(), used_.end(), false));
  if (hooks.bitmap) hooks.bitmap(&used_);
  WriteBitmap(used_);
  if (hooks.lvid) hooks.lvid(&lvid);
  const Sector integrity = EncodeLvid(lvid);
  Check(WriteSector(*medium_, kLvidSector, integrity));
  slot_.lvid_crc = Crc32c(integrity);
  if (hooks.slot) hooks.slot(&slot_);
  Check(WriteControlSlot(*medium_, &slot_));
  Check(medium_->Flush());
}

}  // namespace vellum::udf
