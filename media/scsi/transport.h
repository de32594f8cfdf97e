// SPDX-License-Identifier: Apache-2.0
// Transport: one SCSI command in, {status, sense, bytes} out. Everything above
// it (changer, drives, media) is the same for /dev/sgN and for the scripted
// device of the tests.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "media/error.h"
#include "media/types.h"

namespace vellum::scsi {

// One command. At most one of `in` and `out` is not empty.
struct Command {
  std::vector<uint8_t> cdb;  // 6, 10, 12 or 16 bytes
  ByteSpan in;               // data that the device sends
  ConstByteSpan out;         // data that the device gets
  // Whole seconds are used, rounded up.
  std::chrono::milliseconds timeout{60'000};
};

// SAM-5 table 29.
inline constexpr uint8_t kGood = 0x00;
inline constexpr uint8_t kCheckCondition = 0x02;
inline constexpr uint8_t kConditionMet = 0x04;
inline constexpr uint8_t kBusyStatus = 0x08;
inline constexpr uint8_t kReservationConflict = 0x18;
inline constexpr uint8_t kTaskSetFull = 0x28;
inline constexpr uint8_t kTaskAborted = 0x40;

struct Reply {
  uint8_t status = kGood;
  // As the device sent it, fixed or descriptor format (SPC-4 4.5); empty when
  // there is none.
  std::vector<uint8_t> sense;
  // Bytes of `in` or `out` that were transferred, as far as is known: an upper
  // bound, because some paths never report a residual. What a reply holds is
  // told by the counts in its own header.
  size_t transferred = 0;
};

// Ownership: by whoever talks to the device. Thread-safety: Execute may be
// called by several threads; the device orders the commands.
class Transport {
 public:
  virtual ~Transport() = default;

  // Sends one command and waits for its end, `timeout` at most (and as long as
  // the system takes to recover the bus after it). Nothing is retried here. A
  // reply with any status is a success of the transport. Errors, all of which
  // name the device and the command's code:
  // kTimedOut: no answer in time, the device may still carry the command out;
  // kOffline: the device is gone; kDeviceError: the transport failed, the
  // command may have been carried out; kAccessDenied: not sent, the caller may
  // not send it; kInvalidArgument: not sent, more data than MaxTransfer().
  virtual Result<Reply> Execute(const Command& command) = 0;

  // Looks for the device anew after it was gone: under the same name, another
  // one may answer. Commands under way end with what they had. kOffline and
  // the like: it is not there, nothing has changed.
  virtual Status Reopen() { return Status::Ok(); }

  // Keeps the system's own driver of the device, and its other users, from the
  // medium that is in it and ready, until ReleaseMedium; a second call has the
  // driver look again, and what it finds counts as known. The value says why a
  // change of the medium may go unnoticed all the same; empty: it cannot.
  // kBusy: another program uses the medium.
  virtual Result<std::string> HoldMedium() { return std::string(); }
  virtual void ReleaseMedium() {}
  // Whether the driver has found, since HoldMedium, that the medium was changed
  // or taken out. It may have been told instead of us.
  virtual bool DriverSawChange() { return false; }

  // Most bytes of data that one command can carry.
  virtual size_t MaxTransfer() const = 0;

  // For messages: "/dev/sg3".
  virtual std::string Name() const = 0;
};

}  // namespace vellum::scsi
