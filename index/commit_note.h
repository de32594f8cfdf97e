// SPDX-License-Identifier: Apache-2.0
// What a redo record says to the catalog of the library that wrote it: all that
// the catalog may have lost of the generations up to this one, so that their
// commits need no flush of the catalog's log (index/SCHEMA.md, "Durability").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "index/records.h"
#include "media/error.h"
#include "media/types.h"

namespace vellum {

struct CommitNote {
  std::string catalog;  // Catalog::Identity: nobody else may apply it
  VolumeIndex volume = 0;
  Generation generation;  // of the record
  // The batch leads from any generation of the same lineage from here on to
  // the one of the record.
  uint64_t base = 0;
  std::string batch;  // CatalogBatch::Serialize

  // May it be applied to the volume with this record in that catalog?
  bool LeadsFrom(const VolumeRecord& record, std::string_view identity) const;
};

// The volume's record once the commit is applied that was to store `next`: what
// a commit changes is from there. The rest (name, medium, role) the catalog may
// have learned since, or know better.
VolumeRecord AfterCommit(const VolumeRecord& known, const VolumeRecord& next);

std::string Encode(const CommitNote& note);
// kCorruption; kIncompatible: of a later version.
Result<CommitNote> DecodeCommitNote(std::string_view data);

}  // namespace vellum
