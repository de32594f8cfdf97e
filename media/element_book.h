// SPDX-License-Identifier: Apache-2.0
// What Library knows about elements and media, in memory: the last element
// status read, the moves made since, and the home of each medium.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "media/element.h"
#include "media/library.h"
#include "media/types.h"

namespace vellum {

// Thread-safety: none; Library guards it.
class ElementBook {
 public:
  // Replaces everything by what the changer said. A medium that sits in a
  // drive (or in the transport) keeps the home that it had; one that was not
  // known gets its source element when that is free, else a free slot.
  void Rebuild(const ElementMap& map, std::vector<ElementStatus> statuses);

  // The changer moved a medium, and turned it over. A slot as target becomes
  // its home. REQUIRES: `from` is full, `to` is known and empty, or is `from`.
  void ApplyMove(ElementAddress from, ElementAddress to, bool turned = false);

  // The medium in `element` was opened: whatever its element said of it before
  // is not so any more. Of a two-sided medium this tells of one side only.
  void NoteGood(ElementAddress element);

  const ElementMap& map() const { return map_; }
  const std::vector<ElementStatus>& statuses() const { return statuses_; }
  std::vector<MediumPlace> Media() const;  // by home address

  const ElementStatus* Element(ElementAddress address) const;
  const MediumPlace* Find(const MediumId& id) const;
  // Of a two-sided medium the side that is up.
  const MediumPlace* At(ElementAddress element) const;

  // A storage or import/export element.
  bool IsSlot(ElementAddress address) const;
  // The medium elsewhere that is to come back to this element.
  const MediumPlace* Expected(ElementAddress home) const;
  // Where `place` can be sent: its home, or when something lies there the
  // first storage element that is free and nobody's home.
  std::optional<ElementAddress> FreeHome(const MediumPlace& place) const;

 private:
  std::optional<size_t> IndexOf(ElementAddress address) const;
  bool IsFree(ElementAddress slot) const;
  std::optional<ElementAddress> FirstFreeStorage() const;
  void AddMedium(const ElementStatus& status, ElementAddress home);
  // Both sides of a two-sided medium, or the one place, that is in `element`.
  void Insert(const MediumPlace& place, const ElementStatus& status);
  void MoveStatus(ElementAddress from, ElementStatus& source,
                  ElementStatus& target);

  ElementMap map_;
  std::vector<ElementStatus> statuses_;
  std::map<uint16_t, size_t> index_;  // element address -> statuses_
  std::map<MediumId, MediumPlace> media_;
  std::map<uint16_t, MediumId> at_;  // element address -> medium
};

}  // namespace vellum
