// SPDX-License-Identifier: Apache-2.0
#include "media/fault_medium.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "tests/support/memory_medium.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

using Op = FaultPlan::Op;

class FaultMediumTest : public testing::Test {
 protected:
  Bytes Read(uint64_t lba, size_t sectors) {
    Bytes data(sectors * kSectorSize);
    EXPECT_OK(base_->Read(lba, data));
    return data;
  }
  static Bytes Filled(size_t sectors, int value) {
    return Bytes(sectors * kSectorSize, static_cast<std::byte>(value));
  }

  const std::shared_ptr<MemoryMedium> base_ =
      std::make_shared<MemoryMedium>(1024);
  const std::shared_ptr<FaultPlan> plan_ = std::make_shared<FaultPlan>();
  FaultMedium medium_{ShareMedium(base_), plan_};
  Bytes buffer_ = Filled(4, 1);
};

TEST_F(FaultMediumTest, FailsTheNthOperationOnce) {
  plan_->FailNth(Op::kWrite, 2);
  EXPECT_OK(medium_.Write(0, buffer_));
  EXPECT_THAT(medium_.Write(8, buffer_), HasErrc(Errc::kDeviceError));
  EXPECT_OK(medium_.Write(16, buffer_));
  plan_->FailNth(Op::kRead, 1, Errc::kTimedOut);
  EXPECT_THAT(medium_.Read(0, buffer_), HasErrc(Errc::kTimedOut));
  EXPECT_OK(medium_.Read(0, buffer_));
  plan_->FailNth(Op::kFlush, 1);
  EXPECT_THAT(medium_.Flush(), HasErrc(Errc::kDeviceError));
  EXPECT_OK(medium_.Flush());
  EXPECT_EQ(plan_->Count(Op::kWrite), 3u);
}

TEST_F(FaultMediumTest, AFailedWriteIsDoneInPart) {
  plan_->FailNth(Op::kWrite, 1);
  EXPECT_THAT(medium_.Write(0, buffer_), HasErrc(Errc::kDeviceError));
  EXPECT_EQ(Read(0, 2), Filled(2, 1));
  EXPECT_EQ(Read(2, 2), Filled(2, 0));
}

TEST_F(FaultMediumTest, BadSectorsFailWithTheirAddress) {
  plan_->FailRange(Op::kRead, {100, 2});
  EXPECT_OK(medium_.Read(96, buffer_));
  const Status status = medium_.Read(98, buffer_);
  EXPECT_THAT(status, HasErrc(Errc::kDeviceError));
  EXPECT_THAT(status, MessageHas("sector 100"));
  EXPECT_THAT(status, MessageHas("memory medium"));
  EXPECT_OK(medium_.Read(102, buffer_));
  EXPECT_OK(medium_.Write(98, buffer_));  // only reads were asked to fail
  plan_->FailRange(Op::kWrite, {201, 1});
  EXPECT_THAT(medium_.Write(200, Filled(4, 2)), HasErrc(Errc::kDeviceError));
  EXPECT_EQ(Read(200, 1), Filled(1, 2));
  EXPECT_EQ(Read(201, 3), Filled(3, 0));
  plan_->Clear();
  EXPECT_OK(medium_.Read(98, buffer_));
}

TEST_F(FaultMediumTest, H6_ShortTransfersEndWithinASectorAndSaySo) {
  ASSERT_OK(base_->Write(0, Filled(8, 7)));
  plan_->Shorten(Op::kRead, 2);
  // 3584 of 8192 bytes: a sector and three quarters of one.
  Bytes data = Filled(4, 9);
  const Status read = medium_.Read(0, data);
  EXPECT_THAT(read, HasErrc(Errc::kDeviceError));
  EXPECT_THAT(read, MessageHas("behind 3584 bytes: short transfer"));
  EXPECT_THAT(read, MessageHas("sector 1"));
  Bytes expected = Filled(4, 9);
  std::fill_n(expected.begin(), 3584, std::byte{7});
  EXPECT_TRUE(data == expected);
  Bytes one = Filled(1, 9);
  EXPECT_THAT(medium_.Read(0, one), MessageHas("behind 512 bytes"));
  EXPECT_EQ(plan_->ToShorten(Op::kRead), 0u);
  EXPECT_OK(medium_.Read(0, data));
  EXPECT_TRUE(data == Filled(4, 7));

  plan_->Shorten(Op::kWrite, 1);
  EXPECT_THAT(medium_.Write(0, Filled(4, 5)), HasErrc(Errc::kDeviceError));
  expected = Filled(4, 7);
  std::fill_n(expected.begin(), 3584, std::byte{5});
  EXPECT_TRUE(Read(0, 4) == expected);
  EXPECT_OK(medium_.Write(0, Filled(4, 5)));
  plan_->Shorten(Op::kRead, 1);
  plan_->Clear();
  EXPECT_OK(medium_.Read(0, data));
}

TEST_F(FaultMediumTest, NothingWorksWhenItIsGone) {
  plan_->SetGone(true);
  EXPECT_THAT(medium_.Read(0, buffer_), HasErrc(Errc::kNoMedium));
  EXPECT_THAT(medium_.Write(0, buffer_), HasErrc(Errc::kNoMedium));
  EXPECT_THAT(medium_.Flush(), HasErrc(Errc::kNoMedium));
  EXPECT_THAT(medium_.Discard(0, 1), HasErrc(Errc::kNoMedium));
  EXPECT_THAT(medium_.NextAllocated({0, 1}), HasErrc(Errc::kNoMedium));
  EXPECT_EQ(Read(0, 1), Filled(1, 0));
  plan_->SetGone(false);
  EXPECT_OK(medium_.Write(0, buffer_));
}

TEST_F(FaultMediumTest, DelaysTakeAtLeastTheirTime) {
  plan_->Delay(Op::kRead, std::chrono::milliseconds(5));
  const auto start = std::chrono::steady_clock::now();
  ASSERT_OK(medium_.Read(0, buffer_));
  EXPECT_GE(std::chrono::steady_clock::now() - start,
            std::chrono::milliseconds(5));
}

}  // namespace
}  // namespace vellum
