// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>
#include <thread>

#include "media/scsi/device.h"
#include "tests/support/scripted_transport.h"
#include "tests/support/status_matchers.h"

namespace vellum::scsi {
namespace {

using std::chrono::milliseconds;

constexpr uint8_t kRead = 0x28;
constexpr uint8_t kMove = 0xA5;
constexpr uint8_t kInquiry = 0x12;
constexpr uint8_t kReady = 0x00;

constexpr Patience kShort{milliseconds(30), milliseconds(30), milliseconds(1),
                          milliseconds(4)};

class ScsiDeviceTest : public testing::Test {
 protected:
  Result<size_t> Run(uint8_t operation, Repeat repeat) {
    Command command;
    command.cdb = {operation, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    return device_.Run("THE COMMAND 7", command, repeat, &sense_);
  }

  ScsiScript script_;
  Device device_{script_.Open(), kShort};
  Sense sense_;
};

TEST_F(ScsiDeviceTest, TellsTheBytesThatWereTransferred) {
  std::array<std::byte, 8> in{};
  script_.Then(kRead, Data(std::string("abc")));
  Command command;
  command.cdb = {kRead, 0, 0, 0, 0, 0, 0, 0, 1, 0};
  command.in = in;
  ASSERT_OK_AND_ASSIGN(const size_t got,
                       device_.Run("READ", command, Repeat::kIdempotent));
  EXPECT_EQ(got, 3u);
  EXPECT_EQ(in[2], std::byte{'c'});
}

TEST_F(ScsiDeviceTest, AnErrorNamesDeviceCommandAndSense) {
  script_.Then(kRead, Check(3, 0x11, 0x00, 4096));
  const auto result = Run(kRead, Repeat::kIdempotent);
  EXPECT_THAT(result, HasErrc(Errc::kDeviceError));
  EXPECT_THAT(result, MessageHas("/dev/scripted: THE COMMAND 7: sense 3/11/00 "
                                 "(unrecovered read error)"));
  EXPECT_EQ(sense_.information, 4096u);
  EXPECT_EQ(script_.Count(kRead), 1u);
}

TEST_F(ScsiDeviceTest, ARecoveredErrorIsASuccess) {
  script_.Then(kRead, Check(1, 0x17, 0x01));
  EXPECT_OK(Run(kRead, Repeat::kOnlyUnchanged));
}

TEST_F(ScsiDeviceTest, EachUnitAttentionIsPassedOverOnce) {
  for (const Repeat repeat : {Repeat::kIdempotent, Repeat::kOnlyNotBegun}) {
    script_.Interrupt(Check(6, 0x29, 0x00)).Interrupt(Check(6, 0x2A, 0x01));
    script_.Then(kMove, Good());
    EXPECT_OK(Run(kMove, repeat));
  }
  script_.Interrupt(Check(6, 0x29, 0x00)).Interrupt(Check(6, 0x29, 0x00));
  EXPECT_THAT(Run(kMove, Repeat::kIdempotent), HasErrc(Errc::kAborted));
  EXPECT_TRUE(script_.Done());
}

TEST_F(ScsiDeviceTest, EndlessDifferentUnitAttentionsEnd) {
  uint8_t ascq = 0;
  script_.AllFail(
      [&](const Command& command) { return Check(6, 0x3F, ascq++)(command); });
  EXPECT_THAT(Run(kRead, Repeat::kIdempotent), HasErrc(Errc::kAborted));
}

TEST_F(ScsiDeviceTest, IoGoesOnAfterAResetButNotOnAnotherMedium) {
  script_.Interrupt(Check(6, 0x29, 0x00)).Then(kRead, Good());
  EXPECT_OK(Run(kRead, Repeat::kOnlyUnchanged));
  script_.Interrupt(Check(6, 0x28, 0x00));
  EXPECT_THAT(Run(kRead, Repeat::kOnlyUnchanged), HasErrc(Errc::kAborted));
  EXPECT_TRUE(script_.Done());
  EXPECT_EQ(script_.Count(kRead), 3u);
}

TEST_F(ScsiDeviceTest, MarksWhatAUnitAttentionMeansUntilItIsTaken) {
  script_.Always(kRead, Good());
  EXPECT_FALSE(device_.TakeMediumChanged());
  script_.Interrupt(Check(6, 0x28, 0x00));
  ASSERT_OK(Run(kRead, Repeat::kIdempotent));
  EXPECT_FALSE(device_.TakeReset());
  EXPECT_TRUE(device_.TakeMediumChanged());
  EXPECT_FALSE(device_.TakeMediumChanged());
  script_.Interrupt(Check(6, 0x29, 0x02));
  ASSERT_OK(Run(kRead, Repeat::kIdempotent));
  EXPECT_FALSE(device_.TakeMediumChanged());
  EXPECT_TRUE(device_.TakeReset());
  EXPECT_FALSE(device_.TakeReset());
}

TEST_F(ScsiDeviceTest, ABusyDeviceIsAskedAgain) {
  script_.Then(kMove, StatusOf(kBusyStatus));
  script_.Then(kMove, StatusOf(kTaskSetFull)).Then(kMove, Good());
  EXPECT_OK(Run(kMove, Repeat::kOnlyUnchanged));
}

TEST_F(ScsiDeviceTest, ADeviceThatStaysBusyIsGivenUp) {
  script_.Always(kMove, StatusOf(kBusyStatus));
  EXPECT_THAT(Run(kMove, Repeat::kOnlyNotBegun), HasErrc(Errc::kBusy));
  EXPECT_GT(script_.Count(kMove), 2u);
}

TEST_F(ScsiDeviceTest, BecomingReadyIsWaitedFor) {
  script_.BecomingReady(kMove, 3).Then(kMove, Good());
  EXPECT_OK(Run(kMove, Repeat::kOnlyNotBegun));
  script_.Always(kMove, Check(2, 0x04, 0x01));
  EXPECT_THAT(Run(kMove, Repeat::kOnlyNotBegun), HasErrc(Errc::kNotReady));
}

TEST_F(ScsiDeviceTest, ADeviceThatWaitsForAnOperatorIsNotWaitedFor) {
  script_.Then(kMove, Check(2, 0x04, 0x03));
  EXPECT_THAT(Run(kMove, Repeat::kIdempotent), HasErrc(Errc::kNotReady));
}

TEST_F(ScsiDeviceTest, AReservationIsTold) {
  script_.Then(kMove, StatusOf(kReservationConflict));
  const auto result = Run(kMove, Repeat::kIdempotent);
  EXPECT_THAT(result, HasErrc(Errc::kBusy));
  EXPECT_THAT(result, MessageHas("reserved"));
}

// Whatever happened after the device had the command: a move or a write goes
// out once.
TEST_F(ScsiDeviceTest, WhatMayHaveBegunIsNeverSentTwice) {
  const ScsiHandler kHandlers[] = {Check(0xB, 0x4B, 0x00),
                                   Check(3, 0x0C, 0x00),
                                   Check(4, 0x15, 0x01),
                                   CheckWith({}),
                                   TransportFails(),
                                   TimesOut(),
                                   IsGone(),
                                   StatusOf(0x40),
                                   StatusOf(0x22)};
  for (const Repeat repeat : {Repeat::kOnlyNotBegun, Repeat::kOnlyUnchanged}) {
    for (const ScsiHandler& handler : kHandlers) {
      const size_t before = script_.Count(kMove);
      script_.Then(kMove, handler);
      EXPECT_FALSE(Run(kMove, repeat).ok());
      EXPECT_EQ(script_.Count(kMove), before + 1);
    }
  }
}

TEST_F(ScsiDeviceTest, AReadIsTriedOnceMoreAfterATransportError) {
  script_.Then(kRead, TransportFails()).Then(kRead, Good());
  EXPECT_OK(Run(kRead, Repeat::kIdempotent));
  script_.Then(kRead, Check(0xB, 0x47, 0x00)).Then(kRead, Good());
  EXPECT_OK(Run(kRead, Repeat::kIdempotent));
  script_.Then(kRead, TransportFails()).Then(kRead, TransportFails());
  EXPECT_THAT(Run(kRead, Repeat::kIdempotent), HasErrc(Errc::kDeviceError));
  EXPECT_TRUE(script_.Done());
}

// A device that is dead costs one timeout for each command, not two.
TEST_F(ScsiDeviceTest, NoAnswerAndNoDeviceEndACommandAtOnce) {
  script_.Then(kRead, TimesOut());
  EXPECT_THAT(Run(kRead, Repeat::kIdempotent), HasErrc(Errc::kTimedOut));
  script_.Then(kRead, IsGone());
  EXPECT_THAT(Run(kRead, Repeat::kIdempotent), HasErrc(Errc::kOffline));
  EXPECT_EQ(script_.Count(kRead), 2u);
}

// Nothing else tells that a write which had been reported good was lost.
TEST_F(ScsiDeviceTest, ADeferredErrorIsNeverSwallowed) {
  script_.Then(kRead, CheckWith({0x71, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x0C,
                                 0x00, 0, 0, 0, 0}));
  const auto result = Run(kRead, Repeat::kIdempotent);
  EXPECT_THAT(result, HasErrc(Errc::kDeviceError));
  EXPECT_THAT(result, MessageHas("deferred sense 3/0C/00"));
  EXPECT_EQ(script_.Count(kRead), 1u);
  // Of this command it would be a reason to try again.
  script_.Then(kRead, CheckWith({0x73, 0xB, 0x47, 0x00, 0, 0, 0, 0}));
  EXPECT_THAT(Run(kRead, Repeat::kIdempotent), HasErrc(Errc::kAborted));
  EXPECT_EQ(script_.Count(kRead), 2u);
}

TEST_F(ScsiDeviceTest, AfterADeferredRecoveredErrorTheCommandIsSent) {
  script_.Then(kMove, CheckWith({0x71, 0, 1, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x0C,
                                 0x00, 0, 0, 0, 0}));
  script_.Then(kMove, Good());
  EXPECT_OK(Run(kMove, Repeat::kOnlyUnchanged));
  EXPECT_TRUE(script_.Done());
}

std::vector<uint8_t> StandardInquiry(uint8_t first) {
  std::vector<uint8_t> data(36);
  data[0] = first;
  data[1] = 0x80;
  data[4] = 31;
  const std::string text = "HP      MSL G3 Series   E.00";
  std::copy(text.begin(), text.end(), data.begin() + 8);
  return data;
}

TEST_F(ScsiDeviceTest, InquiresWithSerialNumber) {
  script_.Then(kInquiry, Data(StandardInquiry(0x08)));
  script_.Then(kInquiry, Data(std::string("\x08\x80\0\x0c  DEC1234567 ", 17)));
  ASSERT_OK_AND_ASSIGN(const Inquiry inquiry, device_.Inquire());
  EXPECT_EQ(inquiry.device_type, 8);
  EXPECT_TRUE(inquiry.removable);
  EXPECT_EQ(inquiry.vendor, "HP");
  EXPECT_EQ(inquiry.product, "MSL G3 Series");
  EXPECT_EQ(inquiry.revision, "E.00");
  EXPECT_EQ(inquiry.serial, "DEC1234567");
}

TEST_F(ScsiDeviceTest, InquiresWithoutSerialNumber) {
  script_.Then(kInquiry, Data(StandardInquiry(0x05)));
  script_.Then(kInquiry, Check(5, 0x24, 0x00));
  ASSERT_OK_AND_ASSIGN(Inquiry inquiry, device_.Inquire());
  EXPECT_EQ(inquiry.serial, "");
  // Standard data again, instead of the page.
  script_.Then(kInquiry, Data(StandardInquiry(0x05)));
  script_.Then(kInquiry, Data(StandardInquiry(0x05)));
  ASSERT_OK_AND_ASSIGN(inquiry, device_.Inquire());
  EXPECT_EQ(inquiry.serial, "");
  EXPECT_EQ(inquiry.device_type, 5);
}

TEST_F(ScsiDeviceTest, InquiryOfShortDataReadsNoFurther) {
  script_.Then(kInquiry,
               Data(std::string("\x00\x80\x02\x02\x08 DISC DRIVE", 16)));
  script_.Then(kInquiry, Check(5, 0x24, 0x00));
  ASSERT_OK_AND_ASSIGN(const Inquiry inquiry, device_.Inquire());
  EXPECT_EQ(inquiry.vendor, "SC DR");
  EXPECT_EQ(inquiry.product, "");
  script_.Then(kInquiry, Data(std::string("\x00")));
  EXPECT_THAT(device_.Inquire(), HasErrc(Errc::kDeviceError));
}

TEST_F(ScsiDeviceTest, AnAbsentLogicalUnitIsOffline) {
  script_.Then(kInquiry, Data(StandardInquiry(0x7F)));
  EXPECT_THAT(device_.Inquire(), HasErrc(Errc::kOffline));
}

TEST_F(ScsiDeviceTest, WaitsUntilReady) {
  script_.Then(kReady, Check(6, 0x3A, 0x00)).Then(kReady, Check(6, 0x28, 0x00));
  script_.Then(kReady, Check(2, 0x04, 0x00)).BecomingReady(kReady, 2);
  script_.Then(kReady, StatusOf(kBusyStatus)).Then(kReady, Good());
  EXPECT_OK(device_.WaitReady(milliseconds(10'000)));
  EXPECT_TRUE(device_.TakeMediumChanged());
  EXPECT_TRUE(script_.Done());
}

TEST_F(ScsiDeviceTest, TheWaitForReadyHasABound) {
  script_.Always(kReady, Check(2, 0x04, 0x01));
  const Status status = device_.WaitReady(milliseconds(20));
  EXPECT_THAT(status, HasErrc(Errc::kTimedOut));
  EXPECT_THAT(status, MessageHas("2/04/01"));
  script_.Always(kReady, Check(6, 0x28, 0x00));
  EXPECT_FALSE(device_.WaitReady(milliseconds(20)).ok());
}

TEST_F(ScsiDeviceTest, WaitingEndsAtOnceWhereItCannotHelp) {
  script_.Then(kReady, Check(2, 0x3A, 0x00));
  EXPECT_THAT(device_.WaitReady(milliseconds(60'000)),
              HasErrc(Errc::kNoMedium));
  script_.Then(kReady, Check(2, 0x04, 0x03));
  EXPECT_THAT(device_.WaitReady(milliseconds(60'000)),
              HasErrc(Errc::kNotReady));
  script_.Then(kReady, IsGone());
  EXPECT_THAT(device_.WaitReady(milliseconds(60'000)), HasErrc(Errc::kOffline));
  EXPECT_EQ(script_.Count(kReady), 3u);
}

TEST_F(ScsiDeviceTest, WaitingCanBeStopped) {
  std::stop_source stop;
  int tries = 0;
  script_.Always(kReady, [&](const Command& command) {
    if (++tries == 3) stop.request_stop();
    return Check(2, 0x04, 0x01)(command);
  });
  EXPECT_THAT(device_.WaitReady(milliseconds(60'000), stop.get_token()),
              HasErrc(Errc::kInterrupted));
}

TEST_F(ScsiDeviceTest, PreventsAndAllowsRemoval) {
  script_.Then(0x1E, Good()).Then(0x1E, Good()).Then(0x1E, Check(5, 0x20, 0));
  ASSERT_OK(device_.PreventRemoval(true));
  ASSERT_OK(device_.PreventRemoval(false));
  EXPECT_THAT(device_.PreventRemoval(true), HasErrc(Errc::kNotSupported));
  EXPECT_EQ(script_.Log()[0].cdb[4], 1);
  EXPECT_EQ(script_.Log()[1].cdb[4], 0);
}

}  // namespace
}  // namespace vellum::scsi
