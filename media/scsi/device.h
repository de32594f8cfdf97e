// SPDX-License-Identifier: Apache-2.0
// Device: commands to one logical unit, with the rules for retries that every
// kind of device shares.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "media/error.h"
#include "media/scsi/sense.h"
#include "media/scsi/transport.h"

namespace vellum::scsi {

// Whether a command may be sent again after a unit attention, a busy or a
// transport error. Moves and writes are never repeated blindly: only when the
// device says that it did not begin them (unit attention, BUSY, TASK SET FULL,
// becoming ready).
enum class Repeat : uint8_t {
  kIdempotent,    // INQUIRY, MODE SENSE, READ ELEMENT STATUS, …
  kOnlyNotBegun,  // START STOP, INITIALIZE ELEMENT STATUS, …
  // READ and WRITE of one medium, MOVE MEDIUM: as kOnlyNotBegun, but not after
  // a unit attention that says that another medium may be there. The caller
  // looks first, then sends it again.
  kOnlyUnchanged,
};

// How long Run goes on.
struct Patience {
  // BUSY and TASK SET FULL, all together.
  std::chrono::milliseconds busy{30'000};
  // A device that says that it is becoming ready.
  std::chrono::milliseconds ready{60'000};
  // Between two tries: doubles from the first to the longest.
  std::chrono::milliseconds first_pause{10};
  std::chrono::milliseconds longest_pause{1'000};
};

// INQUIRY (SPC-4 6.4) and the unit serial number page 80h.
struct Inquiry {
  uint8_t device_type =
      0x1F;  // PDT: 0 disk, 5 MMC, 7 optical memory, 8 changer
  bool removable = false;
  uint8_t version = 0;  // 5: SPC-3, 6: SPC-4; 0: none is claimed
  bool queues = false;  // CMDQUE: takes further commands while one runs
  std::string vendor;   // without padding
  std::string product;
  std::string revision;
  std::string serial;  // empty: the device has no page 80h
};

// Ownership: owns its transport. Thread-safety: all methods may be called
// concurrently; commands reach the device in no fixed order.
//
// What Run does, beside sending the command once:
//  - a recovered error (key 1) is a success;
//  - a unit attention: once more for each one (several may be pending, the same
//    one is passed over once);
//  - BUSY, TASK SET FULL, becoming ready (BecomesReady): again, with pauses,
//    for as long as Patience says; then kBusy or kNotReady;
//  - an aborted command (key B), a failure of the transport: once more if
//    kIdempotent;
//  - no answer in time, device gone: never again. A device that does not answer
//    costs one timeout per command; the system marks it offline itself.
class Device {
 public:
  explicit Device(std::unique_ptr<Transport> transport, Patience patience = {});

  // Sends `command` under the rules of `repeat`; bytes transferred (an upper
  // bound, see Reply). After an error the code is SenseCode's or the
  // transport's, the message says device, `what` (the command's name and
  // addresses) and the sense.
  Result<size_t> Run(const std::string& what, const Command& command,
                     Repeat repeat);
  // Sense of the last failed command of this thread is of no use to others: a
  // caller that needs it (INFORMATION, progress) passes a place for it; it is
  // not valid after an error without sense.
  Result<size_t> Run(const std::string& what, const Command& command,
                     Repeat repeat, Sense* sense);

  // kOffline when no logical unit is there.
  Result<Inquiry> Inquire();
  // A page of vital product data (SPC-4 7.8), header included. kNotSupported
  // where it does not exist.
  Result<std::vector<uint8_t>> VitalPage(uint8_t page);
  // TEST UNIT READY until GOOD. Waits while the device says that it is becoming
  // ready (2/04/01, 04/07 …) and passes over unit attentions. kTimedOut after
  // `bound`; kNoMedium at once for an empty drive; kNotReady at once for one
  // that waits for a command or an operator; kInterrupted by `stop`.
  Status WaitReady(std::chrono::milliseconds bound, std::stop_token stop = {});
  // PREVENT ALLOW MEDIUM REMOVAL; kNotSupported where it does not exist.
  Status PreventRemoval(bool prevent);

  // Unit attentions seen since the last call that mean that the medium may have
  // been changed (28/xx, 3A/xx); clears the mark.
  bool TakeMediumChanged() { return medium_changed_.exchange(false); }
  // The same for a power on or reset (29/xx): what was written and not yet
  // flushed may be lost, and removal is no longer prevented.
  bool TakeReset() { return reset_.exchange(false); }

  // And for other changes (3F/xx): of the device itself, or of what it reports.
  bool TakeConditionsChanged() { return conditions_changed_.exchange(false); }

  // Of Transport.
  Result<std::string> HoldMedium() { return transport_->HoldMedium(); }
  void ReleaseMedium() { transport_->ReleaseMedium(); }
  bool DriverSawChange() { return transport_->DriverSawChange(); }

  // Transport::Reopen.
  Status Reopen() { return transport_->Reopen(); }

  std::string Name() const { return transport_->Name(); }
  size_t MaxTransfer() const { return transport_->MaxTransfer(); }

 private:
  struct Tries;

  // One try: a result, or nothing when the command is to be sent again.
  std::optional<Result<size_t>> Try(const std::string& what,
                                    const Command& command, Repeat repeat,
                                    Tries* tries, Sense* sense);
  // What the sense data of one try means: nothing when it is to be sent again.
  std::optional<Result<size_t>> Judge(const std::string& what,
                                      const Reply& reply, Repeat repeat,
                                      Tries* tries, const Sense& sense);
  void Note(const Sense& sense);

  const std::unique_ptr<Transport> transport_;
  const Patience patience_;
  std::atomic<bool> medium_changed_{false};
  std::atomic<bool> reset_{false};
  std::atomic<bool> conditions_changed_{false};
};

}  // namespace vellum::scsi
