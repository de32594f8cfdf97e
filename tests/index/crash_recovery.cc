// SPDX-License-Identifier: Apache-2.0
// Where a run is crashed, how it is recovered, and what must then be there.
#include <fmt/format.h>

#include <iterator>
#include <set>
#include <utility>
#include <vector>

#include "media/borrowed_medium.h"
#include "media/udf/journal.h"
#include "media/udf/reader.h"
#include "media/udf/slot_places.h"
#include "tests/index/crash_run.h"
#include "tests/index/volume_fixture.h"

namespace vellum {
namespace {

constexpr VolumeIndex kIndex = 1;

// Flushes nothing: neither before what is put in place, nor behind the sectors
// that go first (which would make up for it where there are such sectors).
class NoFlush : public BorrowedMedium {
 public:
  using BorrowedMedium::BorrowedMedium;
  Status Flush() override { return Status::Ok(); }
};

}  // namespace

CrashRun::Point CrashRun::Pick(std::mt19937_64& rng) const {
  const size_t events = medium_->EventCount();
  Point point;
  point.at = first_event_ + rng() % (events - first_event_ + 1);
  if (!phases_.empty() && rng() % 2 == 0) {
    const auto [begin, end] = phases_[rng() % phases_.size()];
    point.at = begin + rng() % (end - begin + 1);
  }
  if (aim_ == Break::kEarlyFsync) {
    // While the flush that it did not wait for is under way.
    std::vector<size_t> flushes;
    for (const Promised& promised : fsynced_) {
      if (promised.early) flushes.push_back(promised.at);
    }
    if (!flushes.empty()) point.at = flushes[rng() % flushes.size()];
  }
  point.crash.unflushed = static_cast<Unflushed>(rng() % 4);
  point.crash.destroy_unit = options_.atomic_sectors > 1;
  point.crash.destroyed_unreadable = point.crash.destroy_unit && rng() % 2 == 0;
  point.crash.seed = rng();
  if ((aim_ == Break::kNoBehind || aim_ == Break::kNoData) &&
      !one_flush_at_.empty()) {
    // The record may be there, and what it should make up for is not.
    point.at = one_flush_at_[rng() % one_flush_at_.size()];
    point.crash.unflushed = Unflushed::kReordered;
  }
  point.text = fmt::format(
      "seed {} event {} of {} mode {} crash seed {}: ", seed_, point.at, events,
      static_cast<int>(point.crash.unflushed), point.crash.seed);
  return point;
}

std::string CrashRun::Crash(std::mt19937_64& rng) {
  const Point point = Pick(rng);
  const bool killed = aim_ == Break::kNoFlush || rng() % 3 == 0;
  if (!killed || broken_ == Break::kNoReplay) {
    return Recover(medium_->ContentAfterCrash(point.at, point.crash), point,
                   rng);
  }
  // The program alone dies; power goes while the next one recovers, and what
  // was not flushed before is not yet either.
  const std::unique_ptr<CrashMedium> left = medium_->AfterKill(point.at);
  const size_t before = left->EventCount();
  const Result<udf::ControlSlot> slot = udf::ReadControlSlot(*left);
  if (!slot.ok()) return point.text + slot.error().ToString();
  NoFlush forgetful(left.get());
  Medium* const seen = broken_ == Break::kNoFlush
                           ? static_cast<Medium*>(&forgetful)
                           : left.get();
  const Result<udf::ReplayResult> replay =
      udf::ReplayJournal(*seen, geometry_, *slot);
  if (!replay.ok()) return point.text + replay.error().ToString();
  const size_t cut = before + rng() % (left->EventCount() - before + 1);
  return Recover(left->ContentAfterCrash(cut, point.crash), point, rng);
}

std::string CrashRun::Recover(std::unique_ptr<MemoryMedium> found,
                              const Point& point, std::mt19937_64& rng) {
  const Result<udf::ControlSlot> slot = udf::ReadControlSlot(*found);
  if (!slot.ok()) return point.text + slot.error().ToString();
  const Result<udf::VolumeDescription> description =
      udf::ReadDescription(*found);
  if (!description.ok()) return point.text + description.error().ToString();
  if (broken_ == Break::kNoReplay) {
    return point.text + CompareWithAny(*found, point.at);
  }
  if (broken_ == Break::kNothing && rng() % 8 == 0) {
    return point.text + RecoverByVolume(*found, point, rng);
  }
  uint64_t number = 0;
  // Recoveries are cut, too: up to two of them before one runs to its end.
  for (int nested = static_cast<int>(rng() % 3);; --nested) {
    CrashMedium recovering(*found);
    const Result<udf::ReplayResult> replay =
        udf::ReplayJournal(recovering, description->geometry, *slot);
    if (!replay.ok()) return point.text + replay.error().ToString();
    if (replay->outcome == udf::ReplayOutcome::kForeign) {
      return point.text + "taken for a foreign write";
    }
    number = replay->generation.number;
    if (nested <= 0) {
      found = recovering.Content();
      break;
    }
    CrashOptions again = point.crash;
    again.unflushed = static_cast<Unflushed>(rng() % 4);
    again.seed = rng();
    const size_t cut = rng() % (recovering.EventCount() + 1);
    found = recovering.ContentAfterCrash(cut, again);
  }
  // A load does the same: of a destroyed unit nobody knows what was in it.
  udf::ControlSlot counting = *slot;
  std::string repaired;
  const Status places = udf::RepairSlotPlaces(*found, &counting, &repaired);
  if (!places.ok()) return point.text + places.error().ToString();
  std::string result = Compare(*found, number, point.at);
  if (result == "ok" && rng() % 8 == 0) result = UseAgain(*found);
  return point.text + result;
}

// As a daemon does whose catalog is not younger than the medium: it decides on
// the batch that was pending then, or reads the medium anew.
std::string CrashRun::RecoverByVolume(MemoryMedium& found, const Point& point,
                                      std::mt19937_64& rng) {
  auto copy = std::prev(catalogs_.upper_bound(point.at));
  if (rng() % 4 == 0) {
    const auto older = std::distance(catalogs_.begin(), copy);
    copy = std::next(catalogs_.begin(), rng() % (older + 1));
  }
  const std::unique_ptr<Catalog> catalog = copy->second.Open();
  const Result<udf::ControlSlot> slot = udf::ReadControlSlot(found);
  if (!slot.ok()) return slot.error().ToString();
  const Result<udf::ReplayPlan> plan = udf::PlanReplay(found, geometry_, *slot);
  if (!plan.ok()) return plan.error().ToString();
  const Result<VolumeRecord> record = catalog->GetVolume(kIndex);
  if (!record.ok()) return record.error().ToString();
  const Result<std::optional<PendingBatch>> pending =
      catalog->GetPending(kIndex);
  if (!pending.ok()) return pending.error().ToString();
  Volume volume(catalog.get(), *record, {});
  Status status = volume.Attach(&found);
  if (!status.ok()) return "attach: " + status.ToString();
  const Generation now = volume.generation();
  const Generation there = plan->result.generation;
  ++facts_.by_volume;
  if (now.lineage != there.lineage) {
    ++facts_.rescanned;
  } else if (!(now == there)) {
    return fmt::format("generation {} by volume, {} on the medium", now.number,
                       there.number);
  } else if (pending->has_value() && (*pending)->generation == now) {
    ++facts_.applied;
  } else if (!(record->generation == now)) {
    ++facts_.noted;
  }
  const std::string result = Compare(found, there.number, point.at);
  if (result != "ok") return "by volume: " + result;
  ExpectVolumeIs(&volume, history_.at(there.number));
  if (testing::Test::HasFailure()) return "by volume: see above";
  status = volume.Detach();
  if (!status.ok()) return "detach: " + status.ToString();
  const std::string damage = FsckText(found);
  return damage.empty() ? "ok" : "by volume: fsck: " + damage;
}

uint64_t CrashRun::PromisedGeneration(size_t at) const {
  const auto promise = promised_.upper_bound(at);
  return promise == promised_.begin() ? 0 : std::prev(promise)->second;
}

std::string CrashRun::CheckPromises(const Model& model, size_t at) const {
  for (const Promised& promised : fsynced_) {
    if (promised.at > at) continue;
    if (promised.early && broken_ != Break::kEarlyFsync) continue;
    const uint64_t id = promised.node.id;
    const auto node = model.nodes.find(id);
    // One that is gone was there before: ids are not used again.
    const bool kept = node != model.nodes.end()
                          ? node->second->version >= promised.node.version
                          : id < model.next;
    if (!kept) {
      return fmt::format("node {} is older than an fsync promised", id);
    }
  }
  return "";
}

std::string CrashRun::Compare(MemoryMedium& found, uint64_t number, size_t at) {
  const uint64_t promised = PromisedGeneration(at);
  if (number < promised) {
    return fmt::format("generation {} although {} was promised", number,
                       promised);
  }
  const auto model = history_.find(number);
  if (model == history_.end()) {
    return fmt::format("unknown generation {}", number);
  }
  const std::string lost = CheckPromises(model->second, at);
  if (!lost.empty()) return fmt::format("generation {}: {}", number, lost);
  const std::string difference =
      CompareMedium(&found, model->second, &facts_.found);
  if (!difference.empty()) {
    return fmt::format("generation {}: {}", number, difference);
  }
  const std::string damage = FsckText(found);
  if (!damage.empty()) {
    return fmt::format("generation {}: fsck: {}", number, damage);
  }
  return "ok";
}

std::string CrashRun::CompareWithAny(MemoryMedium& found, size_t at) {
  std::string result = "nothing was frozen";
  for (auto it = frozen_at_.lower_bound(PromisedGeneration(at));
       it != frozen_at_.end() && it->second <= at; ++it) {
    result = Compare(found, it->first, at);
    if (result == "ok") break;
  }
  return result;
}

// What was recovered can be written to: units that the power cut destroyed and
// that nothing uses are in nobody's way.
std::string CrashRun::UseAgain(const MemoryMedium& found) {
  const std::unique_ptr<MemoryMedium> medium = found.Clone();
  const std::unique_ptr<Catalog> catalog = MemoryCatalog();
  const Result<udf::ControlSlot> slot = udf::ReadControlSlot(*medium);
  if (!slot.ok()) return slot.error().ToString();
  Volume volume(catalog.get(), RecordFor(*medium, *slot, kIndex), {});
  Status status = volume.Attach(medium.get());
  const std::string content(100'009, 'n');
  for (int i = 0; i < 6 && status.ok(); ++i) {
    const Result<Attr> made =
        volume.Create(volume.root(), fmt::format("again {}", i), {});
    status = made.status();
    if (!status.ok()) break;
    status = volume
                 .Write(made->ino, 0,
                        std::as_bytes(std::span(content)).first(i * 20'000 + 9))
                 .status();
    if (status.ok() && i % 2 == 0) status = volume.Sync();
  }
  if (status.ok()) status = volume.Detach();
  if (!status.ok()) return "used again: " + status.error().ToString();
  const std::string damage = FsckText(*medium);
  return damage.empty() ? "ok" : "used again: fsck: " + damage;
}

std::string CrashRun::CrashUnreplayed(std::mt19937_64& rng) {
  Point point = Pick(rng);
  point.crash.destroy_unit = false;  // what is destroyed shows anything
  std::unique_ptr<MemoryMedium> found =
      medium_->ContentAfterCrash(point.at, point.crash);
  if (rng() % 3 == 0) {
    // Somebody began to recover.
    CrashMedium recovering(*found);
    const Result<udf::ControlSlot> slot = udf::ReadControlSlot(*found);
    const Result<udf::VolumeDescription> description =
        udf::ReadDescription(*found);
    if (!slot.ok()) return point.text + slot.error().ToString();
    if (!description.ok()) return point.text + description.error().ToString();
    const Result<udf::ReplayResult> replay =
        udf::ReplayJournal(recovering, description->geometry, *slot);
    if (!replay.ok()) return point.text + replay.error().ToString();
    found = recovering.ContentAfterCrash(rng() % (recovering.EventCount() + 1),
                                         point.crash);
  }
  const Result<std::unique_ptr<udf::Reader>> opened =
      udf::Reader::Open(found.get());
  if (!opened.ok()) return point.text + opened.error().ToString();
  const udf::Reader& reader = **opened;
  std::vector<uint32_t> todo = {reader.root_block()};
  std::set<uint32_t> seen(todo.begin(), todo.end());
  while (!todo.empty()) {
    const uint32_t icb = todo.back();
    todo.pop_back();
    // What cannot be read is missing.
    const Result<udf::FileEntry> entry = reader.ReadEntry(icb);
    if (!entry.ok()) continue;
    if (entry->attr.type == udf::FileType::kRegular) {
      Bytes content(entry->attr.size);
      const Result<size_t> n = reader.ReadFile(*entry, 0, content);
      if (n.ok() &&
          !IsContentOf(entry->attr.unique_id, 0, content, &tags_seen_)) {
        return point.text + fmt::format(
                                "the file in block {} shows content "
                                "of another one",
                                icb);
      }
    }
    if (entry->attr.type != udf::FileType::kDirectory) continue;
    const Result<std::vector<udf::DirEntry>> names =
        reader.ReadDirectory(*entry);
    if (!names.ok()) continue;
    for (const udf::DirEntry& name : *names) {
      const Result<udf::FileEntry> child = reader.ReadEntry(name.fid.icb_block);
      if (!child.ok()) continue;
      if (static_cast<uint32_t>(child->attr.unique_id) != name.fid.unique_id) {
        return point.text +
               fmt::format("'{}' leads to another file", name.fid.name);
      }
      ++names_seen_;
      if (names_.count({entry->attr.unique_id, child->attr.unique_id,
                        name.fid.name}) == 0) {
        return point.text +
               fmt::format(
                   "the directory in block {} shows '{}' of another one", icb,
                   name.fid.name);
      }
      if (seen.insert(name.fid.icb_block).second) {
        todo.push_back(name.fid.icb_block);
      }
    }
  }
  return point.text + "ok";
}

}  // namespace vellum
