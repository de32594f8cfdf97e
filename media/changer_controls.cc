// SPDX-License-Identifier: Apache-2.0
#include "media/changer_controls.h"

#include <fmt/format.h>

namespace vellum {

namespace {

bool IsElementOf(const ElementMap& map, uint32_t address) {
  if (address > UINT16_MAX) return false;
  const ElementAddress element{static_cast<uint16_t>(address)};
  return map.transport.Contains(element) || map.storage.Contains(element) ||
         map.import_export.Contains(element) ||
         map.data_transfer.Contains(element);
}

}  // namespace

Status ChangerControls::ScanElements(Library& library,
                                     std::optional<ElementRange> range,
                                     std::stop_token stop) {
  const uint32_t count = range ? range->count : 0;
  for (uint32_t i = 0; i < count; ++i) {
    // Elements of several types may follow one another.
    const uint32_t address = range->first.value + i;
    if (IsElementOf(library.Elements(), address)) continue;
    return Status(Errc::kNotFound,
                  fmt::format("scan of elements {} to {}: the library has no "
                              "element {}",
                              range->first.value,
                              range->first.value + count - 1, address));
  }
  return Do(
      library, [this, range] { return scan_(range); }, std::move(stop));
}

Status ChangerControls::LockDoor(Library& library, bool lock,
                                 std::stop_token stop) {
  return Do(
      library,
      [this, lock] {
        Status done = lock_(lock);
        if (done.ok()) door_locked_ = lock;
        return done;
      },
      std::move(stop));
}

Status ChangerControls::Do(Library& library, std::function<Status()> run,
                           std::stop_token stop) {
  const auto request = std::make_shared<Request>();
  request->run = std::move(run);
  {
    MutexLock lock(&mu_);
    requests_.push_back(request);
  }
  const Status read = library.RefreshElements(std::move(stop));
  MutexLock lock(&mu_);
  std::erase(requests_, request);
  // Given up before the turn came.
  if (!request->result) return read;
  if (request->result->ok()) return read;
  if (read.ok()) return *request->result;
  const Error& error = request->result->error();
  return Status(error.code,
                fmt::format("{}; then reading the element status: {}",
                            error.message, read.error().message));
}

void ChangerControls::RunInTurn() {
  std::vector<std::shared_ptr<Request>> requests;
  {
    MutexLock lock(&mu_);
    requests.swap(requests_);
  }
  for (const std::shared_ptr<Request>& request : requests) {
    const Status done = request->run();
    MutexLock lock(&mu_);
    request->result = done;
  }
}

}  // namespace vellum
