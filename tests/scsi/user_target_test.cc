// SPDX-License-Identifier: Apache-2.0
// What no target that can be had does, over /dev/sg: exchanging and turning
// over media, locking the door. The changer is the one of tests/support, as a
// device of this kernel (user_target.h).
#include "tests/scsi/user_target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "media/scsi/scsi_changer.h"
#include "media/scsi/sg_transport.h"
#include "tests/contract/devices_contract.h"
#include "tests/scsi/devices.h"
#include "tests/support/fake_scsi_changer.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

constexpr uint8_t kMove = 0xA5, kExchange = 0xA6, kPrevent = 0x1E;

ElementAddress A(uint16_t address) { return ElementAddress{address}; }

// A changer with two media behind a file of the kernel.
class UserChanger {
 public:
  UserChanger() {
    fake_.Put(1024, "V00001L1");
    fake_.Put(1026, "V00002L1");
    target_ = std::make_unique<UserTarget>(
        UserTargetPaths{NamedByEnvironment("VELLUM_USER_UIO"),
                        NamedByEnvironment("VELLUM_USER_BACKING"),
                        NamedByEnvironment("VELLUM_USER_UNIT")},
        fake_.Open(), "FAKE CHANGER");
    auto transport = scsi::OpenSgTransport(target_->name());
    VELLUM_CHECK(transport.ok());
    scsi::ScsiChangerOptions options;
    options.two_sided = true;
    auto changer = scsi::ScsiChanger::Open(std::move(*transport), options);
    VELLUM_CHECK(changer.ok());
    changer_ = std::move(*changer);
  }

  FakeScsiChanger& fake() { return fake_; }
  scsi::ScsiChanger& changer() { return *changer_; }

 private:
  FakeScsiChanger fake_;
  std::unique_ptr<UserTarget> target_;
  std::unique_ptr<scsi::ScsiChanger> changer_;
};

class DrivePlace : public Drive {
 public:
  ElementAddress Address() const override { return A(256); }
  Result<DriveIdentity> Identify() override { return DriveIdentity{}; }
  Result<std::unique_ptr<Medium>> Open() override {
    return Error{Errc::kNotSupported, "a place without a drive"};
  }
  Status Close() override { return Status::Ok(); }
};

class UserChangerHarness : public DevicesHarness {
 public:
  UserChangerHarness() { drives_.push_back(std::make_unique<DrivePlace>()); }
  Changer& changer() override { return device_.changer(); }
  const std::vector<std::unique_ptr<Drive>>& drives() override {
    return drives_;
  }

 private:
  UserChanger device_;
  std::vector<std::unique_ptr<Drive>> drives_;
};

std::unique_ptr<DevicesHarness> MakeUserChanger() {
  return std::make_unique<UserChangerHarness>();
}

INSTANTIATE_TEST_SUITE_P(UserTarget, ChangerContract,
                         testing::Values(&MakeUserChanger));

class UserTargetTest : public testing::Test {
 protected:
  ElementStatus StatusOf(uint16_t address) {
    const auto all = device_.changer().ReadElementStatus();
    EXPECT_OK(all);
    if (all.ok()) {
      for (const ElementStatus& status : *all) {
        if (status.address == A(address)) return status;
      }
    }
    ADD_FAILURE() << "no element " << address;
    return {};
  }

  UserChanger device_;
  FakeScsiChanger& fake_ = device_.fake();
  scsi::ScsiChanger& changer_ = device_.changer();
};

TEST_F(UserTargetTest, ExchangesMediaInOneCommand) {
  ASSERT_OK(changer_.MoveMedium(A(1024), A(256)));
  ASSERT_OK(changer_.ExchangeMedium(A(1026), A(256), A(1024)));
  EXPECT_EQ(fake_.At(256), "V00002L1");
  EXPECT_EQ(fake_.At(1024), "V00001L1");
  EXPECT_EQ(fake_.At(1026), std::nullopt);
  EXPECT_EQ(fake_.script().Count(kExchange), 1u);
  EXPECT_EQ(fake_.script().Count(kMove), 1u);
  EXPECT_EQ(StatusOf(256).volume_tag, "V00002L1");
  EXPECT_EQ(StatusOf(1024).source, A(256));
  const Status again = changer_.ExchangeMedium(A(1026), A(256), A(1024));
  EXPECT_THAT(again, HasErrc(Errc::kNoMedium));
}

TEST_F(UserTargetTest, O18_TurnsAMediumOver) {
  ASSERT_OK(changer_.MoveMediumTurned(A(1024), A(256)));
  EXPECT_TRUE(fake_.IsTurned(256));
  EXPECT_TRUE(StatusOf(256).turned);
  ASSERT_OK(changer_.MoveMediumTurned(A(256), A(256)));
  EXPECT_FALSE(fake_.IsTurned(256));
  EXPECT_FALSE(StatusOf(256).turned);
  ASSERT_OK(changer_.MoveMedium(A(256), A(1024)));
  EXPECT_FALSE(fake_.IsTurned(1024));
}

TEST_F(UserTargetTest, LocksTheDoorAndOpensIt) {
  ASSERT_OK(changer_.LockDoor(true));
  ASSERT_OK(changer_.LockDoor(false));
  std::vector<int> locks;
  for (const SentCommand& sent : fake_.script().Log()) {
    if (sent.cdb[0] == kPrevent) locks.push_back(sent.cdb[4]);
  }
  EXPECT_THAT(locks, testing::ElementsAre(1, 0));
}

// The kernel's sense data is the device's.
TEST_F(UserTargetTest, RefusalsSayWhatTheDeviceSaid) {
  fake_.script().Then(kExchange, Check(5, 0x3B, 0x90));
  ASSERT_OK(changer_.MoveMedium(A(1024), A(256)));
  EXPECT_THAT(changer_.ExchangeMedium(A(1026), A(256), A(1024)),
              MessageHas("5/3B/90"));
  EXPECT_EQ(fake_.At(256), "V00001L1");
}

}  // namespace
}  // namespace vellum
