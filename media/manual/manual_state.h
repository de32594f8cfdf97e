// SPDX-License-Identifier: Apache-2.0
// A manual library as its changer, its drives and the operator's commands see
// it: the shelf (state/shelf.json), the docks, and the requests that are open.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "media/element.h"
#include "media/error.h"
#include "media/manual/dock.h"
#include "media/manual/operator_desk.h"
#include "media/manual/shelf.h"
#include "media/mutex.h"
#include "media/types.h"

namespace vellum {

// Thread-safety: all methods may be called concurrently. No lock is held while
// a medium is looked at or shelf.json is written.
class ManualState {
 public:
  static Result<std::shared_ptr<ManualState>> Load(const ManualConfig& config);

  const ManualConfig& config() const { return config_; }
  const ElementMap& map() const { return map_; }
  OperatorDesk& desk() { return desk_; }

  Shelf shelf() const;
  Status Reload();  // reads shelf.json again
  // Changes the shelf, durably, or says why not and changes nothing.
  Status Edit(const std::function<Status(Shelf*)>& edit);

  // What is in the dock now. The shelf follows: who is gone from the dock is
  // back at its shelf place, who is known by its label is in the dock. Of a
  // dock in use it is known already. REQUIRES: `dock` is an address of one.
  Result<DockFinding> Settle(ElementAddress dock);
  DockSight Look(ElementAddress dock) { return DockAt(dock).Look(); }
  const std::string& DockPath(ElementAddress dock) {
    return DockAt(dock).path();
  }

  // A drive opens and closes the medium in its dock. kBusy: open already, or a
  // request for the dock is open.
  Status BeginUse(ElementAddress dock, const std::string& fingerprint);
  void EndUse(ElementAddress dock);
  bool InUse(ElementAddress dock) const;
  // The elements of a move. kBusy when one of them is in use or moving.
  Status BeginMove(ElementAddress from, ElementAddress to);
  void EndMove(ElementAddress from, ElementAddress to);

  // Remembers what the medium `tag` has as its label now.
  Status SetLabel(const VolumeTag& tag, const std::string& medium_uuid);

 private:
  explicit ManualState(const ManualConfig& config);
  Dock& DockAt(ElementAddress dock) {
    return *docks_[dock.value - map_.data_transfer.first.value];
  }

  const ManualConfig config_;
  const ElementMap map_;
  std::vector<std::unique_ptr<Dock>> docks_;  // constant after construction
  OperatorDesk desk_;

  mutable Mutex mu_;  // a leaf
  CondVar saved_;
  Shelf shelf_ GUARDED_BY(mu_);
  bool saving_ GUARDED_BY(mu_) = false;  // somebody changes the shelf
  // Fingerprints of the media that are open.
  std::map<ElementAddress, std::string> in_use_ GUARDED_BY(mu_);
  std::set<ElementAddress> moving_ GUARDED_BY(mu_);
};

}  // namespace vellum
