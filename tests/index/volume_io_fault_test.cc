// SPDX-License-Identifier: Apache-2.0
// Every I/O of a volume fails once (label fault): each read, write and flush of
// the medium, and each append and sync of the catalog, of one fixed scenario,
// of a load and of a recovery. Nothing crashes, some call says so, a commit
// that failed freezes the volume, and a load of the healthy medium finds a
// committed generation, not older than the last Sync that succeeded.
#include <fmt/format.h>
#include <linux/falloc.h>
#include <sys/xattr.h>

#include <algorithm>

#include "index/snapshot.h"
#include "media/fault_medium.h"
#include "tests/index/faulty_file_system.h"
#include "tests/index/volume_fixture.h"
#include "tests/index/volume_model.h"
#include "tests/support/temp_dir.h"

namespace vellum {
namespace {

using Op = FaultPlan::Op;

constexpr VolumeIndex kIndex = 1;
constexpr uint64_t kSectors = 4096;

// Ids in the model.
enum : uint64_t { kRoot = 0, kA = 1, kB = 2, kDir = 3, kC = 4, kD = 5 };

// Of a file whose descriptors do not fit its entry.
constexpr uint64_t kPieces = 250;

std::string Text(size_t size, char first) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) {
    text[i] = static_cast<char>(first + i * 7 % 97);
  }
  return text;
}

ConstByteSpan AsBytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

struct Step {
  const char* name;
  std::function<Status()> run;
  std::function<void(Model*)> effect;  // empty: none
  uint64_t file = kRoot;               // whose content it changes
};

// A volume, its model, and the steps of the scenario.
class Scenario {
 public:
  Scenario(Medium* medium, Catalog* catalog, const VolumeRecord& record)
      : medium_(medium) {
    VolumeOptions options;
    options.on_commit_step = [this](CommitStep step) {
      if (step == CommitStep::kFrozen) {
        history_[volume_->generation().number + 1] = model_;
        if (failed_ != nullptr) {
          after_failure_.insert(volume_->generation().number + 1);
        }
      }
      if (step == kill_at_) return Status(Errc::kAborted, "killed");
      return Status::Ok();
    };
    volume_ = std::make_unique<Volume>(catalog, record, options);
    MakeSteps();
  }

  Status Attach() {
    RETURN_IF_ERROR(volume_->Attach(medium_));
    history_.emplace(volume_->generation().number, model_);
    return Status::Ok();
  }

  // Runs to the end or to the first step that fails; then tries to save what
  // there is, and lets go of the medium. Answers what the step said.
  Status Run() {
    for (const Step& step : steps_) {
      const Status status = step.run();
      if (!status.ok()) {
        failed_ = &step;
        frozen_ = !volume_->CheckWritable().ok();
        later_.push_back(volume_->Sync());
        later_.push_back(volume_->Detach());
        return status;
      }
      if (step.effect) step.effect(&model_);
    }
    return volume_->Detach();
  }

  // After a load: the tree is that of a committed generation.
  void Check(Volume* volume) {
    const uint64_t number = volume->generation().number;
    ASSERT_GE(number, promised_);
    ASSERT_EQ(history_.count(number), 1u) << number;
    Model model = history_[number];
    // A change of content that failed may have been done in part.
    if (after_failure_.count(number) != 0 && failed_->file != kRoot) {
      Model after = model;
      failed_->effect(&after);
      const std::string& from = model.at(failed_->file).content;
      const std::string& to = after.at(failed_->file).content;
      const Result<Attr> attr = volume->GetAttr(inos_[failed_->file]);
      ASSERT_OK(attr);
      std::string found(attr->attr.size, 'Q');
      ASSERT_OK(volume->Read(inos_[failed_->file], 0,
                             std::as_writable_bytes(std::span(found))));
      ASSERT_GE(found.size(), std::min(from.size(), to.size()));
      ASSERT_LE(found.size(), std::max(from.size(), to.size()));
      for (size_t i = 0; i < found.size(); ++i) {
        const char a = i < from.size() ? from[i] : '\0';
        const char b = i < to.size() ? to[i] : '\0';
        ASSERT_TRUE(found[i] == a || found[i] == b) << "byte " << i;
      }
      model.edit(failed_->file).content = found;
    }
    ExpectVolumeIs(volume, model);
  }

  Volume* volume() { return volume_.get(); }
  const Model& model() const { return model_; }
  const Step* failed() const { return failed_; }
  bool frozen() const { return frozen_; }
  void KillAt(CommitStep step) { kill_at_ = step; }
  // The generation that the killed commit made durable.
  void Promise(uint64_t number) { promised_ = number; }

 private:
  Status Create(InodeNumber dir, const char* name, uint64_t id,
                udf::FileType type = udf::FileType::kRegular) {
    NewInode inode;
    inode.type = type;
    inode.mode = 0755;
    ASSIGN_OR_RETURN(const Attr attr, volume_->Create(dir, name, inode));
    inos_[id] = attr.ino;
    return Status::Ok();
  }

  static void AddNode(Model* model, uint64_t dir, const char* name, uint64_t id,
                      udf::FileType type = udf::FileType::kRegular) {
    auto node = std::make_shared<ModelNode>();
    node->type = type;
    node->mode = 0755;
    model->nodes[id] = std::move(node);
    model->edit(dir).names[name] = id;
  }

  void AddWrite(const char* name, uint64_t id, uint64_t offset,
                std::string text) {
    steps_.push_back(
        {name,
         [this, id, offset, text] {
           return volume_->Write(inos_[id], offset, AsBytes(text)).status();
         },
         [id, offset, text](Model* model) {
           std::string& content = model->edit(id).content;
           content.resize(std::max(content.size(), offset + text.size()));
           content.replace(offset, text.size(), text);
         },
         id});
  }

  // A file of so many pieces that their descriptors need a chain of blocks,
  // some of which change later.
  void AddChain() {
    steps_.push_back({"create",
                      [this] { return Create(inos_[kRoot], "chain", kD); },
                      [](Model* m) { AddNode(m, kRoot, "chain", kD); }});
    AddWrite("write", kD, 0, Text(kPieces * 2 * kSectorSize, 'c'));
    steps_.push_back({"cut into pieces",
                      [this]() -> Status {
                        for (uint64_t i = 0; i < kPieces; ++i) {
                          RETURN_IF_ERROR(volume_->Fallocate(
                              inos_[kD],
                              FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                              i * 2 * kSectorSize, kSectorSize));
                        }
                        return Status::Ok();
                      },
                      [](Model* m) {
                        std::string& content = m->edit(kD).content;
                        for (uint64_t i = 0; i < kPieces; ++i) {
                          content.replace(i * 2 * kSectorSize, kSectorSize,
                                          std::string(kSectorSize, '\0'));
                        }
                      },
                      kD});
    AddSync();
    AddWrite("fill a hole", kD, 245 * 2 * kSectorSize, Text(100, 'h'));
    AddSync();
    steps_.push_back(
        {"cut the chain",
         [this] {
           AttrChange change;
           change.size = 100 * kSectorSize;
           return volume_->SetAttr(inos_[kD], change).status();
         },
         [](Model* m) { m->edit(kD).content.resize(100 * kSectorSize); }, kD});
    AddSync();
  }

  void AddSync() {
    steps_.push_back({"sync",
                      [this] {
                        const Status status = volume_->Sync();
                        if (status.ok()) {
                          promised_ = volume_->generation().number;
                        }
                        return status;
                      },
                      nullptr});
  }

  void AddRead(uint64_t id) {
    steps_.push_back(
        {"read",
         [this, id]() -> Status {
           const std::string& content = model_.at(id).content;
           std::string found(content.size(), 'Q');
           ASSIGN_OR_RETURN(
               const size_t n,
               volume_->Read(inos_[id], 0,
                             std::as_writable_bytes(std::span(found))));
           EXPECT_EQ(n, content.size());
           EXPECT_TRUE(found == content) << "wrong data without an error";
           return Status::Ok();
         },
         nullptr});
  }

  // A snapshot that is read while the file under it changes.
  Status ReadSnapshot() {
    ASSIGN_OR_RETURN(const std::unique_ptr<VolumeSnapshot> snapshot,
                     volume_->TakeSnapshot());
    promised_ = volume_->generation().number;
    const Model then = model_;
    const std::string text = Text(500, 'S');
    RETURN_IF_ERROR(volume_->Write(inos_[kA], 30'000, AsBytes(text)).status());
    model_.edit(kA).content.replace(30'000, text.size(), text);
    RETURN_IF_ERROR(volume_->Sync());
    promised_ = volume_->generation().number;
    MemoryMedium image(kSectors);
    Bytes region(kRegionSize);
    for (const RegionSet::Run& run : snapshot->UsedRegions().Runs()) {
      for (uint64_t r = run.first; r < run.first + run.count; ++r) {
        RETURN_IF_ERROR(snapshot->Read(r * kRegionSectors, region));
        RETURN_IF_ERROR(image.Write(r * kRegionSectors, region));
      }
    }
    RETURN_IF_ERROR(snapshot->CheckWhole());
    EXPECT_EQ(CompareMedium(&image, then), "");
    return Status::Ok();
  }

  void MakeSteps() {
    const InodeNumber root = volume_->root();
    const auto add_create = [this](const char* name, uint64_t dir, uint64_t id,
                                   udf::FileType type) {
      steps_.push_back(
          {"create", [=, this] { return Create(inos_[dir], name, id, type); },
           [=](Model* m) { AddNode(m, dir, name, id, type); }});
    };
    inos_[kRoot] = root;
    add_create("a", kRoot, kA, udf::FileType::kRegular);
    AddWrite("write", kA, 0, Text(100'000, '0'));
    add_create("b", kRoot, kB, udf::FileType::kRegular);
    AddWrite("write inline", kB, 0, Text(1000, 'A'));
    add_create("d", kRoot, kDir, udf::FileType::kDirectory);
    add_create("c", kDir, kC, udf::FileType::kRegular);
    AddWrite("write", kC, 0, Text(70'000, 'a'));
    AddSync();
    AddWrite("overwrite", kA, 5000, Text(300, 'z'));
    AddRead(kA);
    steps_.push_back({"truncate",
                      [this] {
                        AttrChange change;
                        change.size = 30'001;
                        return volume_->SetAttr(inos_[kC], change).status();
                      },
                      [](Model* m) { m->edit(kC).content.resize(30'001); },
                      kC});
    AddWrite("large overwrite", kA, 10'000, Text(80'000, 'k'));
    steps_.push_back(
        {"xattr",
         [this] { return volume_->SetXattr(inos_[kB], "user.x", "value", 0); },
         [](Model* m) { m->edit(kB).xattrs["user.x"] = "value"; }});
    AddSync();
    steps_.push_back({"snapshot", [this] { return ReadSnapshot(); }, nullptr});
    steps_.push_back({"rename",
                      [this] {
                        return volume_->Rename(inos_[kDir], "c", inos_[kRoot],
                                               "c2", RenameMode::kReplace);
                      },
                      [](Model* m) {
                        m->edit(kDir).names.erase("c");
                        m->edit(kRoot).names["c2"] = kC;
                      }});
    AddWrite("write out of line", kB, 900, Text(3000, 'X'));
    AddSync();
    steps_.push_back({"unlink",
                      [this] { return volume_->Unlink(inos_[kRoot], "b"); },
                      [](Model* m) {
                        m->edit(kRoot).names.erase("b");
                        m->nodes.erase(kB);
                      }});
    steps_.push_back({"detach",
                      [this] {
                        const Status status = volume_->Detach();
                        if (status.ok()) {
                          promised_ = volume_->generation().number;
                        }
                        return status;
                      },
                      nullptr});
    steps_.push_back({"attach", [this] { return Attach(); }, nullptr});
    AddRead(kA);
    AddRead(kC);
    AddChain();
    AddWrite("append", kC, 30'001, Text(9'000, 'm'));
  }

  Medium* const medium_;
  std::unique_ptr<Volume> volume_;
  std::vector<Step> steps_;
  std::map<uint64_t, InodeNumber> inos_;
  Model model_;
  std::map<uint64_t, Model> history_;
  std::set<uint64_t> after_failure_;
  uint64_t promised_ = 0;
  const Step* failed_ = nullptr;
  bool frozen_ = false;
  std::vector<Status> later_;
  std::optional<CommitStep> kill_at_;
};

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
  void ExpectHealthy(Catalog* catalog, Scenario* scenario, uint64_t lineage) {
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
  return op == Op::kRead ? "read" : op == Op::kWrite ? "write" : "flush";
}

TEST_F(VolumeIoFaultTest, EachOperationOfTheMediumFailsOnce) {
  uint64_t faults = 0, masked = 0;
  for (const Op op : {Op::kRead, Op::kWrite, Op::kFlush}) {
    for (uint64_t n = 1;; ++n) {
      SCOPED_TRACE(fmt::format("{} {}", OpName(op), n));
      NewMedium(*formatted_);
      const std::unique_ptr<Catalog> catalog = MemoryCatalog();
      Scenario scenario(medium_.get(), catalog.get(), record_);
      ASSERT_OK(scenario.Attach());
      const uint64_t lineage = scenario.volume()->generation().lineage;
      const uint64_t before = plan_->Count(op);
      plan_->FailNth(op, n);
      const Status status = scenario.Run();
      const bool reached = plan_->Count(op) >= before + n;
      plan_->Clear();
      if (!reached) {
        ASSERT_OK(status);
        ASSERT_GT(n, 10u);
        break;
      }
      ++faults;
      if (status.ok()) {
        // Only what is there twice may be read without a word.
        EXPECT_EQ(op, Op::kRead) << "swallowed";
        ++masked;
      } else {
        EXPECT_THAT(status, HasErrc(Errc::kDeviceError));
        EXPECT_THAT(status, MessageHas("injected"));
        if (op == Op::kFlush && scenario.failed() != nullptr &&
            scenario.volume()->generation().number > 0 &&
            std::string(scenario.failed()->name) == "sync") {
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
        Scenario scenario(medium_.get(), catalog.get(), record_);
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
  uint64_t faults = 0;
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
      Scenario scenario(medium_.get(), catalog->get(), record_);
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
      if (!status.ok() && scenario.failed() != nullptr &&
          std::string(scenario.failed()->name) == "sync") {
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
  fmt::print("{} faults of the catalog\n", faults);
}

}  // namespace
}  // namespace vellum
