// SPDX-License-Identifier: Apache-2.0
// Every I/O of a volume fails once (label fault): each read, write, flush and
// search of the medium, and each append, sync and read of the catalog, of one
// fixed scenario, of a load and of a recovery. Nothing crashes, some call says
// so, a commit that failed freezes the volume, and a load of the healthy medium
// finds a committed generation, not older than the last Sync that succeeded.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "media/fault_medium.h"
#include "tests/index/faulty_file_system.h"
#include "tests/index/volume_io_scenario.h"
#include "tests/support/logged_lines.h"
#include "tests/support/temp_dir.h"

namespace vellum {
namespace {

using Op = FaultPlan::Op;

class VolumeIoFaultTest : public testing::Test {
 protected:
  VolumeIoFaultTest() {
    MemoryMediumOptions options;
    options.sectors = kSectors;
    formatted_ = std::make_unique<MemoryMedium>(options);
    udf::FormatOptions format;
    format.volume_id = "FAULTS";
    const Result<udf::ControlSlot> slot =
        udf::FormatVolume(*formatted_, format);
    EXPECT_OK(slot);
    record_ = RecordFor(*formatted_, *slot, kIndex);
  }

  // A medium in front of which faults stand.
  void NewMedium(const MemoryMedium& content) {
    base_ = std::shared_ptr<MemoryMedium>(content.Clone());
    plan_ = std::make_shared<FaultPlan>();
    medium_ = std::make_unique<FaultMedium>(ShareMedium(base_), plan_);
  }

  // A load of the healthy medium by a new Volume.
  void ExpectHealthy(Catalog* catalog, IoScenario* scenario, uint64_t lineage) {
    const Result<VolumeRecord> stored = catalog->GetVolume(kIndex);
    ASSERT_OK(stored);
    Volume volume(catalog, *stored, {});
    ASSERT_OK(volume.Attach(base_.get()));
    EXPECT_EQ(volume.generation().lineage, lineage) << "rescanned";
    EXPECT_EQ(FsckText(*base_), "");
    scenario->Check(&volume);
    ASSERT_OK(volume.Create(volume.root(), "after", {}));
    ASSERT_OK(volume.Detach());
    EXPECT_EQ(FsckText(*base_), "");
  }

  std::unique_ptr<MemoryMedium> formatted_;
  VolumeRecord record_;
  std::shared_ptr<MemoryMedium> base_;
  std::shared_ptr<FaultPlan> plan_;
  std::unique_ptr<FaultMedium> medium_;
};

const char* OpName(Op op) {
  constexpr const char* kNames[] = {"read", "write", "flush", "discard",
                                    "search"};
  return kNames[static_cast<size_t>(op)];
}

TEST_F(VolumeIoFaultTest, EachOperationOfTheMediumFailsOnce) {
  uint64_t faults = 0, masked = 0;
  for (const Op op : {Op::kRead, Op::kWrite, Op::kFlush, Op::kSearch}) {
    for (uint64_t n = 1;; ++n) {
      SCOPED_TRACE(fmt::format("{} {}", OpName(op), n));
      const LoggedLines logged;
      NewMedium(*formatted_);
      const std::unique_ptr<Catalog> catalog = MemoryCatalog();
      IoScenario scenario(medium_.get(), catalog.get(), record_);
      ASSERT_OK(scenario.Attach());
      const uint64_t lineage = scenario.volume()->generation().lineage;
      const uint64_t before = plan_->Count(op);
      plan_->FailNth(op, n);
      const Status status = scenario.Run();
      const bool reached = plan_->Count(op) >= before + n;
      plan_->Clear();
      if (!reached) {
        ASSERT_OK(status);
        ASSERT_GT(n, op == Op::kSearch ? 1u : 10u);
        break;
      }
      ++faults;
      if (status.ok()) {
        // Only what is there twice may be read without a word, and only what
        // nobody has asked for goes to the log alone.
        if (op != Op::kRead) {
          EXPECT_EQ(op, Op::kSearch) << "swallowed";
          EXPECT_GT(logged.Count("injected"), 0) << "swallowed";
        }
        ++masked;
      } else {
        EXPECT_THAT(status, HasErrc(Errc::kDeviceError));
        EXPECT_THAT(status, MessageHas("injected"));
        if (op == Op::kFlush && scenario.later().attached) {
          EXPECT_TRUE(scenario.frozen());
        }
      }
      // It was unloaded: nothing freezes it any more.
      EXPECT_OK(scenario.volume()->CheckWritable());
      if (n % 2 == 0) {
        // The same Volume, loaded again.
        ASSERT_OK(scenario.volume()->Attach(base_.get()));
        EXPECT_EQ(scenario.volume()->generation().lineage, lineage);
        scenario.Check(scenario.volume());
        EXPECT_OK(scenario.volume()->CheckWritable());
        ASSERT_OK(scenario.volume()->Detach());
        EXPECT_EQ(FsckText(*base_), "");
      } else {
        ExpectHealthy(catalog.get(), &scenario, lineage);
      }
      ASSERT_FALSE(HasFailure())
          << (scenario.failed() != nullptr ? scenario.failed()->name : "")
          << ": " << status.ToString();
    }
  }
  fmt::print("{} faults, {} reads masked by redundancy\n", faults, masked);
}

// The load that follows a death between the commit and S4 replays the record.
TEST_F(VolumeIoFaultTest, EachOperationOfARecoveryFailsOnce) {
  uint64_t faults = 0, masked = 0;
  for (const CommitStep died :
       {CommitStep::kRecordFlushed, CommitStep::kApplied,
        CommitStep::kInPlaceWritten}) {
    for (const Op op : {Op::kRead, Op::kWrite, Op::kFlush}) {
      for (uint64_t n = 1;; ++n) {
        SCOPED_TRACE(fmt::format("died at step {}, {} {}",
                                 static_cast<int>(died), OpName(op), n));
        NewMedium(*formatted_);
        const std::unique_ptr<Catalog> catalog = MemoryCatalog();
        IoScenario scenario(medium_.get(), catalog.get(), record_);
        ASSERT_OK(scenario.Attach());
        const uint64_t lineage = scenario.volume()->generation().lineage;
        scenario.KillAt(died);
        const uint64_t number = scenario.volume()->generation().number + 1;
        ASSERT_THAT(scenario.Run(), HasErrc(Errc::kAborted));
        scenario.Promise(number);
        const Result<VolumeRecord> stored = catalog->GetVolume(kIndex);
        ASSERT_OK(stored);
        const uint64_t before = plan_->Count(op);
        plan_->FailNth(op, n);
        bool reached = false;
        {
          Volume volume(catalog.get(), *stored, {});
          const Status status = volume.Attach(medium_.get());
          reached = plan_->Count(op) >= before + n;
          plan_->Clear();
          if (status.ok()) {
            EXPECT_TRUE(!reached || op == Op::kRead) << "swallowed";
            EXPECT_EQ(volume.generation().lineage, lineage) << "rescanned";
            scenario.Check(&volume);
            masked += reached ? 1 : 0;
          } else {
            EXPECT_FALSE(volume.attached());
          }
        }
        ExpectHealthy(catalog.get(), &scenario, lineage);
        ASSERT_FALSE(HasFailure());
        if (!reached) break;
        ++faults;
      }
    }
  }
  fmt::print("{} faults, {} reads masked by redundancy\n", faults, masked);
}

TEST_F(VolumeIoFaultTest, EachOperationOfTheCatalogFails) {
  using Fault = FaultyFileSystem::Fault;
  uint64_t faults = 0, places = 0;
  for (const Fault fault :
       {Fault::kNoPower, Fault::kFailedSync, Fault::kFull}) {
    for (uint64_t n = 1;; ++n) {
      SCOPED_TRACE(fmt::format("fault {} at catalog operation {}",
                               static_cast<int>(fault), n));
      NewMedium(*formatted_);
      const TempDir dir;
      auto file_system = std::make_shared<FaultyFileSystem>();
      Catalog::Options options;
      options.env = MakeEnv(file_system);
      auto catalog = Catalog::Open(dir.Sub("catalog"), options);
      ASSERT_OK(catalog);
      IoScenario scenario(medium_.get(), catalog->get(), record_);
      ASSERT_OK(scenario.Attach());
      const uint64_t lineage = scenario.volume()->generation().lineage;
      const uint64_t before = file_system->appends_and_syncs();
      file_system->FaultAt(n, fault);
      const Status status = scenario.Run();
      const bool reached = file_system->appends_and_syncs() >= before + n;
      if (!reached) {
        ASSERT_OK(status);
        ASSERT_GT(n, 10u);
        break;
      }
      ++faults;
      places = std::max(places, n);
      if (!status.ok() && scenario.later().attached) {
        EXPECT_TRUE(scenario.frozen());
      }
      // The daemon starts anew on a healthy disk.
      scenario.volume()->Detach().IgnoreError("it said so before");
      catalog->reset();
      if (fault == Fault::kNoPower) file_system->LoseUnsynced(n);
      file_system = std::make_shared<FaultyFileSystem>();
      options.env = MakeEnv(file_system);
      catalog = Catalog::Open(dir.Sub("catalog"), options);
      ASSERT_OK(catalog);
      ExpectHealthy(catalog->get(), &scenario, lineage);
      ASSERT_FALSE(HasFailure()) << status.ToString();
    }
  }
  fmt::print("{} faults of {} appends and syncs of the catalog\n", faults,
             places);
}

// The catalog does not take what it could not read for something that is not
// there.
TEST_F(VolumeIoFaultTest, EachReadOfTheCatalogFailsOnce) {
  NewMedium(*formatted_);
  const TempDir dir;
  const auto open = [&](const char* name, auto* file_system) {
    *file_system = std::make_shared<FaultyFileSystem>();
    Catalog::Options options;
    options.cache_bytes = 0;  // every look-up reads
    options.env = MakeEnv(*file_system);
    return Catalog::Open(dir.Sub(name), options);
  };
  std::shared_ptr<FaultyFileSystem> file_system;
  auto catalog = open("first", &file_system);
  ASSERT_OK(catalog);
  IoScenario first(medium_.get(), catalog->get(), record_);
  ASSERT_OK(first.Attach());
  ASSERT_OK(first.Run());
  const uint64_t lineage = first.volume()->generation().lineage;
  catalog->reset();
  const std::unique_ptr<MemoryMedium> start = base_->Clone();
  uint64_t faults = 0;
  for (uint64_t n = 1;; ++n) {
    SCOPED_TRACE(fmt::format("read {}", n));
    NewMedium(*start);
    catalog->reset();
    std::filesystem::remove_all(dir.Sub("next"));
    std::filesystem::copy(dir.Sub("first"), dir.Sub("next"));
    catalog = open("next", &file_system);
    ASSERT_OK(catalog);
    ASSERT_OK_AND_ASSIGN(const VolumeRecord stored,
                         (*catalog)->GetVolume(kIndex));
    IoScenario scenario(medium_.get(), catalog->get(), stored, first);
    file_system->FailReadAt(n);
    Status status = scenario.Attach();
    if (status.ok()) status = scenario.Run();
    if (!file_system->read_failed()) {
      ASSERT_OK(status);
      ASSERT_GT(n, 10u);
      break;
    }
    ++faults;
    EXPECT_THAT(status, HasErrc(Errc::kDeviceError)) << "swallowed";
    EXPECT_THAT(status, MessageHas("injected"));
    if (scenario.volume()->attached()) {
      scenario.volume()->Detach().IgnoreError("it said so before");
    }
    ExpectHealthy(catalog->get(), &scenario, lineage);
    ASSERT_FALSE(HasFailure())
        << (scenario.failed() != nullptr ? scenario.failed()->name : "load")
        << ": " << status.ToString();
  }
  fmt::print("{} faults of reads of the catalog\n", faults);
}

// A file stays open while its medium is away, and the catalog cannot be read
// when it comes back: that does not say that the file is gone.
TEST_F(VolumeIoFaultTest, AnOpenFileIsNotGoneBecauseTheCatalogCannotBeRead) {
  NewMedium(*formatted_);
  const TempDir dir;
  const auto open = [&](std::shared_ptr<FaultyFileSystem>* file_system) {
    *file_system = std::make_shared<FaultyFileSystem>();
    Catalog::Options options;
    options.cache_bytes = 0;
    options.env = MakeEnv(*file_system);
    return Catalog::Open(dir.Sub("catalog"), options);
  };
  const std::string content(3000, 'x');
  Bytes read(content.size());
  std::shared_ptr<FaultyFileSystem> file_system;
  auto catalog = open(&file_system);
  ASSERT_OK(catalog);
  InodeNumber ino{};
  {
    Volume volume(catalog->get(), record_, {});
    ASSERT_OK(volume.Attach(medium_.get()));
    ASSERT_OK_AND_ASSIGN(const Attr file,
                         volume.Create(volume.root(), "file", {}));
    ino = file.ino;
    ASSERT_OK(volume.Write(ino, 0, std::as_bytes(std::span(content))));
    ASSERT_OK(volume.Detach());
  }
  catalog->reset();  // it is read from its files from now on
  catalog = open(&file_system);
  ASSERT_OK(catalog);
  ASSERT_OK_AND_ASSIGN(const VolumeRecord stored,
                       (*catalog)->GetVolume(kIndex));
  Volume volume(catalog->get(), stored, {});
  ASSERT_OK(volume.Attach(medium_.get()));
  ASSERT_OK(volume.Open(ino));
  uint64_t faults = 0;
  for (uint64_t n = 1;; ++n) {
    SCOPED_TRACE(fmt::format("read {}", n));
    ASSERT_OK(volume.Detach());
    file_system->FailReadAt(n);
    const Status attached = volume.Attach(medium_.get());
    if (!file_system->read_failed()) {
      ASSERT_OK(attached);
      break;
    }
    ++faults;
    ASSERT_THAT(attached, HasErrc(Errc::kDeviceError)) << "swallowed";
    ASSERT_OK(volume.Attach(medium_.get()));
    ASSERT_OK_AND_ASSIGN(const size_t bytes, volume.Read(ino, 0, read));
    EXPECT_EQ(bytes, content.size());
  }
  EXPECT_GE(faults, 1u);
  volume.Close(ino);
  ASSERT_OK(volume.Detach());
}

// What a snapshot needs cannot be read any more when it is overwritten: the
// snapshot is not whole, and who writes does not suffer from it.
TEST_F(VolumeIoFaultTest, OldContentThatCannotBeReadCostsTheSnapshotAlone) {
  NewMedium(*formatted_);
  const std::unique_ptr<Catalog> catalog = MemoryCatalog();
  Volume volume(catalog.get(), record_, {});
  ASSERT_OK(volume.Attach(medium_.get()));
  ASSERT_OK(volume.Create(volume.root(), "first", {}));
  ASSERT_OK(volume.Sync());
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<VolumeSnapshot> snapshot,
                       volume.TakeSnapshot());
  // It changes with every commit.
  plan_->FailRange(Op::kRead, {udf::kLvidSector, 1});
  ASSERT_OK(volume.Create(volume.root(), "second", {}));
  EXPECT_OK(volume.Sync());
  EXPECT_OK(volume.CheckWritable());
  plan_->Clear();
  EXPECT_THAT(snapshot->CheckWhole(), HasErrc(Errc::kDeviceError));
  Bytes sector(kSectorSize);
  EXPECT_THAT(snapshot->Read(udf::kLvidSector, sector),
              HasErrc(Errc::kDeviceError));
  snapshot.reset();
  ASSERT_OK(volume.Detach());
  EXPECT_EQ(FsckText(*base_), "");
}

}  // namespace
}  // namespace vellum
