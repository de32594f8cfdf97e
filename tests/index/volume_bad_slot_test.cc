// SPDX-License-Identifier: Apache-2.0
// A control slot that the device cannot read any more.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "media/fault_medium.h"
#include "media/udf/control.h"
#include "media/udf/slot_places.h"
#include "tests/index/volume_fixture.h"
#include "tests/support/logged_lines.h"

namespace vellum {
namespace {

using testing::HasSubstr;

class VolumeBadSlotTest : public testing::Test {
 protected:
  void SetUp() override {
    udf::FormatOptions format;
    format.volume_id = "VOL";
    ASSERT_OK_AND_ASSIGN(slot_, udf::FormatVolume(*medium_, format));
    Connect();
    ASSERT_OK(volume_->Attach(medium_.get()));
    Put("old", 'o');
    ASSERT_OK(volume_->Detach());
  }
  // A catalog that knows the volume, and nothing of what is on it.
  void Connect() {
    volume_.reset();
    catalog_ = MemoryCatalog();
    volume_ = std::make_unique<Volume>(
        catalog_.get(), RecordFor(*medium_, slot_, 1), VolumeOptions());
  }
  Status TryPut(const std::string& name, char fill) {
    ASSIGN_OR_RETURN(const Attr file,
                     volume_->Create(volume_->root(), name, NewInode()));
    const Bytes data(5000, static_cast<std::byte>(fill));
    RETURN_IF_ERROR(volume_->Write(file.ino, 0, data).status());
    return volume_->Sync();
  }
  void Put(const std::string& name, char fill) {
    ASSERT_OK(TryPut(name, fill));
  }
  void ExpectFile(const std::string& name, char fill) {
    ASSERT_OK_AND_ASSIGN(const Attr file,
                         volume_->Lookup(volume_->root(), name));
    Bytes data(6000);
    ASSERT_OK_AND_ASSIGN(const size_t count, volume_->Read(file.ino, 0, data));
    data.resize(count);
    EXPECT_TRUE(data == Bytes(5000, static_cast<std::byte>(fill))) << name;
  }
  uint64_t EpochAt(uint32_t sector) {
    uint64_t epoch = 0;
    medium_->Peek(uint64_t{sector} * kSectorSize + 16,
                  std::as_writable_bytes(std::span(&epoch, 1)));
    return epoch;
  }
  uint32_t NewerPlace() {
    return EpochAt(udf::kSlotASector) > EpochAt(udf::kSlotBSector)
               ? udf::kSlotASector
               : udf::kSlotBSector;
  }
  static uint32_t Other(uint32_t place) {
    return place == udf::kSlotASector ? udf::kSlotBSector : udf::kSlotASector;
  }

  std::shared_ptr<MemoryMedium> medium_ = std::make_shared<MemoryMedium>();
  udf::ControlSlot slot_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Volume> volume_;
};

TEST_F(VolumeBadSlotTest, IsWrittenAnewWhereTheDeviceCan) {
  for (const bool newer : {true, false}) {
    const uint32_t place = newer ? NewerPlace() : Other(NewerPlace());
    medium_->MakeUnreadable({place, 1});
    EXPECT_THAT(FsckText(*medium_),
                HasSubstr("the control slot at sector " +
                          std::to_string(place) + " cannot be read"));
    Connect();
    const LoggedLines log;
    ASSERT_OK(volume_->Attach(medium_.get()));
    EXPECT_EQ(log.Count("it was written anew"), 1) << log.Text();
    EXPECT_OK(udf::CheckSlotPlaces(*medium_));
    const std::string name = newer ? "first" : "second";
    Put(name, 'n');
    // Power fails: what was synced is found with the slots alone.
    const std::shared_ptr<MemoryMedium> left = medium_->Clone();
    ASSERT_OK(volume_->Detach());
    Connect();
    ASSERT_OK(volume_->Attach(left.get()));
    ExpectFile("old", 'o');
    ExpectFile(name, 'n');
    ASSERT_OK(volume_->Detach());
    EXPECT_EQ(FsckText(*left), "");
  }
}

TEST_F(VolumeBadSlotTest, AVolumeThatCannotHaveTwoTakesNoChanges) {
  for (const bool newer : {true, false}) {
    const uint32_t place = newer ? NewerPlace() : Other(NewerPlace());
    const auto plan = std::make_shared<FaultPlan>();
    FaultMedium medium(ShareMedium(medium_), plan);
    plan->FailRange(FaultPlan::Op::kRead, {place, 1});
    Connect();
    const LoggedLines log;
    ASSERT_OK(volume_->Attach(&medium));
    EXPECT_EQ(log.Count("control slot of volume VOL cannot be written"), 1)
        << log.Text();
    const Status writable = volume_->CheckWritable();
    EXPECT_THAT(writable, HasErrc(Errc::kReadOnly));
    EXPECT_THAT(writable, MessageHas("sector " + std::to_string(place)));
    EXPECT_THAT(TryPut("new", 'n'), HasErrc(Errc::kReadOnly));
    ExpectFile("old", 'o');
    ASSERT_OK(volume_->Detach());
    // The device can again.
    plan->Clear();
    ASSERT_OK(volume_->Attach(&medium));
    Put(newer ? "first" : "second", 'n');
    ASSERT_OK(volume_->Detach());
    EXPECT_EQ(FsckText(*medium_), "");
  }
}

// Else the slot would say nothing of what is committed with it.
TEST_F(VolumeBadSlotTest, ACommitFailsWhoseSlotDoesNotReadBack) {
  const auto plan = std::make_shared<FaultPlan>();
  FaultMedium medium(ShareMedium(medium_), plan);
  ASSERT_OK(volume_->Attach(&medium));
  plan->FailRange(FaultPlan::Op::kRead, {Other(NewerPlace()), 1});
  const Status status = TryPut("new", 'n');
  EXPECT_THAT(status, HasErrc(Errc::kDeviceError));
  EXPECT_THAT(status, MessageHas("does not read back"));
  EXPECT_THAT(volume_->Detach(), HasErrc(Errc::kDeviceError));
  plan->Clear();
  Connect();
  ASSERT_OK(volume_->Attach(&medium));
  ExpectFile("old", 'o');
  EXPECT_THAT(volume_->Lookup(volume_->root(), "new"),
              HasErrc(Errc::kNotFound));
  ASSERT_OK(volume_->Detach());
}

TEST_F(VolumeBadSlotTest, AnErrorThatPassesIsNone) {
  const auto plan = std::make_shared<FaultPlan>();
  FaultMedium medium(ShareMedium(medium_), plan);
  plan->FailNth(FaultPlan::Op::kRead, 1);
  EXPECT_OK(udf::CheckSlotPlaces(medium));
  plan->SetGone(true);
  EXPECT_THAT(udf::CheckSlotPlaces(medium), HasErrc(Errc::kNoMedium));
}

}  // namespace
}  // namespace vellum
