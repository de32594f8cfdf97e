// SPDX-License-Identifier: Apache-2.0
#include "media/element_book.h"

#include <algorithm>
#include <utility>

#include "media/cleaning_medium.h"

namespace vellum {

namespace {

// Of a place whose `id` is that of the whole medium: one side of it.
MediumPlace SideOf(const MediumPlace& whole, char side) {
  MediumPlace place = whole;
  place.id = whole.id + side;
  place.other_side = whole.id + (side == 'A' ? 'B' : 'A');
  return place;
}

MediumId WholeOf(const MediumPlace& place) {
  return place.two_sided() ? place.id.substr(0, place.id.size() - 1) : place.id;
}

}  // namespace

void ElementBook::Rebuild(const ElementMap& map,
                          std::vector<ElementStatus> statuses) {
  const std::map<MediumId, MediumPlace> old_media = std::move(media_);
  const std::map<uint16_t, MediumId> old_at = std::move(at_);
  map_ = map;
  statuses_ = std::move(statuses);
  index_.clear();
  media_.clear();
  at_.clear();
  for (size_t i = 0; i < statuses_.size(); ++i) {
    index_[statuses_[i].address.value] = i;
  }
  for (const ElementStatus& status : statuses_) {
    if (status.full && IsSlot(status.address)) {
      AddMedium(status, status.address);
    }
  }
  // The slots are known now, so a home can be found for what is elsewhere.
  const auto home_of =
      [&](const ElementStatus& status) -> std::optional<ElementAddress> {
    const auto was = old_at.find(status.address.value);
    if (was != old_at.end()) {
      const MediumPlace& place = old_media.at(was->second);
      if (place.tag == status.volume_tag && IsFree(place.home)) {
        return place.home;
      }
    }
    // A move that the changer made and reported as failed: known by its tag.
    if (!status.volume_tag.empty()) {
      const auto known = old_media.find(
          status.sides == 2 ? status.volume_tag + 'A' : status.volume_tag);
      if (known != old_media.end() && IsFree(known->second.home)) {
        return known->second.home;
      }
    }
    if (status.source && IsSlot(*status.source) && IsFree(*status.source)) {
      return status.source;
    }
    return std::nullopt;
  };
  std::vector<const ElementStatus*> homeless;
  for (const ElementStatus& status : statuses_) {
    if (!status.full || IsSlot(status.address)) continue;
    const std::optional<ElementAddress> home = home_of(status);
    if (home) {
      AddMedium(status, *home);
    } else {
      homeless.push_back(&status);
    }
  }
  // What has a home got it: the other slots are free.
  for (const ElementStatus* status : homeless) {
    const std::optional<ElementAddress> home = FirstFreeStorage();
    // Without any free slot it stays where it is.
    AddMedium(*status, home ? *home : status->address);
  }
}

void ElementBook::ApplyMove(ElementAddress from, ElementAddress to,
                            bool turned) {
  ElementStatus& source = statuses_[*IndexOf(from)];
  ElementStatus& target = statuses_[*IndexOf(to)];
  if (turned) source.turned = !source.turned;
  if (from != to) MoveStatus(from, source, target);

  const auto it = at_.find(from.value);
  if (it == at_.end()) return;
  MediumPlace place = media_.at(it->second);
  media_.erase(place.id);
  media_.erase(place.other_side);
  at_.erase(it);
  place.id = WholeOf(place);
  place.other_side.clear();
  place.element = to;
  if (IsSlot(to)) {
    place.home = to;
    place.in_import_export = map_.import_export.Contains(to);
    if (place.id.front() == '@') place.id = "@" + ToString(to);
  }
  Insert(place, target);
}

void ElementBook::NoteGood(ElementAddress element) {
  const std::optional<size_t> i = IndexOf(element);
  const auto it = at_.find(element.value);
  if (!i || it == at_.end() || statuses_[*i].sides == 2) return;
  statuses_[*i].exception = false;
  statuses_[*i].note.clear();
  media_.at(it->second).problem.clear();
}

void ElementBook::MoveStatus(ElementAddress from, ElementStatus& source,
                             ElementStatus& target) {
  target.full = true;
  target.volume_tag = std::move(source.volume_tag);
  target.sides = source.sides;
  target.turned = source.turned;
  target.source = IsSlot(from) ? std::optional(from) : source.source;
  target.imported = false;
  target.exception = source.exception;
  target.note = std::move(source.note);
  // A drive that gave its medium away lets the transport in again.
  target.accessible = source.accessible = true;
  source.full = false;
  source.sides = 1;
  source.turned = false;
  source.volume_tag.clear();
  source.source.reset();
  source.imported = false;
  source.exception = false;
  source.note.clear();
}

void ElementBook::Insert(const MediumPlace& place,
                         const ElementStatus& status) {
  const bool in_drive = map_.data_transfer.Contains(place.element);
  if (status.sides != 2) {
    MediumPlace only = place;
    only.loaded = in_drive;
    at_[place.element.value] = only.id;
    media_[only.id] = std::move(only);
    return;
  }
  for (const char name : {'A', 'B'}) {
    MediumPlace side = SideOf(place, name);
    const bool up = status.turned == (name == 'B');
    side.loaded = in_drive && up;
    if (up) at_[place.element.value] = side.id;
    media_[side.id] = std::move(side);
  }
}

std::vector<MediumPlace> ElementBook::Media() const {
  std::vector<MediumPlace> media;
  media.reserve(media_.size());
  for (const auto& [id, place] : media_) media.push_back(place);
  std::sort(media.begin(), media.end(),
            [](const MediumPlace& a, const MediumPlace& b) {
              return std::pair(a.home, a.side()) < std::pair(b.home, b.side());
            });
  return media;
}

const ElementStatus* ElementBook::Element(ElementAddress address) const {
  const std::optional<size_t> i = IndexOf(address);
  return i ? &statuses_[*i] : nullptr;
}

const MediumPlace* ElementBook::Find(const MediumId& id) const {
  const auto it = media_.find(id);
  return it == media_.end() ? nullptr : &it->second;
}

const MediumPlace* ElementBook::At(ElementAddress element) const {
  const auto it = at_.find(element.value);
  return it == at_.end() ? nullptr : Find(it->second);
}

bool ElementBook::IsSlot(ElementAddress address) const {
  return map_.storage.Contains(address) || map_.import_export.Contains(address);
}

const MediumPlace* ElementBook::Expected(ElementAddress home) const {
  for (const auto& [id, place] : media_) {
    if (place.home == home && place.element != home) return &place;
  }
  return nullptr;
}

std::optional<ElementAddress> ElementBook::FreeHome(
    const MediumPlace& place) const {
  const ElementStatus* home = Element(place.home);
  if (home != nullptr && !home->full && IsSlot(place.home)) return place.home;
  return FirstFreeStorage();
}

std::optional<size_t> ElementBook::IndexOf(ElementAddress address) const {
  const auto it = index_.find(address.value);
  if (it == index_.end()) return std::nullopt;
  return it->second;
}

bool ElementBook::IsFree(ElementAddress slot) const {
  const ElementStatus* status = Element(slot);
  return status != nullptr && !status->full && Expected(slot) == nullptr;
}

std::optional<ElementAddress> ElementBook::FirstFreeStorage() const {
  for (uint32_t i = 0; i < map_.storage.count; ++i) {
    const ElementAddress slot{
        static_cast<uint16_t>(map_.storage.first.value + i)};
    if (IsFree(slot)) return slot;
  }
  return std::nullopt;
}

void ElementBook::AddMedium(const ElementStatus& status, ElementAddress home) {
  MediumPlace place;
  place.tag = status.volume_tag;
  place.id = status.volume_tag;
  // A second medium with the same tag is told apart by its home.
  const bool two = status.sides == 2;
  if (place.id.empty() || media_.count(two ? place.id + 'A' : place.id) != 0) {
    place.id = "@" + ToString(home);
  }
  place.home = home;
  place.element = status.address;
  place.in_import_export = map_.import_export.Contains(home);
  if (IsCleaningMedium(status)) {
    place.problem = kCleaningMedium;
  } else if (status.exception) {
    place.problem = status.note.empty() ? "exception" : status.note;
  }
  Insert(place, status);
}

}  // namespace vellum
