// SPDX-License-Identifier: Apache-2.0
#include "media/manual/operator_desk.h"

#include <fmt/format.h>

#include <utility>

namespace vellum {

uint64_t OperatorDesk::Ask(OperatorRequest request) {
  request.since = Now();
  MutexLock lock(&mu_);
  request.number = next_++;
  const uint64_t number = request.number;
  open_[number].request = std::move(request);
  return number;
}

void OperatorDesk::SetFound(uint64_t number, const std::string& found) {
  MutexLock lock(&mu_);
  const auto it = open_.find(number);
  if (it != open_.end()) it->second.request.found = found;
}

void OperatorDesk::End(uint64_t number) {
  MutexLock lock(&mu_);
  open_.erase(number);
}

void OperatorDesk::Await(uint64_t number, std::chrono::milliseconds timeout,
                         const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] { Wake(); });
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(&mu_);
  const uint64_t before = news_;
  while (news_ == before && !stop.stop_requested()) {
    const auto it = open_.find(number);
    if (it == open_.end() || !it->second.refusal.empty()) return;
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= std::chrono::nanoseconds::zero()) return;
    changed_.WaitFor(&mu_, left);
  }
}

void OperatorDesk::Wake() {
  MutexLock lock(&mu_);
  ++news_;
  changed_.NotifyAll();
}

Status OperatorDesk::Refuse(uint64_t number, const std::string& reason) {
  MutexLock lock(&mu_);
  const auto it = open_.find(number);
  if (it == open_.end()) {
    return Status(Errc::kNotFound,
                  fmt::format("no request {} is open", number));
  }
  it->second.refusal = reason;
  ++news_;
  changed_.NotifyAll();
  return Status::Ok();
}

std::string OperatorDesk::Refusal(uint64_t number) const {
  MutexLock lock(&mu_);
  const auto it = open_.find(number);
  return it == open_.end() ? "" : it->second.refusal;
}

std::vector<OperatorRequest> OperatorDesk::List() const {
  MutexLock lock(&mu_);
  std::vector<OperatorRequest> requests;
  for (const auto& [number, entry] : open_) requests.push_back(entry.request);
  return requests;
}

Result<OperatorRequest> OperatorDesk::Find(uint64_t number) const {
  MutexLock lock(&mu_);
  const auto it = open_.find(number);
  if (it == open_.end()) {
    return Error{Errc::kNotFound, fmt::format("no request {} is open", number)};
  }
  return it->second.request;
}

}  // namespace vellum
