// SPDX-License-Identifier: Apache-2.0
// What the operator of a manual library is asked to do: one request for each
// medium that is to be moved by hand. In memory only: a request that was open
// when the daemon ended is asked anew by whoever still wants the medium.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <stop_token>
#include <string>
#include <vector>

#include "media/error.h"
#include "media/mutex.h"
#include "media/types.h"

namespace vellum {

struct OperatorRequest {
  uint64_t number = 0;
  bool load = true;  // into `dock`; false: out of it
  VolumeTag medium;  // empty: one that nobody knows is to be taken out
  ElementAddress from;
  ElementAddress to;
  ElementAddress dock;  // the one of the two that is looked at
  std::string text;     // "put V00003 from shelf place 1026 into dock 256"
  std::string found;    // what is in the dock instead; or empty
  TimeSpec since;
};

// Thread-safety: all methods may be called concurrently.
class OperatorDesk {
 public:
  // Opens a request; its number is in the answer. Numbers begin at 1 with each
  // start of the daemon.
  uint64_t Ask(OperatorRequest request);
  void SetFound(uint64_t number, const std::string& found);
  void End(uint64_t number);

  // Waits for the operator to say something, for a stop, or for the time to
  // run out, whatever comes first.
  void Await(uint64_t number, std::chrono::milliseconds timeout,
             const std::stop_token& stop);
  // Something was confirmed: whoever waits looks again.
  void Wake();

  // Why the operator cannot do it; who waits for the request gives up.
  // kNotFound.
  Status Refuse(uint64_t number, const std::string& reason);
  // Empty: nobody refused it.
  std::string Refusal(uint64_t number) const;

  std::vector<OperatorRequest> List() const;            // in order of arrival
  Result<OperatorRequest> Find(uint64_t number) const;  // kNotFound

 private:
  struct Entry {
    OperatorRequest request;
    std::string refusal;
  };

  mutable Mutex mu_;  // a leaf
  CondVar changed_;
  uint64_t next_ GUARDED_BY(mu_) = 1;
  uint64_t news_ GUARDED_BY(mu_) = 0;  // grows with each Wake and Refuse
  std::map<uint64_t, Entry> open_ GUARDED_BY(mu_);
};

}  // namespace vellum
