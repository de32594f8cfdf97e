// SPDX-License-Identifier: Apache-2.0
#include "fs/tree.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/fs/service_fixture.h"

namespace vellum {
namespace {

class TreeTest : public ServiceFixture {
 protected:
  Result<InodeNumber> MakeFile(const ShownVolume& shown,
                               const std::string& name) {
    ASSIGN_OR_RETURN(VolumeUse use, service_->volumes().Use(shown.volume));
    ASSIGN_OR_RETURN(const Attr attr,
                     use->Create(use->root(), name, NewInode()));
    ASSIGN_OR_RETURN(const size_t written,
                     use->Write(attr.ino, 0, ConstByteSpan(data_)));
    EXPECT_EQ(written, data_.size());
    return attr.ino;
  }
  Status Sync(const ShownVolume& shown) {
    ASSIGN_OR_RETURN(VolumeUse use, service_->volumes().Use(shown.volume));
    return use->Sync();
  }
  std::string StateOf(const ShownVolume& shown, InodeNumber ino) {
    const Result<std::string> state =
        tree_->GetXattr(shown, ino, "user.vellum.state");
    return state.ok() ? *state : state.error().ToString();
  }
  const Bytes data_ = Bytes(5000, std::byte{7});
};

TEST_F(TreeTest, RolesDecideAboutChangesAndOpens) {
  Run("format V00001 name=VOL-A");
  Run("format V00002 name=BACK role=backup");
  const ShownVolumePtr primary = tree_->FindByName("VOL-A");
  const ShownVolumePtr backup = tree_->FindByName("BACK");
  ASSERT_TRUE(primary && backup);
  EXPECT_OK(Tree::CheckChange(*primary));
  EXPECT_OK(Tree::CheckOpen(*primary, O_RDWR));
  EXPECT_THAT(Tree::CheckChange(*backup), HasErrc(Errc::kReadOnly));
  EXPECT_THAT(Tree::CheckOpen(*backup, O_RDONLY), HasErrc(Errc::kAccessDenied));
  EXPECT_THAT(Tree::CheckOpen(*backup, O_WRONLY), HasErrc(Errc::kReadOnly));
  EXPECT_THAT(Tree::CheckOpen(*backup, O_RDWR), HasErrc(Errc::kReadOnly));
  EXPECT_THAT(Tree::CheckOpen(*backup, O_RDONLY | O_TRUNC),
              HasErrc(Errc::kReadOnly));
  EXPECT_TRUE(primary->steady);
  EXPECT_FALSE(backup->steady);
  // A backup that no copy has written is shown all the same.
  ASSERT_OK_AND_ASSIGN(const Attr root,
                       tree_->GetAttr(*backup, backup->volume->root()));
  EXPECT_EQ(root.attr.type, udf::FileType::kDirectory);
  for (const char* name : {"system.posix_acl_access", "user.a"}) {
    EXPECT_THAT(tree_->GetXattr(*backup, backup->volume->root(), name),
                HasErrc(Errc::kNoAttribute))
        << name;
  }
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names,
                       Tree::ListXattr(*backup, backup->volume->root()));
  EXPECT_TRUE(names.empty());
  ASSERT_OK_AND_ASSIGN(
      const std::string role,
      tree_->GetXattr(*backup, backup->volume->root(), "user.vellum.role"));
  EXPECT_EQ(role, "backup");
}

TEST_F(TreeTest, SetGroupIdDirectoriesHandTheirGroupOn) {
  Attr parent;
  parent.attr.mode = 02775;
  parent.attr.gid = 50;
  NewInode dir;
  dir.type = udf::FileType::kDirectory;
  dir.mode = 0755;
  dir.gid = 1;
  Tree::Inherit(parent, false, &dir);
  EXPECT_EQ(dir.gid, 50u);
  EXPECT_EQ(dir.mode, 02755u);
  NewInode program;
  program.mode = 02755;
  program.gid = 1;
  Tree::Inherit(parent, false, &program);
  EXPECT_EQ(program.gid, 50u);
  EXPECT_EQ(program.mode, 0755u);
  program.mode = 02755;
  Tree::Inherit(parent, true, &program);
  EXPECT_EQ(program.mode, 02755u);
  parent.attr.mode = 0775;
  program.gid = 1;
  Tree::Inherit(parent, false, &program);
  EXPECT_EQ(program.gid, 1u);
}

TEST_F(TreeTest, VolumeAttributes) {
  Run("format V00002 name=VOL-A threshold=70");
  const ShownVolumePtr shown = tree_->FindByName("VOL-A");
  ASSERT_TRUE(shown);
  const InodeNumber root = shown->volume->root();
  const auto get = [&](const std::string& key) {
    const Result<std::string> value =
        tree_->GetXattr(*shown, root, "user.vellum." + key);
    return value.ok() ? *value : std::string(ErrcName(value.error().code));
  };
  EXPECT_EQ(get("role"), "primary");
  EXPECT_EQ(get("threshold"), "70");
  EXPECT_EQ(get("slot"), "1025");
  EXPECT_EQ(get("owner"), "NO_ATTRIBUTE");
  EXPECT_EQ(get("free"),
            std::to_string(shown->volume->Space().free_blocks * kSectorSize));
  EXPECT_THAT(get("state"), testing::AnyOf("loaded", "resident"));
  EXPECT_EQ(get("nothing"), "NO_ATTRIBUTE");
  EXPECT_THAT(tree_->GetXattr(*shown, root, "system.posix_acl_access"),
              HasErrc(Errc::kNoAttribute));
  EXPECT_THAT(tree_->GetXattr(*shown, root, "system.nfs4_acl"),
              HasErrc(Errc::kNotSupported));
  EXPECT_THAT(Tree::CheckSetXattr("user.vellum.role"),
              HasErrc(Errc::kNotPermitted));
  EXPECT_OK(Tree::CheckSetXattr("system.posix_acl_default"));
  EXPECT_THAT(Tree::CheckSetXattr("system.nfs4_acl"),
              HasErrc(Errc::kNotSupported));
  EXPECT_OK(Tree::CheckSetXattr("user.vellumness"));
  EXPECT_OK(Tree::CheckSetXattr("trusted.a"));
  EXPECT_OK(Tree::CheckSetXattr("security.a"));
  for (const char* name : {"foo.a", "foo", "users.a", "system."}) {
    EXPECT_THAT(Tree::CheckSetXattr(name), HasErrc(Errc::kNotSupported));
    EXPECT_THAT(tree_->GetXattr(*shown, root, name),
                HasErrc(Errc::kNotSupported));
  }
  EXPECT_THAT(Tree::CheckSetXattr("user."), HasErrc(Errc::kInvalidArgument));
}

TEST_F(TreeTest, X6_StateOfAFileFollowsCommitAndCopy) {
  Run("format V00001 name=VOL-A");
  const ShownVolumePtr shown = tree_->FindByName("VOL-A");
  ASSERT_TRUE(shown);
  ASSERT_OK_AND_ASSIGN(const InodeNumber ino, MakeFile(*shown, "file"));
  EXPECT_EQ(StateOf(*shown, ino), "staged");
  ASSERT_OK(Sync(*shown));
  EXPECT_EQ(StateOf(*shown, ino), "primary");
  const Json job = Run("copy VOL-A to=V00002");
  ASSERT_OK_AND_ASSIGN(const JobRecord done, service_->jobs().Wait(job["job"]));
  ASSERT_EQ(done.state, JobState::kDone) << done.message;
  EXPECT_EQ(StateOf(*shown, ino), "verified");
  // Not read back, it is a backup that nobody has seen.
  const auto copy = [this](const std::string& options) {
    const Json again = Run("copy VOL-A to=V00002 " + options);
    const Result<JobRecord> ended = service_->jobs().Wait(again["job"]);
    ASSERT_OK(ended);
    ASSERT_EQ(ended->state, JobState::kDone) << ended->message;
  };
  copy("overwrite-last=yes verify=no");
  EXPECT_EQ(StateOf(*shown, ino), "backup");
  // What an incremental copy reads back is not all of it.
  copy("mode=incremental");
  EXPECT_EQ(StateOf(*shown, ino), "backup");
  copy("overwrite-last=yes");
  EXPECT_EQ(StateOf(*shown, ino), "verified");
  const ShownVolumePtr backup = tree_->FindByName(done.target_volume);
  ASSERT_TRUE(backup);
  EXPECT_EQ(StateOf(*backup, ino), "backup");
  // Nothing can be written to it, and statvfs(2) says the same.
  ASSERT_OK_AND_ASSIGN(
      const std::string free,
      tree_->GetXattr(*backup, backup->volume->root(), "user.vellum.free"));
  EXPECT_EQ(free, "0");
  // The file changes: the backup holds another content.
  {
    ASSERT_OK_AND_ASSIGN(VolumeUse use, service_->volumes().Use(shown->volume));
    ASSERT_OK(use->Write(ino, 100, ConstByteSpan(data_)));
  }
  EXPECT_EQ(StateOf(*shown, ino), "staged");
  ASSERT_OK(Sync(*shown));
  EXPECT_EQ(StateOf(*shown, ino), "primary");
}

TEST_F(TreeTest, X6_ABackupMadeOfFilesCountsToo) {
  Run("format V00001 name=VOL-A");
  const ShownVolumePtr shown = tree_->FindByName("VOL-A");
  ASSERT_TRUE(shown);
  // Numbers on the backup are not those of the primary.
  ASSERT_OK(MakeFile(*shown, "zero"));
  ASSERT_OK_AND_ASSIGN(const InodeNumber one, MakeFile(*shown, "one"));
  ASSERT_OK_AND_ASSIGN(const InodeNumber two, MakeFile(*shown, "two"));
  ASSERT_OK(Sync(*shown));
  const auto copy = [this](const std::string& words) {
    const Json job = Run("copy VOL-A " + words + " mode=files");
    const Result<JobRecord> ended = service_->jobs().Wait(job["job"]);
    ASSERT_OK(ended);
    ASSERT_EQ(ended->state, JobState::kDone) << ended->message;
  };
  copy("/two");
  EXPECT_EQ(StateOf(*shown, two), "verified");
  EXPECT_EQ(StateOf(*shown, one), "primary");
  copy("/one");
  EXPECT_EQ(StateOf(*shown, one), "verified");
  EXPECT_EQ(StateOf(*shown, two), "verified");
  // Another content under the same name.
  {
    ASSERT_OK_AND_ASSIGN(VolumeUse use, service_->volumes().Use(shown->volume));
    ASSERT_OK(use->Write(two, 100, ConstByteSpan(data_)));
    ASSERT_OK(use->Sync());
  }
  EXPECT_EQ(StateOf(*shown, two), "primary");
  // What nobody has read back is a backup, and of the rest nobody knows which
  // files that is.
  copy("/two verify=no");
  EXPECT_EQ(StateOf(*shown, two), "backup");
  EXPECT_EQ(StateOf(*shown, one), "backup");
  copy("/two select=all");
  EXPECT_EQ(StateOf(*shown, one), "backup");
}

TEST_F(TreeTest, StatFsOfTheRootAddsUp) {
  Run("format V00001 name=VOL-A");
  Run("format V00002 name=VOL-B");
  struct statvfs root {
  }, a{}, b{};
  tree_->RootStatFs(&root);
  Tree::VolumeStatFs(*tree_->FindByName("VOL-A"), &a);
  Tree::VolumeStatFs(*tree_->FindByName("VOL-B"), &b);
  EXPECT_EQ(root.f_blocks, a.f_blocks + b.f_blocks);
  EXPECT_EQ(root.f_bfree, a.f_bfree + b.f_bfree);
  EXPECT_EQ(a.f_namemax, 255u);
}

}  // namespace
}  // namespace vellum
