// SPDX-License-Identifier: Apache-2.0
#include "media/scsi/sense.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>

namespace vellum::scsi {

namespace {

using SenseBytes = std::span<const uint8_t>;

uint64_t BigEndian(SenseBytes bytes) {
  uint64_t value = 0;
  for (const uint8_t byte : bytes) value = value << 8 | byte;
  return value;
}

// The three bytes of "sense key specific"; a progress only with NOT READY and
// NO SENSE (SPC-4 4.5.2.4.1), where 65536 is the whole.
void DecodeKeySpecific(SenseBytes field, Sense* sense) {
  if ((field[0] & 0x80) == 0) return;
  if (sense->key != kNotReadyKey && sense->key != kNoSense) return;
  sense->progress_percent =
      static_cast<uint8_t>(BigEndian(field.subspan(1, 2)) * 100 / 65536);
}

void DecodeFixed(SenseBytes bytes, Sense* sense) {
  if (bytes.size() > 2) sense->key = bytes[2] & 0x0F;
  // Byte 7 counts what follows it; some devices leave it 0 and fill the rest
  // all the same, so that only a smaller length that is not 0 is believed.
  size_t end = bytes.size();
  if (end > 7 && bytes[7] != 0) end = std::min(end, size_t{8} + bytes[7]);
  if ((bytes[0] & 0x80) != 0 && end >= 7) {
    sense->information = BigEndian(bytes.subspan(3, 4));
  }
  if (end > 12) sense->asc = bytes[12];
  if (end > 13) sense->ascq = bytes[13];
  if (end >= 18) DecodeKeySpecific(bytes.subspan(15, 3), sense);
}

void DecodeDescriptors(SenseBytes bytes, Sense* sense) {
  if (bytes.size() > 1) sense->key = bytes[1] & 0x0F;
  if (bytes.size() > 2) sense->asc = bytes[2];
  if (bytes.size() > 3) sense->ascq = bytes[3];
  if (bytes.size() < 8) return;
  SenseBytes rest = bytes.subspan(8);
  rest = rest.first(std::min(rest.size(), size_t{bytes[7]}));
  while (rest.size() >= 2) {
    const size_t length = size_t{2} + rest[1];
    if (length > rest.size()) return;
    const SenseBytes descriptor = rest.first(length);
    if (descriptor[0] == 0x00 && length >= 12 && (descriptor[2] & 0x80) != 0) {
      sense->information = BigEndian(descriptor.subspan(4, 8));
    } else if (descriptor[0] == 0x02 && length >= 7) {
      DecodeKeySpecific(descriptor.subspan(4, 3), sense);
    }
    rest = rest.subspan(length);
  }
}

struct SenseText {
  uint8_t asc;
  int ascq;  // -1: any other
  const char* text;
};

// Texts of SPC-4 table 56 for what a changer and its drives are known to say.
constexpr std::array kSenseTexts = {
    SenseText{0x00, 0x00, "no additional information"},
    SenseText{0x02, 0x00, "no seek complete"},
    SenseText{0x03, 0x00, "write fault"},
    SenseText{0x04, 0x00, "not ready, cause not reported"},
    SenseText{0x04, 0x01, "becoming ready"},
    SenseText{0x04, 0x02, "not ready, initializing command required"},
    SenseText{0x04, 0x03, "not ready, manual intervention required"},
    SenseText{0x04, 0x04, "not ready, format in progress"},
    SenseText{0x04, 0x07, "not ready, operation in progress"},
    SenseText{0x04, 0x08, "not ready, long write in progress"},
    SenseText{0x04, 0x12, "not ready, offline"},
    SenseText{0x04, -1, "not ready"},
    SenseText{0x05, 0x00, "does not respond to selection"},
    SenseText{0x08, -1, "communication failure"},
    SenseText{0x09, -1, "track following error"},
    SenseText{0x0C, -1, "write error"},
    SenseText{0x10, -1, "ID or protection error"},
    SenseText{0x11, 0x00, "unrecovered read error"},
    SenseText{0x11, -1, "read error"},
    SenseText{0x15, 0x01, "mechanical positioning error"},
    SenseText{0x15, -1, "random positioning error"},
    SenseText{0x1A, 0x00, "parameter list length error"},
    SenseText{0x1D, -1, "miscompare during verify"},
    SenseText{0x20, -1, "invalid command"},
    SenseText{0x21, 0x00, "address out of range"},
    SenseText{0x21, 0x01, "invalid element address"},
    SenseText{0x21, -1, "invalid address"},
    SenseText{0x24, -1, "invalid field in command"},
    SenseText{0x25, 0x00, "logical unit not supported"},
    SenseText{0x26, -1, "invalid field in parameter list"},
    SenseText{0x27, 0x07, "space allocation failed"},
    SenseText{0x27, -1, "write protected"},
    SenseText{0x28, 0x00, "medium may have changed"},
    SenseText{0x28, 0x01, "import or export element accessed"},
    SenseText{0x28, -1, "medium may have changed"},
    SenseText{0x29, -1, "power on or reset"},
    SenseText{0x2A, -1, "parameters changed"},
    SenseText{0x2C, -1, "command sequence error"},
    SenseText{0x2F, -1, "commands cleared by another initiator"},
    SenseText{0x30, 0x00, "incompatible medium"},
    SenseText{0x30, 0x05, "cannot write medium, incompatible format"},
    SenseText{0x30, -1, "incompatible medium"},
    SenseText{0x31, -1, "medium format corrupted"},
    SenseText{0x3A, -1, "no medium"},
    SenseText{0x3B, 0x0D, "destination element full"},
    SenseText{0x3B, 0x0E, "source element empty"},
    SenseText{0x3B, 0x11, "magazine not accessible"},
    SenseText{0x3B, 0x12, "magazine removed"},
    SenseText{0x3B, -1, "positioning error"},
    SenseText{0x3E, -1, "not self-configured, failed or timed out"},
    SenseText{0x3F, -1, "operating conditions changed"},
    SenseText{0x40, -1, "component failure"},
    SenseText{0x44, -1, "internal target failure"},
    SenseText{0x47, -1, "parity or CRC error"},
    SenseText{0x48, -1, "initiator detected error"},
    SenseText{0x49, -1, "invalid message"},
    SenseText{0x4B, -1, "data phase error"},
    SenseText{0x4E, -1, "overlapped commands"},
    SenseText{0x53, 0x00, "load or eject failed"},
    SenseText{0x53, 0x02, "removal prevented"},
    SenseText{0x53, -1, "load or eject failed"},
    SenseText{0x55, -1, "system resource failure"},
    SenseText{0x5A, -1, "operator request"},
    SenseText{0x5D, -1, "failure predicted"},
    SenseText{0x63, -1, "end of user area"},
    SenseText{0x64, -1, "illegal mode for this track"},
    SenseText{0x72, -1, "session or track error"},
    SenseText{0x73, -1, "CD control error"},

};

constexpr std::array<const char*, 16> kKeyTexts = {
    "no sense",       "recovered error", "not ready",      "medium error",
    "hardware error", "illegal request", "unit attention", "data protect",
    "blank check",    "vendor specific", "copy aborted",   "aborted command",
    "reserved",       "volume overflow", "miscompare",     "completed"};

// nullptr: no text for it.
const char* SenseTextOf(uint8_t asc, uint8_t ascq) {
  for (const SenseText& entry : kSenseTexts) {
    if (entry.asc == asc && (entry.ascq == ascq || entry.ascq < 0)) {
      return entry.text;
    }
  }
  return nullptr;
}

Errc IllegalRequestCode(const Sense& sense) {
  switch (sense.asc) {
    case 0x20:
    case 0x24:
    case 0x26:
      return Errc::kNotSupported;
    case 0x21:
      return sense.ascq == 0x01 ? Errc::kNotFound : Errc::kInvalidArgument;
    case 0x3B:
      if (sense.ascq == 0x0D) return Errc::kExists;
      if (sense.ascq == 0x0E || sense.ascq == 0x11 || sense.ascq == 0x12) {
        return Errc::kNoMedium;
      }
      return Errc::kDeviceError;
    case 0x53:
      return sense.ascq == 0x02 ? Errc::kBusy : Errc::kDeviceError;
    default:
      return Errc::kDeviceError;
  }
}

}  // namespace

Sense DecodeSense(std::span<const uint8_t> bytes) {
  Sense sense;
  if (bytes.empty()) return sense;
  const uint8_t response = bytes[0] & 0x7F;
  if (response < 0x70 || response > 0x73) return sense;
  sense.valid = true;
  sense.deferred = response == 0x71 || response == 0x73;
  if (response < 0x72) {
    DecodeFixed(bytes, &sense);
  } else {
    DecodeDescriptors(bytes, &sense);
  }
  return sense;
}

bool BecomesReady(const Sense& sense) {
  if (!sense.valid || sense.key != kNotReadyKey || sense.asc != 0x04) {
    return false;
  }
  const uint8_t q = sense.ascq;
  return q <= 0x01 || (q >= 0x04 && q <= 0x0A) || q == 0x14 ||
         (q >= 0x1A && q <= 0x1D) || q == 0x24;
}

bool MeansMediumChanged(const Sense& sense) {
  return sense.valid && sense.key == kUnitAttention &&
         (sense.asc == 0x28 || sense.asc == 0x3A);
}

bool MeansReset(const Sense& sense) {
  return sense.valid && sense.key == kUnitAttention && sense.asc == 0x29;
}

bool KeptInDrive(const Sense& sense) {
  if (!sense.valid || sense.key != kIllegalRequest) return false;
  if (sense.asc == 0x53) return true;
  return sense.asc == 0x3B && sense.ascq >= 0x80 && sense.ascq != 0x87;
}

bool ReadsNoOpenDisc(const Sense& sense) {
  if (!sense.valid || sense.deferred) return false;
  if (sense.asc == 0x30 || sense.key == kBlankCheck) return true;
  return sense.Is(kIllegalRequest, 0x21, 0x00) ||
         sense.Is(kIllegalRequest, 0x64, 0x00) ||
         (sense.key == kNotReadyKey && sense.asc == 0x04);
}

bool MeansConditionsChanged(const Sense& sense) {
  return sense.valid && sense.key == kUnitAttention && sense.asc == 0x3F;
}

Errc SenseCode(const Sense& sense) {
  if (!sense.valid) return Errc::kDeviceError;
  if (sense.key == kUnitAttention || sense.key == kAbortedCommand) {
    return Errc::kAborted;
  }
  if (sense.asc == 0x3A) return Errc::kNoMedium;
  if (sense.asc == 0x30) return Errc::kIncompatible;
  if (sense.asc == 0x25 && sense.ascq == 0x00) return Errc::kOffline;
  switch (sense.key) {
    case kNotReadyKey:
      if (sense.asc == 0x04) return Errc::kNotReady;
      if (sense.asc == 0x05) return Errc::kOffline;
      return Errc::kDeviceError;
    case kHardwareError:
      return sense.asc == 0x15 && sense.ascq == 0x01 ? Errc::kNoMedium
                                                     : Errc::kDeviceError;
    case kIllegalRequest:
      return IllegalRequestCode(sense);
    case kDataProtect:
      if (sense.asc != 0x27) return Errc::kDeviceError;
      return sense.ascq == 0x07 ? Errc::kNoSpace : Errc::kWriteProtected;
    case kVolumeOverflow:
      return Errc::kNoSpace;
    default:
      return Errc::kDeviceError;
  }
}

std::string DescribeCode(uint8_t asc, uint8_t ascq) {
  const char* text = SenseTextOf(asc, ascq);
  return fmt::format("{:02X}/{:02X}{}", asc, ascq,
                     text == nullptr ? "" : fmt::format(" ({})", text));
}

std::string Describe(const Sense& sense) {
  if (!sense.valid) return "no sense data";
  const char* known = SenseTextOf(sense.asc, sense.ascq);
  std::string text = fmt::format(
      "{}sense {:X}/{:02X}/{:02X} ({})", sense.deferred ? "deferred " : "",
      sense.key, sense.asc, sense.ascq,
      known == nullptr ? kKeyTexts[sense.key & 0x0F] : known);
  if (sense.information) {
    text += fmt::format(", information {}", *sense.information);
  }
  if (sense.progress_percent) {
    text += fmt::format(", {} % done", *sense.progress_percent);
  }
  return text;
}

}  // namespace vellum::scsi
