// SPDX-License-Identifier: Apache-2.0
// Power goes between the closing of a write-once medium and what the catalog
// is told of it: the job that is taken up recognises the disc.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "copy/damage_notes.h"
#include "copy/newest_backup.h"
#include "copy/verified.h"
#include "tests/copy/fault_lab.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

using testing::HasSubstr;

class FinishedDiscTest : public testing::TestWithParam<CopyMode> {
 protected:
  static FaultLabOptions Options() {
    FaultLabOptions options;
    options.drives = GetParam() == CopyMode::kStreaming ? 2 : 1;
    options.media = 4;
    options.write_once = true;
    return options;
  }
  void SetUp() override {
    ASSERT_OK(lab_.Open());
    FormatRequest request;
    request.medium = "V00001";
    request.volume_id = "PRIM";
    ASSERT_OK(Format(lab_.archive(), request));
    ASSERT_OK(lab_.Put("PRIM", "/a", std::string(90'000, 'a')));
    ASSERT_OK(lab_.Put("PRIM", "/d/b", std::string(900, 'b')));
    lab_.SaveStart();
  }
  // Calls `look` in the next session, when the jobs that were taken up have
  // ended, for each append and sync of the catalog at which the power went
  // while V00002 was closed and the job was not done. `prepare` comes before
  // the first session, `between` between the two.
  int ForEachCut(const std::function<void()>& prepare,
                 const std::function<void()>& between,
                 const std::function<void(const Status&)>& look) {
    int cuts = 0;
    for (uint64_t n = 1;; ++n) {
      SCOPED_TRACE(fmt::format("I/O {} of the catalog", n));
      lab_.GoToStart();
      prepare();
      EXPECT_OK(lab_.Open());
      if (HasFailure()) return cuts;
      lab_.catalog_disk().CutPowerAt(n);
      CopyRequest request;
      request.source = "PRIM";
      request.mode = GetParam();
      const Status done = lab_.Finish(lab_.jobs().Submit(request));
      const bool cut = !lab_.power();
      const WrittenState written = lab_.media().written("V00002");
      const bool closed = written == WrittenState::kClosed;
      if (!cut) {
        EXPECT_OK(done);
        lab_.Close();
        return cuts;
      }
      lab_.Die(LabDeath::kLost, n);
      between();
      EXPECT_OK(lab_.Open());
      if (HasFailure()) return cuts;
      const auto jobs = lab_.jobs().List();
      const bool open = !jobs.empty() && !JobEnded(jobs[0].state);
      const Status ended = lab_.FinishAll();
      if (open && written == WrittenState::kBlank) {
        // Nothing was written on it: it is not lost.
        EXPECT_OK(ended);
        EXPECT_EQ(lab_.jobs().List().at(0).target_medium, "V00002");
        begun_ += lab_.log().find("V00002 is blank still") != std::string::npos;
      }
      if (closed && (open || !done.ok())) {
        ++cuts;
        look(ended);
      }
      lab_.Close();
      if (HasFailure()) return cuts;
    }
  }
  void ExpectRecorded(const Status& ended, bool verified) {
    EXPECT_OK(ended);
    const JobRecord job = lab_.jobs().List().at(0);
    EXPECT_EQ(job.state, JobState::kDone) << job.message << lab_.log();
    EXPECT_EQ(job.target_medium, "V00002");
    // No other disc was begun.
    EXPECT_EQ(lab_.media().written("V00003"), WrittenState::kBlank)
        << lab_.log();
    const auto backup = lab_.volumes().Find(job.target_volume);
    ASSERT_NE(backup, nullptr);
    EXPECT_EQ(backup->record().state, udf::SlotState::kComplete);
    EXPECT_EQ(backup->record().tree, TreeState::kValid);
    EXPECT_OK(backup->Lookup(backup->root(), "a"));
    ASSERT_OK_AND_ASSIGN(const bool is_verified,
                         IsVerified(*lab_.archive().catalog, backup->record()));
    EXPECT_EQ(is_verified, verified) << lab_.log();
    verified_ += is_verified;
    EXPECT_EQ(lab_.FindLeaks(), "");
  }

  // The disc counts as no backup, the other one does.
  void ExpectBad(const MediumId& disc, const MediumId& other) {
    const Catalog& catalog = *lab_.archive().catalog;
    const auto bad = lab_.volumes().FindByMedium(disc);
    ASSERT_NE(bad, nullptr);
    ASSERT_OK_AND_ASSIGN(const std::string why,
                         ReadDamage(catalog, bad->record().medium_uuid));
    EXPECT_THAT(why, HasSubstr("closed it and could not verify it"));
    EXPECT_TRUE(IsDamaged(catalog, bad->record().medium_uuid));
    ASSERT_OK_AND_ASSIGN(const bool is_verified,
                         IsVerified(catalog, bad->record()));
    EXPECT_FALSE(is_verified);
    ASSERT_OK_AND_ASSIGN(
        const VolumeRecord newest,
        NewestForFiles(lab_.archive(), lab_.volumes().Find("PRIM")->record()));
    EXPECT_EQ(newest.medium, other);
  }

  int verified_ = 0;
  int begun_ = 0;  // the catalog had a backup on the blank disc
  FaultLab lab_{Options()};
};

TEST_P(FinishedDiscTest, X2_IsVerifiedAndRecorded) {
  int taken_up = 0;
  const int cuts = ForEachCut(
      [] {}, [] {},
      [&](const Status& ended) {
        taken_up += lab_.log().find("V00002 was finished before the restart") !=
                    std::string::npos;
        ExpectRecorded(ended, true);
      });
  EXPECT_GT(cuts, 0);
  EXPECT_GT(taken_up, 0);
  EXPECT_GT(verified_, 0);
  EXPECT_GT(begun_, 0);
}

// A primary that has gone on cannot be compared with; the disc speaks for
// itself.
TEST_P(FinishedDiscTest, X2_IsCheckedForItselfWhereThePrimaryHasGoneOn) {
  // The image in the spool is of the generation: there it can.
  const bool compared = GetParam() == CopyMode::kImage;
  const auto go_on = [this, compared](const JobRecord& job) -> Status {
    // With one drive, while the job has none.
    if (job.state !=
        (compared ? JobState::kLoadTarget : JobState::kVerifying)) {
      return Status::Ok();
    }
    RETURN_IF_ERROR(lab_.Put("PRIM", "/later", "x"));
    ASSIGN_OR_RETURN(VolumeUse use,
                     lab_.volumes().Use(lab_.volumes().Find("PRIM")));
    return use->Sync();
  };
  int for_itself = 0;
  const int cuts = ForEachCut(
      [&] { lab_.OnTransition(go_on); }, [&] { lab_.OnTransition(nullptr); },
      [&](const Status& ended) {
        const bool recognised =
            lab_.log().find("was finished before the restart") !=
            std::string::npos;
        for_itself += recognised;
        if (recognised) ExpectRecorded(ended, compared);
      });
  EXPECT_GT(cuts, 0);
  EXPECT_GT(for_itself, 0);
}

TEST_P(FinishedDiscTest, X2_IsNotTakenWhenItDoesNotReadBack) {
  const auto spoil = [this] {
    // A sector of /a.
    const Bytes wanted(kSectorSize, std::byte{'a'});
    Bytes sector(kSectorSize);
    for (uint64_t s = 0; s < 4096; ++s) {
      lab_.content("V00002").Peek(s * kSectorSize, sector);
      if (sector == wanted) return lab_.Spoil("V00002", s);
    }
  };
  int refused = 0;
  ForEachCut([] {}, spoil,
             [&](const Status& ended) {
               if (lab_.log().find("was finished before the restart") ==
                       std::string::npos ||
                   lab_.log().find("in state returning") != std::string::npos) {
                 return;
               }
               ++refused;
               EXPECT_OK(ended);
               EXPECT_THAT(lab_.log(),
                           HasSubstr("V00002 was begun before the restart and "
                                     "is not used"));
               EXPECT_EQ(lab_.media().written("V00003"), WrittenState::kClosed);
               ExpectBad("V00002", "V00003");
               // It says COMPLETE, and is read by everybody who looks.
               EXPECT_OK(Inventory(lab_.archive(), /*all=*/true));
               const auto bad = lab_.volumes().FindByMedium("V00002");
               EXPECT_EQ(bad->record().state, udf::SlotState::kComplete);
               ExpectBad("V00002", "V00003");
             });
  EXPECT_GT(refused, 0);
}

// The catalog knows of a complete backup on it: somebody has swapped the disc.
TEST_P(FinishedDiscTest, X2_ABlankDiscInItsPlaceCostsNoCompleteBackup) {
  bool complete = false;
  const auto note = [&](const JobRecord& job) {
    if (job.state != JobState::kLoadTarget) return Status::Ok();
    const auto backup = lab_.volumes().FindByMedium("V00002");
    complete = complete || (backup != nullptr && backup->record().state ==
                                                     udf::SlotState::kComplete);
    return Status::Ok();
  };
  int kept = 0;
  ForEachCut([&] { lab_.OnTransition(nullptr); },
             [&] {
               complete = false;
               lab_.OnTransition(note);
               lab_.Blank("V00002");
             },
             [&](const Status& ended) {
               EXPECT_OK(ended);
               if (!complete) return;
               ++kept;
               EXPECT_EQ(lab_.log().find("is blank still"), std::string::npos)
                   << lab_.log();
               const auto backup = lab_.volumes().FindByMedium("V00002");
               ASSERT_NE(backup, nullptr);
               EXPECT_EQ(backup->record().state, udf::SlotState::kComplete);
               EXPECT_EQ(lab_.media().written("V00002"), WrittenState::kBlank);
               EXPECT_EQ(lab_.media().written("V00003"), WrittenState::kClosed);
             });
  EXPECT_GT(kept, 0);
}

class StreamedDiscTest : public FinishedDiscTest {};

// That is no fault of the disc's, and when it is needed most.
TEST_P(StreamedDiscTest, X2_APrimaryThatCannotBeReadCostsNoDisc) {
  uint64_t sector = 0;  // of /a
  {
    const Bytes wanted(kSectorSize, std::byte{'a'});
    Bytes there(kSectorSize);
    for (uint64_t s = 0; s < 4096 && there != wanted; ++s) {
      lab_.content("V00001").Peek(s * kSectorSize, there);
      sector = s;
    }
    ASSERT_EQ(there, wanted);
  }
  const auto fail = [this, sector](const JobRecord& job) -> Status {
    if (job.state == JobState::kVerifying) {
      lab_.media().BadSectors("V00001", {sector, 1});
    }
    return Status::Ok();
  };
  int for_itself = 0;
  ForEachCut([&] { lab_.OnTransition(nullptr); },
             [&] { lab_.OnTransition(fail); },
             [&](const Status& ended) {
               if (lab_.log().find("was finished before the restart") ==
                   std::string::npos) {
                 return;
               }
               ++for_itself;
               EXPECT_THAT(lab_.log(), HasSubstr("cannot be compared with"));
               ExpectRecorded(ended, false);
             });
  EXPECT_GT(for_itself, 0);
}

TEST_P(StreamedDiscTest, X2_AFailureBeforeTheFirstSectorCostsNoDisc) {
  CopyRequest request;
  request.source = "PRIM";
  request.mode = GetParam();
  lab_.GoToStart();
  ASSERT_OK(lab_.Open());
  // A load does not read it, a copy does first of all.
  lab_.media().BadSectors("V00001", {0, 1});
  const Status failed = lab_.Finish(lab_.jobs().Submit(request));
  EXPECT_THAT(failed, HasErrc(Errc::kDeviceError));
  EXPECT_THAT(failed, MessageHas("volume PRIM"));
  EXPECT_THAT(failed.error().message, testing::Not(HasSubstr("is spoiled")));
  EXPECT_THAT(lab_.log(), HasSubstr("V00002 is blank still"));
  EXPECT_EQ(lab_.media().written("V00002"), WrittenState::kBlank);
  EXPECT_EQ(lab_.volumes().FindByMedium("V00002"), nullptr);
  ASSERT_OK(lab_.Heal());
  const Result<JobId> again = lab_.jobs().Submit(request);
  EXPECT_OK(lab_.Finish(again));
  EXPECT_EQ(lab_.jobs().Wait(*again)->target_medium, "V00002");
  EXPECT_EQ(lab_.FindLeaks(), "");
  lab_.Close();
}

INSTANTIATE_TEST_SUITE_P(Modes, StreamedDiscTest,
                         testing::Values(CopyMode::kStreaming),
                         [](const testing::TestParamInfo<CopyMode>& mode) {
                           return std::string(CopyModeName(mode.param));
                         });
INSTANTIATE_TEST_SUITE_P(Modes, FinishedDiscTest,
                         testing::Values(CopyMode::kImage,
                                         CopyMode::kStreaming),
                         [](const testing::TestParamInfo<CopyMode>& mode) {
                           return std::string(CopyModeName(mode.param));
                         });

}  // namespace
}  // namespace vellum
