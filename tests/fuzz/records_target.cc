// SPDX-License-Identifier: Apache-2.0
// What the catalog stores: records, chunks, keys, batches; and what a redo
// record on a medium says to it.
#include "index/catalog.h"
#include "index/change_map.h"
#include "index/commit_note.h"
#include "index/keys.h"
#include "index/records.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/targets.h"

namespace vellum::fuzz {
namespace {

// What was decoded has an encoding that gives it back.
template <typename T, typename Decode>
void RoundTrip(const Result<T>& record, Decode decode) {
  CheckSaid(record.status());
  if (!record.ok()) return;
  const Result<T> again = decode(Encode(*record));
  VELLUM_CHECK(again.ok() && *again == *record);
}

void ParseKeys(std::string_view text) {
  ParseVolumeKey(text);
  ParseInodeKey(text);
  ParseDirentKey(text);
  ParseChangeChunkKey(text);
  VELLUM_CHECK(!DescribeKey(text).empty());
}

void ReadNote(std::string_view text) {
  const Result<CommitNote> note = DecodeCommitNote(text);
  CheckSaid(note.status());
  if (!note.ok()) return;
  VELLUM_CHECK(DecodeCommitNote(Encode(*note))->batch == note->batch);
  const Result<CatalogBatch> batch = CatalogBatch::Parse(note->batch);
  CheckSaid(batch.status());
  if (!batch.ok()) return;
  const Result<VolumeRecord> record = batch->RecordOf(note->volume);
  CheckSaid(record.status());
  if (record.ok()) note->LeadsFrom(*record, note->catalog);
  CatalogBatch merged;
  merged.Merge(*batch);
  VELLUM_CHECK(merged.bytes() <= batch->bytes());
}

}  // namespace

void RunRecords(ConstByteSpan data) {
  Input input(data);
  const uint8_t kind = input.Byte() % 7;
  const std::string_view text = AsText(input.Rest());
  switch (kind) {
    case 0:
      RoundTrip(DecodeVolumeRecord(text), DecodeVolumeRecord);
      break;
    case 1:
      RoundTrip(DecodeInodeRecord(text), DecodeInodeRecord);
      break;
    case 2: {
      const auto decode = [](std::string_view bytes) {
        return DecodeDirentRecord(128, bytes);
      };
      RoundTrip(decode(text), decode);
      break;
    }
    case 3: {
      const Result<std::vector<uint64_t>> chunk = DecodeChunk(text);
      CheckSaid(chunk.status());
      if (chunk.ok()) {
        VELLUM_CHECK(chunk->size() == kChunkRegions);
        VELLUM_CHECK(*DecodeChunk(EncodeChunk(*chunk)) == *chunk);
      }
      break;
    }
    case 4:
      ParseKeys(text);
      break;
    case 5: {
      const Result<CatalogBatch> batch = CatalogBatch::Parse(text);
      CheckSaid(batch.status());
      if (batch.ok()) {
        VELLUM_CHECK(CatalogBatch::Parse(batch->Serialize()).ok());
      }
      break;
    }
    default:
      ReadNote(text);
  }
}

std::vector<Bytes> RecordsSeeds() {
  VolumeRecord volume;
  volume.id = "V1";
  volume.medium = "M1";
  volume.medium_uuid = volume.format_uuid = std::string(32, 'a');
  volume.generation = {77, 5};
  volume.location = "shelf";
  InodeRecord inode;
  inode.attr.size = 99999;
  inode.attr.xattrs = {{"user.a", "b"}};
  inode.extents = {{0, 100, 3, false}, {7, 200, 2, true}};
  inode.aed_blocks = {9};
  inode.symlink_target = "x";
  DirentRecord dirent;
  dirent.cookie = 128;
  dirent.name = "name";
  dirent.ino = 70;
  std::vector<uint64_t> chunk(kChunkRegions);
  chunk[3] = chunk[4] = 12;
  chunk[200] = 1;
  CatalogBatch batch;
  batch.PutVolume(volume);
  batch.PutInode(1, 70, inode);
  batch.PutDirent(1, 2, dirent);
  batch.DeleteInode(1, 71);
  CatalogBatch own;
  own.PutVolume(volume);
  own.PutInode(volume.index, 70, inode);
  CommitNote note;
  note.catalog = std::string(32, 'c');
  note.volume = volume.index;
  note.generation = {77, 6};
  note.base = 4;
  note.batch = own.Serialize();
  const std::vector<std::string> texts = {
      Encode(volume),
      Encode(inode),
      Encode(dirent),
      EncodeChunk(chunk),
      std::string(std::string_view(DirentKey(1, 2, 128))),
      batch.Serialize(),
      Encode(note)};
  std::vector<Bytes> seeds;
  for (size_t kind = 0; kind < texts.size(); ++kind) {
    seeds.push_back(
        ToBytes(std::string(1, static_cast<char>(kind)) + texts[kind]));
  }
  return seeds;
}

}  // namespace vellum::fuzz
