// SPDX-License-Identifier: Apache-2.0
// Catalog and medium that part company (label fault): deaths between the steps
// of a commit and at any I/O, catalogs that are old, gone or another library's,
// media that others have changed. Recovery is what media/udf/FORMAT.md says
// (pending batch applied, discarded, or the volume rescanned) and the tree is
// always that of the generation that the medium holds.
//
// VELLUM_SEED=S runs that seed alone; VELLUM_ROUNDS=N power cuts a seed.
#include <fmt/format.h>

#include <algorithm>

#include "tests/index/volume_fixture.h"
#include "tests/index/volume_lab.h"

namespace vellum {
namespace {

constexpr VolumeIndex kIndex = 1;

LabOptions SmallWithChains() {
  LabOptions options = SmallLab();
  options.fuzz.max_chains = 1;
  return options;
}

// ------------------------------------------------------------------- deaths

struct Deaths {
  uint64_t all = 0;
  uint64_t stored = 0;    // between P and the application of its batch
  uint64_t noted = 0;     // the same of a commit without P
  uint64_t answered = 0;  // behind the answer to who asked for the commit
};

void KillAtEachStep(uint64_t seed, Deaths* deaths) {
  std::mt19937_64 rng(seed);
  VolumeLab lab(seed, SmallWithChains());
  for (int i = 0; i < kDeaths * 2 * 8; ++i) {
    const auto step = static_cast<CommitStep>(i % 8);
    const bool closing = i / 8 % 2 == 1;
    const auto death = static_cast<Death>(i / 16);
    const uint64_t death_seed = rng();
    SCOPED_TRACE(fmt::format("seed {} step {} closing {} death {}", seed, i % 8,
                             closing, static_cast<int>(death)));
    lab.Operate(4 + static_cast<int>(rng() % 12));
    if (rng() % 3 == 0) {
      ASSERT_OK(lab.volume()->Sync());
    }
    lab.OperateUntilDirty();
    const Generation before = lab.volume()->generation();
    lab.KillAt(step);
    int answers = 0;
    const auto sync = [&] {
      return lab.volume()->Sync([&] {
        ++answers;
        EXPECT_EQ(lab.volume()->generation().number, before.number + 1);
      });
    };
    ASSERT_THAT(closing      ? lab.volume()->Detach()
                : i % 3 == 0 ? lab.Accompanied(sync)
                             : sync(),
                HasErrc(Errc::kAborted));
    // Whoever was answered before the sectors are in place finds it below, too.
    ASSERT_EQ(answers, !closing && step >= CommitStep::kApplied ? 1 : 0);
    deaths->answered += answers;
    if (!closing) {
      ASSERT_THAT(lab.volume()->Create(lab.volume()->root(), "late", {}),
                  HasErrc(Errc::kReadOnly));
    }
    lab.Die(death, death_seed);
    ASSERT_OK(lab.OpenCatalog());

    const udf::ReplayResult found = lab.OnMedium();
    ASSERT_NE(found.outcome, udf::ReplayOutcome::kForeign);
    ASSERT_EQ(found.generation.lineage, before.lineage);
    const bool may = step >= CommitStep::kRecordWritten;
    const bool must =
        step >= CommitStep::kRecordFlushed || (may && death == Death::kKill);
    ASSERT_GE(found.generation.number, before.number + (must ? 1 : 0));
    ASSERT_LE(found.generation.number, before.number + (may ? 1 : 0));
    const auto pending = lab.catalog()->GetPending(kIndex);
    ASSERT_OK(pending);
    const bool stored = pending->has_value() &&
                        (*pending)->generation.number == before.number + 1;
    if (pending->has_value() && !stored) {
      // That of a generation before, whose application power took away.
      ASSERT_NE(death, Death::kKill);
      ASSERT_LE((*pending)->generation.number, before.number);
    }
    if (step < CommitStep::kPendingStored) {
      ASSERT_FALSE(stored);
    } else if (step < CommitStep::kApplied) {
      // Else the record itself says it, if there is one.
      const bool there = found.generation.number == before.number + 1;
      ASSERT_TRUE(stored || !there || !found.note.empty());
      ++(stored ? deaths->stored : deaths->noted);
    }

    ASSERT_OK(lab.Attach());
    // Decided, not rescanned.
    ASSERT_EQ(lab.volume()->generation(), found.generation);
    lab.Resume(found.generation.number);
    lab.Check();
    ASSERT_FALSE(testing::Test::HasFailure());
    ++deaths->all;
  }
}

TEST(VolumeCatalogTest, KillsBetweenTheStepsAreDecidedByTheMedium) {
  Deaths deaths;
  for (const uint64_t seed : Seeds(2)) {
    KillAtEachStep(seed, &deaths);
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
  fmt::print(
      "{} deaths between two steps of a commit; {} with a pending "
      "batch, {} without one; {} behind the answer\n",
      deaths.all, deaths.stored, deaths.noted, deaths.answered);
  EXPECT_GT(deaths.stored, 0u);
  EXPECT_GT(deaths.noted, 0u);
  EXPECT_GT(deaths.answered, 0u);
}

// Power goes at any write, flush or discard of the medium or append or sync of
// the catalog, during commits, unloads, loads and recoveries.
struct Cuts {
  uint64_t done = 0;
  uint64_t in_recovery = 0;
  uint64_t applied = 0;  // pending batches
  uint64_t discarded = 0;
  uint64_t noted = 0;        // notes of records
  uint64_t accompanied = 0;  // commits
  uint64_t fsyncs = 0;
};

void CutPower(uint64_t seed, uint64_t rounds, Cuts* cuts) {
  std::mt19937_64 rng(seed * 7919);
  VolumeLab lab(seed, SmallWithChains());
  const auto arm = [&](uint64_t events) {
    if (rng() % 3 == 0) {
      lab.file_system().CutPowerAt(1 + rng() % 8);
    } else {
      lab.power_medium().CutPowerAt(1 + rng() % events);
    }
  };
  Generation promised = lab.volume()->generation();
  std::vector<VolumeFuzzer::Fsynced> fsynced;  // since the last death
  for (uint64_t round = 0; round < rounds; ++round) {
    SCOPED_TRACE(fmt::format("seed {} round {}", seed, round));
    lab.Operate(4 + static_cast<int>(rng() % 16));
    if (testing::Test::HasFatalFailure()) return;
    // Armed around what the model does not take part in.
    for (;;) {
      const uint64_t what = rng() % 5;
      const VolumeFuzzer::Fsynced node = lab.fuzzer().PickForFsync();
      const auto sync = [&] { return lab.volume()->Sync(); };
      const auto fsync = [&] { return lab.fuzzer().Fsync(node); };
      // With company power goes, if at all, behind what that did.
      const bool company = what > 0 && rng() % 2 == 0;
      if (!company) arm(24);
      Status status;
      if (what == 0) {
        status = lab.volume()->Detach();
        if (status.ok()) promised = lab.volume()->generation();
        if (status.ok()) status = lab.volume()->Attach(&lab.power_medium());
      } else if (what < 3) {
        status = company ? lab.Accompanied(sync, [&] { arm(24); }) : sync();
        if (status.ok()) promised = lab.volume()->generation();
      } else {
        status = company ? lab.Accompanied(fsync, [&] { arm(24); }) : fsync();
        if (status.ok()) fsynced.push_back(node);
        cuts->fsyncs += status.ok() ? 1 : 0;
      }
      if (!lab.file_system().power()) break;
      ASSERT_OK(status);
      lab.power_medium().CutPowerAt(0);
      lab.file_system().CutPowerAt(0);
      lab.Operate(3);
      if (testing::Test::HasFatalFailure()) return;
    }
    lab.Die(static_cast<Death>(1 + rng() % 4), rng());
    ++cuts->done;
    ASSERT_OK(lab.OpenCatalog());
    for (int nested = static_cast<int>(rng() % 3); nested > 0; --nested) {
      // Power goes again, during the recovery or right after it.
      if (rng() % 4 == 0) lab.file_system().CutPowerAt(1 + rng() % 3);
      const Status status = lab.Attach(1 + rng() % 6);
      ASSERT_TRUE(status.ok() || !lab.file_system().power())
          << status.ToString();
      cuts->in_recovery += status.ok() ? 0 : 1;
      lab.Die(static_cast<Death>(1 + rng() % 4), rng());
      ASSERT_OK(lab.OpenCatalog());
    }
    const udf::ReplayResult found = lab.OnMedium();
    ASSERT_NE(found.outcome, udf::ReplayOutcome::kForeign);
    const auto pending = lab.catalog()->GetPending(kIndex);
    ASSERT_OK(pending);
    if (pending->has_value()) {
      ++((*pending)->generation == found.generation ? cuts->applied
                                                    : cuts->discarded);
    }
    const Result<VolumeRecord> stored = lab.catalog()->GetVolume(kIndex);
    ASSERT_OK(stored);
    const bool decided =
        stored->generation == found.generation ||
        (pending->has_value() && (*pending)->generation == found.generation);
    cuts->noted += decided ? 0 : 1;
    ASSERT_OK(lab.Attach());
    ASSERT_EQ(lab.volume()->generation(), found.generation);
    ASSERT_EQ(found.generation.lineage, promised.lineage) << "rescanned";
    ASSERT_GE(found.generation.number, promised.number);
    promised = found.generation;
    lab.Resume(found.generation.number);
    const Model& model = lab.fuzzer().model();
    for (const VolumeFuzzer::Fsynced& node : fsynced) {
      const auto it = model.nodes.find(node.id);
      // What is gone was there before: ids are not used again.
      ASSERT_TRUE(it == model.nodes.end() ? node.id < model.next
                                          : it->second->version >= node.version)
          << "node " << node.id << " is older than an fsync promised";
    }
    fsynced.clear();
    lab.Check();
    ASSERT_FALSE(testing::Test::HasFailure());
  }
  cuts->accompanied += lab.accompanied();
}

TEST(VolumeCatalogTest, PowerCutsAnywhereNeedNoRescan) {
  Cuts cuts;
  for (const uint64_t seed : Seeds(5)) {
    CutPower(seed, FromEnvironment("VELLUM_ROUNDS", 40), &cuts);
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
  fmt::print(
      "{} power cuts ({} in recoveries), {} pending batches applied, {} "
      "discarded, {} notes of records applied; {} commits with company, {} "
      "fsyncs\n",
      cuts.done, cuts.in_recovery, cuts.applied, cuts.discarded, cuts.noted,
      cuts.accompanied, cuts.fsyncs);
  EXPECT_GT(cuts.in_recovery, 0u);
  EXPECT_GT(cuts.applied, 0u);
  EXPECT_GT(cuts.discarded, 0u);
  EXPECT_GT(cuts.noted, 0u);
  EXPECT_GT(cuts.accompanied, 0u);
  EXPECT_GT(cuts.fsyncs, 0u);
}

// Many small commits, none of which waits for the catalog: it is behind by all
// of them when power goes, and the newest record has what it lacks.
TEST(VolumeCatalogTest, TheNewestRecordHasWhatTheCatalogLost) {
  LabOptions options = SmallLab();
  VolumeLab lab(FromEnvironment("VELLUM_SEED", 1), options);
  const auto change = [&](int i) -> Status {
    Volume* const volume = lab.volume();
    ASSIGN_OR_RETURN(const Attr attr,
                     volume->Create(volume->root(), fmt::format("f{}", i), {}));
    RETURN_IF_ERROR(
        volume->Write(attr.ino, 0, std::as_bytes(std::span("0123456789")))
            .status());
    if (i % 3 == 2) {
      RETURN_IF_ERROR(
          volume->Unlink(volume->root(), fmt::format("f{}", i - 1)));
    }
    return volume->Fsync(attr.ino);
  };
  for (int i = 0; i < 40; ++i) ASSERT_OK(change(i));
  const Generation committed = lab.volume()->generation();
  lab.Die(Death::kPowerLost, 1);
  ASSERT_OK(lab.OpenCatalog());
  const Result<VolumeRecord> behind = lab.catalog()->GetVolume(kIndex);
  ASSERT_OK(behind);
  EXPECT_LT(behind->generation.number, committed.number);
  ASSERT_OK(lab.Attach());
  EXPECT_EQ(lab.volume()->generation(), committed) << "rescanned";
  for (int i = 0; i < 40; ++i) {
    const bool there =
        lab.volume()->Lookup(lab.volume()->root(), fmt::format("f{}", i)).ok();
    EXPECT_EQ(there, i % 3 != 1 || i == 39) << i;
  }
  EXPECT_EQ(FsckText(*lab.medium().Content()), "");
  // It is durable now: the record is not needed a second time.
  lab.Die(Death::kPowerLost, 2);
  ASSERT_OK(lab.OpenCatalog());
  EXPECT_EQ(lab.catalog()->GetVolume(kIndex)->generation, committed);
}

// Another library's catalog may have the volume at the same generation, but
// numbers names in its own way.
TEST(VolumeCatalogTest, TheNoteOfAnotherLibraryIsNotApplied) {
  VolumeLab lab(FromEnvironment("VELLUM_SEED", 1), SmallLab());
  const auto commit = [&](const char* name) {
    Volume* const volume = lab.volume();
    ASSERT_OK(volume->Create(volume->root(), name, {}));
    ASSERT_OK(volume->Sync());
  };
  commit("a");
  commit("b");
  const Generation committed = lab.volume()->generation();
  lab.Die(Death::kPowerLost, 1);
  ASSERT_OK(lab.OpenCatalog());
  ASSERT_LT(lab.catalog()->GetVolume(kIndex)->generation.number,
            committed.number);
  CatalogBatch other;
  other.PutRow("catalog", "identity", "another library");
  ASSERT_OK(lab.catalog()->Write(other, Sync::kYes));
  ASSERT_OK(lab.Attach());
  EXPECT_NE(lab.volume()->generation().lineage, committed.lineage);
  EXPECT_OK(lab.volume()->Lookup(lab.volume()->root(), "a"));
  EXPECT_OK(lab.volume()->Lookup(lab.volume()->root(), "b"));
}

// A record that does not fit the ring stands in free blocks. The load that
// replays it may give them to a file; dying once more must not bring an older
// record back.
TEST(VolumeCatalogTest, SpilledRecordsMayBeOverwrittenAfterTheirRecovery) {
  VolumeLab lab(FromEnvironment("VELLUM_SEED", 1), SmallLab());
  Volume* volume = lab.volume();
  std::vector<InodeNumber> files;
  for (int i = 0; i < 200; ++i) {
    const Result<Attr> attr =
        volume->Create(volume->root(), fmt::format("f{}", i), {});
    ASSERT_OK(attr);
    files.push_back(attr->ino);
  }
  ASSERT_OK(volume->Sync());
  AttrChange change;
  change.mode = 0600;
  for (const InodeNumber ino : files) ASSERT_OK(volume->SetAttr(ino, change));
  ASSERT_OK(volume->Sync());
  const Generation committed = volume->generation();
  lab.Die(Death::kPowerKept, 1);
  ASSERT_OK(lab.OpenCatalog());
  ASSERT_OK(lab.Attach());
  volume = lab.volume();
  ASSERT_EQ(volume->generation(), committed);
  // All free blocks get new content, none of it committed.
  const Result<Attr> big = volume->Create(volume->root(), "big", {});
  ASSERT_OK(big);
  const std::string piece(1 << 18, 'x');
  for (uint64_t at = 0;; at += piece.size()) {
    const Result<size_t> n = volume->Write(
        big->ino, at, std::as_bytes(std::span(piece.data(), piece.size())));
    if (!n.ok()) {
      ASSERT_THAT(n, HasErrc(Errc::kNoSpace));
      break;
    }
  }
  lab.Die(Death::kPowerKept, 1);
  ASSERT_NE(lab.OnMedium().outcome, udf::ReplayOutcome::kForeign);
  ASSERT_OK(lab.OpenCatalog());
  ASSERT_OK(lab.Attach());
  EXPECT_GE(lab.volume()->generation().number, committed.number);
  EXPECT_EQ(lab.volume()->generation().lineage, committed.lineage)
      << "rescanned";
  for (const InodeNumber ino : files) {
    ASSERT_EQ(lab.volume()->GetAttr(ino)->attr.mode, 0600u);
  }
  EXPECT_EQ(FsckText(*lab.medium().Content()), "");
}

}  // namespace
}  // namespace vellum
