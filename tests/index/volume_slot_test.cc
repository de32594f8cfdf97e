// SPDX-License-Identifier: Apache-2.0
// Whatever writes a control slot dies at each of its I/Os (label fault): loads
// (of closed volumes, after crashes, with a rescan), first commits, unloads,
// changes of the threshold. At every write, flush and discard of the medium and
// at every append and sync of the catalog the process is killed, and power goes
// with what was not flushed kept, lost, reordered and torn.
#include <fmt/format.h>

#include <functional>

#include "tests/index/volume_fixture.h"
#include "tests/index/volume_lab.h"

namespace vellum {
namespace {

constexpr VolumeIndex kIndex = 1;

LabOptions FewFiles() {
  LabOptions options;
  options.fuzz.max_file_bytes = 20'000;
  options.fuzz.max_nodes = 12;
  return options;
}

class VolumeSlotTest : public testing::Test {
 protected:
  // What the test is about: runs on the state that Start() has left.
  struct Action {
    // Loads the volume first, and does this before I/Os are counted.
    std::function<void()> prepare = nullptr;
    // Empty: the load itself.
    std::function<Status()> run = nullptr;
    bool rescans = false;  // the catalog is lost before
  };

  // A volume with some generations, ended by `end`.
  void Start(const std::function<void()>& end) {
    lab_.Operate(30);
    lab_.OperateUntilDirty();
    ASSERT_OK(lab_.volume()->Sync());
    lab_.Operate(2);
    lab_.OperateUntilDirty();
    lineage_ = lab_.volume()->generation().lineage;
    end();
    start_ = lab_.medium().Content();
    lab_.SaveCatalog("start");
  }
  void DieAt(CommitStep step, Death death) {
    lab_.KillAt(step);
    ASSERT_THAT(lab_.volume()->Sync(), HasErrc(Errc::kAborted));
    lab_.Die(death, seed_);
  }

  void GoBack(const Action& action) {
    lab_.RestoreCatalog("start");
    if (action.rescans) lab_.DeleteCatalog();
    lab_.SetMedium(*start_);
    ASSERT_OK(lab_.OpenCatalog());
  }

  // Power goes at the `n`th I/O of medium or catalog.
  Status Run(const Action& action, bool of_catalog, uint64_t n) {
    if (!action.run) {
      if (of_catalog) lab_.file_system().CutPowerAt(n);
      return lab_.Attach(of_catalog ? 0 : n);
    }
    EXPECT_OK(lab_.Attach());
    lab_.Resume(lab_.volume()->generation().number);
    if (action.prepare) action.prepare();
    if (testing::Test::HasFailure()) return Status::Ok();
    if (of_catalog) {
      lab_.file_system().CutPowerAt(n);
    } else {
      lab_.power_medium().CutPowerAt(n);
    }
    return action.run();
  }

  // The tree is the one that the medium says, and stays so.
  void Recover(const Action& action) {
    ASSERT_OK(lab_.OpenCatalog());
    const udf::ReplayResult found = lab_.OnMedium();
    ASSERT_NE(found.outcome, udf::ReplayOutcome::kForeign);
    ASSERT_OK(lab_.Attach());
    if (!action.rescans) {
      ASSERT_EQ(lab_.volume()->generation(), found.generation);
      ASSERT_EQ(found.generation.lineage, lineage_) << "rescanned";
    }
    lab_.Resume(found.generation.number);
    lab_.Check();
    const Result<udf::ControlSlot> slot = udf::ReadControlSlot(lab_.medium());
    ASSERT_OK(slot);
    EXPECT_EQ(lab_.volume()->record().threshold, slot->threshold);
    EXPECT_EQ(lab_.catalog()->GetVolume(kIndex)->threshold, slot->threshold);
    // No older record comes back once more is written.
    lab_.OperateUntilDirty();
    ASSERT_OK(lab_.volume()->Sync());
    const Generation now = lab_.volume()->generation();
    lab_.Die(Death::kPowerLost, seed_);
    ASSERT_OK(lab_.OpenCatalog());
    ASSERT_OK(lab_.Attach());
    ASSERT_EQ(lab_.volume()->generation(), now);
    lab_.Resume(now.number);
    lab_.Check();
    lab_.Die(Death::kKill, seed_);
  }

  void DieEverywhere(const Action& action, uint64_t least) {
    uint64_t sites = 0, deaths = 0;
    for (const bool of_catalog : {false, true}) {
      bool reached = true;
      for (uint64_t n = 1; reached; ++n) {
        for (int death = 0; reached && death < kDeaths; ++death) {
          SCOPED_TRACE(fmt::format("seed {}, {} I/O {}, death {}", seed_,
                                   of_catalog ? "catalog" : "medium", n,
                                   death));
          GoBack(action);
          ASSERT_FALSE(HasFailure());
          const Status status = Run(action, of_catalog, n);
          reached = !lab_.file_system().power();
          if (!reached) {
            ASSERT_OK(status);
            lab_.Die(Death::kKill, seed_);
            break;
          }
          lab_.Die(static_cast<Death>(death), n * kDeaths);
          ++deaths;
          Recover(action);
          ASSERT_FALSE(HasFailure()) << status.ToString();
        }
        sites += reached ? 1 : 0;
      }
    }
    fmt::print("seed {}: {} I/Os, {} deaths\n", seed_, sites, deaths);
    EXPECT_GE(sites, least);
  }

  const uint64_t seed_ = FromEnvironment("VELLUM_SEED", 1);
  VolumeLab lab_{seed_, FewFiles()};
  std::unique_ptr<MemoryMedium> start_;
  uint64_t lineage_ = 0;
};

TEST_F(VolumeSlotTest, LoadOfAClosedVolume) {
  Start([this] { lab_.Close(); });
  DieEverywhere({}, 1);
}

TEST_F(VolumeSlotTest, LoadAfterADeathBehindTheCommit) {
  Start([this] { DieAt(CommitStep::kRecordFlushed, Death::kPowerLost); });
  DieEverywhere({}, 5);
}

TEST_F(VolumeSlotTest, LoadAfterADeathInTheRecord) {
  Start([this] { DieAt(CommitStep::kRecordWritten, Death::kPowerTorn); });
  DieEverywhere({}, 2);
}

TEST_F(VolumeSlotTest, LoadThatReadsTheMediumAnew) {
  Start([this] { lab_.Close(); });
  DieEverywhere({.rescans = true}, 5);
}

TEST_F(VolumeSlotTest, FirstCommitOfALoad) {
  Start([this] { lab_.Close(); });
  DieEverywhere({.prepare = [this] { lab_.OperateUntilDirty(); },
                 .run = [this] { return lab_.volume()->Sync(); }},
                10);
}

TEST_F(VolumeSlotTest, Unload) {
  Start([this] { lab_.Close(); });
  DieEverywhere({.prepare = [this] { lab_.OperateUntilDirty(); },
                 .run = [this] { return lab_.volume()->Detach(); }},
                12);
}

TEST_F(VolumeSlotTest, ThresholdOfAVolumeThatIsClean) {
  Start([this] { lab_.Close(); });
  DieEverywhere({.run = [this] { return lab_.volume()->SetThreshold(55); }}, 3);
}

TEST_F(VolumeSlotTest, ThresholdOfAVolumeThatIsInUse) {
  Start([this] { lab_.Close(); });
  DieEverywhere({.prepare =
                     [this] {
                       lab_.OperateUntilDirty();
                       EXPECT_OK(lab_.volume()->Sync());
                     },
                 .run = [this] { return lab_.volume()->SetThreshold(55); }},
                3);
}

// Whether a medium that the catalog cannot follow showed that the batch of a
// commit was not durable before its record (P without its sync).
bool UnsyncedBatchShows(uint64_t seed, uint64_t loss) {
  VolumeLab lab(seed, FewFiles());
  lab.Operate(6);
  lab.OperateUntilDirty();
  const Generation before = lab.volume()->generation();
  lab.file_system().IgnoreSyncs();
  lab.KillAt(CommitStep::kRecordFlushed);
  EXPECT_THAT(lab.volume()->Sync(), HasErrc(Errc::kAborted));
  lab.Die(Death::kPowerLost, loss);
  EXPECT_OK(lab.OpenCatalog());
  EXPECT_OK(lab.Attach());
  if (testing::Test::HasFailure()) return false;
  const bool shows = lab.volume()->generation().lineage != before.lineage;
  lab.Die(Death::kKill, seed);
  return shows;
}

// The negative control of the deaths between two steps: a batch that is not
// synced must show. The disk keeps a random part of what was not synced: where
// that was all of it nothing was missing, and it is cut again.
TEST(VolumeCatalogControlTest, ABatchThatIsNotDurableBeforeTheRecordIsCaught) {
  uint64_t runs = 0, caught = 0;
  for (const uint64_t seed : Seeds(100)) {
    ++runs;
    bool shows = false;
    for (uint64_t loss = seed; !shows && loss < seed + 10'000; loss += 1000) {
      shows = UnsyncedBatchShows(seed, loss);
      ASSERT_FALSE(HasFailure()) << "seed " << seed;
    }
    EXPECT_TRUE(shows) << "seed " << seed;
    caught += shows ? 1 : 0;
  }
  fmt::print("pending batch not synced: {} of {} seeds caught\n", caught, runs);
}

// The same of a record without the note that stands in for the batch.
bool LostBatchShows(uint64_t seed, uint64_t loss, bool break_note) {
  LabOptions options = FewFiles();
  options.break_note = break_note;
  VolumeLab lab(seed, options);
  Volume* const volume = lab.volume();
  for (const char* name : {"a", "b", "c"}) {
    EXPECT_OK(volume->Create(volume->root(), name, {}));
    EXPECT_OK(volume->Sync());
  }
  const Generation before = volume->generation();
  lab.Die(Death::kPowerLost, loss);
  EXPECT_OK(lab.OpenCatalog());
  EXPECT_OK(lab.Attach());
  if (testing::Test::HasFailure()) return false;
  const bool shows = lab.volume()->generation().lineage != before.lineage;
  lab.Die(Death::kKill, seed);
  return shows;
}

TEST(VolumeCatalogControlTest, ARecordWithoutItsNoteIsCaught) {
  uint64_t runs = 0, caught = 0;
  for (const uint64_t seed : Seeds(100)) {
    ++runs;
    bool shows = false;
    for (uint64_t loss = seed; !shows && loss < seed + 10'000; loss += 1000) {
      shows = LostBatchShows(seed, loss, true);
      ASSERT_FALSE(HasFailure()) << "seed " << seed;
      EXPECT_FALSE(LostBatchShows(seed, loss, false)) << "seed " << seed;
    }
    EXPECT_TRUE(shows) << "seed " << seed;
    caught += shows ? 1 : 0;
  }
  fmt::print("record without its note: {} of {} seeds caught\n", caught, runs);
}

}  // namespace
}  // namespace vellum
