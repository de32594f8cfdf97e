// SPDX-License-Identifier: Apache-2.0
// Operations, loads, recalls and holds.
#include "index/volumes.h"

#include <unistd.h>

#include <atomic>
#include <future>
#include <memory>
#include <stop_token>
#include <utility>

#include "media/fault_medium.h"
#include "tests/index/volumes_fixture.h"

namespace vellum {
namespace {

using std::chrono::milliseconds;

Status MakeFile(Volume& volume, const std::string& name) {
  return volume.Create(volume.root(), name, NewInode()).status();
}

TEST_F(VolumesTest, ParksUntilTheMediumIsLoaded) {
  Start(1, 2);
  const auto volume = MakeVolume("V00001", "ALPHA");
  MediumLease occupied = OccupyDrive("V00002");
  Outcomes outcomes;
  EXPECT_NE(volumes_->With(volume, outcomes.Note(1)), 0u);
  EXPECT_EQ(volumes_->parked(), 1u);
  EXPECT_FALSE(volumes_->loaded(*volume));
  EXPECT_EQ(outcomes.count(), 0u);

  occupied.Release();
  ASSERT_TRUE(outcomes.WaitFor(1));
  EXPECT_OK(outcomes.End(1));
  EXPECT_NE(outcomes.Thread(1), std::this_thread::get_id());
  EXPECT_TRUE(volumes_->loaded(*volume));
  EXPECT_EQ(volumes_->parked(), 0u);
}

TEST_F(VolumesTest, RunsAtOnceInTheCallersThreadWhenLoaded) {
  Start(1, 1);
  const auto volume = MakeVolume("V00001", "ALPHA");
  ASSERT_OK(volumes_->Use(volume));
  Outcomes outcomes;
  EXPECT_EQ(volumes_->With(volume, outcomes.Note(1)), 0u);
  EXPECT_EQ(outcomes.count(), 1u);
  EXPECT_OK(outcomes.End(1));
  EXPECT_EQ(outcomes.Thread(1), std::this_thread::get_id());
}

TEST_F(VolumesTest, UseGivesAVolumeThatTakesChanges) {
  Start(1, 1);
  const auto volume = MakeVolume("V00001", "ALPHA");
  ASSERT_OK_AND_ASSIGN(VolumeUse use, volumes_->Use(volume));
  EXPECT_TRUE(use);
  EXPECT_TRUE(use->attached());
  ASSERT_OK(MakeFile(*use, "file"));
  VolumeUse moved = std::move(use);
  EXPECT_FALSE(use);  // NOLINT(bugprone-use-after-move): that is the test
  EXPECT_OK(moved->Lookup(moved->root(), "file"));
}

TEST_F(VolumesTest, OneLoadServesTwoHundredParkedOperations) {
  Start(1, 2);
  const auto volume = MakeVolume("V00001", "ALPHA");
  MediumLease occupied = OccupyDrive("V00002");
  const uint64_t loads = Loads();
  Outcomes outcomes;
  for (int i = 0; i < 200; ++i) volumes_->With(volume, outcomes.Note(i));
  EXPECT_EQ(volumes_->parked(), 200u);
  occupied.Release();
  ASSERT_TRUE(outcomes.WaitFor(200));
  for (int i = 0; i < 200; ++i) EXPECT_OK(outcomes.End(i));
  EXPECT_EQ(Loads(), loads + 1);
}

TEST_F(VolumesTest, CancelTakesBackOneOperation) {
  Start(1, 2);
  const auto volume = MakeVolume("V00001", "ALPHA");
  MediumLease occupied = OccupyDrive("V00002");
  Outcomes outcomes;
  volumes_->With(volume, outcomes.Note(1));
  const Volumes::Ticket second = volumes_->With(volume, outcomes.Note(2));
  volumes_->With(volume, outcomes.Note(3));
  volumes_->Cancel(second);
  EXPECT_THAT(outcomes.End(2), HasErrc(Errc::kInterrupted));
  EXPECT_EQ(outcomes.count(), 1u);
  volumes_->Cancel(second);  // no effect any more
  occupied.Release();
  ASSERT_TRUE(outcomes.WaitFor(3));
  EXPECT_OK(outcomes.End(1));
  EXPECT_OK(outcomes.End(3));
  EXPECT_EQ(outcomes.count(), 3u);
}

TEST_F(VolumesTest, CancelOfTheLastOperationWithdrawsTheRequest) {
  Start(1, 2);
  const auto volume = MakeVolume("V00001", "ALPHA");
  MediumLease occupied = OccupyDrive("V00002");
  Outcomes outcomes;
  const Volumes::Ticket ticket = volumes_->With(volume, outcomes.Note(1));
  ASSERT_TRUE(WaitUntil([&] { return library_->WaitingRequests() == 1; }));
  volumes_->Cancel(ticket);
  EXPECT_THAT(outcomes.End(1), HasErrc(Errc::kInterrupted));
  EXPECT_TRUE(WaitUntil([&] { return library_->WaitingRequests() == 0; }));
  // And the volume is not lost to later operations.
  volumes_->With(volume, outcomes.Note(2));
  occupied.Release();
  ASSERT_TRUE(outcomes.WaitFor(2));
  EXPECT_OK(outcomes.End(2));
}

TEST_F(VolumesTest, UseIsInterruptible) {
  Start(1, 2);
  const auto volume = MakeVolume("V00001", "ALPHA");
  const MediumLease occupied = OccupyDrive("V00002");
  std::stop_source stop;
  auto use = std::async(std::launch::async, [&] {
    return volumes_->Use(volume, stop.get_token()).status();
  });
  ASSERT_TRUE(WaitUntil([&] { return volumes_->parked() == 1; }));
  stop.request_stop();
  EXPECT_THAT(use.get(), HasErrc(Errc::kInterrupted));
  EXPECT_EQ(volumes_->parked(), 0u);
}

TEST_F(VolumesTest, TwoVolumesShareOneDrive) {
  Start(1, 2);
  const std::shared_ptr<Volume> volumes[] = {MakeVolume("V00001", "ALPHA"),
                                             MakeVolume("V00002", "BETA")};
  const uint64_t loads = Loads();
  std::atomic<int> failures = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 6; ++i) {
          const auto& volume = volumes[(t + i) % 2];
          const auto use = volumes_->Use(volume);
          const std::string name =
              "file-" + std::to_string(t) + "-" + std::to_string(i);
          if (!use.ok() || !MakeFile(**use, name).ok()) ++failures;
        }
      });
    }
  }
  EXPECT_EQ(failures, 0);
  EXPECT_GE(Loads(), loads + 2);
  size_t names = 0;
  for (const auto& volume : volumes) {
    EXPECT_OK(volume->ReadDir(volume->root(), 0, [&](const DirItem&) {
      ++names;
      return true;
    }));
  }
  EXPECT_EQ(names, 24u);
}

TEST_F(VolumesTest, ARecallCommitsWhatChanged) {
  Start(1, 2);
  const auto alpha = MakeVolume("V00001", "ALPHA");
  const auto beta = MakeVolume("V00002", "BETA");
  ASSERT_OK_AND_ASSIGN(VolumeUse use, volumes_->Use(alpha));
  ASSERT_OK(MakeFile(*use, "file"));
  const uint64_t number = use->generation().number;
  use.Release();
  ASSERT_OK(volumes_->Use(beta));
  EXPECT_FALSE(volumes_->loaded(*alpha));
  EXPECT_FALSE(alpha->attached());
  EXPECT_FALSE(alpha->dirty());
  EXPECT_GT(alpha->generation().number, number);
  EXPECT_OK(catalog_->FindDirent(alpha->index(), alpha->root(), "file"));
}

TEST_F(VolumesTest, AUseKeepsTheVolumeLoadedWhenItIsAskedBack) {
  Start(1, 2);
  const auto alpha = MakeVolume("V00001", "ALPHA");
  const auto beta = MakeVolume("V00002", "BETA");
  ASSERT_OK_AND_ASSIGN(VolumeUse use, volumes_->Use(alpha));
  Outcomes outcomes;
  volumes_->With(beta, outcomes.Note(1));
  // Once the recall is there and the residency is over, newcomers queue up.
  int parked = 100;
  ASSERT_TRUE(WaitUntil(
      [&] { return volumes_->With(alpha, outcomes.Note(parked++)) != 0; }));
  EXPECT_TRUE(use->attached());
  EXPECT_THAT(outcomes.End(1), HasErrc(Errc::kInternal)) << "not called yet";
  use.Release();
  // Both get their turn.
  ASSERT_TRUE(WaitUntil([&] { return outcomes.End(1).ok(); }));
  ASSERT_TRUE(WaitUntil([&] { return outcomes.End(parked - 1).ok(); }));
}

TEST_F(VolumesTest, AHoldBlocksTheRecallAndItsEndLetsItGo) {
  Start(1, 2);
  const auto alpha = MakeVolume("V00001", "ALPHA");
  const auto beta = MakeVolume("V00002", "BETA");
  ASSERT_OK_AND_ASSIGN(VolumeUse hold, volumes_->Hold(alpha));
  Outcomes outcomes;
  volumes_->With(beta, outcomes.Note(1));
  EXPECT_FALSE(outcomes.WaitFor(1, milliseconds(200)));
  // As long as it is held, others use it too, asked back or not.
  EXPECT_EQ(volumes_->With(alpha, outcomes.Note(2)), 0u);
  EXPECT_OK(outcomes.End(2));
  EXPECT_TRUE(hold->attached());

  hold.Release();
  ASSERT_TRUE(outcomes.WaitFor(2));
  EXPECT_OK(outcomes.End(1));
  EXPECT_FALSE(volumes_->loaded(*alpha));
}

TEST_F(VolumesTest, AWrongMediumFailsTheOperationsAndKeepsNoLease) {
  Start(1, 2);
  const auto alpha = MakeVolume("V00001", "ALPHA");
  MakeVolume("V00002", "BETA");
  VolumeRecord record = alpha->record();
  record.medium = "V00002";
  ASSERT_OK(volumes_->Put(record));
  Outcomes outcomes;
  volumes_->With(alpha, outcomes.Note(1));
  volumes_->With(alpha, outcomes.Note(2));
  ASSERT_TRUE(outcomes.WaitFor(2));
  for (const int key : {1, 2}) {
    EXPECT_THAT(outcomes.End(key), HasErrc(Errc::kNoMedium));
    EXPECT_THAT(outcomes.End(key), MessageHas("ALPHA"));
  }
  EXPECT_FALSE(volumes_->loaded(*alpha));
  EXPECT_OK(Lease("V00002"));
}

TEST_F(VolumesTest, AMissingMediumIsNamedWithItsShelf) {
  Start(1, 1);
  const auto volume = MakeVolume("V00001", "ALPHA");
  VolumeRecord record = volume->record();
  record.medium = "V00099";
  record.location = "shelf 7";
  ASSERT_OK(volumes_->Put(record));
  const auto use = volumes_->Use(volume);
  EXPECT_THAT(use, HasErrc(Errc::kNoMedium));
  EXPECT_THAT(use, MessageHas("ALPHA"));
  EXPECT_THAT(use, MessageHas("V00099"));
  EXPECT_THAT(use, MessageHas("shelf 7"));
  EXPECT_EQ(volumes_->Find("ALPHA"), volume) << "stays listed";
  EXPECT_OK(volume->GetAttr(volume->root())) << "stays searchable";
}

TEST_F(VolumesTest, ShutdownFailsWhatIsParkedAndLeavesNoLease) {
  Start(1, 2);
  const auto alpha = MakeVolume("V00001", "ALPHA");
  const auto beta = MakeVolume("V00002", "BETA");
  ASSERT_OK_AND_ASSIGN(VolumeUse hold, volumes_->Hold(alpha));
  ASSERT_OK(MakeFile(*hold, "file"));
  Outcomes outcomes;
  for (int i = 0; i < 20; ++i) volumes_->With(beta, outcomes.Note(i));
  auto shutdown = std::async(std::launch::async, [&] { volumes_->Shutdown(); });
  ASSERT_TRUE(outcomes.WaitFor(20));
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(outcomes.End(i), HasErrc(Errc::kAborted));
  }
  EXPECT_EQ(shutdown.wait_for(milliseconds(20)), std::future_status::timeout)
      << "waits for uses";
  EXPECT_TRUE(hold->attached());
  hold.Release();
  shutdown.get();
  EXPECT_FALSE(alpha->attached());
  EXPECT_FALSE(alpha->dirty()) << "was committed";
  volumes_->With(alpha, outcomes.Note(100));
  EXPECT_THAT(outcomes.End(100), HasErrc(Errc::kAborted));
  EXPECT_THAT(volumes_->Exclude(alpha), HasErrc(Errc::kAborted));
  volumes_->Shutdown();
  EXPECT_OK(Lease("V00001"));
  EXPECT_OK(Lease("V00002"));
}

TEST_F(VolumesTest, TheTimerCommitsAVolumeWithChanges) {
  VolumesOptions options = QuickOptions();
  options.checkpoint_interval_ms = 10;
  Start(1, 1, options);
  const auto volume = MakeVolume("V00001", "ALPHA");
  ASSERT_OK_AND_ASSIGN(const VolumeUse use, volumes_->Use(volume));
  const uint64_t number = use->generation().number;
  ASSERT_OK(MakeFile(*use, "file"));
  EXPECT_TRUE(WaitUntil(
      [&] { return use->generation().number > number && !use->dirty(); }));
}

TEST_F(VolumesTest, SyncAllCommitsEveryLoadedVolume) {
  Start(2, 2);
  const auto alpha = MakeVolume("V00001", "ALPHA");
  const auto beta = MakeVolume("V00002", "BETA");
  for (const auto& volume : {alpha, beta}) {
    ASSERT_OK_AND_ASSIGN(const VolumeUse use, volumes_->Use(volume));
    ASSERT_OK(MakeFile(*use, "file"));
    EXPECT_TRUE(use->dirty());
  }
  ASSERT_OK(volumes_->SyncAll());
  EXPECT_FALSE(alpha->dirty());
  EXPECT_FALSE(beta->dirty());
}

// A drive that stops to answer while a volume is closed holds nobody for ever.
TEST_F(VolumesTest, SyncAllWaitsForAClosingVolumeNoLongerThanItsBound) {
  // Outlives the test's body: the volume is closed after it.
  struct Gate {
    Mutex mu;
    CondVar changed;
    bool shut GUARDED_BY(mu) = false;
    bool reached GUARDED_BY(mu) = false;
  };
  const auto gate = std::make_shared<Gate>();
  VolumesOptions options = QuickOptions();
  options.max_turn_ms = 50;
  options.volume.on_commit_step = [gate](CommitStep step) {
    if (step != CommitStep::kDataFlushed) return Status::Ok();
    MutexLock lock(&gate->mu);
    gate->reached = gate->shut;
    gate->changed.NotifyAll();
    while (gate->shut) gate->changed.Wait(&gate->mu);
    return Status::Ok();
  };
  Start(1, 2, options);
  const auto volume = MakeVolume("V00001", "ALPHA");
  const auto other = MakeVolume("V00002", "BETA");
  {
    ASSERT_OK_AND_ASSIGN(const VolumeUse use, volumes_->Use(volume));
    ASSERT_OK(MakeFile(*use, "file"));
  }
  {
    MutexLock lock(&gate->mu);
    gate->shut = true;
  }
  Outcomes outcomes;
  volumes_->With(other, outcomes.Note(1));  // needs the only drive
  {
    MutexLock lock(&gate->mu);
    while (!gate->reached) gate->changed.Wait(&gate->mu);
  }
  const Status late = volumes_->SyncAll();
  EXPECT_THAT(late, HasErrc(Errc::kTimedOut));
  EXPECT_THAT(late,
              MessageHas("volume ALPHA on medium V00001 is being closed"));
  {
    MutexLock lock(&gate->mu);
    gate->shut = false;
    gate->changed.NotifyAll();
  }
  ASSERT_TRUE(outcomes.WaitFor(1));
  EXPECT_OK(volumes_->SyncAll());
  EXPECT_FALSE(volume->dirty());
}

TEST_F(VolumesTest, AVolumeWhoseCloseFailsIsUnloadedAndLoadsAgain) {
  // Outlives the test's body: the volume is closed after it.
  const auto fail = std::make_shared<std::atomic<bool>>(false);
  VolumesOptions options = QuickOptions();
  options.volume.on_commit_step = [fail](CommitStep step) {
    if (step != CommitStep::kDataFlushed || !*fail) return Status::Ok();
    return Status(Errc::kDeviceError, "made to fail");
  };
  Start(1, 1, options);
  const auto volume = MakeVolume("V00001", "ALPHA");
  ASSERT_OK_AND_ASSIGN(VolumeUse use, volumes_->Use(volume));
  ASSERT_OK(MakeFile(*use, "committed"));
  ASSERT_OK(use->Sync());
  ASSERT_OK(MakeFile(*use, "lost"));
  use.Release();
  *fail = true;
  ASSERT_OK_AND_ASSIGN(Volumes::Exclusion exclusion, volumes_->Exclude(volume));
  EXPECT_FALSE(volume->attached());
  EXPECT_OK(Lease("V00001"));
  *fail = false;
  exclusion.Release();
  ASSERT_OK_AND_ASSIGN(use, volumes_->Use(volume));
  EXPECT_OK(use->Lookup(use->root(), "committed"));
  EXPECT_THAT(use->Lookup(use->root(), "lost"), HasErrc(Errc::kNotFound));
  EXPECT_OK(MakeFile(*use, "again"));
}

TEST_F(VolumesTest, OpenSettlesAnUndecidedGeneration) {
  Start(1, 1);
  const auto volume = MakeVolume("V00001", "ALPHA");
  const VolumeIndex index = volume->index();
  PendingBatch pending;
  pending.generation = volume->generation();
  ++pending.generation.number;
  pending.record_crc = 1;
  pending.batch = CatalogBatch().Serialize();
  Stop();
  ASSERT_OK(catalog_->PutPending(index, pending));
  OpenAll();
  // Before anybody looks at the catalog.
  const auto left = catalog_->GetPending(index);
  ASSERT_OK(left);
  EXPECT_FALSE(left->has_value());
}

TEST_F(VolumesTest, OpenLoadsWhatACrashLeftInUse) {
  Start(1, 2);
  const auto volume = MakeVolume("V00001", "ALPHA");
  MakeVolume("V00002", "BETA");
  // What a daemon leaves that is killed after its last commit was applied.
  {
    ASSERT_OK_AND_ASSIGN(const MediumLease lease, Lease("V00001"));
    ASSERT_OK_AND_ASSIGN(udf::ControlSlot slot,
                         udf::ReadControlSlot(lease.medium()));
    slot.state = udf::SlotState::kInUse;
    ASSERT_OK(udf::WriteControlSlot(lease.medium(), &slot));
  }
  VolumeRecord record = volume->record();
  record.state = udf::SlotState::kInUse;
  ASSERT_OK(volumes_->Put(record));
  Stop();
  OpenAll();
  EXPECT_EQ(Loads(), 1u) << "BETA was closed";
  volumes_->Shutdown();
  EXPECT_EQ(volumes_->Find("ALPHA")->record().state, udf::SlotState::kClean);
  ASSERT_OK_AND_ASSIGN(const MediumLease lease, Lease("V00001"));
  ASSERT_OK_AND_ASSIGN(const udf::ControlSlot slot,
                       udf::ReadControlSlot(lease.medium()));
  EXPECT_EQ(slot.state, udf::SlotState::kClean);
}

TEST_F(VolumesTest, OpenGoesOnWithoutTheMediumOfAnUndecidedGeneration) {
  Start(1, 2);
  const auto volume = MakeVolume("V00001", "ALPHA");
  PendingBatch pending;
  pending.generation = volume->generation();
  ++pending.generation.number;
  pending.batch = CatalogBatch().Serialize();
  Stop();
  ASSERT_OK(catalog_->PutPending(volume->index(), pending));
  ASSERT_EQ(unlink((config_.directory + "/media/V00001.img").c_str()), 0);
  OpenAll();
  const auto left = catalog_->GetPending(volume->index());
  ASSERT_OK(left);
  EXPECT_TRUE(left->has_value());
  EXPECT_EQ(volumes_->List().size(), 1u);
}

TEST_F(VolumesTest, X5_ParkedOperationsRunInTheOrderOfTheMedium) {
  VolumesOptions options = QuickOptions();
  options.workers = 1;  // as they begin, so they end
  Start(1, 2, options);
  const auto volume = MakeVolume("V00001", "ALPHA");
  MediumLease occupied = OccupyDrive("V00002");
  Mutex mu;
  std::vector<uint64_t> order;
  std::promise<void> all;
  for (const uint64_t address : {70u, 10u, 90u, 10u, 30u}) {
    volumes_->With(
        volume,
        [&, address](Result<VolumeUse> use) {
          EXPECT_OK(use);
          MutexLock lock(&mu);
          order.push_back(address);
          if (order.size() == 5) all.set_value();
        },
        address);
  }
  EXPECT_EQ(volumes_->parked(*volume), 5u);
  occupied.Release();
  ASSERT_EQ(all.get_future().wait_for(kPatience), std::future_status::ready);
  MutexLock lock(&mu);
  EXPECT_EQ(order, (std::vector<uint64_t>{10, 10, 30, 70, 90}));
}

// A library whose loads take their time.
class SlowVolumesTest : public VolumesTest {
 protected:
  void StartSlow(const VolumesOptions& options) {
    Start(1, 2, options);
    a_ = MakeVolume("V00001", "ALPHA");
    b_ = MakeVolume("V00002", "BETA");
    a_.reset();
    b_.reset();
    Stop();
    auto& timing = std::get<VirtualLibraryOptions>(config_.devices).timing;
    timing.profile = "custom";
    timing.model.load_ms = 150;
    OpenAll(options);
    a_ = volumes_->Find("ALPHA");
    b_ = volumes_->Find("BETA");
  }
  // Uses of ALPHA, one after the other, until BETA was served: how many of
  // them needed no load. BETA waits from the first one on.
  int UsesBeforeOther() {
    EXPECT_OK(volumes_->Use(a_));
    const uint64_t loads = Loads();
    Outcomes other;
    volumes_->With(b_, other.Note(1));
    int uses = 0;
    while (other.count() == 0) {
      EXPECT_OK(volumes_->Use(a_));
      if (Loads() == loads) ++uses;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return uses;
  }

  std::shared_ptr<Volume> a_, b_;
};

TEST_F(SlowVolumesTest, X5_WhoReadsOnKeepsTheMediumForATurn) {
  StartSlow(QuickOptions());
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_GT(UsesBeforeOther(), 10);
  // Four loads of 150 ms, not only the residency of 50 ms; and not for ever.
  EXPECT_GT(std::chrono::steady_clock::now() - begun, milliseconds(600));
}

TEST_F(SlowVolumesTest, X5_NoTurnIsLongerThanTheOptionSays) {
  VolumesOptions options = QuickOptions();
  options.max_turn_ms = 60;
  StartSlow(options);
  EXPECT_LT(UsesBeforeOther(), 10);
}

// Its media fail as the plan says.
class FailingDrive : public Drive {
 public:
  FailingDrive(std::unique_ptr<Drive> base, std::shared_ptr<FaultPlan> plan)
      : base_(std::move(base)), plan_(std::move(plan)) {}

  ElementAddress Address() const override { return base_->Address(); }
  Result<DriveIdentity> Identify() override { return base_->Identify(); }
  Result<std::unique_ptr<Medium>> Open() override {
    ASSIGN_OR_RETURN(std::unique_ptr<Medium> medium, base_->Open());
    return std::unique_ptr<Medium>(
        std::make_unique<FaultMedium>(std::move(medium), plan_));
  }
  Status Close() override { return base_->Close(); }

 private:
  const std::unique_ptr<Drive> base_;
  const std::shared_ptr<FaultPlan> plan_;
};

// What could not be read may well be there.
TEST_F(VolumesTest, O16_AMediumThatIsNotReadIsNotCalledAnother) {
  Start(1, 1);
  MakeVolume("V00001", "ALPHA");
  {
    const auto volume = volumes_->Find("ALPHA");
    ASSERT_OK_AND_ASSIGN(const Volumes::Exclusion exclusion,
                         volumes_->Exclude(volume));
    ASSERT_OK(volumes_->Displace(volume));
  }
  Stop();
  const auto plan = std::make_shared<FaultPlan>();
  ASSERT_OK_AND_ASSIGN(LibraryDevices devices, OpenVirtualLibrary(config_));
  for (auto& drive : devices.drives) {
    drive = std::make_unique<FailingDrive>(std::move(drive), plan);
  }
  ASSERT_OK_AND_ASSIGN(library_, Library::Open(std::move(devices.changer),
                                               std::move(devices.drives)));
  ASSERT_OK_AND_ASSIGN(
      volumes_, Volumes::Open(catalog_.get(), library_.get(), QuickOptions()));
  const auto volume = volumes_->Find("ALPHA");
  for (const Errc code :
       {Errc::kNotReady, Errc::kTimedOut, Errc::kAborted, Errc::kDeviceError}) {
    SCOPED_TRACE(ErrcName(code));
    plan->FailRange(FaultPlan::Op::kRead, {0, (16u << 20) / kSectorSize}, code);
    const auto use = volumes_->Use(volume);
    EXPECT_THAT(use, HasErrc(code));
    EXPECT_THAT(use, MessageHas("medium V00001: control slot"));
    plan->Clear();
  }
  EXPECT_OK(volumes_->Use(volume));
  EXPECT_EQ(volume->record().medium, "V00001");
}

}  // namespace
}  // namespace vellum
