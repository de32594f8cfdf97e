// SPDX-License-Identifier: Apache-2.0
// A redo record as bytes. Private to media/udf; layout in record.cc and
// JOURNAL.md.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "media/error.h"
#include "media/medium.h"
#include "media/udf/journal.h"
#include "media/udf/layout.h"
#include "media/udf/sector_stream.h"

namespace vellum::udf {

// The header sector in the ring.
struct RingHeader {
  RecordHeader record;
  uint32_t image_count = 0;
  uint32_t spill_ranges = 0;  // 0: the body follows in the ring
  uint32_t table_crc = 0;     // of the spill table, when there is one
  uint32_t ring_sector = 0;   // where this header stands
  uint32_t note_bytes = 0;
  uint32_t note_crc = 0;
};

Sector EncodeRingHeader(const RingHeader& header);
// nullopt: no header, a torn one, or one that does not belong at `sector`.
std::optional<RingHeader> DecodeRingHeader(const Sector& data, uint32_t sector);

// Sectors of list and images, and of a spill table.
uint64_t BodySectors(uint64_t images);
uint64_t SpillTableSectors(uint64_t ranges);
// Of the note, behind the images.
uint64_t NoteSectors(uint64_t bytes);

Bytes EncodeSpillTable(const Spill& spill, uint32_t* crc);
Status WriteBody(const Record& record, SectorWriter* out);

// What the record takes of the ring, without padding, and where the next one
// begins.
uint64_t RingSectorsOf(const RingHeader& header);
uint32_t SectorBehind(const Geometry& geometry, const RingHeader& header);

// A stretch of `count` sectors of the ring from `sector` on: one range, or two
// when it goes over the ring's end.
std::vector<SectorRange> RingStretch(const Geometry& geometry, uint32_t sector,
                                     uint64_t count);

uint64_t TotalSectors(const std::vector<SectorRange>& ranges);
bool InPartition(const Geometry& geometry, SectorRange range);

// May a record change this sector? Not the private area, nothing outside.
bool IsRecordable(const Geometry& geometry, uint64_t sector);

// The record that `header` announces: nullopt when it is not whole.
// kCorruption: it is whole but names sectors that no record may change.
Result<std::optional<Record>> ReadRecord(Medium& medium,
                                         const Geometry& geometry,
                                         const RingHeader& header);

}  // namespace vellum::udf
