// SPDX-License-Identifier: Apache-2.0
// A path behind which another device may be after the first one was gone.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "media/mutex.h"
#include "media/scsi/transport.h"

namespace vellum {

// Thread-safety: as Transport.
class SwappedTransport : public scsi::Transport {
 public:
  // `next`: what Reopen finds; may be set later, null: nothing.
  SwappedTransport(std::unique_ptr<scsi::Transport> first,
                   std::shared_ptr<std::unique_ptr<scsi::Transport>> next)
      : now_(std::move(first)), next_(std::move(next)) {}

  Result<scsi::Reply> Execute(const scsi::Command& command) override {
    std::shared_ptr<scsi::Transport> now;
    {
      MutexLock lock(&mu_);
      now = now_;
    }
    return now->Execute(command);
  }
  Status Reopen() override {
    MutexLock lock(&mu_);
    if (*next_ == nullptr) return Status(Errc::kOffline, "nothing is there");
    now_ = std::move(*next_);
    return Status::Ok();
  }
  size_t MaxTransfer() const override { return size_t{1} << 16; }
  std::string Name() const override { return "/dev/swapped"; }

 private:
  Mutex mu_;  // a leaf
  std::shared_ptr<scsi::Transport> now_ GUARDED_BY(mu_);
  const std::shared_ptr<std::unique_ptr<scsi::Transport>> next_;
};

}  // namespace vellum
