// SPDX-License-Identifier: Apache-2.0
// A volume, and its medium, against a model.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "media/udf/reader.h"
#include "tests/index/volume_model.h"
#include "tests/support/status_matchers.h"

namespace vellum {

using udf::FileType;

namespace {

// "" or which of the attributes of `id` are not those of the model.
std::string CompareAttributes(const Model& model, uint64_t id, uint64_t links,
                              const udf::InodeAttr& found) {
  const ModelNode& node = model.at(id);
  if (found.type != node.type) return fmt::format("type of node {}", id);
  if (found.mode != node.mode || found.uid != node.uid ||
      found.gid != node.gid || found.links != links) {
    return fmt::format(
        "attributes of node {}: {:o} {}:{} links {}, expected {:o} {}:{} links "
        "{}",
        id, found.mode, found.uid, found.gid, found.links, node.mode, node.uid,
        node.gid, links);
  }
  if (found.xattrs != node.xattrs) return fmt::format("xattrs of node {}", id);
  if ((node.atime && found.atime != *node.atime) ||
      (node.mtime && found.mtime != *node.mtime)) {
    return fmt::format("node {}: not the times that were set", id);
  }
  if (model.times != nullptr && model.times->at(id) != TimesOf(found)) {
    return fmt::format("node {}: other times than when it was committed", id);
  }
  return "";
}

void Count(const udf::FileEntry& entry, TreeFacts* facts) {
  if (entry.inline_data) {
    facts->in_entry += entry.attr.size > 0 ? 1 : 0;
    return;
  }
  facts->chains += entry.aed_blocks.empty() ? 0 : 1;
  facts->longest = std::max(facts->longest, entry.aed_blocks.size());
  uint64_t sectors = 0;
  for (const udf::Extent& e : entry.extents) sectors += e.count;
  facts->sparse += sectors * kSectorSize < entry.attr.size ? 1 : 0;
}

}  // namespace

void ExpectVolumeIs(Volume* volume, const Model& model) {
  std::map<uint64_t, uint64_t> links = model.links();
  std::map<uint64_t, InodeNumber> seen;
  std::vector<std::pair<uint64_t, InodeNumber>> todo = {{0, volume->root()}};
  while (!todo.empty()) {
    const auto [id, ino] = todo.back();
    todo.pop_back();
    const ModelNode& node = model.at(id);
    const Result<Attr> attr = volume->GetAttr(ino);
    ASSERT_OK(attr);
    ASSERT_EQ(CompareAttributes(model, id, links[id], attr->attr), "");
    if (node.type == FileType::kRegular) {
      ASSERT_EQ(attr->attr.size, node.content.size()) << "node " << id;
      std::string content(node.content.size(), 'Q');
      const Result<size_t> n =
          volume->Read(ino, 0, std::as_writable_bytes(std::span(content)));
      ASSERT_OK(n);
      ASSERT_EQ(*n, content.size());
      ASSERT_TRUE(content == node.content) << "content of node " << id;
    } else if (node.type == FileType::kSymlink) {
      const Result<std::string> target = volume->ReadLink(ino);
      ASSERT_OK(target);
      ASSERT_EQ(*target, node.target);
    } else if (node.type == FileType::kDirectory) {
      std::map<std::string, InodeNumber> found;
      uint64_t last = 0;
      ASSERT_OK(volume->ReadDir(ino, 0, [&](const DirItem& item) {
        EXPECT_GT(item.cookie, last);
        last = item.cookie;
        EXPECT_TRUE(found.emplace(item.name, item.ino).second) << item.name;
        return true;
      }));
      ASSERT_EQ(found.size(), node.names.size()) << "directory node " << id;
      for (const auto& [name, child] : node.names) {
        ASSERT_EQ(found.count(name), 1u) << name;
        const Result<Attr> looked = volume->Lookup(ino, name);
        ASSERT_OK(looked);
        ASSERT_EQ(looked->ino, found[name]);
        const auto known = seen.find(child);
        if (known != seen.end()) {
          ASSERT_EQ(known->second, found[name]) << "hard link " << name;
          continue;
        }
        seen[child] = found[name];
        todo.emplace_back(child, found[name]);
      }
    }
  }
}

std::string CompareMedium(Medium* medium, const Model& model,
                          TreeFacts* facts) {
  Result<std::unique_ptr<udf::Reader>> opened = udf::Reader::Open(medium);
  if (!opened.ok()) return opened.error().ToString();
  const udf::Reader& reader = **opened;
  std::map<uint64_t, uint64_t> links = model.links();
  std::map<uint64_t, uint32_t> seen;
  std::vector<std::pair<uint64_t, uint32_t>> todo = {{0, reader.root_block()}};
  while (!todo.empty()) {
    const auto [id, icb] = todo.back();
    todo.pop_back();
    const ModelNode& node = model.at(id);
    const Result<udf::FileEntry> entry = reader.ReadEntry(icb);
    if (!entry.ok()) {
      return fmt::format("node {}: {}", id, entry.error().ToString());
    }
    const std::string other =
        CompareAttributes(model, id, links[id], entry->attr);
    if (!other.empty()) return other;
    if (node.type == FileType::kSymlink &&
        entry->symlink_target != node.target) {
      return fmt::format("target of {}", id);
    }
    if (node.type == FileType::kRegular) {
      if (entry->attr.size != node.content.size()) {
        return fmt::format("size of node {}: {} expected {}", id,
                           entry->attr.size, node.content.size());
      }
      std::string content(node.content.size(), 'Q');
      const Result<size_t> n = reader.ReadFile(
          *entry, 0, std::as_writable_bytes(std::span(content)));
      if (!n.ok()) return n.error().ToString();
      if (content != node.content) return fmt::format("content of {}", id);
      if (facts != nullptr) Count(*entry, facts);
    }
    if (node.type != FileType::kDirectory) continue;
    const Result<std::vector<udf::DirEntry>> names =
        reader.ReadDirectory(*entry);
    if (!names.ok()) return names.error().ToString();
    if (names->size() != node.names.size()) {
      return fmt::format("node {} has {} names, expected {}", id, names->size(),
                         node.names.size());
    }
    for (const udf::DirEntry& name : *names) {
      const auto it = node.names.find(name.fid.name);
      if (it == node.names.end()) return "unexpected name " + name.fid.name;
      const auto known = seen.find(it->second);
      if (known != seen.end()) {
        if (known->second != name.fid.icb_block) return "hard link differs";
        continue;
      }
      seen[it->second] = name.fid.icb_block;
      todo.emplace_back(it->second, name.fid.icb_block);
    }
  }
  return "";
}

}  // namespace vellum
