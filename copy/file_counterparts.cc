// SPDX-License-Identifier: Apache-2.0
#include "copy/file_counterparts.h"

#include <algorithm>
#include <optional>

#include "copy/file_plan.h"

namespace vellum {

Result<FileCounterparts> FindCounterparts(const FileTree& primary,
                                          const FileTree& backup) {
  struct Directories {
    InodeNumber primary = 0;
    InodeNumber backup = 0;
  };
  FileCounterparts files;
  std::vector<Directories> todo = {{primary.root(), backup.root()}};
  while (!todo.empty()) {
    const Directories dir = todo.back();
    todo.pop_back();
    ASSIGN_OR_RETURN(const std::vector<TreeName> names,
                     backup.List(dir.backup));
    for (const TreeName& name : names) {
      if (dir.backup == backup.root() && IsIncomingName(name.name)) continue;
      ASSIGN_OR_RETURN(const std::optional<TreeNode> there,
                       primary.Lookup(dir.primary, name.name));
      if (!there) continue;
      ASSIGN_OR_RETURN(const TreeNode copy, backup.Node(name.ino));
      if (copy.attr.type != there->attr.type) continue;
      if (copy.directory()) {
        todo.push_back({there->ino, copy.ino});
      } else if (copy.attr.type == udf::FileType::kRegular) {
        files.emplace_back(there->ino, copy.ino);
      }
    }
  }
  // Hard links: one name tells as much as another.
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end(),
                          [](const auto& a, const auto& b) {
                            return a.first == b.first;
                          }),
              files.end());
  return files;
}

InodeNumber CounterpartOf(const FileCounterparts& files, InodeNumber primary) {
  const auto it = std::lower_bound(
      files.begin(), files.end(), primary,
      [](const auto& file, InodeNumber ino) { return file.first < ino; });
  return it == files.end() || it->first != primary ? 0 : it->second;
}

}  // namespace vellum
