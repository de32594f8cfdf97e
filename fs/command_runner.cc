// SPDX-License-Identifier: Apache-2.0
#include "fs/command_runner.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <system_error>
#include <utility>
#include <vector>

namespace vellum {

Status CommandRunner::Run(const std::stop_source& stop, Work work) {
  Reap();
  MutexLock lock(&mu_);
  if (closed_) return Status(Errc::kAborted, "the daemon is ending");
  if (running_.size() >= kMaxRunning) {
    return Status(Errc::kBusy, "too many commands run at once; try again");
  }
  const uint64_t id = next_++;
  Running& slot = running_[id];
  slot.stop = stop;
  try {
    slot.thread = std::jthread([this, id, stop, work = std::move(work)] {
      try {
        work(stop.get_token());
      } catch (const std::exception& e) {
        spdlog::error("control command: {}", e.what());
      }
      MutexLock ended(&mu_);
      const auto it = running_.find(id);
      if (it != running_.end()) it->second.ended = true;
    });
  } catch (const std::system_error& e) {
    running_.erase(id);
    return Status(Errc::kNotReady,
                  fmt::format("no thread can be started for the command: {}; "
                              "try again",
                              e.what()));
  }
  return Status::Ok();
}

void CommandRunner::Reap() {
  std::vector<std::jthread> done;
  {
    MutexLock lock(&mu_);
    for (auto it = running_.begin(); it != running_.end();) {
      if (!it->second.ended) {
        ++it;
        continue;
      }
      done.push_back(std::move(it->second.thread));
      it = running_.erase(it);
    }
  }
  // Joined here, without the lock.
}

void CommandRunner::Shutdown() {
  std::map<uint64_t, Running> left;
  {
    MutexLock lock(&mu_);
    closed_ = true;
    left.swap(running_);
  }
  for (auto& [id, slot] : left) slot.stop.request_stop();
  left.clear();  // joins
}

}  // namespace vellum
