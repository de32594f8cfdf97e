// SPDX-License-Identifier: Apache-2.0
// What a changer can be told beside moves while a library is served: to look at
// its elements, to lock its door.
//
// Library uses its changer in turn. What is asked for here is done in such a
// turn, too: by the next reading of the element status, before it.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "media/changer.h"
#include "media/error.h"
#include "media/library.h"
#include "media/mutex.h"

namespace vellum {

// Thread-safety: all methods may be called concurrently.
class ChangerControls {
 public:
  using ScanFunction =
      std::function<Status(const std::optional<ElementRange>& range)>;
  using LockFunction = std::function<Status(bool lock)>;

  // Both are called by RunInTurn only.
  ChangerControls(ScanFunction scan, LockFunction lock)
      : scan_(std::move(scan)), lock_(std::move(lock)) {}

  // Has the changer look at the elements of `range`, or at all, which may take
  // it as long as a look into every slot; nothing is moved meanwhile. Then the
  // library reads them. kNotFound: the range is none of its elements;
  // kInterrupted when `stop` is requested before its turn comes.
  Status ScanElements(Library& library, std::optional<ElementRange> range,
                      std::stop_token stop = {});
  // Locks the changer's door and its import/export elements, or lets an
  // operator in again. Until the changer ends, over its resets; moves are kept
  // from nowhere. kNotSupported: it has no lock.
  Status LockDoor(Library& library, bool lock, std::stop_token stop = {});
  bool door_locked() const { return door_locked_; }

  // Does what was asked for. REQUIRES: the caller has the turn.
  void RunInTurn();

 private:
  struct Request {
    std::function<Status()> run;
    std::optional<Status> result;  // guarded by mu_
  };
  Status Do(Library& library, std::function<Status()> run,
            std::stop_token stop);

  const ScanFunction scan_;
  const LockFunction lock_;
  std::atomic<bool> door_locked_{false};
  Mutex mu_;  // a leaf; not held while requests run
  std::vector<std::shared_ptr<Request>> requests_ GUARDED_BY(mu_);
};

// The changer below, and before each reading of its elements what the controls
// were asked for. Contract, thread-safety and errors are those of the changer
// below.
class ControlledChanger : public Changer {
 public:
  ControlledChanger(std::unique_ptr<Changer> base,
                    std::shared_ptr<ChangerControls> controls)
      : controls_(std::move(controls)), base_(std::move(base)) {}

  Result<ChangerIdentity> Identify() override { return base_->Identify(); }
  Result<ElementMap> Elements() override { return base_->Elements(); }
  Result<std::vector<ElementStatus>> ReadElementStatus() override {
    controls_->RunInTurn();
    return base_->ReadElementStatus();
  }
  Status MoveMedium(ElementAddress from, ElementAddress to) override {
    return base_->MoveMedium(from, to);
  }
  Status MoveMediumUntil(ElementAddress from, ElementAddress to,
                         std::stop_token stop) override {
    return base_->MoveMediumUntil(from, to, std::move(stop));
  }
  Status MoveMediumTurned(ElementAddress from, ElementAddress to) override {
    return base_->MoveMediumTurned(from, to);
  }
  Status ExchangeMedium(ElementAddress from, ElementAddress to,
                        ElementAddress rest) override {
    return base_->ExchangeMedium(from, to, rest);
  }
  Result<bool> ElementsChanged() override { return base_->ElementsChanged(); }
  Status InitializeElementStatus() override {
    return base_->InitializeElementStatus();
  }

 private:
  const std::shared_ptr<ChangerControls> controls_;
  const std::unique_ptr<Changer> base_;
};

}  // namespace vellum
