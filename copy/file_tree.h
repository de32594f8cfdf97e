// SPDX-License-Identifier: Apache-2.0
// FileTree: names and attributes of a volume, as a copy by file looks at them:
// one generation of it, or the volume as it is.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "index/catalog.h"
#include "index/records.h"
#include "index/volume.h"
#include "media/error.h"

namespace vellum {

struct TreeNode {
  InodeNumber ino = 0;
  udf::InodeAttr attr;
  std::string symlink_target;
  uint64_t allocated = 0;  // bytes of recorded blocks
  bool directory() const { return attr.type == udf::FileType::kDirectory; }
};

struct TreeName {
  std::string name;
  InodeNumber ino = 0;
};

// Thread-safety: one thread at a time.
class FileTree {
 public:
  virtual ~FileTree() = default;
  virtual InodeNumber root() const = 0;
  // nullopt: the directory has no such name.
  virtual Result<std::optional<TreeNode>> Lookup(
      InodeNumber dir, const std::string& name) const = 0;
  virtual Result<TreeNode> Node(InodeNumber ino) const = 0;
  virtual Result<std::vector<TreeName>> List(InodeNumber dir) const = 0;
};

// Catalog and snapshot outlive it.
std::unique_ptr<FileTree> TreeOfSnapshot(const Catalog& catalog,
                                         const VolumeRecord& record,
                                         const CatalogSnapshot& snapshot);
// The volume outlives it.
std::unique_ptr<FileTree> TreeOfVolume(const Volume& volume);

// nullopt: there is no such path.
Result<std::optional<TreeNode>> NodeAtPath(const FileTree& tree,
                                           const std::string& path);

}  // namespace vellum
