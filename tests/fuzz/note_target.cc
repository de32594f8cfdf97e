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
#include "tests/fuzz/targets.h"
#include "tests/fuzz/use_volume.h"
#include "tests/index/volume_fixture.h"

namespace vellum::fuzz {
namespace {

// What a catalog knows of one volume.
struct Known {
  VolumeRecord record;
  std::vector<std::pair<InodeNumber, InodeRecord>> inodes;
  std::vector<std::pair<InodeNumber, DirentRecord>> names;
  std::vector<std::pair<uint32_t, std::string>> changes;
};

Known Recall(const Catalog& catalog, const VolumeRecord& record) {
  Known known;
  known.record = record;
  Check(catalog.ForEachInode(record.index,
                             [&known](InodeNumber ino, InodeRecord&& inode) {
                               known.inodes.emplace_back(ino, std::move(inode));
                               return true;
                             }));
  for (const auto& [dir, inode] : known.inodes) {
    if (inode.attr.type != udf::FileType::kDirectory) continue;
    Check(catalog.ForEachDirent(record.index, dir, 0,
                                [&known, at = dir](DirentRecord&& name) {
                                  known.names.emplace_back(at, std::move(name));
                                  return true;
                                }));
  }
  Check(catalog.ForEachChangeChunk(
      record.index, [&known](uint32_t chunk, std::string_view value) {
        known.changes.emplace_back(chunk, value);
        return true;
      }));
  return known;
}

CatalogBatch BatchOf(const Known& known, VolumeIndex index) {
  CatalogBatch batch;
  VolumeRecord record = known.record;
  record.index = index;
  batch.PutVolume(record);
  for (const auto& [ino, inode] : known.inodes) {
    batch.PutInode(index, ino, inode);
  }
  for (const auto& [dir, name] : known.names) {
    batch.PutDirent(index, dir, name);
  }
  for (const auto& [chunk, value] : known.changes) {
    batch.PutChangeChunk(index, chunk, value);
  }
  return batch;
}

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

// One of the volume's, or any.
InodeNumber TakeInode(Input* input) {
  const uint8_t number = input->Byte();
  if (number >= 128) return input->Word();
  const auto& inodes = NotedBase().after.inodes;
  return inodes[number % inodes.size()].first;
}

// Up to 16 bits anywhere in a number.
uint64_t TakeNumber(Input* input) {
  const uint64_t value = input->Word();
  return value << input->Byte() % 49;
}

void ChangeInode(Input* input, InodeRecord* inode) {
  const uint8_t fields = input->Byte();
  if ((fields & 1) != 0) {
    inode->attr.type = static_cast<udf::FileType>(input->Byte());
  }
  if ((fields & 2) != 0) inode->attr.size = TakeNumber(input);
  if ((fields & 4) != 0) inode->parent = TakeInode(input);
  if ((fields & 8) != 0) {
    inode->extents.resize(input->Byte() % 4);
    for (udf::Extent& extent : inode->extents) {
      extent.file_sector = TakeNumber(input);
      extent.block = input->Word();
      extent.count = static_cast<uint32_t>(TakeNumber(input));
      extent.unwritten = input->Byte() % 2 == 1;
    }
  }
  if ((fields & 16) != 0) {
    inode->aed_blocks.resize(input->Byte() % 4);
    for (uint32_t& block : inode->aed_blocks) block = input->Word();
  }
  if ((fields & 32) != 0) inode->inline_data = !inode->inline_data;
  if ((fields & 64) != 0) inode->attr.links = input->Word();
  if ((fields & 128) != 0) {
    inode->symlink_target = AsText(input->Take(input->Byte()));
    inode->attr.unique_id = TakeNumber(input);
  }
}

void ChangeRecord(Input* input, VolumeRecord* record) {
  const uint8_t fields = input->Byte();
  if ((fields & 1) != 0) record->used_blocks = TakeNumber(input);
  if ((fields & 2) != 0) record->files = TakeNumber(input);
  if ((fields & 4) != 0) record->directories = TakeNumber(input);
  if ((fields & 8) != 0) record->next_unique_id = TakeNumber(input);
  if ((fields & 16) != 0) record->change_floor = TakeNumber(input);
  if ((fields & 32) != 0) {
    record->state = static_cast<udf::SlotState>(input->Byte());
  }
  if ((fields & 64) != 0) record->tree = TreeState::kScanning;
  if ((fields & 128) != 0) record->generation.number = TakeNumber(input);
}

void ChangeBatch(Input* input, VolumeIndex index, CatalogBatch* batch) {
  const Known& after = NotedBase().after;
  const VolumeIndex of = input->Byte() == 255 ? index + 1 : index;
  switch (input->Byte() % 7) {
    case 0: {
      InodeRecord inode =
          after.inodes[input->Byte() % after.inodes.size()].second;
      const InodeNumber ino = TakeInode(input);
      ChangeInode(input, &inode);
      batch->PutInode(of, ino, inode);
      break;
    }
    case 1: {
      DirentRecord name =
          after.names[input->Byte() % after.names.size()].second;
      const InodeNumber dir = TakeInode(input);
      if (input->Byte() % 2 == 1) {
        name.name = AsText(input->Take(input->Byte()));
        name.cookie = MakeCookie(NameHash(name.name), input->Byte());
      }
      name.ino = TakeInode(input);
      name.type = static_cast<udf::FileType>(input->Byte());
      name.fid_offset = static_cast<uint32_t>(TakeNumber(input));
      batch->PutDirent(of, dir, name);
      break;
    }
    case 2:
      batch->DeleteInode(of, TakeInode(input));
      break;
    case 3: {
      const auto& [dir, name] = after.names[input->Byte() % after.names.size()];
      batch->DeleteDirent(of, dir, name.cookie);
      break;
    }
    case 4: {
      const uint32_t chunk = input->Byte();
      batch->PutChangeChunk(of, chunk, AsText(input->Take(input->Byte())));
      break;
    }
    case 5: {
      VolumeRecord record = after.record;
      record.index = index;
      ChangeRecord(input, &record);
      batch->PutVolume(record);
      break;
    }
    default:
      batch->PutRow("job", "1", "x");
      break;
  }
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
    while (!input.empty()) ChangeBatch(&input, place.index, &batch);
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
