// SPDX-License-Identifier: Apache-2.0
#include "tests/index/volume_lab.h"

#include <fmt/format.h>

#include <cstdlib>

#include "tests/index/volume_fixture.h"

namespace vellum {
namespace {

using Fault = FaultyFileSystem::Fault;

constexpr VolumeIndex kIndex = 1;

Status PowerIsOff() { return Status(Errc::kDeviceError, "power is off"); }

}  // namespace

bool PowerMedium::Cut() {
  if (left_ == 0 || --left_ > 0) return false;
  power_->SetFault(Fault::kNoPower);
  return true;
}

Status PowerMedium::Read(uint64_t lba, ByteSpan out) {
  if (!power_->power()) return PowerIsOff();
  return below().Read(lba, out);
}

Status PowerMedium::WriteBy(Writer write, uint64_t lba, ConstByteSpan data) {
  if (!power_->power()) return PowerIsOff();
  const bool cut = Cut();
  // What is under way counts as unflushed: any part of it may arrive.
  RETURN_IF_ERROR(BorrowedMedium::WriteBy(write, lba, data));
  return cut ? PowerIsOff() : Status::Ok();
}

Status PowerMedium::Flush() {
  if (!power_->power() || Cut()) return PowerIsOff();
  return below().Flush();
}

Status PowerMedium::Discard(uint64_t lba, uint64_t count) {
  if (!power_->power()) return PowerIsOff();
  const bool cut = Cut();
  RETURN_IF_ERROR(below().Discard(lba, count));
  return cut ? PowerIsOff() : Status::Ok();
}

Result<SectorRange> PowerMedium::NextAllocated(SectorRange from) {
  if (!power_->power()) return PowerIsOff();
  return below().NextAllocated(from);
}

VolumeLab::VolumeLab(uint64_t seed, LabOptions options)
    : options_(std::move(options)), company_rng_(seed * 15485863) {
  MemoryMediumOptions medium_options;
  medium_options.sectors = options_.sectors;
  MemoryMedium empty(medium_options);
  udf::FormatOptions format;
  format.volume_id = "LAB";
  EXPECT_OK(udf::FormatVolume(empty, format));
  medium_ = std::make_unique<CrashMedium>(empty);
  EXPECT_OK(OpenCatalog());
  EXPECT_OK(Attach());
  fuzzer_ = std::make_unique<VolumeFuzzer>(volume_.get(), seed, options_.fuzz);
  fuzzer_->NoteTimes();
  history_[volume_->generation().number] =
      std::make_shared<VolumeFuzzer>(*fuzzer_);
}

void VolumeLab::Operate(int count) {
  for (int i = 0; i < count; ++i) {
    fuzzer_->Step();
    ASSERT_FALSE(testing::Test::HasFatalFailure()) << fuzzer_->last();
  }
}

Status VolumeLab::Accompanied(const std::function<Status()>& commit,
                              std::function<void()> then) {
  uint64_t steps = 8;
  if (kill_at_) steps = 1 + static_cast<uint64_t>(*kill_at_);
  company_ = static_cast<CommitStep>(company_rng_() % steps);
  then_ = std::move(then);
  const Status status = commit();
  bystander_.Join();
  company_.reset();
  then_ = nullptr;
  return status;
}

Status VolumeLab::OnStep(CommitStep step) {
  if (step == CommitStep::kFrozen) {
    fuzzer_->NoteTimes();
    history_[volume_->generation().number + 1] =
        std::make_shared<VolumeFuzzer>(*fuzzer_);
  }
  if (company_ == step) {
    company_.reset();
    ++accompanied_;
    const int count = 1 + static_cast<int>(company_rng_() % 3);
    // Longer only if it waits for this commit.
    constexpr std::chrono::milliseconds kPatience(5000);
    const bool ended = bystander_.Run(
        [this, count] { fuzzer_->StepsInCommit(count, false); }, kPatience);
    if (ended && then_) then_();
  }
  if (step == kill_at_) return Status(Errc::kAborted, "killed by the test");
  return Status::Ok();
}

void VolumeLab::OperateUntilDirty() {
  do {
    Operate(1);
    if (testing::Test::HasFatalFailure()) return;
  } while (!volume_->dirty());
}

void VolumeLab::Die(Death death, uint64_t seed) {
  if (death != Death::kKill) file_system_->SetFault(Fault::kNoPower);
  kill_at_.reset();
  volume_.reset();
  catalog_.reset();
  powered_.reset();
  // A kill leaves the cache of the system behind; power may still go before it
  // is written, so this medium stays.
  if (death == Death::kKill) return;
  file_system_->LoseUnsynced(seed);
  CrashOptions crash;
  crash.unflushed = static_cast<Unflushed>(static_cast<int>(death) -
                                           static_cast<int>(Death::kPowerKept));
  crash.seed = seed;
  medium_ = std::make_unique<CrashMedium>(
      *medium_->ContentAfterCrash(medium_->EventCount(), crash));
}

void VolumeLab::Close() {
  if (volume_ != nullptr) {
    EXPECT_OK(volume_->Detach());
  }
  volume_.reset();
  catalog_.reset();
  powered_.reset();
}

Status VolumeLab::OpenCatalog() {
  file_system_ = std::make_shared<FaultyFileSystem>();
  Catalog::Options options;
  options.env = MakeEnv(file_system_);
  ASSIGN_OR_RETURN(catalog_, Catalog::Open(CatalogPath(), options));
  return Status::Ok();
}

Status VolumeLab::Attach(uint64_t cut_at) {
  Result<VolumeRecord> record = catalog_->GetVolume(kIndex);
  if (!record.ok()) {
    if (record.error().code != Errc::kNotFound) return record.status();
    ASSIGN_OR_RETURN(const udf::ControlSlot slot,
                     udf::ReadControlSlot(*medium_));
    record = RecordFor(*medium_, slot, kIndex);
    CatalogBatch batch;
    batch.PutVolume(*record);
    RETURN_IF_ERROR(catalog_->Write(batch, Sync::kYes));
  }
  VolumeOptions options;
  options.on_commit_step = [this](CommitStep step) { return OnStep(step); };
  options.break_note = options_.break_note;
  if (options_.marks) {
    options.break_marks = [this](RegionSet* regions) {
      options_.marks(volume_->generation().number + 1, regions);
    };
  }
  powered_ = std::make_unique<PowerMedium>(medium_.get(), file_system_);
  powered_->CutPowerAt(cut_at);
  volume_ = std::make_unique<Volume>(catalog_.get(), *record, options);
  if (fuzzer_ != nullptr) fuzzer_->SetVolume(volume_.get());
  return volume_->Attach(powered_.get());
}

udf::ReplayResult VolumeLab::OnMedium() const {
  const std::unique_ptr<MemoryMedium> content = medium_->Content();
  const Result<udf::ControlSlot> slot = udf::ReadControlSlot(*content);
  const Result<udf::VolumeDescription> description =
      udf::ReadDescription(*content);
  EXPECT_OK(slot);
  EXPECT_OK(description);
  if (!slot.ok() || !description.ok()) return {};
  Result<udf::ReplayPlan> plan =
      udf::PlanReplay(*content, description->geometry, *slot);
  EXPECT_OK(plan);
  return plan.ok() ? plan->result : udf::ReplayResult();
}

void VolumeLab::Resume(uint64_t number) {
  const auto it = history_.find(number);
  ASSERT_NE(it, history_.end()) << "no generation " << number << " was frozen";
  const std::shared_ptr<const VolumeFuzzer> then = it->second;
  fuzzer_ = std::make_unique<VolumeFuzzer>(*then);
  fuzzer_->SetVolume(volume_.get());
  // A rescan may have raised the number.
  history_[volume_->generation().number] = then;
}

void VolumeLab::Check() {
  const Model& model = fuzzer_->model();
  ExpectVolumeIs(volume_.get(), model);
  const std::unique_ptr<MemoryMedium> content = medium_->Content();
  EXPECT_EQ(CompareMedium(content.get(), model), "");
  EXPECT_EQ(FsckText(*content), "");
  const auto pending = catalog_->GetPending(kIndex);
  EXPECT_OK(pending);
  EXPECT_TRUE(pending.ok() && !pending->has_value()) << "undecided";
  const Result<VolumeRecord> stored = catalog_->GetVolume(kIndex);
  EXPECT_OK(stored);
  if (!stored.ok()) return;
  EXPECT_EQ(stored->tree, TreeState::kValid);
  EXPECT_EQ(stored->generation, volume_->generation());
  uint64_t files = 0;
  uint64_t directories = 0;
  for (const auto& [id, node] : model.nodes) {
    if (node->type == udf::FileType::kDirectory) ++directories;
    for (const auto& [name, child] : node->names) {
      if (model.at(child).type != udf::FileType::kDirectory) ++files;
    }
  }
  EXPECT_EQ(volume_->record().files, files);
  EXPECT_EQ(volume_->record().directories, directories);
}

void VolumeLab::SaveCatalog(const std::string& name) {
  ASSERT_EQ(catalog_, nullptr);
  std::filesystem::copy(CatalogPath(), dir_.Sub(name),
                        std::filesystem::copy_options::recursive);
}

void VolumeLab::RestoreCatalog(const std::string& name) {
  DeleteCatalog();
  std::filesystem::copy(dir_.Sub(name), CatalogPath(),
                        std::filesystem::copy_options::recursive);
}

void VolumeLab::DeleteCatalog() {
  ASSERT_EQ(catalog_, nullptr);
  std::filesystem::remove_all(CatalogPath());
}

void VolumeLab::SetMedium(const MemoryMedium& content) {
  ASSERT_EQ(volume_, nullptr);
  medium_ = std::make_unique<CrashMedium>(content);
}

}  // namespace vellum
