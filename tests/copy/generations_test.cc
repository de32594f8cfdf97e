// SPDX-License-Identifier: Apache-2.0
// Which backups go when fewer generations are kept.
#include <gmock/gmock.h>

#include "copy/damage_notes.h"
#include "copy/old_generations.h"
#include "copy/own_generations.h"
#include "tests/copy/jobs_fixture.h"

namespace vellum {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class GenerationsTest : public JobsTest {
 protected:
  // Keeps so many and copies to the media 2, 3, 4.
  void ThreeBackups() {
    job_options_.generations = 3;
    Start(2, 5);
    MakePrimary(1, "PRIM");
    for (const int medium : {2, 3, 4}) {
      EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(medium));
    }
  }
  VolumeRecord Primary() { return volumes_->Find("PRIM")->record(); }
  std::vector<std::string> Backups() {
    std::vector<std::string> media;
    for (const auto& volume : volumes_->List()) {
      const VolumeRecord record = volume->record();
      if (record.owner_id == "PRIM") media.push_back(record.medium);
    }
    return media;
  }
  // Media that were released, in that order.
  std::vector<std::string> Release(uint32_t kept,
                                   std::vector<std::string>* in_use = nullptr) {
    const Result<ReleasedGenerations> old =
        ReleaseGenerations(archive(), *jobs_, {}, Primary(), kept);
    EXPECT_OK(old);
    std::vector<std::string> media;
    if (!old.ok()) return media;
    for (const VolumeRecord& backup : old->released) {
      media.push_back(backup.medium);
    }
    if (in_use != nullptr) *in_use = old->in_use;
    return media;
  }
};

TEST_F(GenerationsTest, A8_FewerGenerationsReleaseTheOldestMedia) {
  ThreeBackups();
  const size_t moves = fake_->moves();
  EXPECT_THAT(Release(3), IsEmpty());
  EXPECT_THAT(Release(1), ElementsAre(Tag(2), Tag(3)));
  EXPECT_THAT(Backups(), ElementsAre(Tag(4)));
  EXPECT_THAT(Release(1), IsEmpty()) << "the last one stays";
  EXPECT_EQ(fake_->moves(), moves);
  // Their media are free for others, over a restart, too.
  Reopen();
  MakePrimary(5, "OTHER");
  EXPECT_EQ(Copy(Request("OTHER")).target_medium, Tag(2));
  EXPECT_EQ(Copy(Request("OTHER")).target_medium, Tag(3));
}

TEST_F(GenerationsTest, A8_WhatCannotBeWrittenAgainIsNotGivenUp) {
  ThreeBackups();
  Content(2).SetWriteProtected(true);
  ASSERT_OK(Inventory(archive(), /*all=*/true));
  EXPECT_THAT(Release(1), ElementsAre(Tag(3)));
  EXPECT_THAT(Backups(), UnorderedElementsAre(Tag(2), Tag(4)));
}

TEST_F(GenerationsTest, A8_LoweredToOneTheNextCopyReleasesTheRest) {
  ThreeBackups();
  ASSERT_OK(SetOwnGenerations(catalog_.get(), Primary(), 1));
  // The oldest is written over; the two others are older than it now.
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(2));
  EXPECT_THAT(Backups(), ElementsAre(Tag(2)));
}

TEST_F(GenerationsTest, A8_AGoodBackupIsNotGivenUpForABadOne) {
  ThreeBackups();
  ASSERT_OK(NoteDamage(catalog_.get(),
                       volumes_->FindByMedium(Tag(4))->record().medium_uuid,
                       DamageFinder::kCompare, "bad"));
  EXPECT_THAT(Release(1), ElementsAre(Tag(2)));
  EXPECT_THAT(Backups(), UnorderedElementsAre(Tag(3), Tag(4)));
}

TEST_F(GenerationsTest, A8_ABadBackupIsWrittenOverBeforeAnOlderGoodOne) {
  job_options_.generations = 2;
  Start(2, 3);
  MakePrimary(1, "PRIM");
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(2));
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(3));
  ASSERT_OK(NoteDamage(catalog_.get(),
                       volumes_->FindByMedium(Tag(3))->record().medium_uuid,
                       DamageFinder::kCompare, "bad"));
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(3));
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(2));
}

TEST_F(GenerationsTest, A8_AVerifiedBackupIsNotGivenUpForOneThatIsNot) {
  job_options_.generations = 2;
  Start(2, 5);
  MakePrimary(1, "PRIM");
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(2));
  CopyRequest quick = Request("PRIM");
  quick.verify = false;
  EXPECT_EQ(Copy(quick).target_medium, Tag(3));
  EXPECT_EQ(Copy(quick).target_medium, Tag(4));
  EXPECT_THAT(Backups(), UnorderedElementsAre(Tag(2), Tag(3), Tag(4)));
  EXPECT_THAT(Release(1), ElementsAre(Tag(3)));
  EXPECT_THAT(Backups(), UnorderedElementsAre(Tag(2), Tag(4)));
  // Now there is a newer one that is known to be good.
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(3));
  EXPECT_THAT(Release(1), UnorderedElementsAre(Tag(2), Tag(4)));
}

TEST_F(GenerationsTest, A8_WhatSomebodyHasStaysAndIsNamed) {
  ThreeBackups();
  Result<Volumes::Reservation> mount =
      volumes_->Reserve(volumes_->FindByMedium(Tag(3)), "mount at /srv/b");
  ASSERT_OK(mount);
  std::vector<std::string> in_use;
  EXPECT_THAT(Release(1, &in_use), ElementsAre(Tag(2)));
  EXPECT_THAT(in_use, ElementsAre(HasSubstr("mount at /srv/b")));
  EXPECT_THAT(in_use, ElementsAre(HasSubstr("on medium " + Tag(3))));
  EXPECT_THAT(Backups(), UnorderedElementsAre(Tag(3), Tag(4)));
  mount->Release();
  EXPECT_THAT(Release(1, &in_use), ElementsAre(Tag(3)));
  EXPECT_THAT(in_use, IsEmpty());
}

TEST_F(GenerationsTest, A8_TheTargetOfAJobStays) {
  ThreeBackups();
  SendAllHome();
  fake_->HoldMoves(true);
  CopyRequest again = Request("PRIM");
  again.target = Tag(2);
  ASSERT_OK_AND_ASSIGN(const JobId job, jobs_->Submit(again));
  fake_->AwaitHeldMove();
  std::vector<std::string> in_use;
  EXPECT_THAT(Release(2, &in_use), IsEmpty());
  EXPECT_THAT(in_use,
              ElementsAre(HasSubstr("job " + std::to_string(job) + " has it")));
  fake_->HoldMoves(false);
  EXPECT_EQ(jobs_->Wait(job)->state, JobState::kDone);
}

}  // namespace
}  // namespace vellum
