// SPDX-License-Identifier: Apache-2.0
// What the mount shows: the volumes at its root, attributes as stat(2) wants
// them, the rules of each volume's role, and the user.vellum.* attributes. No
// libfuse here.
//
// Thread-safety: every method may be called concurrently. Nothing here waits
// for a robot.
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "copy/file_counterparts.h"
#include "fs/node_id.h"
#include "index/catalog.h"
#include "index/volume.h"
#include "index/volumes.h"
#include "media/error.h"
#include "media/library.h"
#include "media/mutex.h"

namespace vellum {

inline constexpr size_t kMaxNameLength = 255;

// One volume as the mount shows it; a value that stays as it is while the
// volume changes.
struct ShownVolume {
  std::shared_ptr<Volume> volume;
  std::string id;
  bool backup = false;
  // The kernel may keep what it was told: nobody else changes this volume. Not
  // so for a backup, which copies rewrite, and for a volume that was found
  // changed from outside while the mount stood.
  bool steady = true;

  VolumeIndex index() const { return volume->index(); }
  NodeId root_node() const {
    return MakeVolumeNode(volume->index(), volume->root());
  }
};
using ShownVolumePtr = std::shared_ptr<const ShownVolume>;

// stat(2) of an inode with these attributes; `allocated` in bytes.
struct stat StatOf(const udf::InodeAttr& attr, NodeId node, uint64_t allocated);

class Tree {
 public:
  Tree(Catalog* catalog, Library* library, Volumes* volumes);

  // --- The root
  // ---------------------------------------------------------------
  std::vector<ShownVolumePtr> List() const;              // by index
  ShownVolumePtr FindByName(std::string_view id) const;  // null: unknown
  Result<ShownVolumePtr> Find(VolumeIndex index) const;  // kStale: gone
  struct stat RootStat() const;
  void RootStatFs(struct statvfs* out) const;

  // --- Inodes
  // -----------------------------------------------------------------
  // Volume::GetAttr; but the root directory of a volume whose tree the catalog
  // does not have (an incomplete backup) is shown all the same, empty and
  // closed to all but its owner.
  Result<Attr> GetAttr(const ShownVolume& shown, InodeNumber ino) const;
  static struct stat ToStat(const ShownVolume& shown, const Attr& attr);
  static void VolumeStatFs(const ShownVolume& shown, struct statvfs* out);

  // --- Roles (I1, I2)
  // ----------------------------------------------------------- Every change:
  // kReadOnly on a backup, and on a frozen volume.
  static Status CheckChange(const ShownVolume& shown);
  // open(2) with these flags in the library's mount: kReadOnly when it asks to
  // write what may not be written, kAccessDenied for reading a backup's file.
  static Status CheckOpen(const ShownVolume& shown, int flags);

  // The owner, group and mode of an inode that `caller` makes in `parent`: a
  // directory with the set-group-id bit hands its group on, and the bit itself
  // to directories. `in_group` says whether the caller is in that group.
  static void Inherit(const Attr& parent, bool caller_in_group,
                      NewInode* inode);

  // --- Extended attributes
  // -------------------------------------------------------- user.vellum.* of a
  // volume's directory and of files; any other name is asked of the volume.
  // kNoAttribute, also where the root directory is shown without a tree (as
  // GetAttr has it); what CheckSetXattr says of namespaces.
  Result<std::string> GetXattr(const ShownVolume& shown, InodeNumber ino,
                               const std::string& name) const;
  // Names of the volume's own; none of a root directory without a tree.
  static Result<std::vector<std::string>> ListXattr(const ShownVolume& shown,
                                                    InodeNumber ino);
  // kNotPermitted for user.vellum.*; kNotSupported for a name of a namespace
  // that is not kept (kept are user, trusted, security and, of system, POSIX
  // ACLs: fs/posix_acl.h), kInvalidArgument for the bare namespace.
  static Status CheckSetXattr(std::string_view name);

 private:
  using ShownMap = std::map<VolumeIndex, ShownVolumePtr>;
  std::shared_ptr<const ShownMap> Shown() const;
  Result<std::string> VolumeXattr(const ShownVolume& shown,
                                  std::string_view key) const;
  // "staged", "primary", "backup" or "verified": how safe the content of a file
  // is.
  Result<std::string> FileState(const ShownVolume& shown,
                                InodeNumber ino) const;
  // Does the backup hold this content of the primary's file?
  Result<bool> Holds(const ShownVolume& backup, const ShownVolume& primary,
                     const Attr& attr) const;
  // Of a backup made by files, as of its present generation: found once, with
  // a walk over its tree.
  Result<std::shared_ptr<const FileCounterparts>> CounterpartsOn(
      const ShownVolume& backup, const ShownVolume& primary) const;

  Catalog* const catalog_;
  Library* const library_;
  Volumes* const volumes_;
  const TimeSpec started_;

  mutable Mutex mu_;  // before the mutexes of Volumes and Volume
  mutable uint64_t change_count_ GUARDED_BY(mu_) = 0;
  mutable std::shared_ptr<const ShownMap> shown_ GUARDED_BY(mu_);
  // The lineage with which a primary was first shown.
  mutable std::map<VolumeIndex, uint64_t> lineage_ GUARDED_BY(mu_);

  struct KnownCounterparts {
    Generation generation;  // of the backup
    VolumeIndex primary = 0;
    std::shared_ptr<const FileCounterparts> files;
  };
  mutable Mutex counterparts_mu_;  // a leaf
  mutable std::map<VolumeIndex, KnownCounterparts> counterparts_
      GUARDED_BY(counterparts_mu_);
};

}  // namespace vellum
