// SPDX-License-Identifier: Apache-2.0
// Sense data: decoded once, here, into the project's error codes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "media/error.h"

namespace vellum::scsi {

// SPC-4 4.5. `valid` is false for bytes that are no sense data at all.
struct Sense {
  bool valid = false;
  bool deferred = false;  // about an earlier command (response 71h, 73h)
  uint8_t key = 0;
  uint8_t asc = 0;
  uint8_t ascq = 0;
  std::optional<uint64_t> information;      // of media: the address that failed
  std::optional<uint8_t> progress_percent;  // of a long operation (NOT READY)
};

// Fixed and descriptor format; never reads outside `bytes`, however short.
Sense DecodeSense(std::span<const uint8_t> bytes);

// What a caller may do about it:
// kNotReady 2/04/xx (becoming ready), kNoMedium 2/3A/xx and 4/15/01,
// kWriteProtected 7/27/xx, kExists 5/3B/0D, kNoMedium 5/3B/0E, kBusy 5/53/02,
// kNotFound 5/21/01 (element), kInvalidArgument 5/21/00 (address),
// kNotSupported 5/20/00 5/24/00 5/26/00, kIncompatible x/30/xx,
// kAborted 6/xx and B/xx, kDeviceError the rest.
Errc SenseCode(const Sense& sense);

// "sense 3/11/00 (unrecovered read error), information 4096"
std::string Describe(const Sense& sense);

}  // namespace vellum::scsi
