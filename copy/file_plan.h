// SPDX-License-Identifier: Apache-2.0
// FilePlan: what a copy by file has to do, decided from names and attributes
// before anything is read or written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "copy/file_selection.h"
#include "copy/file_tree.h"
#include "media/error.h"

namespace vellum {

enum class FilePurpose : uint8_t {
  kPrimary,  // ordinary files on a primary
  kBackup,   // everything as on the primary; nothing is ever deleted
  kRestore,  // ordinary files, with all times as on the backup
};
// Do all four times count, or only those that a program can set?
inline bool ExactTimes(FilePurpose purpose) {
  return purpose != FilePurpose::kPrimary;
}

struct PlannedFile {
  std::string name;
  InodeNumber source = 0;
  uint64_t allocated = 0;  // bytes of recorded blocks
  bool replaces = false;   // the target has the name
  // A further name of an inode that the target has then: of `linked` on the
  // target if that is not 0, else of the copy of `source` made in this run.
  bool link = false;
  InodeNumber linked = 0;
};

// Why a name of the source cannot be copied.
struct PlannedProblem {
  std::string name;
  Error error;
};

struct PlannedDirectory {
  std::string path;  // on the target
  size_t parent = 0;
  std::string name;
  InodeNumber source = 0;    // 0: it has no counterpart (FileSelection::below)
  InodeNumber existing = 0;  // on the target; 0: it is to be made
  // It is to be there also if nothing is copied into it.
  bool wanted = false;
  // If it is wanted, or something was put into it, it gets the attributes of
  // its counterpart when all in it is done. Otherwise only if it was made by
  // this copy.
  bool set_attributes = false;
  // The target has it with these attributes.
  bool same_attributes = false;
  bool listed = false;  // its files were looked at
  std::vector<PlannedFile> files;
  std::vector<PlannedProblem> problems;
  uint64_t unchanged = 0;     // files that the target has in this version
  uint64_t not_selected = 0;  // files that `select` or `since` leave out
};

struct FilePlan {
  std::vector<PlannedDirectory> directories;  // parents first; [0] is the root
  uint64_t files = 0;                         // to be copied or linked
  uint64_t bytes = 0;                         // of recorded blocks to be read
  uint64_t new_blocks = 0;                    // that the target will use
  uint64_t replaced_blocks = 0;               // that become free in exchange
  uint64_t replaced = 0;                      // files of the target
  uint64_t not_entered = 0;  // directories left out: not recursive
  std::vector<std::string> replaced_paths;  // the first of them
  // On the target is what a copy that was broken off had not put in its place.
  bool left_over = false;

  // Is the target as it should be?
  bool NothingToDo() const;
};

// `target` null: there is nothing on it yet. kNotFound: a path of the selection
// is not on the source, whose name is `source_id`.
Result<FilePlan> MakeFilePlan(const FileTree& source,
                              const std::string& source_id,
                              const FileTree* target,
                              const FileSelection& selection,
                              FilePurpose purpose);

// Is `copy` the same version of the same file or directory?
bool IsSameVersion(const TreeNode& source, const TreeNode& copy,
                   FilePurpose purpose);

// Files that are on the backup and not on its primary any more (I11): their
// paths, at most `limit`; `*count`: all of them.
Result<std::vector<std::string>> FindDeleted(const FileTree& primary,
                                             const FileTree& backup,
                                             size_t limit, uint64_t* count);

// Names in the root of a volume in which a copy by file keeps what is not
// complete yet.
std::string IncomingName(uint64_t job);
bool IsIncomingName(std::string_view name);
// Can it be what a copy keeps there? A directory of that name that holds
// anything else is somebody's own.
bool IsIncomingFile(std::string_view name, udf::FileType type);

}  // namespace vellum
