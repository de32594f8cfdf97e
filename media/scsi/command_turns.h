// SPDX-License-Identifier: Apache-2.0
// Who may send commands to a device: several at a time, or one alone.
#pragma once

#include <cstdint>
#include <set>

#include "media/mutex.h"

namespace vellum::scsi {

// Turns are given in the order in which they are asked for: nobody is passed
// over for ever. Thread-safety: all methods may be called concurrently; who has
// a turn asks for no other.
class CommandTurns {
 public:
  // Waits for the turn: beside others that share, or alone. Its number.
  uint64_t Take(bool alone);
  void End(uint64_t turn);
  // Waits for the end of all turns that were given until now. REQUIRES: the
  // caller has none.
  void AwaitGiven();
  // How many ask for a turn and have none yet.
  uint64_t Waiting() const;

 private:
  mutable Mutex mu_;  // a leaf
  CondVar changed_;
  uint64_t asked_ GUARDED_BY(mu_) = 0;
  uint64_t given_ GUARDED_BY(mu_) = 0;
  std::set<uint64_t> having_ GUARDED_BY(mu_);
  bool alone_ GUARDED_BY(mu_) = false;
};

// A turn for as long as it lives; none where `turns` is null.
class CommandTurn {
 public:
  CommandTurn(CommandTurns* turns, bool alone) : turns_(turns) {
    if (turns_ != nullptr) number_ = turns_->Take(alone);
  }
  ~CommandTurn() {
    if (turns_ != nullptr) turns_->End(number_);
  }
  CommandTurn(const CommandTurn&) = delete;
  CommandTurn& operator=(const CommandTurn&) = delete;

 private:
  CommandTurns* const turns_;
  uint64_t number_ = 0;
};

}  // namespace vellum::scsi
