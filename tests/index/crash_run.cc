// SPDX-License-Identifier: Apache-2.0
#include "tests/index/crash_run.h"

#include <fmt/format.h>

#include <set>
#include <utility>
#include <vector>

#include "media/borrowed_medium.h"
#include "media/udf/journal.h"
#include "media/udf/reader.h"
#include "tests/index/volume_fixture.h"

namespace vellum {
namespace {

constexpr uint64_t kSectors = 16384;  // 32 MiB; the ring has 256 sectors
constexpr int kOperations = 400;

// Flushes nothing: neither before what is put in place, nor behind the sectors
// that go first (which would make up for it where there are such sectors).
class NoFlush : public BorrowedMedium {
 public:
  using BorrowedMedium::BorrowedMedium;
  Status Flush() override { return Status::Ok(); }
};

}  // namespace

struct CrashRun::Point {
  size_t at = 0;
  CrashOptions crash;
  std::string text;
};

CrashRun::CrashRun(uint64_t seed, const CrashRunOptions& options)
    : seed_(seed), options_(options) {
  MemoryMediumOptions medium;
  medium.sectors = kSectors;
  medium.atomic_sectors = options.atomic_sectors;
  MemoryMedium empty(medium);
  udf::FormatOptions format;
  format.volume_id = "CRASH";
  const Result<udf::ControlSlot> slot = udf::FormatVolume(empty, format);
  EXPECT_OK(slot);
  medium_ = std::make_unique<CrashMedium>(empty);
  catalog_ = MemoryCatalog();
  VolumeOptions volume_options;
  volume_options.break_reuse = options.broken == Break::kReuse;
  volume_options.break_units = options.broken == Break::kSharedUnits;
  volume_options.on_commit_step = [this](CommitStep step) {
    if (step == CommitStep::kFrozen) {
      history_[volume_->generation().number + 1] =
          fuzzer_ != nullptr ? fuzzer_->model() : Model();
    }
    return Status::Ok();
  };
  volume_ = std::make_unique<Volume>(catalog_.get(), RecordFor(empty, *slot, 1),
                                     volume_options);
  EXPECT_OK(volume_->Attach(medium_.get()));
  history_[0] = Model();
  // A rescan at the first load renews the lineage, not the number.
  FuzzOptions fuzz;
  fuzz.max_file_bytes = 200'000;
  fuzz.max_nodes = 60 + seed % 3 * 60;
  fuzz.touch_all = true;
  fuzz.tag_content = true;
  fuzzer_ = std::make_unique<VolumeFuzzer>(volume_.get(), seed, fuzz);
  first_event_ = medium_->EventCount();
}

CrashRun::~CrashRun() = default;

void CrashRun::Operate() {
  std::mt19937_64 rng(seed_ * 7919 + 1);
  for (int i = 0; i < kOperations; ++i) {
    fuzzer_->Step();
    if (testing::Test::HasFatalFailure()) return;
    if (rng() % 12 == 0) {
      EXPECT_OK(volume_->Sync());
      Promise();
    }
    if (rng() % 120 == 0) {
      EXPECT_OK(volume_->Detach());
      Promise();
      EXPECT_OK(volume_->Attach(medium_.get()));
    }
  }
}

void CrashRun::Promise() {
  promised_[medium_->EventCount()] = volume_->generation().number;
}

CrashRun::Point CrashRun::Pick(std::mt19937_64& rng) const {
  const size_t events = medium_->EventCount();
  Point point;
  point.at = first_event_ + rng() % (events - first_event_ + 1);
  point.crash.unflushed = static_cast<Unflushed>(rng() % 4);
  point.crash.destroy_unit = options_.atomic_sectors > 1;
  point.crash.destroyed_unreadable = point.crash.destroy_unit && rng() % 2 == 0;
  point.crash.seed = rng();
  point.text = fmt::format(
      "seed {} event {} of {} mode {} crash seed {}: ", seed_, point.at, events,
      static_cast<int>(point.crash.unflushed), point.crash.seed);
  return point;
}

std::string CrashRun::Crash(std::mt19937_64& rng) {
  const Point point = Pick(rng);
  const bool killed = options_.broken == Break::kNoFlush || rng() % 3 == 0;
  if (!killed || options_.broken == Break::kNoReplay) {
    return Recover(medium_->ContentAfterCrash(point.at, point.crash), point,
                   rng);
  }
  // The program alone dies; power goes while the next one recovers, and what
  // was not flushed before is not yet either.
  const std::unique_ptr<CrashMedium> left = medium_->AfterKill(point.at);
  const size_t before = left->EventCount();
  const Result<udf::ControlSlot> slot = udf::ReadControlSlot(*left);
  if (!slot.ok()) return point.text + slot.error().ToString();
  const Result<udf::VolumeDescription> description =
      udf::ReadDescription(*left);
  if (!description.ok()) return point.text + description.error().ToString();
  NoFlush forgetful(left.get());
  Medium* const seen = options_.broken == Break::kNoFlush
                           ? static_cast<Medium*>(&forgetful)
                           : left.get();
  const Result<udf::ReplayResult> replay =
      udf::ReplayJournal(*seen, description->geometry, *slot);
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
  if (options_.broken == Break::kNoReplay) {
    return point.text + Compare(*found, slot->generation.number, point.at);
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
  std::string result = Compare(*found, number, point.at);
  if (result == "ok" && rng() % 8 == 0) result = UseAgain(*found);
  return point.text + result;
}

std::string CrashRun::Compare(MemoryMedium& found, uint64_t number, size_t at) {
  auto promise = promised_.upper_bound(at);
  if (promise != promised_.begin()) {
    --promise;
    if (number < promise->second) {
      return fmt::format("generation {} although {} was promised", number,
                         promise->second);
    }
  }
  const auto model = history_.find(number);
  if (model == history_.end()) {
    return fmt::format("unknown generation {}", number);
  }
  const std::string difference = CompareMedium(&found, model->second);
  if (!difference.empty()) {
    return fmt::format("generation {}: {}", number, difference);
  }
  const std::string damage = FsckText(found);
  if (!damage.empty()) {
    return fmt::format("generation {}: fsck: {}", number, damage);
  }
  return "ok";
}

// What was recovered can be written to: units that the power cut destroyed and
// that nothing uses are in nobody's way.
std::string CrashRun::UseAgain(const MemoryMedium& found) {
  const std::unique_ptr<MemoryMedium> medium = found.Clone();
  const std::unique_ptr<Catalog> catalog = MemoryCatalog();
  const Result<udf::ControlSlot> slot = udf::ReadControlSlot(*medium);
  if (!slot.ok()) return slot.error().ToString();
  Volume volume(catalog.get(), RecordFor(*medium, *slot, 1), {});
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
      if (child.ok() &&
          static_cast<uint32_t>(child->attr.unique_id) != name.fid.unique_id) {
        return point.text +
               fmt::format("'{}' leads to another file", name.fid.name);
      }
      if (seen.insert(name.fid.icb_block).second) {
        todo.push_back(name.fid.icb_block);
      }
    }
  }
  return point.text + "ok";
}

}  // namespace vellum
