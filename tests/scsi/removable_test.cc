// SPDX-License-Identifier: Apache-2.0
// Device on a removable disk whose medium somebody else changes (removable.py,
// in the guest). Media 0 and 1 are all zeros when the program starts.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/scsi/devices.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

using scsi::Command;
using scsi::Device;
using scsi::Repeat;
using std::chrono::seconds;

// Whether the host did it.
bool AskHost(const std::string& request) {
  const std::string command = VELLUM_ASK_HOST " " + request;
  return std::system(command.c_str()) == 0;
}

class RemovableTest : public testing::Test {
 protected:
  void SetUp() override {
    auto transport = OpenTransport(NamedByEnvironment("VELLUM_SCSI_REMOVABLE"));
    ASSERT_OK(transport);
    device_ = std::make_unique<Device>(std::move(*transport));
    ASSERT_TRUE(AskHost("insert 0"));
    ASSERT_OK(device_->WaitReady(seconds(30)));
    ASSERT_OK(ReadCapacity());
    device_->TakeMediumChanged();
  }
  void TearDown() override {
    EXPECT_OK(device_->PreventRemoval(false));
    EXPECT_TRUE(AskHost("eject"));
  }

  // This device finds no block before it was asked how many it has.
  Status ReadCapacity() {
    Bytes capacity(8);
    Command command;
    command.cdb = {0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    command.in = capacity;
    return device_->Run("READ CAPACITY", command, Repeat::kIdempotent).status();
  }
  Result<size_t> Read(Bytes* block, Repeat repeat) {
    *block = Bytes(2048, std::byte{9});
    Command command;
    command.cdb = {0x28, 0, 0, 0, 0, 5, 0, 0, 1, 0};
    command.in = *block;
    return device_->Run("READ", command, repeat);
  }
  Result<size_t> Write(int value) {
    const Bytes block(2048, static_cast<std::byte>(value));
    Command command;
    command.cdb = {0x2A, 0, 0, 0, 0, 5, 0, 0, 1, 0};
    command.out = block;
    return device_->Run("WRITE", command, Repeat::kOnlyUnchanged);
  }

  std::unique_ptr<Device> device_;
};

TEST_F(RemovableTest, NothingIsWrittenToAnotherMedium) {
  ASSERT_OK(Write(1));
  ASSERT_FALSE(device_->TakeMediumChanged());
  ASSERT_TRUE(AskHost("insert 1"));
  EXPECT_THAT(Write(2), HasErrc(Errc::kAborted));
  EXPECT_TRUE(device_->TakeMediumChanged());
  ASSERT_OK(ReadCapacity());
  Bytes block;
  ASSERT_OK(Read(&block, Repeat::kIdempotent));
  EXPECT_EQ(block, Bytes(2048));
  ASSERT_TRUE(AskHost("insert 0"));
  ASSERT_OK(ReadCapacity());
  ASSERT_OK(Read(&block, Repeat::kIdempotent));
  EXPECT_EQ(block, Bytes(2048, std::byte{1}));
}

TEST_F(RemovableTest, ReadsOfAnotherMediumAreNoticed) {
  ASSERT_TRUE(AskHost("insert 1"));
  Bytes block;
  EXPECT_THAT(Read(&block, Repeat::kOnlyUnchanged), HasErrc(Errc::kAborted));
  EXPECT_TRUE(device_->TakeMediumChanged());
}

TEST_F(RemovableTest, APreventedMediumStays) {
  ASSERT_OK(device_->PreventRemoval(true));
  EXPECT_FALSE(AskHost("eject"));
  EXPECT_FALSE(AskHost("insert 1"));
  Command eject;
  eject.cdb = {0x1B, 0, 0, 0, 2, 0};
  EXPECT_THAT(device_->Run("EJECT", eject, Repeat::kOnlyNotBegun),
              HasErrc(Errc::kBusy));
  EXPECT_OK(device_->WaitReady(seconds(30)));
}

TEST_F(RemovableTest, AMediumThatWasTornOutIsNoMedium) {
  ASSERT_OK(device_->PreventRemoval(true));
  ASSERT_TRUE(AskHost("tear-out"));
  EXPECT_FALSE(Write(3).ok());
  EXPECT_TRUE(device_->TakeMediumChanged());
  EXPECT_THAT(Write(3), HasErrc(Errc::kNoMedium));
  EXPECT_THAT(device_->WaitReady(seconds(30)), HasErrc(Errc::kNoMedium));
}

}  // namespace
}  // namespace vellum
