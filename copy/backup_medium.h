// SPDX-License-Identifier: Apache-2.0
// What a copy finds on its target medium, and what it notes there.
//
// Thread-safety: functions of the medium alone; REQUIRES: an exclusive lease.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "copy/copy_source.h"
#include "media/error.h"
#include "media/medium.h"
#include "media/udf/codec.h"
#include "media/udf/control.h"
#include "media/udf/format.h"
#include "media/udf/journal.h"
#include "media/udf/layout.h"

namespace vellum {

struct TargetContent {
  MediumInfo info;
  udf::MediumContent content = udf::MediumContent::kBlank;
  std::optional<udf::ControlSlot> slot;  // of a Vellum medium
};
Result<TargetContent> ProbeTarget(Medium& medium);

// A complete backup, its journal replayed: the state that an atomic copy starts
// from.
struct OpenedBackup {
  udf::ControlSlot slot;
  udf::Geometry geometry;
  Bytes bitmap;           // of the backup's own tree, 1 = free
  Generation generation;  // that it holds
  uint32_t lvid_crc = 0;  // CRC32C of the LVID sector
  uint32_t record_crc = 0;
  uint64_t next_sequence = 1;
  uint32_t next_sector = udf::kRingSector;
};
// Replays the journal and brings the slot up to it (writes). kCorruption:
// another system wrote to it, or it is damaged; only a full copy can make it a
// backup again.
Result<OpenedBackup> OpenBackup(Medium& medium, const udf::ControlSlot& slot);

// What is noted in the control log of the backup when a copy ends (I6). The log
// has room for it at any time: it is a ring, and a note is less than 1 KiB.
struct CopyNote {
  uint64_t job = 0;
  std::string source;  // volume id
  Generation generation;
  std::string method;  // "full" | "incremental"
  TimeSpec started, ended;
  bool success = true;
};
udf::LogEntry EncodeNote(const CopyNote& note);

// Writes the slot with a floor that leaves out every record of the ring so far:
// its new epoch plus `above`. Not flushed.
Status WriteSlotWithNewFloor(Medium& medium, udf::ControlSlot* slot,
                             uint64_t above);

// Reads sectors back from the medium and compares them. kCorruption names the
// first one that differs.
Status VerifyImages(Medium& medium, const udf::SectorImages& images);

}  // namespace vellum
