// SPDX-License-Identifier: Apache-2.0
// Device: commands to one logical unit, with the rules for retries that every
// kind of device shares.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>

#include "media/error.h"
#include "media/scsi/sense.h"
#include "media/scsi/transport.h"

namespace vellum::scsi {

// Whether a command may be sent again after a unit attention, a busy or a
// transport error. Moves and writes are never repeated blindly: only when the
// device says that it did not begin them (unit attention, BUSY, TASK SET FULL).
enum class Repeat : uint8_t {
  kIdempotent,   // INQUIRY, READ, READ ELEMENT STATUS, …
  kOnlyNotBegun  // WRITE, MOVE MEDIUM, START STOP, …
};

// INQUIRY (SPC-4 6.4) and the unit serial number page 80h.
struct Inquiry {
  uint8_t device_type =
      0x1F;  // PDT: 0 disk, 5 MMC, 7 optical memory, 8 changer
  bool removable = false;
  std::string vendor;  // without padding
  std::string product;
  std::string revision;
  std::string serial;  // empty: the device has no page 80h
};

// Ownership: owns its transport. Thread-safety: all methods may be called
// concurrently; commands reach the device in no fixed order.
class Device {
 public:
  explicit Device(std::unique_ptr<Transport> transport);

  // Sends `command` under the rules of `repeat`; bytes transferred. After an
  // error the code is SenseCode's, the message says device, `what` (the
  // command's name and addresses) and the sense.
  Result<size_t> Run(const std::string& what, const Command& command,
                     Repeat repeat);
  // Sense of the last failed command of this thread is of no use to others: a
  // caller that needs it (INFORMATION, progress) passes a place for it.
  Result<size_t> Run(const std::string& what, const Command& command,
                     Repeat repeat, Sense* sense);

  Result<Inquiry> Inquire();
  // TEST UNIT READY until GOOD. Waits while the device says that it is becoming
  // ready (2/04/01, 04/07 …) and passes over unit attentions. kTimedOut after
  // `bound`; kNoMedium at once for an empty drive; kInterrupted by `stop`.
  Status WaitReady(std::chrono::milliseconds bound, std::stop_token stop = {});
  // PREVENT ALLOW MEDIUM REMOVAL; kNotSupported where it does not exist.
  Status PreventRemoval(bool prevent);

  // Unit attentions seen since the last call that mean that the medium may have
  // been changed (28/xx, 3A/xx); clears the mark.
  bool TakeMediumChanged();

  std::string Name() const;
};

}  // namespace vellum::scsi
