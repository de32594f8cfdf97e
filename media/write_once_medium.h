// SPDX-License-Identifier: Apache-2.0
// A write-once medium made of a medium that can be written at will: what a
// BD-R or DVD+R takes, and nothing else.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "media/forwarding_medium.h"
#include "media/mutex.h"

namespace vellum {

enum class WrittenState : uint8_t {
  kBlank,   // nothing was ever written
  kOpen,    // something was, and it was not closed: nothing more can be
  kClosed,  // finalised
};

// Each sector is written once, in order, from 0 on, while the medium stays in
// the drive in which its writing began; then it is closed. Everything else is
// refused before it starts: kWriteProtected, kInvalidArgument, kNotSupported.
// Thread-safety: as Medium says; writes one at a time.
class WriteOnceMedium : public ForwardingMedium {
 public:
  // `keep` makes a new state durable. It is called before the first sector is
  // written, and by Finalize after the last one is durable.
  WriteOnceMedium(std::unique_ptr<Medium> base, WrittenState state,
                  std::function<Status(WrittenState)> keep)
      : ForwardingMedium(std::move(base)),
        keep_(std::move(keep)),
        state_(state) {
    usable_ = state == WrittenState::kBlank;
  }

  MediumInfo Info() const override;
  Status Discard(uint64_t lba, uint64_t count) override;
  Status Finalize() override;
  // It would go around the rules.
  int DirectFd() const override { return -1; }

 private:
  Status WriteBy(Writer write, uint64_t lba, ConstByteSpan data) override;
  // Takes the right to write from `lba`; `*first`: nothing was written yet.
  Status BeginWrite(uint64_t lba, bool* first);
  void EndWrite(const Status& status, WrittenState state, uint64_t sectors);

  const std::function<Status(WrittenState)> keep_;

  mutable Mutex mu_;  // a leaf; not held over I/O
  WrittenState state_ GUARDED_BY(mu_);
  bool usable_ GUARDED_BY(mu_) = false;   // was blank, and no write failed
  bool writing_ GUARDED_BY(mu_) = false;  // a write is under way
  uint64_t next_ GUARDED_BY(mu_) = 0;     // the sector to be written next
};

}  // namespace vellum
