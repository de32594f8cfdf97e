// SPDX-License-Identifier: Apache-2.0
// A device to which something happens just before a command reaches it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "media/scsi/transport.h"

namespace vellum {

// Called by the thread that sends; may send commands of its own.
using ScsiHook = std::function<void(const scsi::Command& command)>;

// Thread-safety: as Transport, if the hook allows it.
class HookedTransport : public scsi::Transport {
 public:
  HookedTransport(std::unique_ptr<scsi::Transport> base, ScsiHook hook)
      : base_(std::move(base)), hook_(std::move(hook)) {}

  Result<scsi::Reply> Execute(const scsi::Command& command) override {
    hook_(command);
    return base_->Execute(command);
  }
  Status Reopen() override { return base_->Reopen(); }
  size_t MaxTransfer() const override { return base_->MaxTransfer(); }
  std::string Name() const override { return base_->Name(); }

 private:
  const std::unique_ptr<scsi::Transport> base_;
  const ScsiHook hook_;
};

}  // namespace vellum
