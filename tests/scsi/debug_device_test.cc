// SPDX-License-Identifier: Apache-2.0
// Device on the kernel's scsi_debug, whose faults come on demand: becoming
// ready, medium errors, commands that are never answered. debug_device.sh loads
// the driver.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "tests/scsi/devices.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

using scsi::Command;
using scsi::Device;
using scsi::Repeat;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint32_t kBadBlock = 0x1234;  // debug_device.sh says so
constexpr uint8_t kNotReadyKey = 2;
constexpr uint8_t kUnitAttentionKey = 6;
// Bits of the driver's opts.
constexpr int kMediumErrors = 2;
constexpr int kIgnoreCommands = 4;
constexpr int kRecoveredErrors = 8;
constexpr int kTransportErrors = 0x20;

void Set(const std::string& path, int value) {
  std::ofstream file(path);
  file << value << std::endl;
  ASSERT_TRUE(file.good()) << path;
}
// Every command has the faults of `opts` from now on.
void SetFaults(int opts) {
  Set("/sys/bus/pseudo/drivers/scsi_debug/every_nth", opts == 0 ? 0 : 1);
  Set("/sys/bus/pseudo/drivers/scsi_debug/opts", opts);
}

// The device file; empty: the driver has none yet.
std::string DebugDevice() {
  for (const auto& entry :
       std::filesystem::directory_iterator("/sys/class/scsi_generic")) {
    std::ifstream file(entry.path() / "device/model");
    std::string model;
    file >> model;
    if (model == "scsi_debug")
      return "/dev/" + entry.path().filename().string();
  }
  return {};
}

class DebugDeviceTest : public testing::Test {
 protected:
  void SetUp() override { Open(); }
  void Open() {
    std::string path;
    while (path.empty()) path = DebugDevice();
    auto transport = OpenTransport(path);
    ASSERT_OK(transport);
    transport_ = transport->get();
    device_ = std::make_unique<Device>(std::move(*transport));
  }
  void TearDown() override {
    SetFaults(0);
    Set("/sys/module/scsi_debug/parameters/wp", 0);
  }

  Result<size_t> Read(uint32_t block, scsi::Sense* sense) {
    block_ = Bytes(2048);
    Command command;
    command.cdb = {0x28,
                   0,
                   0,
                   0,
                   static_cast<uint8_t>(block >> 8),
                   static_cast<uint8_t>(block),
                   0,
                   0,
                   1,
                   0};
    command.in = block_;
    return device_->Run("READ", command, Repeat::kIdempotent, sense);
  }
  Result<size_t> Write(uint32_t block) {
    block_ = Bytes(2048, std::byte{7});
    Command command;
    command.cdb = {0x2A,
                   0,
                   0,
                   0,
                   static_cast<uint8_t>(block >> 8),
                   static_cast<uint8_t>(block),
                   0,
                   0,
                   1,
                   0};
    command.out = block_;
    return device_->Run("WRITE", command, Repeat::kOnlyUnchanged);
  }
  Result<size_t> TestUnitReady(milliseconds timeout) {
    Command command;
    command.cdb = {0, 0, 0, 0, 0, 0};
    command.timeout = timeout;
    return device_->Run("TEST UNIT READY", command, Repeat::kIdempotent);
  }

  scsi::Transport* transport_ = nullptr;  // device_ owns it
  std::unique_ptr<Device> device_;
  Bytes block_;
};

TEST_F(DebugDeviceTest, ADeviceThatIsBecomingReadyIsWaitedFor) {
  // Made anew: the time that it takes (debug_device.sh) counts from here,
  // however long it took to come here.
  device_.reset();
  Set("/sys/bus/pseudo/drivers/scsi_debug/add_host", -1);
  Set("/sys/bus/pseudo/drivers/scsi_debug/add_host", 1);
  ASSERT_NO_FATAL_FAILURE(Open());
  Command command;
  command.cdb = {0, 0, 0, 0, 0, 0};
  scsi::Sense sense;
  do {
    const auto reply = transport_->Execute(command);
    ASSERT_OK(reply);
    ASSERT_EQ(reply->status, scsi::kCheckCondition) << "it is ready already";
    sense = scsi::DecodeSense(reply->sense);
  } while (sense.key == kUnitAttentionKey);
  ASSERT_EQ(sense.key, kNotReadyKey);
  EXPECT_THAT(device_->WaitReady(milliseconds(100)), HasErrc(Errc::kTimedOut));
  EXPECT_OK(device_->WaitReady(seconds(60)));
}

TEST_F(DebugDeviceTest, IsAnOpticalMemoryDevice) {
  ASSERT_OK_AND_ASSIGN(const scsi::Inquiry inquiry, device_->Inquire());
  EXPECT_EQ(inquiry.device_type, 7);
  EXPECT_TRUE(inquiry.removable);
  EXPECT_FALSE(inquiry.serial.empty());
}

TEST_F(DebugDeviceTest, AMediumErrorNamesTheBlock) {
  scsi::Sense sense;
  ASSERT_OK(Read(kBadBlock, &sense));
  SetFaults(kMediumErrors);
  const auto read = Read(kBadBlock, &sense);
  EXPECT_THAT(read, HasErrc(Errc::kDeviceError));
  EXPECT_THAT(read, MessageHas("3/11/00"));
  EXPECT_THAT(read, MessageHas(std::to_string(kBadBlock)));
  EXPECT_EQ(sense.information, std::optional<uint64_t>(kBadBlock));
  EXPECT_OK(Read(1, &sense));
}

TEST_F(DebugDeviceTest, ARecoveredErrorIsASuccess) {
  SetFaults(kRecoveredErrors);
  scsi::Sense sense;
  EXPECT_OK(Read(1, &sense));
}

TEST_F(DebugDeviceTest, ACommandThatIsNeverAnsweredTimesOut) {
  SetFaults(kIgnoreCommands);
  const auto result = TestUnitReady(seconds(1));
  SetFaults(0);
  EXPECT_THAT(result, HasErrc(Errc::kTimedOut));
  EXPECT_OK(device_->WaitReady(seconds(30)));
}

TEST_F(DebugDeviceTest, AnAbortedCommandIsNoSuccess) {
  SetFaults(kTransportErrors);
  scsi::Sense sense;
  EXPECT_THAT(Read(1, &sense), HasErrc(Errc::kAborted));
  EXPECT_THAT(Write(1), HasErrc(Errc::kAborted));
}

TEST_F(DebugDeviceTest, AWriteProtectedMediumSaysSo) {
  ASSERT_OK(Write(1));
  Set("/sys/module/scsi_debug/parameters/wp", 1);
  EXPECT_THAT(Write(1), HasErrc(Errc::kWriteProtected));
  EXPECT_THAT(Write(1), MessageHas("7/27/02"));
}

TEST_F(DebugDeviceTest, AStoppedUnitIsNotWaitedFor) {
  Command command;
  command.cdb = {0x1B, 0, 0, 0, 0, 0};
  ASSERT_OK(device_->Run("STOP", command, Repeat::kOnlyNotBegun));
  EXPECT_THAT(device_->WaitReady(seconds(60)), HasErrc(Errc::kNotReady));
  command.cdb[4] = 1;
  ASSERT_OK(device_->Run("START", command, Repeat::kOnlyNotBegun));
  EXPECT_OK(device_->WaitReady(seconds(60)));
}

}  // namespace
}  // namespace vellum
