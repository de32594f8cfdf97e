// SPDX-License-Identifier: Apache-2.0
#include "index/worker_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <vector>

namespace vellum {
namespace {

using Urgency = WorkerPool::Urgency;

TEST(WorkerPool, RunsUrgentTasksFirstAndTheOthersInOrder) {
  WorkerPool pool(1);
  std::promise<void> go;
  pool.Post(Urgency::kNormal, [&] { go.get_future().wait(); });
  std::vector<int> order;  // one thread
  pool.Post(Urgency::kNormal, [&] { order.push_back(1); });
  pool.Post(Urgency::kNormal, [&] { order.push_back(2); });
  pool.Post(Urgency::kUrgent, [&] { order.push_back(3); });
  go.set_value();
  pool.Stop();
  // The first task may not have begun when the urgent one came.
  EXPECT_THAT(order, testing::ElementsAre(3, 1, 2));
}

TEST(WorkerPool, StopRunsWhatIsQueued) {
  std::atomic<int> ran = 0;
  WorkerPool pool(3);
  for (int i = 0; i < 100; ++i) pool.Post(Urgency::kNormal, [&] { ++ran; });
  pool.Stop();
  EXPECT_EQ(ran, 100);
}

}  // namespace
}  // namespace vellum
