// SPDX-License-Identifier: Apache-2.0
#include "media/scsi/command_turns.h"

namespace vellum::scsi {

void CommandTurns::Take(bool alone) {
  MutexLock lock(&mu_);
  const uint64_t mine = asked_++;
  while (given_ != mine || alone_ || (alone && having_ > 0)) {
    changed_.Wait(&mu_);
  }
  ++given_;
  ++having_;
  alone_ = alone;
  changed_.NotifyAll();
}

void CommandTurns::End() {
  MutexLock lock(&mu_);
  alone_ = false;
  --having_;
  changed_.NotifyAll();
}

}  // namespace vellum::scsi
