// SPDX-License-Identifier: Apache-2.0
// POSIX access control lists (POSIX 1003.1e draft 17), as the kernel hands them
// over in the attributes system.posix_acl_access and system.posix_acl_default,
// and what they do to an inode. Volumes keep them as extended attributes under
// these names, in these bytes. Pure functions; no libfuse here.
//
// Who may do what by an ACL is decided by the kernel (default_permissions,
// FUSE_CAP_POSIX_ACL). Ours is to keep the mode and the access ACL in step:
// the mode's bits of owner and others are the ACL's, its group bits are the
// ACL's mask, or the owning group's when there is no mask. An access ACL that
// says no more than the mode is not kept.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "index/volume.h"
#include "media/error.h"

namespace vellum {

inline constexpr char kAccessAclName[] = "system.posix_acl_access";
inline constexpr char kDefaultAclName[] = "system.posix_acl_default";

inline bool IsAclName(std::string_view name) {
  return name == kAccessAclName || name == kDefaultAclName;
}

enum class AclTag : uint16_t {
  kUserObj = 0x01,   // the owner
  kUser = 0x02,      // a user, by id
  kGroupObj = 0x04,  // the owning group
  kGroup = 0x08,     // a group, by id
  kMask = 0x10,      // the most that kUser, kGroupObj and kGroup get
  kOther = 0x20,
};

inline constexpr uint32_t kNoAclId = 0xFFFFFFFF;

struct AclEntry {
  AclTag tag = AclTag::kUserObj;
  uint16_t perm = 0;       // 4 read, 2 write, 1 execute
  uint32_t id = kNoAclId;  // kUser and kGroup only
  bool operator==(const AclEntry&) const = default;
};
// In the order of the tags; no entries: no ACL.
using PosixAcl = std::vector<AclEntry>;

// kNotSupported for another version of the representation, kInvalidArgument for
// what ValidateAcl refuses. No entries are valid: they remove an ACL.
Result<PosixAcl> DecodeAcl(std::string_view value);
std::string EncodeAcl(const PosixAcl& acl);

// kInvalidArgument unless: one owner, one owning group and one others entry; at
// most one mask, and one if there are named users or groups; in the order of
// the tags; only known permissions; named entries have an id.
Status ValidateAcl(const PosixAcl& acl);

// --- REQUIRES of all below: acl is valid and not empty.

// The mode says all that the ACL says: neither named entries nor a mask.
bool IsMinimalAcl(const PosixAcl& acl);
// `mode` with the permission bits that show the ACL.
uint32_t ModeOfAcl(const PosixAcl& acl, uint32_t mode);
// What chmod(2) to `mode` makes of an access ACL.
PosixAcl AclAfterChmod(PosixAcl acl, uint32_t mode);
// The access ACL of what is made with `mode` in a directory whose default ACL
// is `acl`: nobody gets more than `mode` asks for.
PosixAcl InheritedAcl(PosixAcl acl, uint32_t mode);

// --- Inodes

// The change that setting the attribute `name` to `value` is; an empty ACL
// removes. Setting an access ACL sets the mode, too, and takes the set-group-id
// bit away from a caller who is not in the inode's group, as chmod(2) does. A
// file has no default ACL (kAccessDenied), a symlink none at all
// (kNotSupported).
// REQUIRES: IsAclName(name).
Result<AttrChange> ChangeForAcl(const udf::InodeAttr& attr,
                                const std::string& name, std::string_view value,
                                bool caller_in_group);

// Completes a change of the mode by that of the access ACL, if there is one.
// kCorruption when what is stored is no ACL.
Status CarryModeToAcl(const udf::InodeAttr& attr, AttrChange* change);

// The mode and ACLs of an inode that is made in `parent`: from the parent's
// default ACL, else from the umask. kCorruption as above.
Status InheritAcl(const udf::InodeAttr& parent, uint32_t umask,
                  NewInode* inode);

}  // namespace vellum
