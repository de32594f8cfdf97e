// SPDX-License-Identifier: Apache-2.0
#include "index/note_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "index/batch_ops.h"
#include "index/keys.h"

namespace vellum {
namespace {

class NotedTree {
 public:
  NotedTree(const Catalog& catalog, VolumeIndex volume, InodeNumber root)
      : catalog_(catalog), volume_(volume), root_(root) {}

  Status Add(std::string_view ops);
  Status Check();

 private:
  using Inode = std::optional<InodeRecord>;  // nullopt: none
  struct Names {
    int64_t gone = 0;
    int64_t come = 0;
    std::set<InodeNumber> in;  // directories where they come
  };

  static bool IsDirectory(const Inode& inode) {
    return inode && inode->attr.type == udf::FileType::kDirectory;
  }
  Status Wrong(InodeNumber ino, std::string_view what) const {
    return Status(Errc::kCorruption, fmt::format("inode {} {}", ino, what));
  }
  Result<Inode> Before(InodeNumber ino) const;
  Result<Inode> After(InodeNumber ino) const;
  // Names that lead to it.
  int64_t NamesOf(InodeNumber ino, const Inode& inode) const;
  Status CountNames();
  Status CheckInode(InodeNumber ino);
  Status CheckPlace(InodeNumber ino, const Inode& before,
                    const InodeRecord& after);
  Status CheckEmpty(InodeNumber dir);

  const Catalog& catalog_;
  const VolumeIndex volume_;
  const InodeNumber root_;
  std::map<InodeNumber, Inode> inodes_;
  // By directory and cookie; nullopt: deleted.
  std::map<std::pair<InodeNumber, uint64_t>, std::optional<DirentRecord>>
      entries_;
  std::map<InodeNumber, Names> names_;
  std::set<InodeNumber> below_root_;  // known to be
};

Status NotedTree::Add(std::string_view ops) {
  BatchReader reader(ops);
  BatchOp op;
  while (reader.Next(&op)) {
    const bool put = op.kind == OpKind::kPut;
    if (op.family == Family::kInodes) {
      const std::optional<InodeNumber> ino = ParseInodeKey(op.key);
      VELLUM_CHECK(ino.has_value());
      Inode& inode = inodes_[*ino];
      inode.reset();
      if (put) {
        ASSIGN_OR_RETURN(inode, DecodeInodeRecord(op.value));
      }
    } else if (op.family == Family::kDirents) {
      const std::optional<uint64_t> cookie = ParseDirentKey(op.key);
      VELLUM_CHECK(cookie.has_value());
      auto& entry = entries_[{DirectoryOfDirentKey(op.key), *cookie}];
      entry.reset();
      if (put) {
        ASSIGN_OR_RETURN(entry, DecodeDirentRecord(*cookie, op.value));
      }
    }
  }
  return reader.status();
}

Result<NotedTree::Inode> NotedTree::Before(InodeNumber ino) const {
  Result<InodeRecord> inode = catalog_.GetInode(volume_, ino);
  if (inode.ok()) return Inode(std::move(*inode));
  if (inode.status().Is(Errc::kNotFound)) return Inode();
  return inode.status();
}

Result<NotedTree::Inode> NotedTree::After(InodeNumber ino) const {
  const auto changed = inodes_.find(ino);
  if (changed != inodes_.end()) return changed->second;
  return Before(ino);
}

int64_t NotedTree::NamesOf(InodeNumber ino, const Inode& inode) const {
  if (!inode || ino == root_) return 0;
  if (IsDirectory(inode)) return 1;
  return std::max<int64_t>(1, inode->attr.links);
}

Status NotedTree::CountNames() {
  for (const auto& [place, entry] : entries_) {
    const auto& [dir, cookie] = place;
    ASSIGN_OR_RETURN(const std::vector<DirentRecord> stored,
                     catalog_.FindDirents(volume_, dir, cookie >> 7));
    for (const DirentRecord& known : stored) {
      if (known.cookie == cookie) ++names_[known.ino].gone;
    }
    if (!entry) continue;
    ASSIGN_OR_RETURN(const Inode above, After(dir));
    if (!IsDirectory(above)) return Wrong(dir, "has names, but no directory");
    ASSIGN_OR_RETURN(const Inode inode, After(entry->ino));
    if (!inode) return Wrong(entry->ino, "has a name, but is not there");
    if (inode->attr.type != entry->type) {
      return Wrong(entry->ino, "has a name for another type");
    }
    if (IsDirectory(inode) && inode->parent != dir) {
      return Wrong(entry->ino, "has a name outside its parent");
    }
    Names& names = names_[entry->ino];
    ++names.come;
    names.in.insert(dir);
  }
  return Status::Ok();
}

// The names that the catalog has of it would lead to no directory.
Status NotedTree::CheckEmpty(InodeNumber dir) {
  bool left = false;
  RETURN_IF_ERROR(
      catalog_.ForEachDirent(volume_, dir, 0, [&](DirentRecord&& known) {
        left = entries_.count({dir, known.cookie}) == 0;
        return !left;
      }));
  return left ? Wrong(dir, "is no directory any more, but has names")
              : Status::Ok();
}

Status NotedTree::CheckPlace(InodeNumber ino, const Inode& before,
                             const InodeRecord& after) {
  if (ino == root_) {
    return after.parent == root_ ? Status::Ok()
                                 : Wrong(ino, "is the root, in a directory");
  }
  if ((!IsDirectory(before) || before->parent != after.parent) &&
      names_[ino].in.count(after.parent) == 0) {
    return Wrong(ino, "has no name in its parent");
  }
  std::set<InodeNumber> passed;
  for (InodeNumber at = ino; at != root_ && below_root_.count(at) == 0;) {
    if (!passed.insert(at).second) {
      return Wrong(ino, "is in a loop of directories");
    }
    ASSIGN_OR_RETURN(const Inode inode, After(at));
    if (!IsDirectory(inode)) return Wrong(ino, "is below no directory");
    at = inode->parent;
  }
  below_root_.merge(passed);
  return Status::Ok();
}

Status NotedTree::CheckInode(InodeNumber ino) {
  ASSIGN_OR_RETURN(const Inode before, Before(ino));
  ASSIGN_OR_RETURN(const Inode after, After(ino));
  if (ino == root_ && !IsDirectory(after)) {
    return Wrong(ino, "is the root, but no directory");
  }
  const Names& names = names_[ino];
  const int64_t old_names = NamesOf(ino, before);
  const int64_t new_names = NamesOf(ino, after);
  bool right = new_names - old_names == names.come - names.gone;
  if (before && after && before->attr.type != after->attr.type) {
    // Another inode in the same block.
    right = names.gone == old_names && names.come == new_names;
  }
  if (!right) return Wrong(ino, "has other names than links");
  if (IsDirectory(after)) return CheckPlace(ino, before, *after);
  return IsDirectory(before) ? CheckEmpty(ino) : Status::Ok();
}

Status NotedTree::Check() {
  RETURN_IF_ERROR(CountNames());
  std::set<InodeNumber> all;
  for (const auto& [ino, inode] : inodes_) all.insert(ino);
  for (const auto& [ino, names] : names_) all.insert(ino);
  for (const InodeNumber ino : all) RETURN_IF_ERROR(CheckInode(ino));
  return Status::Ok();
}

}  // namespace

Status CheckNotedTree(const Catalog& catalog, VolumeIndex volume,
                      InodeNumber root, std::string_view ops) {
  NotedTree tree(catalog, volume, root);
  RETURN_IF_ERROR(tree.Add(ops));
  return tree.Check();
}

}  // namespace vellum
