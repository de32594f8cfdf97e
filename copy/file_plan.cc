// SPDX-License-Identifier: Apache-2.0
#include "copy/file_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

namespace vellum {
namespace {

constexpr std::string_view kIncomingPrefix = ".vellum-copy~";
constexpr size_t kReplacedPaths = 10;

uint64_t BlocksOf(uint64_t bytes) {
  return (bytes + kSectorSize - 1) / kSectorSize;
}

class Planner {
 public:
  Planner(const FileTree& source, const std::string& source_id,
          const FileTree* target, const FileSelection& selection,
          FilePurpose purpose)
      : source_(source),
        source_id_(source_id),
        target_(target),
        selection_(selection),
        purpose_(purpose) {}

  Result<FilePlan> Make() {
    RETURN_IF_ERROR(LookForLeftOvers());
    RETURN_IF_ERROR(AddBelow());
    for (const std::string& path : selection_.paths) {
      RETURN_IF_ERROR(AddPath(path));
    }
    return std::move(plan_);
  }

 private:
  Status LookForLeftOvers() {
    if (target_ == nullptr) return Status::Ok();
    ASSIGN_OR_RETURN(const std::vector<TreeName> names,
                     target_->List(target_->root()));
    for (const TreeName& name : names) {
      if (!IsIncomingName(name.name)) continue;
      ASSIGN_OR_RETURN(const bool left, IsLeftOver(name.ino));
      plan_.left_over = plan_.left_over || left;
    }
    return Status::Ok();
  }

  Result<bool> IsLeftOver(InodeNumber ino) const {
    ASSIGN_OR_RETURN(const TreeNode node, target_->Node(ino));
    if (!node.directory()) return false;
    ASSIGN_OR_RETURN(const std::vector<TreeName> names, target_->List(ino));
    for (const TreeName& name : names) {
      ASSIGN_OR_RETURN(const TreeNode file, target_->Node(name.ino));
      if (!IsIncomingFile(name.name, file.attr.type)) return false;
    }
    return true;
  }

  // The directory that all paths are below of on the target.
  Status AddBelow() {
    PlannedDirectory root;
    root.path = "/";
    std::optional<TreeNode> there;
    if (target_ != nullptr) {
      ASSIGN_OR_RETURN(TreeNode node, target_->Node(target_->root()));
      root.existing = node.ino;
      there = std::move(node);
    }
    plan_.directories.push_back(std::move(root));
    size_t at = 0;
    for (const std::string& name : PathNames(selection_.below)) {
      ASSIGN_OR_RETURN(at, AddDirectory(at, name, nullptr));
      if (!plan_.directories[at].problems.empty()) {
        return plan_.directories[at].problems.front().error;
      }
    }
    base_ = at;
    ASSIGN_OR_RETURN(const TreeNode top, source_.Node(source_.root()));
    if (selection_.below.empty()) {
      SetCounterpart(&plan_.directories[0], top, there);
    }
    return Status::Ok();
  }

  void SetCounterpart(PlannedDirectory* dir, const TreeNode& node,
                      const std::optional<TreeNode>& there) {
    dir->source = node.ino;
    dir->set_attributes = purpose_ == FilePurpose::kBackup;
    dir->same_attributes =
        there.has_value() && IsSameVersion(node, *there, purpose_);
  }

  // `node` null: no counterpart. A name that is taken by a file is a problem of
  // the directory itself.
  Result<size_t> AddDirectory(size_t parent, const std::string& name,
                              const TreeNode* node) {
    const auto known = by_source_.find({parent, name});
    if (known != by_source_.end()) return known->second;
    PlannedDirectory dir;
    dir.path = JoinPath(plan_.directories[parent].path, name);
    dir.parent = parent;
    dir.name = name;
    std::optional<TreeNode> there;
    if (const InodeNumber existing = plan_.directories[parent].existing) {
      ASSIGN_OR_RETURN(there, target_->Lookup(existing, name));
    }
    if (there && !there->directory()) {
      dir.problems.push_back(
          {std::string(),
           Error{Errc::kNotDirectory,
                 fmt::format("{} is no directory on the target", dir.path)}});
    } else if (there) {
      dir.existing = there->ino;
    }
    if (node != nullptr) SetCounterpart(&dir, *node, there);
    plan_.directories.push_back(std::move(dir));
    const size_t index = plan_.directories.size() - 1;
    by_source_[{parent, name}] = index;
    return index;
  }

  Status AddPath(const std::string& path) {
    ASSIGN_OR_RETURN(TreeNode node, source_.Node(source_.root()));
    size_t at = base_;
    const std::vector<std::string> names = PathNames(path);
    for (size_t i = 0; i < names.size(); ++i) {
      ASSIGN_OR_RETURN(std::optional<TreeNode> next,
                       source_.Lookup(node.ino, names[i]));
      if (!next || (i + 1 < names.size() && !next->directory())) {
        return Status(Errc::kNotFound,
                      fmt::format("{} is not on volume {}", path, source_id_));
      }
      if (!next->directory()) return AddFile(at, names[i], *next);
      ASSIGN_OR_RETURN(at, AddDirectory(at, names[i], &*next));
      if (!plan_.directories[at].problems.empty()) return Status::Ok();
      node = std::move(*next);
    }
    return Visit(at, std::move(node));
  }

  // All of a directory; the stack is ours, as trees may be deep.
  Status Visit(size_t first, TreeNode top) {
    std::vector<std::pair<size_t, TreeNode>> todo;
    todo.emplace_back(first, std::move(top));
    while (!todo.empty()) {
      const auto [at, node] = std::move(todo.back());
      todo.pop_back();
      NoteVisited(at, node);
      if (!listed_.insert(at).second) {
        // Its files were looked at, but perhaps not what is below.
        if (!selection_.recursive) continue;
      }
      ASSIGN_OR_RETURN(const std::vector<TreeName> names,
                       source_.List(node.ino));
      for (const TreeName& name : names) {
        if (node.ino == source_.root() && IsIncomingName(name.name)) continue;
        ASSIGN_OR_RETURN(TreeNode child, source_.Node(name.ino));
        if (!child.directory()) {
          RETURN_IF_ERROR(AddFile(at, name.name, child));
          continue;
        }
        if (!selection_.recursive) {
          ++plan_.not_entered;
          continue;
        }
        ASSIGN_OR_RETURN(const size_t below,
                         AddDirectory(at, name.name, &child));
        if (plan_.directories[below].problems.empty()) {
          todo.emplace_back(below, std::move(child));
        }
      }
    }
    return Status::Ok();
  }

  void NoteVisited(size_t at, const TreeNode& node) {
    PlannedDirectory& dir = plan_.directories[at];
    dir.listed = true;
    const bool selected =
        IsSince(node.attr) &&
        (selection_.select != FileSelect::kNew || dir.existing == 0);
    dir.wanted = dir.wanted || selected;
    if (purpose_ == FilePurpose::kRestore && selected && dir.source != 0) {
      dir.set_attributes = true;
    }
  }

  bool IsSince(const udf::InodeAttr& attr) const {
    if (!selection_.since) return true;
    const TimeSpec newest = std::max({attr.mtime, attr.ctime, attr.btime});
    return !(newest < *selection_.since);
  }

  Status AddFile(size_t at, const std::string& name, const TreeNode& node) {
    if (!seen_.insert({at, name}).second) return Status::Ok();
    PlannedDirectory& dir = plan_.directories[at];
    dir.listed = true;
    std::optional<TreeNode> there;
    if (dir.existing != 0) {
      ASSIGN_OR_RETURN(there, target_->Lookup(dir.existing, name));
    }
    if (!IsSince(node.attr) ||
        (there && selection_.select == FileSelect::kNew)) {
      ++dir.not_selected;
      return Status::Ok();
    }
    if (there && there->directory()) {
      dir.problems.push_back(
          {name, Error{Errc::kIsDirectory,
                       fmt::format("{} is a directory on the target",
                                   JoinPath(dir.path, name))}});
      return Status::Ok();
    }
    const bool same = there && IsTheSame(node, *there);
    if (same && selection_.select == FileSelect::kChanged) {
      ++dir.unchanged;
      if (node.attr.links > 1) copies_.emplace(node.ino, there->ino);
      owners_.emplace(there->ino, node.ino);
      return Status::Ok();
    }
    AddCopy(&dir, name, node, there);
    return Status::Ok();
  }

  // The same version, and tied to the same other names.
  bool IsTheSame(const TreeNode& node, const TreeNode& there) const {
    if (!IsSameVersion(node, there, purpose_)) return false;
    const auto copy = copies_.find(node.ino);
    if (copy != copies_.end() && copy->second != there.ino) return false;
    const auto owner = owners_.find(there.ino);
    return owner == owners_.end() || owner->second == node.ino;
  }

  void AddCopy(PlannedDirectory* dir, const std::string& name,
               const TreeNode& node, const std::optional<TreeNode>& there) {
    PlannedFile file;
    file.name = name;
    file.source = node.ino;
    file.replaces = there.has_value();
    const auto copy = copies_.find(node.ino);
    if (node.attr.links > 1 && copy != copies_.end()) {
      file.link = true;
      file.linked = copy->second;  // 0: made in this run
    } else {
      file.allocated =
          node.attr.type == udf::FileType::kRegular ? node.allocated : 0;
      plan_.bytes += file.allocated;
      plan_.new_blocks += BlocksOf(file.allocated) + 1;
      if (node.attr.links > 1) copies_.emplace(node.ino, 0);
    }
    if (there) {
      ++plan_.replaced;
      if (plan_.replaced_paths.size() < kReplacedPaths) {
        plan_.replaced_paths.push_back(JoinPath(dir->path, name));
      }
      if (there->attr.links == 1) {
        plan_.replaced_blocks += BlocksOf(there->allocated) + 1;
      }
    }
    ++plan_.files;
    dir->files.push_back(std::move(file));
  }

  const FileTree& source_;
  const std::string& source_id_;
  const FileTree* const target_;
  const FileSelection& selection_;
  const FilePurpose purpose_;

  FilePlan plan_;
  size_t base_ = 0;
  std::map<std::pair<size_t, std::string>, size_t> by_source_;
  std::set<size_t> listed_;
  std::set<std::pair<size_t, std::string>> seen_;
  // Hard links: inode of the source -> of its copy (0: not made yet), and back.
  std::unordered_map<InodeNumber, InodeNumber> copies_, owners_;
};

}  // namespace

bool IsSameVersion(const TreeNode& source, const TreeNode& copy,
                   FilePurpose purpose) {
  const udf::InodeAttr& a = source.attr;
  const udf::InodeAttr& b = copy.attr;
  const bool same = a.type == b.type && a.mode == b.mode && a.uid == b.uid &&
                    a.gid == b.gid && a.mtime == b.mtime &&
                    a.xattrs == b.xattrs && a.major == b.major &&
                    a.minor == b.minor &&
                    source.symlink_target == copy.symlink_target &&
                    (source.directory() || a.size == b.size);
  if (!same) return false;
  if (ExactTimes(purpose)) return a.ctime == b.ctime && a.btime == b.btime;
  // A copy is younger than the last change of what it is a copy of.
  return !(b.ctime < a.ctime);
}

bool FilePlan::NothingToDo() const {
  return !left_over &&
         std::all_of(directories.begin(), directories.end(),
                     [](const PlannedDirectory& dir) {
                       if (!dir.files.empty()) return false;
                       if (dir.existing == 0)
                         return !dir.wanted || !dir.problems.empty();
                       return !dir.wanted || !dir.set_attributes ||
                              dir.same_attributes;
                     });
}

Result<FilePlan> MakeFilePlan(const FileTree& source,
                              const std::string& source_id,
                              const FileTree* target,
                              const FileSelection& selection,
                              FilePurpose purpose) {
  return Planner(source, source_id, target, selection, purpose).Make();
}

Result<std::vector<std::string>> FindDeleted(const FileTree& primary,
                                             const FileTree& backup,
                                             size_t limit, uint64_t* count) {
  struct Pair {
    std::string path;
    InodeNumber backup = 0;
    InodeNumber primary = 0;  // 0: the primary has no such directory
  };
  std::vector<std::string> deleted;
  *count = 0;
  std::vector<Pair> todo = {{"/", backup.root(), primary.root()}};
  while (!todo.empty()) {
    const Pair dir = std::move(todo.back());
    todo.pop_back();
    ASSIGN_OR_RETURN(const std::vector<TreeName> names,
                     backup.List(dir.backup));
    for (const TreeName& name : names) {
      if (dir.backup == backup.root() && IsIncomingName(name.name)) continue;
      ASSIGN_OR_RETURN(const TreeNode node, backup.Node(name.ino));
      std::optional<TreeNode> there;
      if (dir.primary != 0) {
        ASSIGN_OR_RETURN(there, primary.Lookup(dir.primary, name.name));
      }
      const std::string path = JoinPath(dir.path, name.name);
      const bool kept = there && there->directory() == node.directory();
      if (!kept) {
        ++*count;
        if (deleted.size() < limit) deleted.push_back(path);
      }
      if (node.directory()) {
        todo.push_back({path, node.ino, kept ? there->ino : 0});
      }
    }
  }
  std::sort(deleted.begin(), deleted.end());
  return deleted;
}

bool IsIncomingFile(std::string_view name, udf::FileType type) {
  return type != udf::FileType::kDirectory &&
         name.find_first_not_of("0123456789") == std::string_view::npos;
}

std::string IncomingName(uint64_t job) {
  return fmt::format("{}{}", kIncomingPrefix, job);
}

bool IsIncomingName(std::string_view name) {
  return name.size() > kIncomingPrefix.size() &&
         name.substr(0, kIncomingPrefix.size()) == kIncomingPrefix &&
         name.find_first_not_of("0123456789", kIncomingPrefix.size()) ==
             std::string_view::npos;
}

}  // namespace vellum
