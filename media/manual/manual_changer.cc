// SPDX-License-Identifier: Apache-2.0
#include "media/manual/manual_changer.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <utility>

namespace vellum {

namespace {

// How often the docks are looked at while a request is open.
constexpr std::chrono::milliseconds kLookEvery{200};

}  // namespace

// One move from its command to its end.
struct ManualChanger::Move {
  ElementAddress from;
  ElementAddress to;
  ElementAddress dock;      // the one that shows the end of it
  VolumeTag tag;            // empty: a medium that nobody knows
  std::string fingerprint;  // of that one
  std::string what;         // for messages
};

Result<ChangerIdentity> ManualChanger::Identify() {
  ChangerIdentity identity;
  identity.vendor = "VELLUM";
  identity.product = "MANUAL LIBRARY";
  identity.revision = VELLUM_VERSION;
  identity.serial = fmt::format("ML{:06}", state_->config().lib_num);
  identity.device = "manual library " + state_->config().directory;
  identity.manual = true;
  return identity;
}

Result<std::vector<ElementStatus>> ManualChanger::ReadElementStatus() {
  const ElementMap& map = state_->map();
  std::vector<DockFinding> findings;
  for (uint32_t i = 0; i < map.data_transfer.count; ++i) {
    const ElementAddress dock{
        static_cast<uint16_t>(map.data_transfer.first.value + i)};
    ASSIGN_OR_RETURN(DockFinding finding, state_->Settle(dock));
    findings.push_back(std::move(finding));
  }
  const Shelf shelf = state_->shelf();
  std::vector<ElementStatus> result;
  ElementStatus transport;
  transport.address = map.transport.first;
  transport.type = ElementType::kTransport;
  result.push_back(transport);
  for (uint32_t i = 0; i < map.storage.count; ++i) {
    ElementStatus place;
    place.address.value = static_cast<uint16_t>(map.storage.first.value + i);
    place.type = ElementType::kStorage;
    const auto it = shelf.find(place.address);
    place.full = it != shelf.end();
    if (place.full) {
      place.volume_tag = it->second.tag;
      place.source = it->second.source;
    }
    result.push_back(std::move(place));
  }
  for (uint32_t i = 0; i < map.data_transfer.count; ++i) {
    ElementStatus dock;
    dock.address.value =
        static_cast<uint16_t>(map.data_transfer.first.value + i);
    dock.type = ElementType::kDataTransfer;
    dock.accessible = !state_->InUse(dock.address);
    dock.full = findings[i].full;
    dock.note = findings[i].problem;
    dock.exception = !dock.note.empty();
    const auto it = shelf.find(dock.address);
    // What moved since then moves on with the next look.
    if (it != shelf.end() && it->second.tag == findings[i].tag) {
      dock.volume_tag = it->second.tag;
      dock.source = it->second.source;
    }
    result.push_back(std::move(dock));
  }
  return result;
}

Status ManualChanger::Begin(Move* move) {
  const ElementMap& map = state_->map();
  const auto is_element = [&](ElementAddress address) {
    return map.storage.Contains(address) || IsDock(address);
  };
  Shelf shelf = state_->shelf();
  const auto source = shelf.find(move->from);
  if (source != shelf.end()) move->tag = source->second.tag;
  move->what =
      fmt::format("move {} from {} to {}",
                  move->tag.empty() ? std::string("a medium") : move->tag,
                  move->from.value, move->to.value);
  for (const ElementAddress address : {move->from, move->to}) {
    if (is_element(address)) continue;
    return Status(Errc::kNotFound,
                  fmt::format("{}: the library has no shelf place or dock {}",
                              move->what, address.value));
  }
  if (source == shelf.end()) {
    const DockSight sight =
        IsDock(move->from) ? state_->Look(move->from) : DockSight();
    if (!sight.present || IsDock(move->to)) {
      return Status(Errc::kNoMedium,
                    fmt::format("{}: element {} holds no medium that is known",
                                move->what, move->from.value));
    }
    move->fingerprint = sight.fingerprint;
  }
  const auto target = shelf.find(move->to);
  // Another medium in the dock is taken out when this one is put in.
  if (target != shelf.end() && (!IsDock(move->to) || move->from == move->to)) {
    return Status(Errc::kExists,
                  fmt::format("{}: element {} holds {}", move->what,
                              move->to.value, target->second.tag));
  }
  move->dock = IsDock(move->to) ? move->to : move->from;
  return Status::Ok();
}

Status ManualChanger::MoveMediumUntil(ElementAddress from, ElementAddress to,
                                      std::stop_token stop) {
  Move move;
  move.from = from;
  move.to = to;
  RETURN_IF_ERROR(Begin(&move));
  if (!IsDock(from) && !IsDock(to)) {
    return state_
        ->Edit([&](Shelf* shelf) {
          if (shelf->count(from) == 0 || shelf->count(to) != 0) {
            return Status(Errc::kBusy, "the shelf has just changed");
          }
          ShelfMedium medium = std::move(shelf->at(from));
          shelf->erase(from);
          medium.source = from;
          shelf->emplace(to, std::move(medium));
          return Status::Ok();
        })
        .WithContext(move.what);
  }
  RETURN_IF_ERROR(state_->BeginMove(from, to).WithContext(move.what));
  Status status = AskFor(move, stop);
  if (status.ok() && !IsDock(to) && !move.tag.empty()) {
    status = state_->Edit([&](Shelf* shelf) {
      // It went back to where it came from; or, by now, into another dock.
      const std::optional<ElementAddress> element = FindTag(*shelf, move.tag);
      if (!element || IsDock(*element) || *element == to ||
          shelf->count(to) != 0) {
        return Status::Ok();
      }
      ShelfMedium medium = std::move(shelf->at(*element));
      shelf->erase(*element);
      shelf->emplace(to, std::move(medium));
      return Status::Ok();
    });
  }
  state_->EndMove(from, to);
  return status.WithContext(move.what);
}

Result<bool> ManualChanger::Done(const Move& move, std::string* found) {
  found->clear();
  // For a medium that goes from one dock into another.
  if (IsDock(move.from) && move.from != move.dock) {
    RETURN_IF_ERROR(state_->Settle(move.from).status());
  }
  if (!move.fingerprint.empty()) {
    return state_->Look(move.dock).fingerprint != move.fingerprint;
  }
  ASSIGN_OR_RETURN(const DockFinding finding, state_->Settle(move.dock));
  if (!IsDock(move.to)) return finding.tag != move.tag;
  if (finding.tag == move.tag && finding.problem.empty()) return true;
  *found = finding.problem;
  if (found->empty() && finding.full) {
    *found = fmt::format("dock {} holds {}", move.dock.value, finding.tag);
  }
  const Shelf shelf = state_->shelf();
  const std::optional<ElementAddress> element = FindTag(shelf, move.tag);
  if (element && IsDock(*element) && *element != move.dock) {
    *found += fmt::format("{}{} is in dock {}", found->empty() ? "" : "; ",
                          move.tag, element->value);
  }
  return false;
}

Status ManualChanger::AskFor(const Move& move, const std::stop_token& stop) {
  std::string found;
  ASSIGN_OR_RETURN(bool done, Done(move, &found));
  if (done) return Status::Ok();
  const bool load = IsDock(move.to);
  OperatorRequest request;
  request.load = load;
  request.medium = move.tag;
  request.from = move.from;
  request.to = move.to;
  request.dock = move.dock;
  const char* from_kind = IsDock(move.from) ? "dock" : "shelf place";
  if (load) {
    request.text = fmt::format("put {} from {} {} into dock {} ({})", move.tag,
                               from_kind, move.from.value, move.dock.value,
                               state_->DockPath(move.dock));
  } else if (move.tag.empty()) {
    request.text = fmt::format("take the unknown medium out of dock {} ({})",
                               move.dock.value, state_->DockPath(move.dock));
  } else {
    request.text = fmt::format(
        "take {} out of dock {} ({}) and put it on shelf place {}", move.tag,
        move.dock.value, state_->DockPath(move.dock), move.to.value);
  }
  request.found = found;
  OperatorDesk& desk = state_->desk();
  const uint64_t number = desk.Ask(request);
  spdlog::info("request {}: {}", number, request.text);
  std::string told = found;
  Status status;
  for (;;) {
    if (stop.stop_requested()) {
      status = Status(Errc::kInterrupted,
                      fmt::format("request {} was taken back", number));
      break;
    }
    const std::string refusal = desk.Refusal(number);
    if (!refusal.empty()) {
      status = Status(Errc::kNoMedium, fmt::format("request {} was refused: {}",
                                                   number, refusal));
      break;
    }
    const Result<bool> now = Done(move, &found);
    if (!now.ok()) {
      status = now.status();
      break;
    }
    if (*now) break;
    if (found != told) {
      if (!found.empty()) spdlog::warn("request {}: {}", number, found);
      desk.SetFound(number, found);
      told = found;
    }
    desk.Await(number, kLookEvery, stop);
  }
  desk.End(number);
  if (status.ok()) spdlog::info("request {}: done", number);
  return status;
}

}  // namespace vellum
