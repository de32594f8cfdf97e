// SPDX-License-Identifier: Apache-2.0
// Medium: the physical object in a drive, as sectors that can be read and
// written. One of the three virtual interfaces (Changer, Drive, Medium).
#pragma once

#include <cstdint>
#include <string>

#include "media/error.h"
#include "media/types.h"

namespace vellum {

enum class MediumClass : uint8_t {
  kRewritable,  // random access, overwritable: disk, DVD-RAM, BD-RE, MO, RDX
  kWriteOnce,   // BD-R, DVD-R: written once, from sector 0 on without gaps
  kSequential,  // tape
};

struct MediumInfo {
  MediumClass medium_class = MediumClass::kRewritable;
  uint64_t sectors = 0;         // capacity in sectors of 2048 bytes
  uint32_t atomic_sectors = 1;  // what the device may destroy when it loses
                                // power while writing one sector; power of 2
  // A write-once medium on which anything was written before it was opened, or
  // that is closed, is write-protected: one that is not is blank.
  bool write_protected = false;
  std::string name;  // for messages: "V00001L1 in drive 256"
};

// Ownership: handed out by Drive::Open, dies with the load. Thread-safety: all
// methods may be called concurrently; overlapping concurrent writes leave
// either content in each sector.
// Errors of every method: kDeviceError (address and sense in the message),
// kNoMedium when the medium is gone, kOffline when the drive is or does not
// answer (who has a lease sees kNoMedium for it), kInvalidArgument for a range
// outside the medium (nothing is transferred).
class Medium {
 public:
  virtual ~Medium() = default;

  virtual MediumInfo Info() const = 0;

  // Reads out.size() / 2048 sectors from `lba`. A sector never written reads
  // as zeros or as whatever was there before. REQUIRES: whole sectors.
  virtual Status Read(uint64_t lba, ByteSpan out) = 0;

  // Writes data.size() / 2048 sectors at `lba`. On return the data is visible
  // to Read; it is durable only after the next successful Flush. Until then
  // a power cut may keep, lose, reorder or tear it at 512 bytes. After an
  // error the content of the range is undefined. kWriteProtected. A write-once
  // medium takes only what begins where the last write ended, 0 at first, and
  // nothing more after an error: kInvalidArgument, kWriteProtected.
  virtual Status Write(uint64_t lba, ConstByteSpan data) = 0;

  // Write for long runs of data that nobody reads soon, such as copies: may go
  // around caches. Fastest for data in memory of AlignedBytes (types.h), 1 MiB
  // or so at a time. Otherwise as Write in everything.
  virtual Status WriteStream(uint64_t lba, ConstByteSpan data) {
    return Write(lba, data);
  }

  // Makes every write that returned before the call durable. After an error
  // nothing may be assumed about any write since the last success, and it must
  // not be retried (format: a failed flush freezes the volume). kNoSpace when
  // the storage under a virtual medium is full.
  virtual Status Flush() = 0;

  // The range reads as zeros afterwards (durable like a write). Cheap on
  // virtual media; on others it may write zeros. kNotSupported on write-once
  // media.
  virtual Status Discard(uint64_t lba, uint64_t count) = 0;

  // Ends the writing of a write-once medium, with what was written until now:
  // closes its track and session, so that every drive reads it, for ever.
  // Durable on return; from then on the medium is write-protected. After an
  // error it is not to be relied on. kNotSupported for other classes.
  virtual Status Finalize() {
    return Status(Errc::kNotSupported,
                  Info().name + ": only write-once media are closed");
  }

  // The next sub-range of [from.first, from.end()) that may hold anything but
  // zeros; count 0 when the rest is zeros. Lets copies skip holes. Media that
  // do not know answer `from`.
  virtual Result<SectorRange> NextAllocated(SectorRange from) = 0;

  // Best effort: later reads of the range come from the medium instead of a
  // cache, so that a read-back verifies what was written. Call after Flush.
  virtual void DropReadCache(uint64_t lba, uint64_t count) = 0;

  // Bytes that the storage under a virtual medium can still take for sectors
  // that were never written; UINT64_MAX: nothing but the capacity limits it.
  // Cheap: no I/O to the medium.
  virtual uint64_t HostFreeBytes() const { return UINT64_MAX; }

  // A descriptor in which byte lba * 2048 is the sector's first byte, for
  // splice; -1 when there is none. Belongs to the medium.
  virtual int DirectFd() const { return -1; }
};

}  // namespace vellum
