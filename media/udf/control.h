// SPDX-License-Identifier: Apache-2.0
// The private, mutable identity of a volume: two control slots written in turn,
// and the control log. Neither is ever part of a redo record.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "media/error.h"
#include "media/medium.h"
#include "media/types.h"
#include "media/udf/layout.h"

namespace vellum::udf {

enum class Role : uint8_t { kPrimary = 1, kBackup = 2 };
enum class SlotState : uint8_t {
  kClean = 1,       // primary, unloaded cleanly
  kInUse = 2,       // primary, open for writing
  kIncomplete = 3,  // backup being written, or broken off
  kComplete = 4,    // backup holding `generation`
  kFormatted = 5,   // backup formatted, never written by a copy
  kFiles = 6,       // backup whose files are copied one by one: a whole volume
                    // at any time, but no generation of its owner
};

// One control slot. `epoch` grows by one with each write; the valid slot with
// the highest epoch wins.
struct ControlSlot {
  std::string format_uuid;  // 32 hex digits, renewed by format only; a copy
                            // has its owner's
  uint64_t epoch = 0;
  std::string volume_id;    // of this volume, at most 30 characters
  std::string medium_uuid;  // 32 hex digits, own of each medium; never copied
  Role role = Role::kPrimary;
  SlotState state = SlotState::kClean;
  std::string owner_id;       // backup: volume id of its primary
  std::string owner_uuid;     // backup: medium_uuid of its primary
  Generation generation;      // primary: as of the last slot write (records may
                              // be newer); backup: the generation that it holds
  uint64_t record_floor = 0;  // ring records with a lower epoch are ignored
  uint32_t threshold = 100;   // per cent
  uint32_t lvid_crc = 0;  // CRC32C of the LVID sector as of the last slot write
  uint32_t ring_head = 0;  // hint: ring sector where the scan may start
  uint64_t log_end = 0;    // bytes used in the control log
  TimeSpec time;           // of this write; backup COMPLETE: of the copy
};

// Byte layouts: media/udf/JOURNAL.md.
//
// Thread-safety: functions of the medium alone; one writer at a time.

// Reads both slots and answers the newest valid one. kNotFound: neither is a
// Vellum slot (blank or foreign medium); kCorruption: something is there, but
// no valid slot; kIncompatible: newer format version. A slot that the device
// cannot read counts as invalid while the other one is valid.
Result<ControlSlot> ReadControlSlot(Medium& medium);

// Writes `slot` with epoch + 1 (with one more than the newest slot there, if
// that is higher) into the older of the two places and stores the new epoch in
// *slot. Durable after the next Flush; a torn write leaves the other slot
// valid. The caller flushes before what the slot announces. kInvalidArgument
// for identifiers that do not fit: nothing is written.
Status WriteControlSlot(Medium& medium, ControlSlot* slot);

// Control log (I6), a ring of 512-byte aligned entries with CRC: what a copy
// did, per job and per directory; new ones push out old ones. `end` = log_end.
struct LogEntry {
  TimeSpec time;
  std::string text;  // one JSON object
};
// `*end` is a hint and is set to the true end: entries behind it that the
// medium holds are found and kept, so a slot older than the log loses nothing.
// Durable after the next Flush. kNoSpace, said before anything is written: the
// entries alone are more than the log holds.
Status AppendControlLog(Medium& medium, const Geometry& geometry, uint64_t* end,
                        const std::vector<LogEntry>& entries);
// All that is left, oldest first, found by a scan: neither the slot nor log_end
// is needed. Entries that are torn, unreadable or half overwritten are missing.
Result<std::vector<LogEntry>> ReadControlLog(Medium& medium,
                                             const Geometry& geometry);
// Empties the log: format, and a full copy onto a medium, do this first.
// Durable after the next Flush.
Status ClearControlLog(Medium& medium, const Geometry& geometry);
// Bytes that `entries` would take.
uint64_t ControlLogBytes(const std::vector<LogEntry>& entries);

std::string NewUuid();  // 32 random hex digits
uint64_t NewLineage();  // random, never 0

// Volume ids: A-Z 0-9 - _ . , first alphanumeric, 1 to 30 characters.
// kInvalidArgument names the rule that is broken.
Status CheckVolumeId(const std::string& id);

}  // namespace vellum::udf
