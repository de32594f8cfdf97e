// SPDX-License-Identifier: Apache-2.0
// Which medium is in which element of a virtual library, and
// state/elements.json that remembers it. The changer and the drives of one
// library share it.
//
// elements.json, one object per full element:
//   {"version": 1, "elements": [
//     {"address": 1024, "volume_tag": "V00001"},
//     {"address": 256, "volume_tag": "V00002", "source": 1025}]}
// with "turned": true for a two-sided medium that lies with its side B up. Such
// a medium has a second image, TAG.B.img.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "media/element.h"
#include "media/error.h"
#include "media/library_config.h"
#include "media/mutex.h"
#include "media/types.h"
#include "media/virtual_config.h"

namespace vellum {

// What an element holds.
struct VirtualPlace {
  VolumeTag tag;
  // The last storage or import/export element that the medium was in.
  std::optional<ElementAddress> source;
  bool imported = false;
  bool turned = false;
  bool operator==(const VirtualPlace&) const = default;
};
using VirtualPlaces = std::map<ElementAddress, VirtualPlace>;

ElementMap VirtualElementMap(const VirtualLibraryOptions& geometry);
std::string VirtualImagePath(const std::string& directory,
                             const VolumeTag& tag);
// Of side B of a two-sided medium; a medium without that file has one side.
std::string VirtualSideBPath(const std::string& directory,
                             const VolumeTag& tag);
bool IsTwoSided(const std::string& directory, const VolumeTag& tag);
std::string VirtualElementsPath(const std::string& directory);

// Replaces elements.json atomically and durably.
Status WriteVirtualPlaces(const std::string& directory,
                          const VirtualPlaces& places);
// kCorruption naming the file, the mistake and the way out; kNotFound.
Result<VirtualPlaces> ReadVirtualPlaces(const std::string& directory,
                                        const VirtualLibraryOptions& geometry);

// Thread-safety: all methods may be called concurrently; moves one at a time
// (a second one answers kBusy).
class VirtualState {
 public:
  // REQUIRES: config.devices holds VirtualLibraryOptions. Without elements.json
  // all images in media/ are put into the slots, in the order of their names,
  // and it is written anew.
  static Result<std::shared_ptr<VirtualState>> Load(
      const LibraryConfig& config);

  const LibraryConfig& config() const { return config_; }
  const VirtualLibraryOptions& geometry() const { return geometry_; }
  const ElementMap& map() const { return map_; }

  VirtualPlaces Places() const;
  // Drives whose medium is open.
  std::set<ElementAddress> DrivesInUse() const;

  // As Changer::MoveMedium, or MoveMediumTurned: one atomic replacement of
  // elements.json.
  Status Move(ElementAddress from, ElementAddress to, bool turn = false);
  // Reads elements.json again.
  Status Reload();
  // What people do to the media by hand: `change` gets what is where, and may
  // take its time; what it leaves is made durable in one replacement of
  // elements.json. Moves and other edits wait meanwhile. Its error is the
  // answer, and nothing has changed then.
  Status Edit(const std::function<Status(VirtualPlaces*)>& change);

  // Whether the import/export elements are locked; forgotten when this ends.
  void LockDoor(bool lock) { door_locked_ = lock; }
  bool door_locked() const { return door_locked_; }

  // Prevents the removal of the medium in `drive` and answers what it is.
  // kNoMedium, kBusy when in use already or just being moved.
  Result<VirtualPlace> BeginUse(ElementAddress drive);
  void EndUse(ElementAddress drive);

 private:
  explicit VirtualState(const LibraryConfig& config);
  Status CheckMoveLocked(ElementAddress from, ElementAddress to,
                         bool turn) const REQUIRES(mu_);
  bool IsElement(ElementAddress address) const;
  // Makes `next` what counts. REQUIRES: a move or an edit of ours is under way;
  // it ends with this.
  Status Store(VirtualPlaces next);

  const LibraryConfig config_;
  const VirtualLibraryOptions geometry_;
  const ElementMap map_;

  mutable Mutex mu_;  // a leaf; not held while elements.json is written
  VirtualPlaces places_ GUARDED_BY(mu_);
  std::set<ElementAddress> in_use_ GUARDED_BY(mu_);
  // The two elements of the move under way.
  std::set<ElementAddress> moving_ GUARDED_BY(mu_);
  bool editing_ GUARDED_BY(mu_) = false;
  std::atomic<bool> door_locked_{false};
  CondVar idle_;  // neither a move nor an edit is under way
};

}  // namespace vellum
