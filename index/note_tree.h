// SPDX-License-Identifier: Apache-2.0
// Is what a note makes of the tree in the catalog still a tree? A note may be
// anybody's, and what it breaks stays broken until the medium is read anew.
#pragma once

#include <string_view>

#include "index/catalog.h"
#include "index/records.h"
#include "media/error.h"

namespace vellum {

// `ops`: those of a batch of that volume (index/batch_ops.h), whose keys and
// values are well-formed; `root`: its root directory. Reads what the catalog
// has of the inodes and directories that the batch changes, and of the
// directories above them.
// kCorruption, with the inode: behind the batch the root would not be a
// directory of its own, a directory would not lead up to it, would be named
// elsewhere than in its parent or be gone before its names; a name would lead
// to nothing or to an inode of another type; or the names that come and go
// would not be those that link counts say. Also what the catalog cannot read.
Status CheckNotedTree(const Catalog& catalog, VolumeIndex volume,
                      InodeNumber root, std::string_view ops);

}  // namespace vellum
