// SPDX-License-Identifier: Apache-2.0
#include "copy/file_tree.h"

#include <utility>

#include "copy/file_selection.h"

namespace vellum {
namespace {

class SnapshotTree : public FileTree {
 public:
  SnapshotTree(const Catalog& catalog, const VolumeRecord& record,
               const CatalogSnapshot& snapshot)
      : catalog_(catalog),
        volume_(record.index),
        root_(record.geometry.root_block),
        snapshot_(snapshot) {}

  InodeNumber root() const override { return root_; }

  Result<std::optional<TreeNode>> Lookup(
      InodeNumber dir, const std::string& name) const override {
    const Result<DirentRecord> entry =
        catalog_.FindDirent(volume_, dir, name, &snapshot_);
    if (!entry.ok()) {
      if (entry.error().code == Errc::kNotFound) {
        return std::optional<TreeNode>();
      }
      return entry.status();
    }
    ASSIGN_OR_RETURN(TreeNode node, Node(entry->ino));
    return std::optional<TreeNode>(std::move(node));
  }

  Result<TreeNode> Node(InodeNumber ino) const override {
    ASSIGN_OR_RETURN(InodeRecord record,
                     catalog_.GetInode(volume_, ino, &snapshot_));
    TreeNode node;
    node.ino = ino;
    uint64_t sectors = record.inline_data ? 1 : 0;
    for (const udf::Extent& extent : record.extents) {
      if (!extent.unwritten) sectors += extent.count;
    }
    node.allocated = sectors * kSectorSize;
    node.attr = std::move(record.attr);
    node.symlink_target = std::move(record.symlink_target);
    return node;
  }

  Result<std::vector<TreeName>> List(InodeNumber dir) const override {
    std::vector<TreeName> names;
    RETURN_IF_ERROR(catalog_.ForEachDirent(
        volume_, dir, 0,
        [&names](DirentRecord&& entry) {
          names.push_back({std::move(entry.name), entry.ino});
          return true;
        },
        &snapshot_));
    return names;
  }

 private:
  const Catalog& catalog_;
  const VolumeIndex volume_;
  const InodeNumber root_;
  const CatalogSnapshot& snapshot_;
};

class VolumeTree : public FileTree {
 public:
  explicit VolumeTree(const Volume& volume) : volume_(volume) {}

  InodeNumber root() const override { return volume_.root(); }

  Result<std::optional<TreeNode>> Lookup(
      InodeNumber dir, const std::string& name) const override {
    Result<Attr> attr = volume_.Lookup(dir, name);
    if (!attr.ok()) {
      if (attr.error().code == Errc::kNotFound ||
          attr.error().code == Errc::kStale) {
        return std::optional<TreeNode>();
      }
      return attr.status();
    }
    ASSIGN_OR_RETURN(TreeNode node, Make(std::move(*attr)));
    return std::optional<TreeNode>(std::move(node));
  }

  Result<TreeNode> Node(InodeNumber ino) const override {
    ASSIGN_OR_RETURN(Attr attr, volume_.GetAttr(ino));
    return Make(std::move(attr));
  }

  Result<std::vector<TreeName>> List(InodeNumber dir) const override {
    std::vector<TreeName> names;
    RETURN_IF_ERROR(volume_.ReadDir(dir, 0, [&names](const DirItem& item) {
      names.push_back({item.name, item.ino});
      return true;
    }));
    return names;
  }

 private:
  Result<TreeNode> Make(Attr attr) const {
    TreeNode node;
    node.ino = attr.ino;
    node.allocated = attr.allocated;
    node.attr = std::move(attr.attr);
    if (node.attr.type == udf::FileType::kSymlink) {
      ASSIGN_OR_RETURN(node.symlink_target, volume_.ReadLink(node.ino));
    }
    return node;
  }

  const Volume& volume_;
};

}  // namespace

std::unique_ptr<FileTree> TreeOfSnapshot(const Catalog& catalog,
                                         const VolumeRecord& record,
                                         const CatalogSnapshot& snapshot) {
  return std::make_unique<SnapshotTree>(catalog, record, snapshot);
}

std::unique_ptr<FileTree> TreeOfVolume(const Volume& volume) {
  return std::make_unique<VolumeTree>(volume);
}

Result<std::optional<TreeNode>> NodeAtPath(const FileTree& tree,
                                           const std::string& path) {
  ASSIGN_OR_RETURN(TreeNode node, tree.Node(tree.root()));
  std::optional<TreeNode> found(std::move(node));
  for (const std::string& name : PathNames(path)) {
    if (!found->directory()) return std::optional<TreeNode>();
    ASSIGN_OR_RETURN(found, tree.Lookup(found->ino, name));
    if (!found) return found;
  }
  return found;
}

}  // namespace vellum
