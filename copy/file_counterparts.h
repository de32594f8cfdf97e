// SPDX-License-Identifier: Apache-2.0
// Which file of a backup made by files is the copy of which file of its
// primary: such a backup has inode numbers of its own, so paths tell.
//
// Thread-safety: functions; may be called concurrently.
#pragma once

#include <utility>
#include <vector>

#include "copy/file_tree.h"
#include "media/error.h"

namespace vellum {

// Inode of the primary and of the backup, by the former; each once.
using FileCounterparts = std::vector<std::pair<InodeNumber, InodeNumber>>;

// Walks the backup's whole tree. Regular files that have the same path on both,
// in whatever versions.
Result<FileCounterparts> FindCounterparts(const FileTree& primary,
                                          const FileTree& backup);
// 0: the backup has none.
InodeNumber CounterpartOf(const FileCounterparts& files, InodeNumber primary);

}  // namespace vellum
