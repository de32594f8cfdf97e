// SPDX-License-Identifier: Apache-2.0
#include "index/commit_note.h"

#include <fmt/format.h>

#include <algorithm>

#include "index/coding.h"

namespace vellum {
namespace {

constexpr uint8_t kNoteVersion = 1;

}  // namespace

bool CommitNote::LeadsFrom(const VolumeRecord& record,
                           std::string_view identity) const {
  return catalog == identity && volume == record.index &&
         record.tree == TreeState::kValid &&
         record.generation.lineage == generation.lineage &&
         record.generation.number >= base &&
         record.generation.number < generation.number;
}

VolumeRecord AfterCommit(const VolumeRecord& known, const VolumeRecord& next) {
  VolumeRecord record = known;
  record.generation = next.generation;
  record.record_crc = next.record_crc;
  record.change_floor = std::max(known.change_floor, next.change_floor);
  record.state = next.state;
  record.used_blocks = next.used_blocks;
  record.files = next.files;
  record.directories = next.directories;
  record.next_unique_id = next.next_unique_id;
  return record;
}

std::string Encode(const CommitNote& note) {
  std::string out;
  PutByte(&out, kNoteVersion);
  PutString(&out, note.catalog);
  PutVarint(&out, note.volume);
  PutVarint(&out, note.generation.lineage);
  PutVarint(&out, note.generation.number);
  PutVarint(&out, note.base);
  return out.append(note.batch);
}

Result<CommitNote> DecodeCommitNote(std::string_view data) {
  ByteReader in(data);
  const uint8_t version = in.Byte();
  if (in.ok() && version > kNoteVersion) {
    return Error{Errc::kIncompatible,
                 fmt::format("note of a redo record has version {}, only {} is "
                             "known",
                             version, kNoteVersion)};
  }
  CommitNote note;
  note.catalog = in.String();
  note.volume = in.Varint32();
  note.generation.lineage = in.Varint();
  note.generation.number = in.Varint();
  note.base = in.Varint();
  if (!in.ok() || version != kNoteVersion) {
    return Error{Errc::kCorruption, "note of a redo record is malformed"};
  }
  note.batch = in.Raw(in.left());
  return note;
}

}  // namespace vellum
