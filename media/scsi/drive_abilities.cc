// SPDX-License-Identifier: Apache-2.0
#include "media/scsi/drive_abilities.h"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <span>
#include <vector>

#include "media/scsi/big_endian.h"
#include "media/scsi/block_commands.h"

namespace vellum::scsi {

namespace {

constexpr std::chrono::seconds kReportTimeout{20};
constexpr uint8_t kSpc3 = 5;  // in byte 2 of INQUIRY
constexpr uint8_t kBlockLimitsPage = 0xB0;

// What REPORT SUPPORTED OPERATION CODES says of one command (SPC-4 6.35.3).
enum class Supported : uint8_t { kUnknown, kYes, kNo };

Result<Supported> AskOperation(Device& device, uint8_t operation) {
  std::array<uint8_t, 4> answer{};
  Command command;
  command.cdb = {0xA3, 0x0C, 1, operation, 0,
                 0,    0,    0, 0,         static_cast<uint8_t>(answer.size()),
                 0,    0};
  command.in = std::as_writable_bytes(std::span(answer));
  command.timeout = kReportTimeout;
  const auto got = device.Run(
      fmt::format("REPORT SUPPORTED OPERATION CODES ({:02X}h)", operation),
      command, Repeat::kIdempotent);
  if (got.status().Is(Errc::kNotSupported)) return Supported::kUnknown;
  if (!got.ok()) return got.error();
  if (*got < 2) return Supported::kUnknown;
  switch (answer[1] & 0x07) {
    case 1:
      return Supported::kNo;
    case 3:
    case 5:
      return Supported::kYes;
    default:
      return Supported::kUnknown;
  }
}

}  // namespace

ReadBack Weaker(ReadBack form) {
  return form == ReadBack::kDpoAndFua ? ReadBack::kFua : ReadBack::kPlain;
}

const char* ReadBackName(ReadBack form) {
  switch (form) {
    case ReadBack::kDpoAndFua:
      return "DPO and FUA";
    case ReadBack::kFua:
      return "FUA";
    case ReadBack::kPlain:
      break;
  }
  return "plain";
}

void DriveAbilities::ReadsBackBy(ReadBack form) {
  ReadBack now = read_back;
  while (form < now && !read_back.compare_exchange_weak(now, form)) {
  }
}

Result<WriteSameFacts> AskWriteSame(Device& device) {
  WriteSameFacts facts;
  ASSIGN_OR_RETURN(const Inquiry inquiry, device.Inquire());
  if (inquiry.version < kSpc3) return facts;
  ASSIGN_OR_RETURN(const Supported short_form,
                   AskOperation(device, kWriteSame10));
  ASSIGN_OR_RETURN(const Supported long_form,
                   AskOperation(device, kWriteSame16));
  facts.takes_10 = short_form != Supported::kNo;
  facts.takes_16 = long_form != Supported::kNo;
  facts.told = short_form != Supported::kUnknown;
  const auto limits = device.VitalPage(kBlockLimitsPage);
  if (limits.ok()) {
    facts.most_blocks = GetBig(*limits, 36, 8);
  } else if (!limits.status().Is(Errc::kNotSupported)) {
    return limits.error();
  }
  return facts;
}

}  // namespace vellum::scsi
