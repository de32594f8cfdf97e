// SPDX-License-Identifier: Apache-2.0
#include "fs/posix_acl.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>

#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

AclEntry Entry(AclTag tag, uint16_t perm, uint32_t id = kNoAclId) {
  AclEntry entry;
  entry.tag = tag;
  entry.perm = perm;
  entry.id = id;
  return entry;
}

PosixAcl Minimal(uint16_t user, uint16_t group, uint16_t other) {
  return {Entry(AclTag::kUserObj, user), Entry(AclTag::kGroupObj, group),
          Entry(AclTag::kOther, other)};
}

// u::rwx u:1000:rw- u:1001:--x g::r-x g:50:rwx m::rwx o::r--
PosixAcl Full() {
  return {Entry(AclTag::kUserObj, 7),    Entry(AclTag::kUser, 6, 1000),
          Entry(AclTag::kUser, 1, 1001), Entry(AclTag::kGroupObj, 5),
          Entry(AclTag::kGroup, 7, 50),  Entry(AclTag::kMask, 7),
          Entry(AclTag::kOther, 4)};
}

udf::InodeAttr Inode(udf::FileType type, uint32_t mode) {
  udf::InodeAttr attr;
  attr.type = type;
  attr.mode = mode;
  return attr;
}

TEST(PosixAclTest, BytesAreTheKernels) {
  const PosixAcl acl = {Entry(AclTag::kUserObj, 6),
                        Entry(AclTag::kUser, 4, 0x12345678),
                        Entry(AclTag::kGroupObj, 0), Entry(AclTag::kMask, 4),
                        Entry(AclTag::kOther, 1)};
  const std::string bytes(
      "\2\0\0\0"
      "\x01\0\6\0\xff\xff\xff\xff"
      "\x02\0\4\0\x78\x56\x34\x12"
      "\x04\0\0\0\xff\xff\xff\xff"
      "\x10\0\4\0\xff\xff\xff\xff"
      "\x20\0\1\0\xff\xff\xff\xff",
      44);
  EXPECT_EQ(EncodeAcl(acl), bytes);
  ASSERT_OK_AND_ASSIGN(PosixAcl decoded, DecodeAcl(bytes));
  EXPECT_EQ(decoded, acl);
  // The kernel ignores the id of an entry that needs none; so do we.
  std::string zero_ids = bytes;
  zero_ids.replace(8, 4, 4, '\0');
  ASSERT_OK_AND_ASSIGN(decoded, DecodeAcl(zero_ids));
  EXPECT_EQ(decoded, acl);
  ASSERT_OK_AND_ASSIGN(decoded, DecodeAcl(std::string("\2\0\0\0", 4)));
  EXPECT_EQ(decoded, PosixAcl());
}

TEST(PosixAclTest, OtherBytesAreRefused) {
  const std::string good = EncodeAcl(Full());
  EXPECT_THAT(DecodeAcl(""), HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(DecodeAcl("\2"), HasErrc(Errc::kInvalidArgument));
  for (size_t size = 5; size < good.size(); ++size) {
    EXPECT_THAT(DecodeAcl(good.substr(0, size)),
                HasErrc(Errc::kInvalidArgument))
        << size;
  }
  std::string version = good;
  version[0] = '\1';
  EXPECT_THAT(DecodeAcl(version), HasErrc(Errc::kNotSupported));
}

TEST(PosixAclTest, Validity) {
  EXPECT_OK(ValidateAcl(Minimal(7, 7, 7)));
  EXPECT_OK(ValidateAcl(Full()));
  // A mask without named entries is valid.
  PosixAcl masked = Minimal(7, 5, 0);
  masked.insert(masked.begin() + 2, Entry(AclTag::kMask, 4));
  EXPECT_OK(ValidateAcl(masked));

  const auto invalid = [](const PosixAcl& acl) {
    EXPECT_THAT(ValidateAcl(acl), HasErrc(Errc::kInvalidArgument));
    EXPECT_THAT(DecodeAcl(EncodeAcl(acl)), HasErrc(Errc::kInvalidArgument));
  };
  EXPECT_THAT(ValidateAcl({}), HasErrc(Errc::kInvalidArgument));
  for (size_t i = 0; i < Full().size(); ++i) {
    // Of the full ACL, only one of two users or the one group can be missing.
    PosixAcl acl = Full();
    const AclTag tag = acl[i].tag;
    acl.erase(acl.begin() + static_cast<ptrdiff_t>(i));
    if (tag == AclTag::kUser || tag == AclTag::kGroup) {
      EXPECT_OK(ValidateAcl(acl));
    } else {
      invalid(acl);
    }
    // Two of what there is one of, and entries in another order.
    acl = Full();
    if (tag != AclTag::kUser && tag != AclTag::kGroup) {
      acl.insert(acl.begin() + static_cast<ptrdiff_t>(i), acl[i]);
      invalid(acl);
    }
    acl = Full();
    if (i + 1 < acl.size() && acl[i].tag != acl[i + 1].tag) {
      std::swap(acl[i], acl[i + 1]);
      invalid(acl);
    }
    acl = Full();
    acl[i].perm = 8;
    invalid(acl);
    acl = Full();
    acl[i].tag = static_cast<AclTag>(0x40);
    invalid(acl);
  }
  PosixAcl nobody = Full();
  nobody[1].id = kNoAclId;
  invalid(nobody);
}

TEST(PosixAclTest, TheModeShowsTheMask) {
  EXPECT_TRUE(IsMinimalAcl(Minimal(6, 4, 0)));
  EXPECT_EQ(ModeOfAcl(Minimal(6, 4, 0), 06777), 06640u);
  EXPECT_FALSE(IsMinimalAcl(Full()));
  EXPECT_EQ(ModeOfAcl(Full(), 01000), 01774u);
  PosixAcl masked = Minimal(7, 5, 0);
  masked.insert(masked.begin() + 2, Entry(AclTag::kMask, 4));
  EXPECT_FALSE(IsMinimalAcl(masked));
  EXPECT_EQ(ModeOfAcl(masked, 0), 0740u);
}

TEST(PosixAclTest, ChmodChangesTheMask) {
  EXPECT_EQ(AclAfterChmod(Minimal(7, 7, 7), 0640), Minimal(6, 4, 0));
  PosixAcl expected = Full();
  expected[0].perm = 6;  // the owner
  expected[5].perm = 4;  // the mask; named entries and the group stay
  expected[6].perm = 0;  // others
  EXPECT_EQ(AclAfterChmod(Full(), 04640), expected);
}

TEST(PosixAclTest, NobodyInheritsMoreThanTheModeAsksFor) {
  EXPECT_EQ(InheritedAcl(Minimal(7, 5, 4), 0666), Minimal(6, 4, 4));
  PosixAcl expected = Full();
  expected[0].perm = 6;
  expected[5].perm = 6;
  expected[6].perm = 4;
  EXPECT_EQ(InheritedAcl(Full(), 0666), expected);
}

TEST(PosixAclTest, SettingAnAccessAclSetsTheMode) {
  const udf::InodeAttr file = Inode(udf::FileType::kRegular, 06711);
  const std::string value = EncodeAcl(Full());
  ASSERT_OK_AND_ASSIGN(AttrChange change,
                       ChangeForAcl(file, kAccessAclName, value, true));
  EXPECT_EQ(change.mode, 06774u);
  EXPECT_EQ(change.xattrs.at(kAccessAclName), value);
  // As chmod(2) by who is not in the group.
  ASSERT_OK_AND_ASSIGN(change,
                       ChangeForAcl(file, kAccessAclName, value, false));
  EXPECT_EQ(change.mode, 04774u);
  // The mode alone says it all.
  ASSERT_OK_AND_ASSIGN(change, ChangeForAcl(file, kAccessAclName,
                                            EncodeAcl(Minimal(6, 0, 0)), true));
  EXPECT_EQ(change.mode, 06600u);
  EXPECT_EQ(change.xattrs.at(kAccessAclName), std::nullopt);
  // Removal leaves the mode as it is.
  ASSERT_OK_AND_ASSIGN(
      change, ChangeForAcl(file, kAccessAclName, EncodeAcl({}), false));
  EXPECT_EQ(change.mode, std::nullopt);
  EXPECT_EQ(change.xattrs.at(kAccessAclName), std::nullopt);
  EXPECT_THAT(ChangeForAcl(file, kAccessAclName, "no ACL", true),
              HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(ChangeForAcl(Inode(udf::FileType::kSymlink, 0777), kAccessAclName,
                           value, true),
              HasErrc(Errc::kNotSupported));
}

TEST(PosixAclTest, OnlyDirectoriesHaveADefaultAcl) {
  const udf::InodeAttr dir = Inode(udf::FileType::kDirectory, 02755);
  const udf::InodeAttr file = Inode(udf::FileType::kRegular, 0644);
  // A default ACL that the mode could say is kept: it stands for the umask.
  const std::string value = EncodeAcl(Minimal(7, 5, 0));
  ASSERT_OK_AND_ASSIGN(AttrChange change,
                       ChangeForAcl(dir, kDefaultAclName, value, false));
  EXPECT_EQ(change.mode, std::nullopt);
  EXPECT_EQ(change.xattrs.at(kDefaultAclName), value);
  EXPECT_THAT(ChangeForAcl(file, kDefaultAclName, value, true),
              HasErrc(Errc::kAccessDenied));
  for (const udf::InodeAttr& inode : {dir, file}) {
    ASSERT_OK_AND_ASSIGN(
        change, ChangeForAcl(inode, kDefaultAclName, EncodeAcl({}), true));
    EXPECT_EQ(change.xattrs.at(kDefaultAclName), std::nullopt);
  }
}

TEST(PosixAclTest, AChangeOfTheModeCarriesTheAclAlong) {
  udf::InodeAttr file = Inode(udf::FileType::kRegular, 0774);
  AttrChange chmod;
  chmod.mode = 0640;
  ASSERT_OK(CarryModeToAcl(file, &chmod));
  EXPECT_TRUE(chmod.xattrs.empty());  // there is none
  file.xattrs[kAccessAclName] = EncodeAcl(Full());
  ASSERT_OK(CarryModeToAcl(file, &chmod));
  EXPECT_EQ(chmod.xattrs.at(kAccessAclName),
            EncodeAcl(AclAfterChmod(Full(), 0640)));
  AttrChange chown;
  chown.uid = 1;
  ASSERT_OK(CarryModeToAcl(file, &chown));
  EXPECT_TRUE(chown.xattrs.empty());
  file.xattrs[kAccessAclName] = "foreign";
  EXPECT_THAT(CarryModeToAcl(file, &chmod), HasErrc(Errc::kCorruption));
}

TEST(PosixAclTest, TheUmaskIsForDirectoriesWithoutADefaultAcl) {
  udf::InodeAttr parent = Inode(udf::FileType::kDirectory, 0777);
  // An access ACL is not handed on.
  parent.xattrs[kAccessAclName] = EncodeAcl(Full());
  NewInode file;
  file.mode = 04666;
  ASSERT_OK(InheritAcl(parent, 0027, &file));
  EXPECT_EQ(file.mode, 04640u);
  EXPECT_TRUE(file.xattrs.empty());

  parent.xattrs[kDefaultAclName] = EncodeAcl(Full());
  file.mode = 0666;
  ASSERT_OK(InheritAcl(parent, 0077, &file));
  EXPECT_EQ(file.mode, 0664u);
  EXPECT_EQ(file.xattrs.size(), 1u);
  EXPECT_EQ(file.xattrs.at(kAccessAclName),
            EncodeAcl(InheritedAcl(Full(), 0666)));

  NewInode dir;
  dir.type = udf::FileType::kDirectory;
  dir.mode = 02755;
  ASSERT_OK(InheritAcl(parent, 0077, &dir));
  EXPECT_EQ(dir.mode, 02754u);
  EXPECT_EQ(dir.xattrs.at(kAccessAclName),
            EncodeAcl(InheritedAcl(Full(), 0755)));
  EXPECT_EQ(dir.xattrs.at(kDefaultAclName), EncodeAcl(Full()));

  NewInode link;
  link.type = udf::FileType::kSymlink;
  link.mode = 0777;
  ASSERT_OK(InheritAcl(parent, 0077, &link));
  EXPECT_EQ(link.mode, 0777u);
  EXPECT_TRUE(link.xattrs.empty());

  // What the mode can say is no access ACL, but is handed on as default.
  parent.xattrs[kDefaultAclName] = EncodeAcl(Minimal(7, 5, 0));
  NewInode sub;
  sub.type = udf::FileType::kDirectory;
  sub.mode = 0777;
  ASSERT_OK(InheritAcl(parent, 0077, &sub));
  EXPECT_EQ(sub.mode, 0750u);
  EXPECT_EQ(sub.xattrs.size(), 1u);
  EXPECT_EQ(sub.xattrs.at(kDefaultAclName), EncodeAcl(Minimal(7, 5, 0)));

  parent.xattrs[kDefaultAclName] = "foreign";
  EXPECT_THAT(InheritAcl(parent, 0, &file), HasErrc(Errc::kCorruption));
}

}  // namespace
}  // namespace vellum
