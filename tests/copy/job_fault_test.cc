// SPDX-License-Identifier: Apache-2.0
// Every operation of every kind of copy, and of what works on whole media,
// fails once (label fault): each read, write, flush, discard and search of the
// media, each append and sync of the catalog, each call that the spool makes
// but the removal of a file; transfers that end early, media that are gone from
// one operation on, bad sectors, full disks. Afterwards nothing is lost or
// leaked, and the same runs to its end.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "copy/library_catalog.h"
#include "tests/copy/fault_sweep.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

class JobFaultTest : public testing::TestWithParam<FaultScenario> {};

TEST_P(JobFaultTest, EveryOperationFails) {
  using Op = FaultPlan::Op;
  using Fault = FaultyFileSystem::Fault;
  FaultSweep sweep(GetParam());
  const uint64_t writes = sweep.FailEverywhere(MediumFails(Op::kWrite));
  uint64_t medium = writes;
  for (const Op op : {Op::kRead, Op::kFlush, Op::kDiscard, Op::kSearch}) {
    medium += sweep.FailEverywhere(MediumFails(op));
  }
  uint64_t shortened = 0;
  for (const Op op : {Op::kRead, Op::kWrite}) {
    shortened += sweep.FailEverywhere(MediumFallsShort(op));
  }
  const uint64_t gone = sweep.FailEverywhere(MediumGoes());
  const uint64_t full = sweep.FailEverywhere(MediumFills());
  const uint64_t bad = sweep.FailEverywhere(BadPart());
  const uint64_t catalog =
      sweep.FailEverywhere(CatalogFails(Fault::kFailedSync));
  sweep.FailEverywhere(CatalogFails(Fault::kFull));
  const uint64_t spool = sweep.FailEverywhere(SpoolFails());
  sweep.FailEverywhere(SpoolFills());
  fmt::print(
      "fault sites: {}: {} medium (short at {}, gone at {}, full at {}, {} "
      "bad parts), {} catalog, {} spool; {} failures, {} masked, {} "
      "violations\n",
      GetParam().name, medium, shortened, gone, full, bad, catalog, spool,
      sweep.runs(), sweep.masked(), sweep.violations().size());
  const FaultSites& sites = GetParam().sites;
  EXPECT_EQ(medium > 0, sites.medium);
  EXPECT_EQ(shortened > 0, sites.medium);
  EXPECT_EQ(gone > 0, sites.medium);
  EXPECT_EQ(full > 0, writes > 0);
  EXPECT_EQ(bad > 0, sites.medium);
  EXPECT_EQ(catalog > 0, sites.catalog);
  EXPECT_GT(sweep.runs(), sweep.masked());
  if (GetParam().uses_spool) {
    EXPECT_GT(spool, 0u);
  }
  EXPECT_EQ(sweep.violations().size(), 0u) << sweep.violations()[0];
}

INSTANTIATE_TEST_SUITE_P(All, JobFaultTest, testing::ValuesIn(FaultScenarios()),
                         ScenarioTestName);

// The negative controls: what the sweeps must notice.
TEST(FaultSweepTest, AnErrorThatIsSwallowedIsNoticed) {
  FaultScenario scenario = ScenarioCalled("format");
  const auto run = scenario.run;
  scenario.run = [run](FaultLab& lab) {
    run(lab).IgnoreError("the test is about this");
    return Status::Ok();
  };
  for (const FaultKind& kind :
       {MediumFails(FaultPlan::Op::kWrite), MediumFills()}) {
    FaultSweep sweep(scenario, /*quiet=*/true);
    EXPECT_GT(sweep.FailEverywhere(kind), 0u) << kind.name;
    ASSERT_FALSE(sweep.violations().empty()) << kind.name;
    EXPECT_NE(sweep.violations()[0].find("swallowed"), std::string::npos)
        << sweep.violations()[0];
  }
}

// The next run would make it good.
TEST(FaultSweepTest, ACatalogThatMissesWhatWasDoneIsNoticed) {
  FaultScenario scenario = ScenarioCalled("format");
  const auto run = scenario.run;
  scenario.run = [run](FaultLab& lab) {
    run(lab).IgnoreError("the test is about this");
    return Status::Ok();
  };
  FaultSweep sweep(scenario, /*quiet=*/true);
  EXPECT_GT(sweep.FailEverywhere(CatalogFails(FaultyFileSystem::Fault::kFull)),
            0u);
  EXPECT_THAT(sweep.violations(),
              testing::Contains(testing::HasSubstr("V00002 is not known")));
}

TEST(FaultSweepTest, AnErrorThatNamesNothingIsNoticed) {
  FaultScenario scenario = ScenarioCalled("compare");
  const auto run = scenario.run;
  scenario.run = [run](FaultLab& lab) {
    return run(lab).ok() ? Status::Ok() : Status(Errc::kDeviceError, "error");
  };
  FaultSweep sweep(scenario, /*quiet=*/true);
  EXPECT_GT(sweep.FailEverywhere(MediumGoes()), 0u);
  ASSERT_FALSE(sweep.violations().empty());
  EXPECT_NE(sweep.violations()[0].find("names nothing"), std::string::npos);
}

TEST(FaultSweepTest, ABackupThatIsGivenUpUnannouncedIsNoticed) {
  // This one announces it, but may not do it at all.
  FaultScenario scenario = ScenarioCalled("image copy over one of two");
  scenario.allowed["V00002"].announced = false;
  FaultSweep sweep(scenario, /*quiet=*/true);
  EXPECT_GT(sweep.CutEverywhere(PowerGoesIn("medium")), 0u);
  ASSERT_FALSE(sweep.violations().empty());
  EXPECT_NE(sweep.violations()[0].find("INCOMPLETE"), std::string::npos);
}

TEST(FaultSweepTest, AnotherContentIsNoticed) {
  FaultScenario scenario = ScenarioCalled("incremental copy");
  scenario.done["V00002"]["/d/c"][69'999] ^= 1;
  FaultSweep sweep(scenario, /*quiet=*/true);
  sweep.CutEverywhere(PowerGoesIn("medium"));
  ASSERT_FALSE(sweep.violations().empty());
  // In what the job has made that was taken up.
  EXPECT_THAT(sweep.violations()[0],
              testing::AllOf(testing::HasSubstr("taken up"),
                             testing::HasSubstr("/d/c differs")));
}

class JobPowerTest : public testing::TestWithParam<FaultScenario> {};

TEST_P(JobPowerTest, X2_PowerGoesAtEveryOperation) {
  FaultSweep sweep(GetParam());
  const uint64_t medium = sweep.CutEverywhere(PowerGoesIn("medium"));
  const uint64_t catalog = sweep.CutEverywhere(PowerGoesIn("catalog"));
  const uint64_t spool = sweep.CutEverywhere(PowerGoesIn("spool"));
  fmt::print(
      "power cuts: seed {}, {}: {} medium, {} catalog, {} spool; {} cuts, {} "
      "with jobs that were taken up, {} to their end; {} with a catalog made "
      "anew, {} violations\n",
      FromEnvironment("VELLUM_SEED", 1), GetParam().name, medium, catalog,
      spool, sweep.runs(), sweep.resumed(), sweep.finished(), sweep.rebuilt(),
      sweep.violations().size());
  EXPECT_EQ(medium > 0, GetParam().sites.medium && GetParam().sites.writes);
  EXPECT_EQ(catalog > 0, GetParam().sites.catalog);
  if (GetParam().uses_spool) {
    EXPECT_GT(spool, 0u);
  }
  if (GetParam().is_job) {
    EXPECT_GT(sweep.finished(), 0u);
  }
  // Rare, or what the sync of the catalog promises is worth nothing.
  EXPECT_LE(sweep.rebuilt(), 1 + sweep.runs() / 50);
  EXPECT_EQ(sweep.violations().size(), 0u) << sweep.violations()[0];
}

// As a cut may, but rarely does: what is said then, and that all volumes are
// found again.
TEST_P(JobPowerTest, X8_TheCatalogIsDamagedAsWell) {
  FaultSweep sweep(GetParam());
  uint64_t cuts = 0;
  for (const char* where : {"medium", "catalog"}) {
    FaultKind kind = PowerGoesIn(where);
    kind.damages_catalog = true;
    kind.coarser = 4;
    cuts += sweep.CutEverywhere(kind);
  }
  EXPECT_GT(cuts, 0u);
  EXPECT_EQ(sweep.rebuilt(), sweep.runs());
  EXPECT_EQ(sweep.violations().size(), 0u) << sweep.violations()[0];
}

INSTANTIATE_TEST_SUITE_P(All, JobPowerTest, testing::ValuesIn(FaultScenarios()),
                         ScenarioTestName);

// Who waits is told; the next start knows nothing of the end.
TEST(JobEndTest, AnEndThatCannotBeStoredIsSaidAndTakenUpAgain) {
  FaultLabOptions options;
  options.drives = 2;
  FaultLab lab(options);
  bool breaks = true;
  lab.OnTransition([&](const JobRecord& job) {
    if (breaks && job.state == JobState::kReturning) {
      lab.catalog_disk().SetFault(FaultyFileSystem::Fault::kFailedSync);
      lab.LoseFailedSyncs(1);
    }
    return Status::Ok();
  });
  ASSERT_OK(lab.Open());
  FormatRequest format;
  format.medium = "V00001";
  format.volume_id = "PRIM";
  ASSERT_OK(Format(lab.archive(), format));
  ASSERT_OK(lab.Put("PRIM", "/file", "content"));
  CopyRequest request;
  request.source = "PRIM";
  request.mode = CopyMode::kStreaming;
  request.target = "V00002";
  ASSERT_OK_AND_ASSIGN(const JobId id, lab.jobs().Submit(request));
  ASSERT_OK_AND_ASSIGN(const JobRecord ended, lab.jobs().Wait(id));
  EXPECT_TRUE(JobEnded(ended.state));
  EXPECT_THAT(ended.message, testing::HasSubstr("its end cannot be stored"));
  breaks = false;
  lab.Close();
  ASSERT_OK(lab.Open());
  ASSERT_OK_AND_ASSIGN(const JobRecord again, lab.jobs().Wait(id));
  EXPECT_EQ(again.state, JobState::kDone) << again.message;
  EXPECT_EQ(again.message.find("stored"), std::string::npos);
  EXPECT_EQ(lab.FindLeaks(), "");
  lab.Close();
  EXPECT_EQ(lab.CompareSectors("V00001", "V00002"), "");
}

TEST(LibraryCatalogTest, WhatToDoAboutItsDiskIsSaidAtTheStart) {
  const TempDir dir;
  const auto disk = std::make_shared<FaultyFileSystem>();
  Catalog::Options options;
  options.env = MakeEnv(disk);
  disk->SetFault(FaultyFileSystem::Fault::kFailedSync);
  const auto opened = OpenLibraryCatalog(dir.Sub("catalog"), options);
  EXPECT_THAT(opened, HasErrc(Errc::kDeviceError));
  EXPECT_THAT(opened.status(), MessageHas("see the system's log"));
  disk->SetFault(FaultyFileSystem::Fault::kNone);
  EXPECT_OK(OpenLibraryCatalog(dir.Sub("catalog"), options));
}

}  // namespace
}  // namespace vellum
