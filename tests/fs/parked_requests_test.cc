// SPDX-License-Identifier: Apache-2.0
#include "fs/parked_requests.h"

#include <gtest/gtest.h>

namespace vellum {
namespace {

TEST(ParkedRequestsTest, InterruptCancelsAnArmedRequest) {
  ParkedRequests parked;
  int cancelled = 0;
  const uint64_t id = parked.Add([&] { ++cancelled; });
  EXPECT_FALSE(parked.Arm(id));
  parked.Interrupt(id);
  EXPECT_EQ(cancelled, 1);
}

TEST(ParkedRequestsTest, EarlyInterruptIsToldByArm) {
  ParkedRequests parked;
  int cancelled = 0;
  const uint64_t id = parked.Add([&] { ++cancelled; });
  parked.Interrupt(id);
  EXPECT_EQ(cancelled, 0);  // libfuse's locks are held then
  EXPECT_TRUE(parked.Arm(id));
  EXPECT_EQ(cancelled, 0);
}

TEST(ParkedRequestsTest, InterruptAfterTheAnswerFindsNothing) {
  ParkedRequests parked;
  int cancelled = 0;
  const uint64_t id = parked.Add([&] { ++cancelled; });
  EXPECT_FALSE(parked.Arm(id));
  parked.Remove(id);
  parked.Interrupt(id);
  EXPECT_EQ(cancelled, 0);
  EXPECT_EQ(parked.size(), 0u);
}

}  // namespace
}  // namespace vellum
