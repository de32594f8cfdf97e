// SPDX-License-Identifier: Apache-2.0
// What needs no device; the rest is proven on real ones.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>

#include "media/scsi/sg_transport.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace vellum::scsi {
namespace {

Status Opened(const std::string& path) {
  return OpenSgTransport(path).status();
}

TEST(SgTransportTest, OpensOnlyScsiDevices) {
  const TempDir dir;
  EXPECT_THAT(Opened(dir.Sub("none")), HasErrc(Errc::kNotFound));
  EXPECT_THAT(Opened(dir.Sub("none")), MessageHas(dir.Sub("none")));
  EXPECT_THAT(Opened("/dev/null"), HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(Opened("/dev/null"), MessageHas("/dev/null"));
  const int fd = creat(dir.Sub("file").c_str(), 0600);
  ASSERT_GE(fd, 0);
  close(fd);
  EXPECT_THAT(Opened(dir.Sub("file")), HasErrc(Errc::kInvalidArgument));
}

Result<Reply> Of(const SgOutcome& outcome) {
  return ReplyOf("/dev/sg3: command 0xA5", outcome);
}

TEST(SgTransportTest, AnAnswerOfAnyStatusIsAReply) {
  SgOutcome outcome;
  outcome.transferred = 12;
  ASSERT_OK_AND_ASSIGN(Reply reply, Of(outcome));
  EXPECT_EQ(reply.status, kGood);
  EXPECT_EQ(reply.transferred, 12u);
  outcome.status = kCheckCondition;
  outcome.sense = {0x70, 0, 5};
  ASSERT_OK_AND_ASSIGN(reply, Of(outcome));
  EXPECT_EQ(reply.status, kCheckCondition);
  EXPECT_EQ(reply.sense, outcome.sense);
  outcome.status = kBusyStatus;
  ASSERT_OK_AND_ASSIGN(reply, Of(outcome));
  EXPECT_EQ(reply.status, kBusyStatus);
}

TEST(SgTransportTest, TellsTimeOutFromGoneFromFailed) {
  const struct {
    int os_error;
    uint32_t host_status;
    bool driver_failed;
    Errc code;
  } kCases[] = {
      {ENODEV, 0, false, Errc::kOffline},
      {ENXIO, 0, false, Errc::kOffline},
      {0, 0x01, false, Errc::kOffline},  // DID_NO_CONNECT
      {0, 0x04, false, Errc::kOffline},
      {0, 0x0F, false, Errc::kOffline},
      {ETIMEDOUT, 0, false, Errc::kTimedOut},
      {0, 0x03, false, Errc::kTimedOut},     // DID_TIME_OUT
      {0, 0x07, false, Errc::kDeviceError},  // DID_ERROR
      {0, 0x08, false, Errc::kDeviceError},  // DID_RESET
      {0, 0, true, Errc::kDeviceError},
      {EIO, 0, false, Errc::kDeviceError},
      {EPERM, 0, false, Errc::kAccessDenied},
      {EINVAL, 0, false, Errc::kInvalidArgument},
  };
  for (const auto& entry : kCases) {
    SgOutcome outcome;
    outcome.os_error = entry.os_error;
    outcome.host_status = entry.host_status;
    outcome.driver_failed = entry.driver_failed;
    EXPECT_THAT(Of(outcome), HasErrc(entry.code))
        << entry.os_error << " " << entry.host_status;
    EXPECT_THAT(Of(outcome), MessageHas("/dev/sg3: command 0xA5"));
  }
}

// scsi_debug answers 5/10/01 together with DID_ABORT.
TEST(SgTransportTest, SenseBesideATransportErrorIsTheAnswer) {
  SgOutcome outcome;
  outcome.host_status = 0x05;
  outcome.status = kCheckCondition;
  outcome.sense = {0x70, 0, 5};
  EXPECT_OK(Of(outcome));
  outcome.host_status = 0x03;  // but a time-out stays one
  EXPECT_THAT(Of(outcome), HasErrc(Errc::kTimedOut));
}

TEST(SgTransportTest, AFullQueueOfTheDriverIsATaskSetFull) {
  SgOutcome outcome;
  outcome.os_error = EDOM;
  ASSERT_OK_AND_ASSIGN(const Reply reply, Of(outcome));
  EXPECT_EQ(reply.status, kTaskSetFull);
}

}  // namespace
}  // namespace vellum::scsi
