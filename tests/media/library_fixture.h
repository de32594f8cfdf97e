// SPDX-License-Identifier: Apache-2.0
// A Library on devices in memory, for the tests of its parts.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "media/library.h"
#include "tests/support/fake_library.h"
#include "tests/support/status_matchers.h"

namespace vellum {

inline LeaseRequest Shared(const MediumId& medium) {
  LeaseRequest request;
  request.medium = medium;
  request.owner = "reader of " + medium;
  return request;
}

inline LeaseRequest Exclusive(const MediumId& medium) {
  LeaseRequest request = Shared(medium);
  request.mode = LeaseMode::kExclusive;
  request.owner = "copy to " + medium;
  return request;
}

// The answer to one request, to be waited for.
class Answer {
 public:
  Library::Grant Grant() {
    return [state = state_](Result<std::vector<MediumLease>> result) {
      const std::lock_guard<std::mutex> lock(state->mu);
      ++state->calls;
      state->result.emplace(std::move(result));
      state->cv.notify_all();
    };
  }
  Result<std::vector<MediumLease>> Wait() {
    std::unique_lock<std::mutex> lock(state_->mu);
    state_->cv.wait(lock, [this] { return state_->result.has_value(); });
    return std::move(*state_->result);
  }
  bool answered() const {
    const std::lock_guard<std::mutex> lock(state_->mu);
    return state_->calls > 0;
  }
  int calls() const {
    const std::lock_guard<std::mutex> lock(state_->mu);
    return state_->calls;
  }

 private:
  struct State {
    std::mutex mu;
    std::condition_variable cv;
    int calls = 0;
    std::optional<Result<std::vector<MediumLease>>> result;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

class LibraryTest : public testing::Test {
 protected:
  void Open(FakeLibraryOptions options = {}) {
    fake_ = std::make_unique<FakeLibrary>(options);
    OpenAgain();
  }
  void OpenAgain() {
    auto library = Library::Open(fake_->MakeChanger(), fake_->MakeDrives(),
                                 library_options_);
    ASSERT_OK(library);
    library_ = std::move(*library);
  }
  void TearDown() override {
    if (library_ != nullptr) library_->Shutdown();
    library_.reset();
    if (fake_ != nullptr) {
      EXPECT_FALSE(fake_->moves_overlapped());
    }
  }
  static FakeLibraryOptions Drives(uint16_t drives) {
    FakeLibraryOptions options;
    options.drives = drives;
    return options;
  }

  Answer Ask(std::vector<LeaseRequest> requests) {
    Answer answer;
    last_id_ = library_->Acquire(std::move(requests), answer.Grant());
    return answer;
  }
  MediumLease Take(LeaseRequest request) {
    auto leases = library_->AcquireAndWait({std::move(request)});
    EXPECT_OK(leases);
    if (!leases.ok()) return {};
    return std::move((*leases)[0]);
  }
  // A shared lease that is given up as soon as it is asked for.
  std::shared_ptr<MediumLease> TakePolite(const MediumId& medium) {
    const auto lease = std::make_shared<MediumLease>();
    const auto mu = std::make_shared<std::mutex>();
    LeaseRequest request = Shared(medium);
    request.on_recall = [lease, mu, this] {
      ++recalls_;
      const std::lock_guard<std::mutex> lock(*mu);
      lease->Release();
    };
    auto leases = library_->AcquireAndWait({std::move(request)});
    EXPECT_OK(leases);
    const std::lock_guard<std::mutex> lock(*mu);
    *lease = std::move((*leases)[0]);
    return lease;
  }
  // The scheduler has dealt with everything that was asked so far.
  void Settle() {
    // Answered by the scheduler, after what came before.
    EXPECT_FALSE(library_->AcquireAndWait({Shared("NO SUCH")}).ok());
    EXPECT_FALSE(library_->AcquireAndWait({Shared("NO SUCH")}).ok());
  }
  std::string Activity(size_t drive) {
    return library_->Drives()[drive].activity;
  }

  LibraryOptions library_options_;
  std::unique_ptr<FakeLibrary> fake_;
  std::unique_ptr<Library> library_;
  Library::RequestId last_id_ = 0;
  std::atomic<int> recalls_{0};
};

}  // namespace vellum
