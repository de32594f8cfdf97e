// SPDX-License-Identifier: Apache-2.0
// A fixed run of operations on a volume, for tests of what fails below it: its
// steps, its model, and what may be found after a step has failed.
#pragma once

#include <linux/falloc.h>
#include <sys/xattr.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "index/snapshot.h"
#include "tests/index/volume_fixture.h"
#include "tests/index/volume_model.h"

namespace vellum {

inline constexpr VolumeIndex kIndex = 1;
inline constexpr uint64_t kSectors = 4096;

// A volume, its model, and the steps of the scenario.
class IoScenario {
 public:
  // Ids in the model.
  enum : uint64_t {
    kRoot = 0,
    kA = 1,
    kB = 2,
    kDir = 3,
    kC = 4,
    kD = 5,
    kLog = 6
  };
  // To the log, from fsync to fsync.
  static constexpr uint64_t kAppends = 12;

  // Of a file whose descriptors do not fit its entry.
  static constexpr uint64_t kPieces = 250;

  static std::string Text(size_t size, char first) {
    std::string text(size, '\0');
    for (size_t i = 0; i < size; ++i) {
      text[i] = static_cast<char>(first + i * 7 % 97);
    }
    return text;
  }

  static ConstByteSpan AsBytes(const std::string& text) {
    return std::as_bytes(std::span(text.data(), text.size()));
  }

  struct Step {
    const char* name;
    std::function<Status()> run;
    std::function<void(Model*)> effect;  // empty: none
    uint64_t file = kRoot;               // whose content it changes
  };

  IoScenario(Medium* medium, Catalog* catalog, const VolumeRecord& record)
      : medium_(medium) {
    VolumeOptions options;
    options.on_commit_step = [this](CommitStep step) {
      last_step_ = step;
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
  // What comes on a later day, when the catalog has to look up on its disk what
  // `first` has made.
  IoScenario(Medium* medium, Catalog* catalog, const VolumeRecord& record,
             const IoScenario& first)
      : IoScenario(medium, catalog, record) {
    inos_ = first.inos_;
    model_ = first.model_;
    history_[record.generation.number] = model_;
    steps_.clear();
    MakeLaterSteps();
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
        committed_ = last_step_ == CommitStep::kApplied;
        TryToSave();
        return status;
      }
      if (step.effect) step.effect(&model_);
    }
    return volume_->Detach();
  }

  // After a load: the tree is that of a committed generation, whose model goes
  // to `loaded`.
  void Check(Volume* volume, Model* loaded = nullptr) {
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
    if (loaded != nullptr) *loaded = std::move(model);
  }

  // What was said when a step had failed.
  struct Later {
    bool attached = false;
    Status writable, sync, detach;
  };

  Volume* volume() { return volume_.get(); }
  const Model& model() const { return model_; }
  // What was to be committed under that number; nullptr: nothing was.
  const Model* ModelOf(uint64_t number) const {
    const auto it = history_.find(number);
    return it == history_.end() ? nullptr : &it->second;
  }
  uint64_t promised() const { return promised_; }
  const Step* failed() const { return failed_; }
  const Later& later() const { return later_; }
  bool frozen() const { return !later_.writable.ok(); }
  // The generation of the commit that failed had been made durable before.
  bool committed() const { return committed_; }
  // Commits that were begun when a step had failed.
  size_t begun_later() const { return after_failure_.size(); }
  void KillAt(CommitStep step) { kill_at_ = step; }
  // The generation that the killed commit made durable.
  void Promise(uint64_t number) { promised_ = number; }

 private:
  void TryToSave() {
    later_.attached = volume_->attached();
    later_.writable = volume_->CheckWritable();
    later_.sync = volume_->Sync();
    // Whoever is told that all is well relies on it.
    if (later_.attached && later_.sync.ok()) Promise();
    later_.detach = volume_->Detach();
    if (later_.attached && later_.detach.ok()) Promise();
  }
  void Promise() { promised_ = volume_->generation().number; }

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

  void AddCreate(const char* name, uint64_t dir, uint64_t id,
                 udf::FileType type) {
    steps_.push_back({"create",
                      [=, this] { return Create(inos_[dir], name, id, type); },
                      [=](Model* m) { AddNode(m, dir, name, id, type); }});
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
    inos_[kRoot] = root;
    AddCreate("a", kRoot, kA, udf::FileType::kRegular);
    AddWrite("write", kA, 0, Text(100'000, '0'));
    AddCreate("b", kRoot, kB, udf::FileType::kRegular);
    AddWrite("write inline", kB, 0, Text(1000, 'A'));
    AddCreate("d", kRoot, kDir, udf::FileType::kDirectory);
    AddCreate("c", kDir, kC, udf::FileType::kRegular);
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
    AddLog();
  }

  // What is written ahead of a file that grows from fsync to fsync asks for
  // holes.
  void AddLog() {
    AddCreate("log", kRoot, kLog, udf::FileType::kRegular);
    steps_.push_back(
        {"open", [this] { return volume_->Open(inos_[kLog]); }, nullptr});
    for (uint64_t i = 0; i < kAppends; ++i) {
      AddWrite("append", kLog, i * 2 * kSectorSize, Text(2 * kSectorSize, 'l'));
      steps_.push_back({"fsync",
                        [this] {
                          const Status status = volume_->Fsync(inos_[kLog]);
                          if (status.ok()) {
                            promised_ = volume_->generation().number;
                          }
                          return status;
                        },
                        nullptr});
    }
    steps_.push_back({"close",
                      [this] {
                        volume_->Close(inos_[kLog]);
                        return Status::Ok();
                      },
                      nullptr});
  }

  void MakeLaterSteps() {
    for (const uint64_t file : {kA, kC, kD}) AddRead(file);
    for (const auto& [name, file] : {std::pair("a", kA), std::pair("c2", kC)}) {
      steps_.push_back({"lookup",
                        [this, name = name, file = file]() -> Status {
                          ASSIGN_OR_RETURN(const Attr attr,
                                           volume_->Lookup(inos_[kRoot], name));
                          EXPECT_EQ(attr.ino, inos_[file]);
                          return Status::Ok();
                        },
                        nullptr});
    }
    AddWrite("overwrite", kA, 5000, Text(300, 'y'));
    AddWrite("append", kD, 100 * kSectorSize, Text(3000, 'p'));
    steps_.push_back({"rename",
                      [this] {
                        return volume_->Rename(inos_[kRoot], "c2", inos_[kDir],
                                               "c", RenameMode::kReplace);
                      },
                      [](Model* m) {
                        m->edit(kRoot).names.erase("c2");
                        m->edit(kDir).names["c"] = kC;
                      }});
    AddCreate("b", kDir, kB, udf::FileType::kRegular);
    AddSync();
    steps_.push_back({"unlink",
                      [this] { return volume_->Unlink(inos_[kRoot], "a"); },
                      [](Model* m) {
                        m->edit(kRoot).names.erase("a");
                        m->nodes.erase(kA);
                      }});
    AddSync();
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
  bool committed_ = false;
  Later later_;
  std::optional<CommitStep> last_step_;
  std::optional<CommitStep> kill_at_;
};

}  // namespace vellum
