// SPDX-License-Identifier: Apache-2.0
// SpoolImage: one generation of a volume (or a part of it) staged in the spool.
//
// The image file holds the used sectors of the staged regions, packed, in
// order. The meta file is written when the image is complete; it says what the
// image holds, with a hash of every region (layout at the top of
// spool_image.cc). An image without a valid meta file is worth nothing.
//
// The image is not synced: most are read again from the system's cache within
// minutes and never reach the disk. It outlives the daemon; what a power cut
// has taken of it Check finds.
//
// Thread-safety: one user at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "copy/copy_hooks.h"
#include "copy/copy_source.h"
#include "copy/spool.h"
#include "media/error.h"
#include "media/file_util.h"

namespace vellum {

class SpoolImage {
 public:
  // An empty image. Reserves its space: kNoSpace.
  static Result<std::unique_ptr<SpoolImage>> Create(Spool* spool, JobId job,
                                                    const CopySource& source);
  // One that Finish has completed, before a restart maybe: then Check says
  // whether it is whole. kNotFound when there is none, kCorruption when its
  // meta file is damaged.
  static Result<std::unique_ptr<SpoolImage>> Open(const Spool& spool,
                                                  JobId job);
  // What `source` needs in the spool, meta file included.
  static uint64_t BytesNeeded(const CopySource& source);

  // Chunks come in order, filled by CopySource::Fill.
  Status Append(const RegionChunk& chunk);
  // Makes the image complete. Its data reaches the disk later.
  Status Finish();
  // For who is going to Settle: begins it without waiting, so that most is done
  // when the target is loaded. To all others it costs writes for nothing.
  void BeginSettle() const;
  // Waits until it has: what a full or failing disk has lost is an error here,
  // not in the middle of the target.
  Status Settle() const;
  // Reads all of it: is it what was appended? `counters` say how far it is.
  // kCorruption, kAborted.
  Status Check(const std::stop_token& stop, CopyCounters* counters) const;
  // The image as a source. REQUIRES: complete; it outlives the source.
  CopySource Source() const;
  const SourceIdentity& identity() const { return identity_; }

 private:
  SpoolImage() = default;
  void IndexPlaces();
  uint64_t CountUsed(uint64_t first, uint64_t count) const;
  Status Read(uint64_t lba, ByteSpan out) const;

  std::string image_path_, meta_path_;
  SourceIdentity identity_;
  std::shared_ptr<const SectorMap> map_;
  RegionSet regions_;
  struct Place {
    uint64_t region = 0;
    uint64_t sector = 0;  // where it begins in the image file
  };
  std::vector<Place> places_;  // of some staged regions, ascending
  std::shared_ptr<std::vector<uint64_t>> hashes_;
  UniqueFd fd_;
  uint64_t end_ = 0;  // sectors written so far
  Bytes packed_;
};

}  // namespace vellum
