// SPDX-License-Identifier: Apache-2.0
#include "media/scsi/device.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <span>
#include <thread>
#include <utility>

namespace vellum::scsi {

namespace {

using std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;

constexpr milliseconds kShortTimeout{20'000};
// More different unit attentions than any device queues.
constexpr size_t kMostAttentions = 8;
constexpr size_t kMostAttentionsWhileWaiting = 64;

std::string TextField(std::span<const uint8_t> bytes, size_t offset,
                      size_t length) {
  if (offset >= bytes.size()) return {};
  const auto field =
      bytes.subspan(offset, std::min(length, bytes.size() - offset));
  std::string text;
  for (const uint8_t byte : field) {
    if (byte == 0) break;
    text.push_back(byte >= 0x20 && byte < 0x7F ? static_cast<char>(byte) : '?');
  }
  const size_t last = text.find_last_not_of(' ');
  text.resize(last == std::string::npos ? 0 : last + 1);
  return text.substr(std::min(text.find_first_not_of(' '), text.size()));
}

ByteSpan Writable(std::span<uint8_t> bytes) {
  return std::as_writable_bytes(bytes);
}

// Ends early when stopped.
void PauseFor(milliseconds duration, std::stop_token stop) {
  std::mutex mu;
  std::condition_variable_any cv;
  std::unique_lock<std::mutex> lock(mu);
  cv.wait_for(lock, stop, duration, [] { return false; });
}

}  // namespace

// What one Run has already tried.
struct Device::Tries {
  std::vector<std::pair<uint8_t, uint8_t>> attentions;  // ASC, ASCQ
  bool failed_once = false;
  std::optional<SteadyClock::time_point> busy_since;
  std::optional<SteadyClock::time_point> waiting_since;
  milliseconds pause{0};

  // Pauses and returns true while `bound` is not over.
  bool Wait(const Patience& patience, milliseconds bound,
            std::optional<SteadyClock::time_point>* since) {
    const auto now = SteadyClock::now();
    if (!*since) *since = now;
    const auto left =
        std::chrono::duration_cast<milliseconds>(**since + bound - now);
    if (left <= milliseconds(0)) return false;
    pause = pause == milliseconds(0)
                ? patience.first_pause
                : std::min(pause * 2, patience.longest_pause);
    std::this_thread::sleep_for(std::min(pause, left));
    return true;
  }
};

Device::Device(std::unique_ptr<Transport> transport, Patience patience)
    : transport_(std::move(transport)), patience_(patience) {}

void Device::Note(const Sense& sense) {
  if (MeansMediumChanged(sense)) medium_changed_ = true;
  if (MeansReset(sense)) reset_ = true;
  if (MeansConditionsChanged(sense)) conditions_changed_ = true;
}

Result<size_t> Device::Run(const std::string& what, const Command& command,
                           Repeat repeat) {
  Sense sense;
  return Run(what, command, repeat, &sense);
}

Result<size_t> Device::Run(const std::string& what, const Command& command,
                           Repeat repeat, Sense* sense) {
  Tries tries;
  for (;;) {
    if (auto result = Try(what, command, repeat, &tries, sense)) {
      return std::move(*result);
    }
  }
}

std::optional<Result<size_t>> Device::Try(const std::string& what,
                                          const Command& command, Repeat repeat,
                                          Tries* tries, Sense* sense) {
  *sense = Sense{};
  const auto failed = [&](Errc code, const std::string& why) {
    return Result<size_t>(code, fmt::format("{}: {}: {}", Name(), what, why));
  };
  Result<Reply> sent = transport_->Execute(command);
  if (!sent.ok()) {
    if (sent.error().code == Errc::kDeviceError &&
        repeat == Repeat::kIdempotent && !tries->failed_once) {
      tries->failed_once = true;
      return std::nullopt;
    }
    return failed(sent.error().code, sent.error().message);
  }
  switch (sent->status) {
    case kGood:
    case kConditionMet:
      return Result<size_t>(sent->transferred);
    case kCheckCondition:
      *sense = DecodeSense(sent->sense);
      return Judge(what, *sent, repeat, tries, *sense);
    case kBusyStatus:
    case kTaskSetFull:
      if (tries->Wait(patience_, patience_.busy, &tries->busy_since)) {
        return std::nullopt;
      }
      return failed(Errc::kBusy, "the device stays busy");
    case kReservationConflict:
      return failed(Errc::kBusy, "reserved by another host");
    case kTaskAborted:
      return failed(Errc::kAborted, "aborted by another host");
    default:
      return failed(Errc::kDeviceError,
                    fmt::format("status 0x{:02X}", sent->status));
  }
}

std::optional<Result<size_t>> Device::Judge(const std::string& what,
                                            const Reply& reply, Repeat repeat,
                                            Tries* tries, const Sense& sense) {
  Note(sense);
  const auto failed = [&](Errc code) {
    return Result<size_t>(
        code, fmt::format("{}: {}: {}", Name(), what, Describe(sense)));
  };
  if (!sense.valid) return failed(Errc::kDeviceError);
  if (sense.key == kNoSense || sense.key == kRecoveredError) {
    if (!sense.deferred) return Result<size_t>(reply.transferred);
    // This command was not carried out (SPC-4 4.5.7).
    if (tries->failed_once) return failed(Errc::kDeviceError);
    tries->failed_once = true;
    return std::nullopt;
  }
  // What failed is an earlier command of somebody: a repetition of this one
  // would hide it.
  if (sense.deferred) return failed(SenseCode(sense));
  if (sense.key == kUnitAttention) {
    const std::pair<uint8_t, uint8_t> code(sense.asc, sense.ascq);
    auto& seen = tries->attentions;
    const bool again =
        std::find(seen.begin(), seen.end(), code) != seen.end() ||
        seen.size() >= kMostAttentions;
    if (again ||
        (repeat == Repeat::kOnlyUnchanged && MeansMediumChanged(sense))) {
      return failed(Errc::kAborted);
    }
    seen.push_back(code);
    return std::nullopt;
  }
  if (BecomesReady(sense)) {
    if (tries->Wait(patience_, patience_.ready, &tries->waiting_since)) {
      return std::nullopt;
    }
    return failed(Errc::kNotReady);
  }
  if (sense.key == kAbortedCommand && repeat == Repeat::kIdempotent &&
      !tries->failed_once) {
    tries->failed_once = true;
    return std::nullopt;
  }
  return failed(SenseCode(sense));
}

Result<Inquiry> Device::Inquire() {
  std::array<uint8_t, 96> data{};
  Command command;
  command.cdb = {0x12, 0, 0, 0, static_cast<uint8_t>(data.size()), 0};
  command.in = Writable(data);
  command.timeout = kShortTimeout;
  ASSIGN_OR_RETURN(const size_t got,
                   Run("INQUIRY", command, Repeat::kIdempotent));
  if (got < 5) {
    return Error{Errc::kDeviceError,
                 fmt::format("{}: INQUIRY: {} bytes only", Name(), got)};
  }
  const uint8_t qualifier = data[0] >> 5;
  Inquiry inquiry;
  inquiry.device_type = data[0] & 0x1F;
  if (qualifier == 1 || qualifier == 3 || inquiry.device_type == 0x1F) {
    return Error{Errc::kOffline,
                 Name() + ": INQUIRY: no device at this logical unit"};
  }
  const auto valid = std::span<const uint8_t>(data).first(
      std::min({data.size(), got, size_t{data[4]} + 5}));
  inquiry.removable = (data[1] & 0x80) != 0;
  inquiry.version = data[2];
  inquiry.queues = valid.size() > 7 && (data[7] & 0x02) != 0;
  inquiry.vendor = TextField(valid, 8, 8);
  inquiry.product = TextField(valid, 16, 16);
  inquiry.revision = TextField(valid, 32, 4);
  const auto page = VitalPage(0x80);
  if (page.ok()) {
    inquiry.serial = TextField(*page, 4, page->size());
  } else if (page.error().code != Errc::kNotSupported) {
    return page.error();
  }
  return inquiry;
}

Result<std::vector<uint8_t>> Device::VitalPage(uint8_t page) {
  std::vector<uint8_t> data(252);
  Command command;
  command.cdb = {0x12, 1, page, 0, static_cast<uint8_t>(data.size()), 0};
  command.in = Writable(data);
  command.timeout = kShortTimeout;
  const std::string what = fmt::format("INQUIRY page {:02X}h", page);
  ASSIGN_OR_RETURN(const size_t got, Run(what, command, Repeat::kIdempotent));
  // Some old devices answer with the standard data.
  if (got < 4 || data[1] != page) {
    return Error{Errc::kNotSupported,
                 fmt::format("{}: {}: not answered", Name(), what)};
  }
  data.resize(
      std::min({data.size(), got, (size_t{data[2]} << 8 | data[3]) + 4}));
  return data;
}

Status Device::WaitReady(milliseconds bound, std::stop_token stop) {
  const std::string what = "TEST UNIT READY";
  const auto deadline = SteadyClock::now() + bound;
  milliseconds pause = patience_.first_pause;
  size_t attentions = 0;
  Command command;
  command.cdb = {0, 0, 0, 0, 0, 0};
  command.timeout = kShortTimeout;
  for (;;) {
    if (stop.stop_requested()) {
      return Status(Errc::kInterrupted,
                    Name() + ": the wait for ready was given up");
    }
    const auto failed = [&](Errc code, const std::string& why) {
      return Status(code, fmt::format("{}: {}: {}", Name(), what, why));
    };
    Result<Reply> sent = transport_->Execute(command);
    if (!sent.ok()) return failed(sent.error().code, sent.error().message);
    std::string last;
    switch (sent->status) {
      case kGood:
        return Status::Ok();
      case kCheckCondition: {
        const Sense sense = DecodeSense(sent->sense);
        Note(sense);
        last = Describe(sense);
        if (sense.valid && sense.key == kRecoveredError) return Status::Ok();
        if (sense.valid && sense.key == kUnitAttention) {
          if (++attentions > kMostAttentionsWhileWaiting) {
            return failed(Errc::kAborted, last);
          }
          if (attentions <= kMostAttentions) continue;
        } else if (!BecomesReady(sense)) {
          return failed(SenseCode(sense), last);
        }
        break;
      }
      case kBusyStatus:
      case kTaskSetFull:
        last = "busy";
        break;
      case kReservationConflict:
        return failed(Errc::kBusy, "reserved by another host");
      default:
        return failed(Errc::kDeviceError,
                      fmt::format("status 0x{:02X}", sent->status));
    }
    const auto left =
        std::chrono::duration_cast<milliseconds>(deadline - SteadyClock::now());
    if (left <= milliseconds(0)) {
      return failed(Errc::kTimedOut, fmt::format("not ready after {} ms: {}",
                                                 bound.count(), last));
    }
    PauseFor(std::min(pause, left), stop);
    pause = std::min(pause * 2, patience_.longest_pause);
  }
}

Status Device::PreventRemoval(bool prevent) {
  Command command;
  command.cdb = {0x1E, 0, 0, 0, static_cast<uint8_t>(prevent ? 1 : 0), 0};
  command.timeout = kShortTimeout;
  return Run(prevent ? "PREVENT MEDIUM REMOVAL" : "ALLOW MEDIUM REMOVAL",
             command, Repeat::kIdempotent)
      .status();
}

}  // namespace vellum::scsi
