// SPDX-License-Identifier: Apache-2.0
// Sense data: decoded once, here, into the project's error codes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "media/error.h"

namespace vellum::scsi {

// Sense keys (SPC-4 table 48).
inline constexpr uint8_t kNoSense = 0x0;
inline constexpr uint8_t kRecoveredError = 0x1;
inline constexpr uint8_t kNotReadyKey = 0x2;
inline constexpr uint8_t kMediumError = 0x3;
inline constexpr uint8_t kHardwareError = 0x4;
inline constexpr uint8_t kIllegalRequest = 0x5;
inline constexpr uint8_t kUnitAttention = 0x6;
inline constexpr uint8_t kDataProtect = 0x7;
inline constexpr uint8_t kBlankCheck = 0x8;
inline constexpr uint8_t kAbortedCommand = 0xB;
inline constexpr uint8_t kVolumeOverflow = 0xD;
inline constexpr uint8_t kMiscompare = 0xE;

// SPC-4 4.5. `valid` is false for bytes that are no sense data at all.
struct Sense {
  bool valid = false;
  bool deferred = false;  // about an earlier command (response 71h, 73h)
  uint8_t key = 0;
  uint8_t asc = 0;
  uint8_t ascq = 0;
  std::optional<uint64_t> information;      // of media: the address that failed
  std::optional<uint8_t> progress_percent;  // of a long operation (NOT READY)

  bool Is(uint8_t k, uint8_t a, uint8_t q) const {
    return valid && key == k && asc == a && ascq == q;
  }
};

// Fixed and descriptor format; never reads outside `bytes`, however short.
Sense DecodeSense(std::span<const uint8_t> bytes);

// Whether waiting helps: becoming ready (2/04/01), or a long operation is in
// progress (2/04/00, 04 to 0A, 14, 1A to 1D, 24). Not for a device that waits
// for a command or an operator (2/04/02, 03).
bool BecomesReady(const Sense& sense);

// Unit attentions that mean that another medium may be there (28/xx, 3A/xx),
// and those after which the device has forgotten what it held (29/xx: power on
// or reset; what was in a write cache may be lost).
bool MeansMediumChanged(const Sense& sense);
bool MeansReset(const Sense& sense);
// Whether a changer says with it that a drive has not given its medium free:
// removal is prevented or the eject failed (5/53/xx), or vendors' codes for it
// (5/3B/80 and on, as 5/3B/90 of Exabyte: "loaded inside the drive"), but not
// that it is stuck there (5/3B/87). Nothing has moved.
bool KeptInDrive(const Sense& sense);
// What drives say to a READ of a disc that is not closed, because they read
// none: it has no address yet (5/21/00), no track that can be read (5/64/00),
// it is another kind of medium (x/30/xx), it is not ready (2/04/xx), or blank
// (8/xx). MMC-6 leaves it to the drive.
bool ReadsNoOpenDisc(const Sense& sense);
// 3F/xx: the device was changed, or reports other units than before.
bool MeansConditionsChanged(const Sense& sense);

// What a caller may do about it:
// kNotReady 2/04/xx, kNoMedium x/3A/xx, 4/15/01, 5/3B/0E (source empty),
// 5/3B/11 and 12 (magazine away), kExists 5/3B/0D (destination full),
// kNoSpace 7/27/07 and D/xx, kWriteProtected 7/27/xx, kBusy 5/53/02,
// kNotFound 5/21/01 (element), kInvalidArgument 5/21/00 (address),
// kNotSupported 5/20/xx 5/24/xx 5/26/xx, kIncompatible x/30/xx,
// kOffline x/25/00 (no such unit) and 2/05/00, kAborted 6/xx and B/xx,
// kDeviceError the rest and bytes that are no sense data.
Errc SenseCode(const Sense& sense);

// "3B/12 (magazine removed)"; vendors' own codes have no text.
std::string DescribeCode(uint8_t asc, uint8_t ascq);

// "sense 3/11/00 (unrecovered read error), information 4096"
std::string Describe(const Sense& sense);

}  // namespace vellum::scsi
