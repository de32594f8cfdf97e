// SPDX-License-Identifier: Apache-2.0
#include "media/scsi/command_turns.h"

namespace vellum::scsi {

uint64_t CommandTurns::Take(bool alone) {
  MutexLock lock(&mu_);
  const uint64_t mine = asked_++;
  while (given_ != mine || alone_ || (alone && !having_.empty())) {
    changed_.Wait(&mu_);
  }
  ++given_;
  having_.insert(mine);
  alone_ = alone;
  changed_.NotifyAll();
  return mine;
}

void CommandTurns::End(uint64_t turn) {
  MutexLock lock(&mu_);
  alone_ = false;
  having_.erase(turn);
  changed_.NotifyAll();
}

void CommandTurns::AwaitGiven() {
  MutexLock lock(&mu_);
  const uint64_t until = given_;
  while (!having_.empty() && *having_.begin() < until) changed_.Wait(&mu_);
}

uint64_t CommandTurns::Waiting() const {
  MutexLock lock(&mu_);
  return asked_ - given_;
}

}  // namespace vellum::scsi
