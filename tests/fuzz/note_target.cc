// SPDX-License-Identifier: Apache-2.0
// A volume whose newest record carries a note that somebody else wrote, loaded
// by the library to which the note speaks: its catalog knows the volume from
// the generation before.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "index/commit_note.h"
#include "media/udf/bytes.h"
#include "media/udf/format.h"
#include "media/udf/journal.h"
#include "tests/fuzz/checked.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/note_changes.h"
#include "tests/fuzz/targets.h"
#include "tests/fuzz/use_volume.h"
#include "tests/index/volume_fixture.h"

namespace vellum::fuzz {
namespace {

// Broken off behind a commit with a note.
struct NotedVolume {
  std::unique_ptr<MemoryMedium> medium;
  Known before, after;  // that commit
  udf::ScanResult scan;
};

NotedVolume BuildNoted() {
  NotedVolume base;
  MemoryMedium medium(udf::kMinVolumeSectors);
  medium.AbortOutside();
  udf::FormatOptions format;
  format.volume_id = "NOTED";
  const Result<udf::ControlSlot> slot = udf::FormatVolume(medium, format);
  Check(slot.status());
  const std::unique_ptr<Catalog> catalog = MemoryCatalog();
  Volume volume(catalog.get(), RecordFor(medium, *slot, 1), {});
  Check(volume.Attach(&medium));
  const auto make = [&volume](InodeNumber dir, const char* name,
                              udf::FileType type, size_t bytes) {
    NewInode inode;
    inode.type = type;
    inode.symlink_target = "target";
    const Result<Attr> made = volume.Create(dir, name, inode);
    Check(made.status());
    if (bytes > 0) {
      const Bytes content(bytes, std::byte{'c'});
      Check(volume.Write(made->ino, 0, content).status());
    }
    return made->ino;
  };
  using udf::FileType;
  const InodeNumber dir = make(volume.root(), "dir", FileType::kDirectory, 0);
  make(dir, "file", FileType::kRegular, 9000);
  make(volume.root(), "link", FileType::kSymlink, 0);
  make(volume.root(), "inline", FileType::kRegular, 10);
  Check(volume.Sync());
  base.before = Recall(*catalog, volume.record());
  const InodeNumber late = make(dir, "late", FileType::kRegular, 5000);
  Check(volume.SetXattr(late, "user.key", "value", 0));
  make(dir, "deep", FileType::kDirectory, 0);
  Check(volume.Sync());
  base.after = Recall(*catalog, volume.record());
  base.medium = medium.Clone();
  const Result<udf::ControlSlot> now = udf::ReadControlSlot(medium);
  Check(now.status());
  Result<udf::ScanResult> scan =
      udf::ScanRing(medium, base.after.record.geometry, *now);
  Check(scan.status());
  base.scan = std::move(*scan);
  VELLUM_CHECK(base.scan.newest.has_value());
  VELLUM_CHECK(!base.scan.newest->note.empty());
  return base;
}

const NotedVolume& NotedBase() {
  static const NotedVolume kBase = BuildNoted();
  return kBase;
}

}  // namespace

void RunNote(ConstByteSpan data) {
  Input input(data);
  const NotedVolume& base = NotedBase();
  const uint8_t kind = input.Byte();
  Bytes operations(size_t{kind} & 15);
  for (std::byte& operation : operations) operation = std::byte{input.Byte()};

  const Place place = NewPlace();
  Check(place.catalog->Write(BatchOf(base.before, place.index), Sync::kNo));
  CommitNote note;
  const Result<std::string> identity = place.catalog->Identity();
  Check(identity.status());
  note.catalog = *identity;
  note.volume = place.index;
  note.generation = base.after.record.generation;
  note.base = base.before.record.generation.number;
  CatalogBatch batch = BatchOf(base.after, place.index);
  const bool unchanged = input.empty() && (kind & 32) == 0;
  if ((kind & 32) != 0) {
    // Behind a few bytes that are changed, raw ones.
    note.batch = batch.Serialize();
    for (uint8_t i = input.Byte() % 4; i > 0; --i) {
      const size_t at = input.Word() % note.batch.size();
      note.batch[at] = static_cast<char>(input.Byte());
    }
    note.batch += AsText(input.Rest());
  } else {
    while (!input.empty()) ChangeBatch(&input, base.after, place.index, &batch);
    note.batch = batch.Serialize();
  }

  const std::unique_ptr<MemoryMedium> medium = base.medium->Clone();
  udf::Record record = *base.scan.newest;
  record.note = Encode(note);
  udf::Journal journal(medium.get(), base.after.record.geometry,
                       base.scan.next_sequence, base.scan.next_sector);
  Check(journal.Write(&record, {}));
  medium->SetWriteProtected((kind & 16) != 0);
  VolumeRecord known = base.before.record;
  known.index = place.index;
  Volume volume(place.catalog, known, {});
  const Status attached = volume.Attach(medium.get());
  CheckReported(attached);
  if (!attached.ok()) return;
  // Else no note comes as far as it should.
  VELLUM_CHECK(!unchanged || volume.generation() == note.generation);
  UseVolume(&volume, operations);
}

std::vector<Bytes> NoteSeeds() {
  std::vector<Bytes> seeds;
  // As it was written; then a change of each kind, under some operations.
  for (uint8_t kind : {0x00, 0x10, 0x20, 0x0C}) {
    seeds.push_back({std::byte{kind}});
  }
  for (uint8_t change = 0; change < 7; ++change) {
    for (uint8_t fields : {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80}) {
      Bytes seed = {std::byte{12}};
      for (uint8_t i = 0; i < 12; ++i) {
        seed.push_back(std::byte(static_cast<uint8_t>(i * 13)));
      }
      for (const uint8_t b : {uint8_t{0}, change, uint8_t{1}, uint8_t{3},
                              fields, uint8_t{2}, uint8_t{5}, uint8_t{9}}) {
        seed.push_back(std::byte{b});
      }
      seeds.push_back(seed);
    }
  }
  return seeds;
}

}  // namespace vellum::fuzz
