// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/note_changes.h"

#include "tests/fuzz/checked.h"

namespace vellum::fuzz {
namespace {

// One of the volume's, or any.
InodeNumber TakeInode(Input* input, const Known& known) {
  const uint8_t number = input->Byte();
  if (number >= 128) return input->Word();
  return known.inodes[number % known.inodes.size()].first;
}

// Up to 16 bits anywhere in a number.
uint64_t TakeNumber(Input* input) {
  const uint64_t value = input->Word();
  return value << input->Byte() % 49;
}

void ChangeInode(Input* input, const Known& known, InodeRecord* inode) {
  const uint8_t fields = input->Byte();
  if ((fields & 1) != 0) {
    inode->attr.type = static_cast<udf::FileType>(input->Byte());
  }
  if ((fields & 2) != 0) inode->attr.size = TakeNumber(input);
  if ((fields & 4) != 0) inode->parent = TakeInode(input, known);
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

}  // namespace

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

void ChangeBatch(Input* input, const Known& known, VolumeIndex index,
                 CatalogBatch* batch) {
  const VolumeIndex of = input->Byte() == 255 ? index + 1 : index;
  switch (input->Byte() % 7) {
    case 0: {
      InodeRecord inode =
          known.inodes[input->Byte() % known.inodes.size()].second;
      const InodeNumber ino = TakeInode(input, known);
      ChangeInode(input, known, &inode);
      batch->PutInode(of, ino, inode);
      break;
    }
    case 1: {
      DirentRecord name =
          known.names[input->Byte() % known.names.size()].second;
      const InodeNumber dir = TakeInode(input, known);
      if (input->Byte() % 2 == 1) {
        name.name = AsText(input->Take(input->Byte()));
        name.cookie = MakeCookie(NameHash(name.name), input->Byte());
      }
      name.ino = TakeInode(input, known);
      name.type = static_cast<udf::FileType>(input->Byte());
      name.fid_offset = static_cast<uint32_t>(TakeNumber(input));
      batch->PutDirent(of, dir, name);
      break;
    }
    case 2:
      batch->DeleteInode(of, TakeInode(input, known));
      break;
    case 3: {
      const auto& [dir, name] = known.names[input->Byte() % known.names.size()];
      batch->DeleteDirent(of, dir, name.cookie);
      break;
    }
    case 4: {
      const uint32_t chunk = input->Byte();
      batch->PutChangeChunk(of, chunk, AsText(input->Take(input->Byte())));
      break;
    }
    case 5: {
      VolumeRecord record = known.record;
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

}  // namespace vellum::fuzz
