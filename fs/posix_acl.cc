// SPDX-License-Identifier: Apache-2.0
// The attribute's bytes, little-endian (linux/posix_acl_xattr.h):
//   0  u32  version, 2
//   4  entries of 8 bytes: u16 tag, u16 permissions, u32 id
#include "fs/posix_acl.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace vellum {
namespace {

constexpr uint32_t kVersion = 2;
constexpr size_t kHeaderSize = 4;
constexpr size_t kEntrySize = 8;
constexpr uint32_t kAll = 7;  // read, write, execute

uint32_t Load(std::string_view bytes, size_t offset, size_t size) {
  uint32_t value = 0;
  for (size_t i = size; i-- > 0;) {
    value = value << 8 | static_cast<unsigned char>(bytes[offset + i]);
  }
  return value;
}

void Store(std::string* out, uint32_t value, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    out->push_back(static_cast<char>(value >> (8 * i) & 0xFF));
  }
}

bool IsNamed(const AclEntry& entry) {
  return entry.tag == AclTag::kUser || entry.tag == AclTag::kGroup;
}

// By how much the mode's bits of this entry are shifted; none for named ones.
std::optional<unsigned> ShiftOf(AclTag tag) {
  switch (tag) {
    case AclTag::kUserObj:
      return 6;
    case AclTag::kGroupObj:
    case AclTag::kMask:
      return 3;
    case AclTag::kOther:
      return 0;
    case AclTag::kUser:
    case AclTag::kGroup:
      return std::nullopt;
  }
  return std::nullopt;
}

bool HasMask(const PosixAcl& acl) {
  return std::any_of(acl.begin(), acl.end(), [](const AclEntry& entry) {
    return entry.tag == AclTag::kMask;
  });
}

// Calls f(entry, shift) for the entries that the mode's bits stand for: the
// owning group's is not among them when there is a mask.
template <typename Acl, typename F>
void ForEachModeEntry(Acl& acl, F&& f) {
  const bool mask = HasMask(acl);
  for (auto& entry : acl) {
    const std::optional<unsigned> shift = ShiftOf(entry.tag);
    if (shift && !(mask && entry.tag == AclTag::kGroupObj)) f(entry, *shift);
  }
}

// An ACL as the medium has it; empty when there is none.
Result<PosixAcl> StoredAcl(const udf::InodeAttr& attr, const char* name) {
  const auto it = attr.xattrs.find(name);
  if (it == attr.xattrs.end()) return PosixAcl();
  Result<PosixAcl> acl = DecodeAcl(it->second);
  if (acl.ok()) return acl;
  return Error{Errc::kCorruption,
               fmt::format("object {}: {}: {}", attr.unique_id, name,
                           acl.error().message)};
}

}  // namespace

Result<PosixAcl> DecodeAcl(std::string_view value) {
  if (value.size() < kHeaderSize ||
      (value.size() - kHeaderSize) % kEntrySize != 0) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{} bytes are no ACL", value.size())};
  }
  if (const uint32_t version = Load(value, 0, 4); version != kVersion) {
    return Error{Errc::kNotSupported,
                 fmt::format("an ACL of version {}", version)};
  }
  PosixAcl acl;
  for (size_t at = kHeaderSize; at < value.size(); at += kEntrySize) {
    AclEntry entry;
    entry.tag = static_cast<AclTag>(Load(value, at, 2));
    entry.perm = static_cast<uint16_t>(Load(value, at + 2, 2));
    // The id of the other entries means nothing.
    if (IsNamed(entry)) entry.id = Load(value, at + 4, 4);
    acl.push_back(entry);
  }
  if (!acl.empty()) RETURN_IF_ERROR(ValidateAcl(acl));
  return acl;
}

std::string EncodeAcl(const PosixAcl& acl) {
  std::string out;
  Store(&out, kVersion, 4);
  for (const AclEntry& entry : acl) {
    Store(&out, static_cast<uint32_t>(entry.tag), 2);
    Store(&out, entry.perm, 2);
    Store(&out, entry.id, 4);
  }
  return out;
}

Status ValidateAcl(const PosixAcl& acl) {
  const auto invalid = [](std::string_view why) {
    return Status(Errc::kInvalidArgument, fmt::format("ACL: {}", why));
  };
  uint32_t seen = 0;
  for (const AclEntry& entry : acl) {
    const auto tag = static_cast<uint32_t>(entry.tag);
    if (!IsNamed(entry) && !ShiftOf(entry.tag)) {
      return invalid(fmt::format("unknown tag {:#x}", tag));
    }
    if ((entry.perm & ~kAll) != 0) {
      return invalid(fmt::format("unknown permissions {:#o}", entry.perm));
    }
    if (seen > tag * 2 - 1) return invalid("entries are out of order");
    if (IsNamed(entry)) {
      if (entry.id == kNoAclId) return invalid("a named entry without an id");
    } else if ((seen & tag) != 0) {
      return invalid(fmt::format("two entries of tag {:#x}", tag));
    }
    seen |= tag;
  }
  const auto has = [seen](AclTag tag) {
    return (seen & static_cast<uint32_t>(tag)) != 0;
  };
  if (!has(AclTag::kUserObj) || !has(AclTag::kGroupObj) ||
      !has(AclTag::kOther)) {
    return invalid("owner, owning group or others are missing");
  }
  if ((has(AclTag::kUser) || has(AclTag::kGroup)) && !has(AclTag::kMask)) {
    return invalid("named entries need a mask");
  }
  return Status::Ok();
}

bool IsMinimalAcl(const PosixAcl& acl) {
  return std::none_of(acl.begin(), acl.end(), [](const AclEntry& entry) {
    return IsNamed(entry) || entry.tag == AclTag::kMask;
  });
}

uint32_t ModeOfAcl(const PosixAcl& acl, uint32_t mode) {
  mode &= ~uint32_t{0777};
  ForEachModeEntry(acl, [&mode](const AclEntry& entry, unsigned shift) {
    mode |= uint32_t{entry.perm} << shift;
  });
  return mode;
}

PosixAcl AclAfterChmod(PosixAcl acl, uint32_t mode) {
  ForEachModeEntry(acl, [mode](AclEntry& entry, unsigned shift) {
    entry.perm = static_cast<uint16_t>(mode >> shift & kAll);
  });
  return acl;
}

PosixAcl InheritedAcl(PosixAcl acl, uint32_t mode) {
  ForEachModeEntry(acl, [mode](AclEntry& entry, unsigned shift) {
    entry.perm = static_cast<uint16_t>(entry.perm & (mode >> shift));
  });
  return acl;
}

Result<AttrChange> ChangeForAcl(const udf::InodeAttr& attr,
                                const std::string& name, std::string_view value,
                                bool caller_in_group) {
  if (attr.type == udf::FileType::kSymlink) {
    return Error{Errc::kNotSupported, "a symlink has no ACL"};
  }
  ASSIGN_OR_RETURN(const PosixAcl acl, DecodeAcl(value));
  AttrChange change;
  std::optional<std::string>& kept = change.xattrs[name];
  if (name == kDefaultAclName) {
    if (acl.empty()) return change;
    if (attr.type != udf::FileType::kDirectory) {
      return Error{Errc::kAccessDenied, "only directories have a default ACL"};
    }
    kept = EncodeAcl(acl);
    return change;
  }
  if (acl.empty()) return change;
  uint32_t mode = ModeOfAcl(acl, attr.mode);
  if (!caller_in_group) mode &= ~uint32_t{S_ISGID};
  change.mode = mode;
  if (!IsMinimalAcl(acl)) kept = EncodeAcl(acl);
  return change;
}

Status CarryModeToAcl(const udf::InodeAttr& attr, AttrChange* change) {
  if (!change->mode || attr.type == udf::FileType::kSymlink) {
    return Status::Ok();
  }
  ASSIGN_OR_RETURN(PosixAcl acl, StoredAcl(attr, kAccessAclName));
  if (acl.empty()) return Status::Ok();
  change->xattrs[kAccessAclName] =
      EncodeAcl(AclAfterChmod(std::move(acl), *change->mode));
  return Status::Ok();
}

Status InheritAcl(const udf::InodeAttr& parent, uint32_t umask,
                  NewInode* inode) {
  if (inode->type == udf::FileType::kSymlink) return Status::Ok();
  ASSIGN_OR_RETURN(const PosixAcl acl, StoredAcl(parent, kDefaultAclName));
  if (acl.empty()) {
    inode->mode &= ~(umask & 0777);
    return Status::Ok();
  }
  const PosixAcl access = InheritedAcl(acl, inode->mode);
  inode->mode = ModeOfAcl(access, inode->mode);
  if (!IsMinimalAcl(access)) {
    inode->xattrs[kAccessAclName] = EncodeAcl(access);
  }
  if (inode->type == udf::FileType::kDirectory) {
    inode->xattrs[kDefaultAclName] = EncodeAcl(acl);
  }
  return Status::Ok();
}

}  // namespace vellum
