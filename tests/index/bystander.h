// SPDX-License-Identifier: Apache-2.0
// Somebody who works on a volume while a commit of it runs.
#pragma once

#include <chrono>
#include <functional>
#include <future>

namespace vellum {

// Thread-safety: none; `work` runs while the caller waits, unless it waits
// itself for what the caller has to do first.
class Bystander {
 public:
  ~Bystander() { Join(); }

  // Runs `work` on a thread of its own and waits for its end, at most for
  // `patience`: what needs the end of the commit that the caller is in goes on
  // behind it. Answers whether it has ended.
  bool Run(std::function<void()> work, std::chrono::milliseconds patience) {
    Join();
    work_ = std::async(std::launch::async, std::move(work));
    return work_.wait_for(patience) == std::future_status::ready;
  }
  // To be called once the commit is over.
  void Join() {
    if (work_.valid()) work_.get();
  }

 private:
  std::future<void> work_;
};

}  // namespace vellum
