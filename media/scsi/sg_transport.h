// SPDX-License-Identifier: Apache-2.0
// The transport of production: Linux's SCSI pass-through, by libsgutils2.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "media/error.h"
#include "media/scsi/transport.h"

namespace vellum::scsi {

// Opens `path`, a SCSI generic device (/dev/sgN) or a block device that takes
// SG_IO; never waits for a medium. kNotFound: no such file; kAccessDenied;
// kOffline: nothing answers behind the file; kBusy: another program opened it
// for itself alone; kInvalidArgument: the file is no SCSI device.
Result<std::unique_ptr<Transport>> OpenSgTransport(const std::string& path);

// What the system tells about one command.
struct SgOutcome {
  int os_error = 0;            // errno of the request; 0: it was accepted
  uint32_t host_status = 0;    // DID_*
  bool driver_failed = false;  // an error of the driver beside "has sense"
  uint8_t status = kGood;
  std::vector<uint8_t> sense;
  size_t transferred = 0;
};

// The outcome as a reply or an error of Transport::Execute. Pure. `what` names
// the device and the command.
Result<Reply> ReplyOf(const std::string& what, SgOutcome outcome);

}  // namespace vellum::scsi
