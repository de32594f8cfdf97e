// SPDX-License-Identifier: Apache-2.0
// Media that take no writes, and are known not to.
#include <gmock/gmock.h>

#include "copy/medium_notes.h"
#include "copy/pool_book.h"
#include "tests/copy/jobs_fixture.h"

namespace vellum {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ProtectedMediaTest : public JobsTest {
 protected:
  std::string PoolState(int medium) {
    const Result<std::vector<PoolRow>> rows = ListPool(archive(), {});
    EXPECT_OK(rows);
    if (!rows.ok()) return {};
    for (const PoolRow& row : *rows) {
      if (row.medium == Tag(medium)) return row.state;
    }
    return "not in the pool";
  }
};

TEST_F(ProtectedMediaTest, O5_AProtectedMediumIsNotFreeUntilItIsSeenWritable) {
  Start(2, 4);
  MakePrimary(1, "PRIM");
  MakePrimary(4, "OTHER");
  Content(2).SetWriteProtected(true);
  EXPECT_EQ(PoolState(2), "unused") << "nobody has looked";
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(3));
  EXPECT_EQ(PoolState(2), "unsuitable");
  // It is remembered, and not loaded for nothing again.
  Reopen();
  SendAllHome();
  const size_t moves = fake_->moves();
  const Result<JobId> none = jobs_->Submit(Request("OTHER"));
  EXPECT_THAT(none, HasErrc(Errc::kNoSpace));
  EXPECT_THAT(none, MessageHas("1 write-protected"));
  CopyRequest named = Request("OTHER");
  named.target = Tag(2);
  const Result<JobId> refused = jobs_->Submit(named);
  EXPECT_THAT(refused, HasErrc(Errc::kWriteProtected));
  EXPECT_THAT(refused, MessageHas("vellum load V00002"));
  EXPECT_EQ(fake_->moves(), moves);
  // Somebody moves the tab; a drive sees it.
  Content(2).SetWriteProtected(false);
  ASSERT_OK(Inventory(archive(), /*all=*/true));
  EXPECT_EQ(PoolState(2), "unused");
  EXPECT_EQ(Copy(Request("OTHER")).target_medium, Tag(2));
}

TEST_F(ProtectedMediaTest, O8_ABackupThatIsProtectedIsNotGivenUp) {
  Start(2, 3);
  MakePrimary(1, "PRIM");
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(2));
  Content(2).SetWriteProtected(true);
  SendAllHome();
  // The first copy finds it out, the others know.
  ASSERT_OK_AND_ASSIGN(const JobRecord job, Run(Request("PRIM")));
  EXPECT_EQ(job.error, Errc::kWriteProtected) << Story(job);
  EXPECT_THAT(job.message, AllOf(HasSubstr("the backup of volume PRIM"),
                                 HasSubstr("is write-protected")));
  EXPECT_THAT(job.message, testing::Not(HasSubstr("no longer holds")));
  const Result<JobId> known = jobs_->Submit(Request("PRIM"));
  EXPECT_THAT(known, HasErrc(Errc::kWriteProtected));
  EXPECT_THAT(known, MessageHas("the backup of volume PRIM"));
  EXPECT_EQ(PoolState(2), "used");
  // Another one may be named.
  CopyRequest named = Request("PRIM");
  named.target = Tag(3);
  EXPECT_EQ(Copy(named).target_medium, Tag(3));
  // Of two backups the one that can be written is taken.
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(3));
}

}  // namespace
}  // namespace vellum
