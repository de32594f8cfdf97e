// SPDX-License-Identifier: Apache-2.0
#include "tests/support/scsi_disk.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "media/mutex.h"
#include "media/scsi/big_endian.h"
#include "tests/support/scripted_transport.h"

namespace vellum {

using scsi::Command;
using scsi::GetBig;
using scsi::Reply;

ScsiCartridge::ScsiCartridge(uint32_t size_of_block, uint64_t count)
    : block_size(size_of_block), data(size_of_block * count) {}

class ScsiDisk::State {
 public:
  explicit State(const ScsiDiskOptions& disk) : options(disk) {}

  Result<Reply> Execute(const Command& command);

  Result<Reply> Answer(const Command& command) REQUIRES(mu);
  Result<Reply> Inquire(const Command& command) REQUIRES(mu);
  Result<Reply> TestReady(const Command& command) REQUIRES(mu);
  Result<Reply> Transfer(const Command& command) REQUIRES(mu);
  Result<Reply> WriteSame(const Command& command) REQUIRES(mu);
  Result<Reply> Optical(const Command& command) REQUIRES(mu);
  Result<Reply> Capacity(const Command& command) REQUIRES(mu);
  Result<Reply> StartStop(const Command& command) REQUIRES(mu);
  Result<Reply> ReportOperation(const Command& command) REQUIRES(mu);
  void FlushCache() REQUIRES(mu);
  void Put(std::shared_ptr<ScsiCartridge> cartridge, bool attention)
      REQUIRES(mu);

  const ScsiDiskOptions options;
  mutable Mutex mu;
  CondVar overlap;
  std::shared_ptr<ScsiCartridge> inside GUARDED_BY(mu);
  // Written and not synchronised: block -> content.
  std::map<uint64_t, std::vector<std::byte>> cache GUARDED_BY(mu);
  // Synchronised, and still in the read cache.
  std::map<uint64_t, std::vector<std::byte>> clean GUARDED_BY(mu);
  std::deque<std::pair<uint8_t, uint8_t>> attentions GUARDED_BY(mu);
  std::vector<ScsiDiskCommand> log GUARDED_BY(mu);
  struct Failure {
    uint8_t operation, key, asc, ascq;
  };
  std::optional<Failure> failure GUARDED_BY(mu);
  std::optional<std::pair<uint8_t, std::shared_ptr<ScsiCartridge>>> swap
      GUARDED_BY(mu);
  bool prevented GUARDED_BY(mu) = false;
  bool ejected GUARDED_BY(mu) = false;
  bool hangs GUARDED_BY(mu) = false;
  bool vanished GUARDED_BY(mu) = false;
  bool needs_start GUARDED_BY(mu) = false;
  int ready_after GUARDED_BY(mu) = 0;
  int appears_after GUARDED_BY(mu) = 0;
  bool tray_open GUARDED_BY(mu) = false;
  int running GUARDED_BY(mu) = 0;
  int most_running GUARDED_BY(mu) = 0;
  int awaited GUARDED_BY(mu) = 1;
};

namespace {

struct Range {
  uint64_t block = 0;
  uint64_t blocks = 0;
};

Range RangeOf(const std::vector<uint8_t>& cdb) {
  switch (cdb.size()) {
    case 10:
      return {GetBig(cdb, 2, 4), GetBig(cdb, 7, 2)};
    case 12:
      return {GetBig(cdb, 2, 4), GetBig(cdb, 6, 4)};
    default:
      return {GetBig(cdb, 2, 8), GetBig(cdb, 10, 4)};
  }
}

void PutText(std::vector<uint8_t>* out, const std::string& text, size_t width) {
  for (size_t i = 0; i < width; ++i) {
    out->push_back(i < text.size() ? static_cast<uint8_t>(text[i]) : ' ');
  }
}

bool IsRead(uint8_t code) {
  return code == 0x28 || code == 0xA8 || code == 0x88;
}
bool IsCheckedWrite(uint8_t code) {
  return code == 0x2E || code == 0xAE || code == 0x8E;
}
bool IsWrite(uint8_t code) {
  return code == 0x2A || code == 0xAA || code == 0x8A || IsCheckedWrite(code);
}
bool IsZeroing(uint8_t code) { return code == 0x41 || code == 0x93; }
bool IsVerify(uint8_t code) {
  return code == 0x2F || code == 0xAF || code == 0x8F;
}

}  // namespace

void ScsiDisk::State::FlushCache() {
  for (const auto& [block, content] : cache) {
    std::memcpy(inside->data.data() + block * inside->block_size,
                content.data(), content.size());
    if (inside->weak.count(block) != 0) {
      inside->data[block * inside->block_size] ^= std::byte{0xFF};
    }
    clean[block] = content;
  }
  cache.clear();
}

void ScsiDisk::State::Put(std::shared_ptr<ScsiCartridge> cartridge,
                          bool attention) {
  cache.clear();
  clean.clear();
  inside = std::move(cartridge);
  ejected = false;
  if (attention) attentions.emplace_back(0x28, 0x00);
}

Result<Reply> ScsiDisk::State::Inquire(const Command& command) {
  std::vector<uint8_t> data;
  if ((command.cdb[1] & 1) == 0) {
    data = {options.device_type,
            static_cast<uint8_t>(options.removable ? 0x80 : 0),
            options.version,
            2,
            31,
            0,
            0,
            static_cast<uint8_t>(options.queues ? 2 : 0)};
    PutText(&data, options.vendor, 8);
    PutText(&data, options.product, 16);
    PutText(&data, "0001", 4);
    return Data(data)(command);
  }
  data = {options.device_type, command.cdb[2], 0, 0};
  if (command.cdb[2] == 0x80 && !options.serial.empty()) {
    PutText(&data, options.serial, options.serial.size());
  } else if (const uint64_t most =
                 options.tells_write_same ? options.most_write_same : 0;
             command.cdb[2] == 0xB0 &&
             (options.block_limit != 0 || most != 0)) {
    scsi::PutBig(&data, 0, 4);
    scsi::PutBig(&data, options.block_limit, 4);
    data.resize(36);
    scsi::PutBig(&data, most, 8);
    data.resize(64);
  } else {
    return Check(5, 0x24, 0x00)(command);
  }
  data[3] = static_cast<uint8_t>(data.size() - 4);
  return Data(data)(command);
}

Result<Reply> ScsiDisk::State::TestReady(const Command& command) {
  if (tray_open) return Check(2, 0x3A, 0x02)(command);
  if (appears_after > 0) {
    --appears_after;
    return Check(2, 0x3A, 0x00)(command);
  }
  if (ready_after > 0) {
    --ready_after;
    return Check(2, 0x04, 0x01)(command);
  }
  if (needs_start) return Check(2, 0x04, 0x02)(command);
  if (inside && !ejected) return Good()(command);
  return Check(2, 0x3A, 0x00)(command);
}

Result<Reply> ScsiDisk::State::StartStop(const Command& command) {
  const bool start = (command.cdb[4] & 1) != 0;
  const bool eject = (command.cdb[4] & 2) != 0;
  if (eject && !start && prevented) return Check(5, 0x53, 0x02)(command);
  if (start) needs_start = false;
  if (eject) ejected = !start;
  if (eject && start) tray_open = false;
  return Good()(command);
}

Result<Reply> ScsiDisk::State::ReportOperation(const Command& command) {
  if (!options.reports_operations) return Check(5, 0x20, 0x00)(command);
  const uint8_t support = options.unknown.count(command.cdb[3]) != 0 ? 1 : 3;
  return Data(std::vector<uint8_t>{0, support, 0, 0})(command);
}

Result<Reply> ScsiDisk::State::Capacity(const Command& command) {
  std::vector<uint8_t> data;
  const uint64_t last = inside->blank ? 0 : inside->blocks() - 1;
  if (command.cdb[0] == 0x25) {
    scsi::PutBig(&data, std::min<uint64_t>(last, UINT32_MAX), 4);
    scsi::PutBig(&data, inside->block_size, 4);
  } else {
    scsi::PutBig(&data, last, 8);
    scsi::PutBig(&data, inside->block_size, 4);
    data.push_back(0);
    data.push_back(options.physical_exponent);
    data.resize(32);
  }
  return Data(data)(command);
}

Result<Reply> ScsiDisk::State::Optical(const Command& command) {
  std::vector<uint8_t> data;
  switch (command.cdb[0]) {
    case 0x46:
      data = {0, 0, 0, 4, 0, 0};
      scsi::PutBig(&data, inside->profile, 2);
      break;
    case 0x51:
      data = {0, 32, 0x0E};
      if (inside->blank) data[2] = inside->next == 0 ? 0x00 : 0x05;
      data.resize(34);
      break;
    case 0x5B:
      inside->blank = command.cdb[2] != options.closing_function;
      return Good()(command);
    case 0x52:
      data.resize(12);
      data[7] = inside->blank ? 1 : 0;
      scsi::PutBig(&data,
                   inside->blank
                       ? (options.forgets_open_disc ? 0 : inside->next)
                       : inside->blocks(),
                   4);
      scsi::PutBig(&data, inside->blank ? inside->blocks() : 0, 4);
      data.resize(36);
      break;
    default:  // READ DISC STRUCTURE
      data = {0, 6, 0, 0, static_cast<uint8_t>(inside->write_protected ? 4 : 0),
              0, 0, 0};
      break;
  }
  return Data(data)(command);
}

Result<Reply> ScsiDisk::State::Transfer(const Command& command) {
  const uint8_t code = command.cdb[0];
  const Range range = RangeOf(command.cdb);
  const uint32_t size = inside->block_size;
  const bool fua = !IsVerify(code) && (command.cdb[1] & 0x08) != 0;
  const bool compares = IsCheckedWrite(code) && (command.cdb[1] & 0x02) != 0;
  if (compares && !options.takes_compare) return Check(5, 0x24, 0x00)(command);
  const bool dpo = !IsVerify(code) && (command.cdb[1] & 0x10) != 0;
  if (dpo && !options.takes_dpo) return Check(5, 0x24, 0x00)(command);
  if (fua && !options.takes_fua) return Check(5, 0x24, 0x00)(command);
  if (inside->blank && IsRead(code) && options.open_disc_sense) {
    const auto& sense = *options.open_disc_sense;
    return Check(sense[0], sense[1], sense[2])(command);
  }
  if (range.block + range.blocks > inside->blocks()) {
    return Check(5, 0x21, 0x00)(command);
  }
  if (options.block_limit != 0 && range.blocks > options.block_limit) {
    return Check(5, 0x24, 0x00)(command);
  }
  const size_t bytes = IsRead(code) ? command.in.size() : command.out.size();
  if (!IsVerify(code) && bytes != range.blocks * size) {
    return Check(5, 0x24, 0x00)(command);
  }
  if (IsWrite(code) && inside->write_protected) {
    return Check(7, 0x27, 0x00)(command);
  }
  if (inside->blank && IsWrite(code)) {
    if (range.block != inside->next) return Check(5, 0x21, 0x02)(command);
    inside->next += range.blocks;
  } else if (inside->blank && range.block + range.blocks > inside->next) {
    return Check(8, 0x00, 0x00)(command);
  }
  const auto refused = inside->refused.lower_bound(range.block);
  if (refused != inside->refused.end() &&
      *refused < range.block + range.blocks) {
    return Check(5, 0x24, 0x00)(command);
  }
  if (fua || IsVerify(code)) FlushCache();
  const bool for_blank = IsVerify(code) && options.takes_blank_verify &&
                         (command.cdb[1] & 0x04) != 0;
  for (uint64_t i = 0; !IsWrite(code) && i < range.blocks; ++i) {
    const bool is_erased = inside->erased.count(range.block + i) != 0;
    if (is_erased != for_blank) {
      return Check(8, 0x00, 0x00,
                   static_cast<int64_t>(range.block + i))(command);
    }
  }
  if (for_blank) return Good()(command);
  for (uint64_t i = 0; i < range.blocks; ++i) {
    const uint64_t block = range.block + i;
    if (IsWrite(code)) {
      const std::byte* from = command.out.data() + i * size;
      inside->erased.erase(block);
      cache[block] = {from, from + size};
      continue;
    }
    const std::byte* from = inside->data.data() + block * size;
    const auto fresh = cache.find(block);
    const auto old = clean.find(block);
    const bool cached =
        !fua && !IsVerify(code) && (fresh != cache.end() || old != clean.end());
    if (cached) {
      from = fresh != cache.end() ? fresh->second.data() : old->second.data();
    } else if (inside->unreadable.count(block) != 0) {
      return Check(3, 0x11, 0x00, static_cast<int64_t>(block))(command);
    }
    if (IsRead(code)) std::memcpy(command.in.data() + i * size, from, size);
  }
  if (IsCheckedWrite(code)) FlushCache();
  if (compares && std::memcmp(inside->data.data() + range.block * size,
                              command.out.data(), bytes) != 0) {
    return Check(0xE, 0x1D, 0x00)(command);
  }
  Reply reply;
  reply.transferred = bytes;
  return reply;
}

Result<Reply> ScsiDisk::State::WriteSame(const Command& command) {
  const Range range = RangeOf(command.cdb);
  const uint32_t size = inside->block_size;
  if (command.out.size() != size) return Check(5, 0x24, 0x00)(command);
  if (range.block + range.blocks > inside->blocks()) {
    return Check(5, 0x21, 0x00)(command);
  }
  if (inside->write_protected) return Check(7, 0x27, 0x00)(command);
  if (options.most_write_same != 0 && range.blocks > options.most_write_same) {
    return Check(5, 0x24, 0x00)(command);
  }
  for (uint64_t i = 0; i < range.blocks; ++i) {
    cache[range.block + i] = {command.out.begin(), command.out.end()};
  }
  Reply reply;
  reply.transferred = size;
  return reply;
}

Result<Reply> ScsiDisk::State::Answer(const Command& command) {
  const uint8_t code = command.cdb[0];
  if (options.unknown.count(code) != 0) return Check(5, 0x20, 0x00)(command);
  if (code == 0x12) return Inquire(command);
  if (!attentions.empty()) {
    const auto [asc, ascq] = attentions.front();
    attentions.pop_front();
    return Check(6, asc, ascq)(command);
  }
  if (failure && failure->operation == code) {
    const Failure f = *std::exchange(failure, std::nullopt);
    return Check(f.key, f.asc, f.ascq)(command);
  }
  if (swap && swap->first == code) {
    Put(std::exchange(swap, std::nullopt)->second, /*attention=*/true);
    return Answer(command);
  }
  switch (code) {
    case 0x00:
      return TestReady(command);
    case 0x1B:
      return StartStop(command);
    case 0xA3:
      return ReportOperation(command);
    case 0x1E:
      prevented = (command.cdb[4] & 1) != 0;
      return Good()(command);
    default:
      break;
  }
  if (!inside || ejected) return Check(2, 0x3A, 0x00)(command);
  if (IsRead(code) || IsWrite(code) || IsVerify(code)) return Transfer(command);
  const bool optical = options.device_type == 5;
  switch (code) {
    case 0x41:
    case 0x93:
      return optical ? Check(5, 0x20, 0x00)(command) : WriteSame(command);
    case 0x25:
      return Capacity(command);
    case 0x9E:
      return optical ? Check(5, 0x20, 0x00)(command) : Capacity(command);
    case 0x1A: {
      const uint8_t wp = inside->write_protected ? 0x80 : 0;
      return optical ? Check(5, 0x20, 0x00)(command)
                     : Data(std::vector<uint8_t>{3, inside->medium_type, wp,
                                                 0})(command);
    }
    case 0x35:
      FlushCache();
      return Good()(command);
    case 0x46:
    case 0x51:
    case 0x52:
    case 0x5B:
    case 0xAD:
      if (optical) return Optical(command);
      break;
    default:
      break;
  }
  return Check(5, 0x20, 0x00)(command);
}

Result<Reply> ScsiDisk::State::Execute(const Command& command) {
  const uint8_t code = command.cdb[0];
  MutexLock lock(&mu);
  log.push_back({command.cdb, command.in.size() + command.out.size()});
  if (hangs) {
    return Error{Errc::kTimedOut, options.name + ": no answer in time"};
  }
  if (vanished) return Error{Errc::kOffline, options.name + ": gone"};
  if (command.in.size() + command.out.size() > options.transport_limit) {
    return Error{Errc::kInvalidArgument, options.name + ": too much data"};
  }
  ++running;
  most_running = std::max(most_running, running);
  overlap.NotifyAll();
  if (IsRead(code) || IsWrite(code) || IsZeroing(code) || code == 0x35) {
    // Bounded: a caller that sends one command at a time only pays the time.
    const auto deadline =
        std::chrono::steady_clock::now() + std::chrono::seconds(2);
    while (most_running < awaited &&
           std::chrono::steady_clock::now() < deadline) {
      overlap.WaitFor(&mu, std::chrono::milliseconds(50));
    }
  }
  Result<Reply> reply = Answer(command);
  --running;
  return reply;
}

class ScsiDisk::MemoryTransport : public scsi::Transport {
 public:
  explicit MemoryTransport(std::shared_ptr<State> state)
      : state_(std::move(state)) {}
  Result<Reply> Execute(const Command& command) override {
    return state_->Execute(command);
  }
  size_t MaxTransfer() const override {
    return state_->options.transport_limit;
  }
  std::string Name() const override { return state_->options.name; }

 private:
  const std::shared_ptr<State> state_;
};

ScsiDisk::ScsiDisk(const ScsiDiskOptions& options)
    : state_(std::make_shared<State>(options)) {}

void ScsiDisk::Insert(std::shared_ptr<ScsiCartridge> cartridge,
                      bool attention) {
  MutexLock lock(&state_->mu);
  state_->Put(std::move(cartridge), attention);
}

std::shared_ptr<ScsiCartridge> ScsiDisk::Remove() {
  MutexLock lock(&state_->mu);
  if (state_->inside) state_->FlushCache();
  state_->clean.clear();
  return std::exchange(state_->inside, nullptr);
}

bool ScsiDisk::ejected() const {
  MutexLock lock(&state_->mu);
  return state_->ejected;
}

bool ScsiDisk::prevented() const {
  MutexLock lock(&state_->mu);
  return state_->prevented;
}

void ScsiDisk::Attention(uint8_t asc, uint8_t ascq) {
  MutexLock lock(&state_->mu);
  state_->attentions.emplace_back(asc, ascq);
}

void ScsiDisk::Reset() {
  MutexLock lock(&state_->mu);
  state_->cache.clear();
  state_->clean.clear();
  state_->prevented = false;
  state_->attentions.emplace_back(0x29, 0x00);
}

void ScsiDisk::Hang() {
  MutexLock lock(&state_->mu);
  state_->hangs = true;
}

void ScsiDisk::Vanish() {
  MutexLock lock(&state_->mu);
  state_->vanished = true;
}

void ScsiDisk::BecomeReadyAfter(int questions) {
  MutexLock lock(&state_->mu);
  state_->ready_after = questions;
}

void ScsiDisk::AppearAfter(int questions) {
  MutexLock lock(&state_->mu);
  state_->appears_after = questions;
}

void ScsiDisk::OpenTray() {
  MutexLock lock(&state_->mu);
  state_->tray_open = true;
}

void ScsiDisk::NeedStart() {
  MutexLock lock(&state_->mu);
  state_->needs_start = true;
}

void ScsiDisk::FailNext(uint8_t operation, uint8_t key, uint8_t asc,
                        uint8_t ascq) {
  MutexLock lock(&state_->mu);
  state_->failure = State::Failure{operation, key, asc, ascq};
}

void ScsiDisk::SwapDuring(uint8_t operation,
                          std::shared_ptr<ScsiCartridge> cartridge) {
  MutexLock lock(&state_->mu);
  state_->swap.emplace(operation, std::move(cartridge));
}

std::vector<ScsiDiskCommand> ScsiDisk::Log() const {
  MutexLock lock(&state_->mu);
  return state_->log;
}

size_t ScsiDisk::Count(uint8_t operation) const {
  MutexLock lock(&state_->mu);
  return static_cast<size_t>(std::count_if(
      state_->log.begin(), state_->log.end(),
      [&](const ScsiDiskCommand& c) { return c.cdb[0] == operation; }));
}

void ScsiDisk::AwaitOverlap(int expect) {
  MutexLock lock(&state_->mu);
  state_->awaited = expect;
}

int ScsiDisk::most_at_once() const {
  MutexLock lock(&state_->mu);
  return state_->most_running;
}

std::unique_ptr<scsi::Transport> ScsiDisk::Open() const {
  return std::make_unique<MemoryTransport>(state_);
}

}  // namespace vellum
