// SPDX-License-Identifier: Apache-2.0
#include "media/scsi/scsi_medium.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iterator>
#include <system_error>
#include <thread>
#include <utility>

#include "media/medium_range.h"
#include "media/scsi/block_commands.h"

namespace vellum::scsi {

namespace {

// A drive that corrects errors takes its time; a whole cache of an optical
// drive takes longer.
constexpr std::chrono::seconds kTransferTimeout{120};
constexpr std::chrono::seconds kFlushTimeout{600};

constexpr std::chrono::seconds kCloseTimeout{3600};

constexpr uint8_t kBlankVerify = 0x04;  // of VERIFY (SCSI-2 16.2.13)

// CLOSE TRACK SESSION (MMC-6 6.3.2.3).
constexpr uint8_t kCloseTrack = 1;
constexpr uint8_t kFinalizeDisc = 6;

}  // namespace

ScsiMedium::ScsiMedium(std::shared_ptr<Device> device,
                       std::shared_ptr<DriveAbilities> abilities,
                       const MediumFacts& facts, std::string name,
                       bool verify_writes)
    : device_(std::move(device)),
      abilities_(std::move(abilities)),
      facts_(facts),
      blocks_per_sector_(std::max<uint32_t>(1, kSectorSize / facts.block_size)),
      sectors_per_block_(std::max<uint32_t>(1, facts.block_size / kSectorSize)),
      piece_sectors_(std::max<uint64_t>(
          sectors_per_block_, facts.max_transfer / kSectorSize /
                                  sectors_per_block_ * sectors_per_block_)),
      name_(std::move(name)),
      verify_writes_(verify_writes && !facts.blank) {
  if (BlocksOf({0, facts.sectors}).count > UINT32_MAX) {
    read_length_ = kLongCommands;
    write_length_ = kLongCommands;
  }
}

MediumInfo ScsiMedium::Info() const {
  MediumInfo info;
  info.medium_class = facts_.medium_class;
  info.sectors = facts_.sectors;
  info.atomic_sectors = facts_.atomic_sectors;
  info.write_protected = facts_.write_protected || finalized_;
  info.name = name_;
  return info;
}

// In one step: who comes between taking the device's mark and setting this one
// would see none.
bool ScsiMedium::IsGone() {
  const bool driver_saw = device_->DriverSawChange();
  MutexLock lock(&mu_);
  if (device_->TakeMediumChanged() || driver_saw) gone_ = true;
  return gone_;
}

Status ScsiMedium::CheckUsable(const char* operation, bool changes) {
  if (device_->TakeReset()) was_reset_ = true;
  const auto failed = [&](Errc code, const char* why) {
    return Status(code, fmt::format("{}: {}: {}", name_, operation, why));
  };
  if (IsGone()) {
    return failed(Errc::kNoMedium,
                  "the medium was taken out or changed while it was in use");
  }
  if (dead_) {
    return failed(Errc::kOffline,
                  "the drive did not answer an earlier command");
  }
  if (changes && was_reset_) {
    return failed(Errc::kDeviceError,
                  "the drive was reset: what it had not yet written is lost");
  }
  return Status::Ok();
}

Status ScsiMedium::Failed(const char* operation, SectorRange range,
                          const Error& error, const Sense& sense) {
  // A write that was reported done before, and was not.
  if (sense.valid && sense.deferred) flush_failed_ = true;
  if (error.code == Errc::kTimedOut || error.code == Errc::kOffline) {
    dead_ = true;
  }
  if (error.code == Errc::kNoMedium) {
    MutexLock lock(&mu_);
    gone_ = true;
  }
  uint64_t sector = range.first;
  if (sense.valid && sense.information && !sense.deferred) {
    const uint64_t told =
        *sense.information * sectors_per_block_ / blocks_per_sector_;
    if (told >= range.first && told < range.end()) sector = told;
  }
  Errc code = Errc::kDeviceError;
  if (IsGone()) {
    code = Errc::kNoMedium;
  } else if (dead_) {
    code = Errc::kOffline;
  } else if (error.code == Errc::kWriteProtected ||
             error.code == Errc::kNoSpace) {
    code = error.code;
  }
  return Status(code, fmt::format("{}: {} at sector {}: {}", name_, operation,
                                  sector, error.message));
}

Status ScsiMedium::ForEachPiece(SectorRange range, bool queues,
                                const Piece& piece) {
  const auto end_of = [&](uint64_t at) {
    return std::min(range.end(),
                    at / piece_sectors_ * piece_sectors_ + piece_sectors_);
  };
  if (!queues || end_of(range.first) == range.end()) {
    for (uint64_t at = range.first; at < range.end(); at = end_of(at)) {
      RETURN_IF_ERROR(piece(at, end_of(at) - at));
    }
    return Status::Ok();
  }
  // Two threads take pieces in turn, until one fails.
  Mutex mu;
  uint64_t next = range.first;
  Status first_error;
  const auto work = [&] {
    for (;;) {
      uint64_t at = 0;
      {
        MutexLock lock(&mu);
        if (next >= range.end() || !first_error.ok()) return;
        at = next;
        next = end_of(at);
      }
      const Status status = piece(at, end_of(at) - at);
      MutexLock lock(&mu);
      if (!status.ok() && first_error.ok()) first_error = status;
    }
  };
  try {
    const std::jthread second(work);
    work();
  } catch (const std::system_error& e) {
    spdlog::debug("{}: one command at a time: {}", name_, e.what());
    work();
  }
  return first_error;
}

SectorRange ScsiMedium::BlocksOf(SectorRange range) const {
  return {range.first * blocks_per_sector_ / sectors_per_block_,
          range.count * blocks_per_sector_ / sectors_per_block_};
}

SectorRange ScsiMedium::WholeBlocks(SectorRange range) const {
  const uint64_t unit = sectors_per_block_;
  const uint64_t first = range.first / unit * unit;
  return {first, (range.end() + unit - 1) / unit * unit - first};
}

Status ScsiMedium::Transfer(Direction direction, SectorRange range,
                            ReadBack form, ByteSpan in, ConstByteSpan out,
                            Sense* sense) {
  const bool read = direction == Direction::kRead;
  std::atomic<size_t>& length = read ? read_length_ : write_length_;
  const auto [block, blocks] = BlocksOf(range);
  for (;;) {
    const size_t used = length;
    const BlockOpcodes& codes = kBlockOpcodes[used];
    Command command;
    command.cdb = BlockCdb(read ? codes.read : codes.write, codes.length,
                           static_cast<uint8_t>(form), block, blocks);
    command.in = in;
    command.out = out;
    command.timeout = kTransferTimeout;
    const Result<size_t> done = device_->Run(
        fmt::format("{}({}) of blocks {} to {}", read ? "READ" : "WRITE",
                    codes.length, block, block + blocks - 1),
        command, Repeat::kOnlyUnchanged, sense);
    if (done.ok()) {
      const size_t wanted = in.size() + out.size();
      if (*done >= wanted) return Status::Ok();
      return Status(Errc::kDeviceError,
                    fmt::format("{}: {} of {} bytes were transferred",
                                device_->Name(), *done, wanted));
    }
    const size_t other = used + 1;
    if (!IsUnknownCommand(*sense) || other == std::size(kBlockOpcodes) ||
        (kBlockOpcodes[other].length != 16 && block + blocks > UINT32_MAX)) {
      return done.status();
    }
    size_t expected = used;
    length.compare_exchange_strong(expected, other);
  }
}

Result<bool> ScsiMedium::TransferUncached(SectorRange range, ByteSpan out,
                                          Sense* sense) {
  for (ReadBack form = abilities_->read_back; form != ReadBack::kPlain;
       form = Weaker(form)) {
    const Status status =
        Transfer(Direction::kRead, range, form, out, {}, sense);
    if (status.ok()) {
      abilities_->ReadsBackBy(form);
      return true;
    }
    if (!IsUnknownField(*sense)) return status.error();
  }
  return false;
}

Status ScsiMedium::VerifyOnMedium(SectorRange range, Sense* sense) {
  const BlockOpcodes& codes = kBlockOpcodes[read_length_];
  const SectorRange blocks = BlocksOf(range);
  Command command;
  command.cdb =
      BlockCdb(codes.verify, codes.length, 0, blocks.first, blocks.count);
  command.timeout = kTransferTimeout;
  const Result<size_t> done =
      device_->Run("VERIFY", command, Repeat::kOnlyUnchanged, sense);
  if (done.ok()) return Status::Ok();
  if (IsUnknownCommand(*sense) || IsUnknownField(*sense)) {
    abilities_->takes_verify = false;
    return Status::Ok();
  }
  return ReadFailed("verify", range, done.error(), *sense);
}

Status ScsiMedium::ReadFailed(const char* operation, SectorRange range,
                              const Error& error, const Sense& sense) {
  const bool is_open = facts_.blank && !finalized_;
  bool reads_none = is_open && ReadsNoOpenDisc(sense);
  if (is_open && sense.valid && sense.key == kMediumError &&
      sense.asc == 0x11) {
    const auto next = ReadNextWritable(*device_);
    reads_none = next.ok() && *next && **next <= BlocksOf(range).first;
  }
  if (!reads_none) return Failed(operation, range, error, sense);
  return Status(Errc::kNotSupported,
                fmt::format("{}: the drive reads no disc before it is closed "
                            "({})",
                            name_, error.message));
}

bool ScsiMedium::IsErased(const Sense& sense) const {
  return facts_.has_erased_blocks && sense.valid && !sense.deferred &&
         sense.key == kBlankCheck;
}

Result<bool> ScsiMedium::IsAllErased(SectorRange range) {
  const CommandTurn turn(SharedTurns(), /*alone=*/false);
  const SectorRange blocks = BlocksOf(range);
  // A drive that passes over the bit answers both alike.
  for (const bool for_blank : {false, true}) {
    const BlockOpcodes& codes = kBlockOpcodes[read_length_];
    Command command;
    command.cdb = BlockCdb(codes.verify, codes.length,
                           for_blank ? kBlankVerify : uint8_t{0}, blocks.first,
                           blocks.count);
    command.timeout = kTransferTimeout;
    Sense sense;
    const Result<size_t> done =
        device_->Run("VERIFY", command, Repeat::kOnlyUnchanged, &sense);
    if (done.ok()) {
      if (!for_blank) return false;
    } else if (IsUnknownCommand(sense) || IsUnknownField(sense)) {
      if (!for_blank) abilities_->takes_verify = false;
      return false;
    } else if (IsErased(sense)) {
      if (for_blank) return false;
    } else if (for_blank && sense.valid && !sense.deferred &&
               (sense.key == kMediumError || sense.key == kMiscompare)) {
      return false;  // written there, as some may say it
    } else {
      return Failed("verify", range, done.error(), sense).error();
    }
  }
  return true;
}

Status ScsiMedium::ReadErased(SectorRange range, bool uncached, ByteSpan out) {
  Result<bool> all = range.count <= sectors_per_block_;
  if (all.ok() && !*all && abilities_->takes_verify) all = IsAllErased(range);
  // Another command may have been told that this is another medium.
  const Status usable = CheckUsable("read", /*changes=*/false);
  if (!all.ok() || !usable.ok()) {
    if (uncached) MarkUncached(range);
    return all.ok() ? usable : all.status();
  }
  if (*all) {
    std::fill(out.begin(), out.end(), std::byte{0});
    return Status::Ok();
  }
  if (uncached) MarkUncached(range);
  const uint64_t half =
      range.count / 2 / sectors_per_block_ * sectors_per_block_;
  RETURN_IF_ERROR(ReadPiece(range.first, out.first(half * kSectorSize)));
  return ReadPiece(range.first + half, out.subspan(half * kSectorSize));
}

Status ScsiMedium::ReadPiece(uint64_t lba, ByteSpan out) {
  const SectorRange range{lba, out.size() / kSectorSize};
  if (const SectorRange whole = WholeBlocks(range); whole != range) {
    Bytes blocks(whole.count * kSectorSize);
    RETURN_IF_ERROR(ReadPiece(whole.first, blocks));
    std::memcpy(out.data(), blocks.data() + (lba - whole.first) * kSectorSize,
                out.size());
    return Status::Ok();
  }
  RETURN_IF_ERROR(CheckUsable("read", /*changes=*/false));
  const bool uncached = TakeUncached(range);
  ASSIGN_OR_RETURN(const bool has_erased, ReadBlocks(range, uncached, out));
  return has_erased ? ReadErased(range, uncached, out) : Status::Ok();
}

Result<bool> ScsiMedium::ReadBlocks(SectorRange range, bool uncached,
                                    ByteSpan out) {
  const CommandTurn turn(SharedTurns(), /*alone=*/false);
  Sense sense;
  if (uncached) {
    const Result<bool> done = TransferUncached(range, out, &sense);
    if (!done.ok()) {
      if (IsErased(sense)) return true;
      MarkUncached(range);
      return ReadFailed("read", range, done.error(), sense).error();
    }
    if (*done) return false;
  }
  Status verified;
  if (uncached && abilities_->takes_verify) {
    verified = VerifyOnMedium(range, &sense);
    // Which blocks are erased, the READ tells.
    if (!verified.ok() && !IsErased(sense)) {
      MarkUncached(range);
      return verified.error();
    }
  }
  const Status status =
      Transfer(Direction::kRead, range, ReadBack::kPlain, out, {}, &sense);
  if (status.ok() && verified.ok()) {
    if (uncached) abilities_->ReadsBackBy(ReadBack::kPlain);
    return false;
  }
  if (!status.ok() && IsErased(sense)) return true;
  if (uncached) MarkUncached(range);
  if (status.ok()) return verified.error();  // what is only in the cache
  return ReadFailed("read", range, status.error(), sense).error();
}

Status ScsiMedium::Read(uint64_t lba, ByteSpan out) {
  RETURN_IF_ERROR(CheckTransfer(Info(), "read", lba, out.size()));
  const uint64_t sectors = out.size() / kSectorSize;
  const uint64_t written = std::max(lba, std::min(Written(), lba + sectors));
  std::fill(out.begin() + static_cast<ptrdiff_t>((written - lba) * kSectorSize),
            out.end(), std::byte{0});
  if (written == lba) return CheckUsable("read", /*changes=*/false);
  RETURN_IF_ERROR(ForEachPiece({lba, written - lba}, facts_.queues_reads,
                               [&](uint64_t at, uint64_t count) {
                                 return ReadPiece(
                                     at, out.subspan((at - lba) * kSectorSize,
                                                     count * kSectorSize));
                               }));
  // The device tells one command alone of a change, and that one may be
  // answered later than a read of the other medium.
  if (CommandTurns* const turns = SharedTurns()) turns->AwaitGiven();
  return CheckUsable("read", /*changes=*/false);
}

Status ScsiMedium::Write(uint64_t lba, ConstByteSpan data) {
  const MediumInfo info = Info();
  RETURN_IF_ERROR(CheckTransfer(info, "write", lba, data.size()));
  RETURN_IF_ERROR(CheckWritable(info, "write"));
  return facts_.blank ? WriteOnce(lba, data) : WritePieces(lba, data);
}

uint64_t ScsiMedium::Written() const {
  if (!facts_.blank) return facts_.sectors;
  MutexLock lock(&mu_);
  return next_;
}

Status ScsiMedium::WriteOnce(uint64_t lba, ConstByteSpan data) {
  {
    MutexLock lock(&mu_);
    if (lba != next_ || writing_) {
      return Status(Errc::kInvalidArgument,
                    fmt::format("{}: write at sector {}: a write-once medium "
                                "is written in order, next is sector {}",
                                name_, lba, next_));
    }
    writing_ = true;
  }
  const Status written = WritePieces(lba, data);
  MutexLock lock(&mu_);
  // After an error the place where the drive would go on is not known: no
  // other write is let through.
  if (!written.ok()) return written;
  writing_ = false;
  next_ += data.size() / kSectorSize;
  return written;
}

Status ScsiMedium::CloseDisc(uint8_t function) {
  Command command;
  command.cdb = {0x5B, 0, function, 0, 0, 1, 0, 0, 0, 0};
  command.timeout = kCloseTimeout;
  Sense sense;
  const Result<size_t> done = device_->Run("CLOSE TRACK SESSION", command,
                                           Repeat::kOnlyUnchanged, &sense);
  if (!done.ok()) return Failed("close", {0, 1}, done.error(), sense);
  // Some drives answer at once and are not ready while they close.
  return device_->WaitReady(kCloseTimeout).WithContext(name_ + ": close");
}

Status ScsiMedium::Finalize() {
  RETURN_IF_ERROR(CheckWritable(Info(), "finalize"));
  if (!facts_.blank) {
    return Status(Errc::kNotSupported,
                  name_ + ": finalize: this medium is not written once");
  }
  RETURN_IF_ERROR(Flush());
  finalized_ = true;  // whatever comes now
  RETURN_IF_ERROR(CloseDisc(kCloseTrack));
  Result<bool> complete = ReadDiscComplete(*device_);
  if (complete.ok() && !*complete) {
    RETURN_IF_ERROR(CloseDisc(kFinalizeDisc));
    complete = ReadDiscComplete(*device_);
  }
  if (!complete.ok()) return complete.status().WithContext(name_);
  if (*complete) {
    // A disc that became another one by being closed (6/28/00) is still ours:
    // removal is prevented.
    device_->TakeMediumChanged();
    return device_->HoldMedium().status().WithContext(name_);
  }
  return Status(Errc::kDeviceError,
                name_ +
                    ": finalize: the drive does not call the disc "
                    "complete");
}

Status ScsiMedium::Flush() {
  const CommandTurn turn(SharedTurns(), /*alone=*/false);
  RETURN_IF_ERROR(CheckUsable("flush", /*changes=*/true));
  if (flush_failed_) {
    return Status(Errc::kDeviceError,
                  fmt::format("{}: flush: an earlier write or flush failed, "
                              "what was written since is not known to be "
                              "durable",
                              name_));
  }
  if (facts_.write_protected || !has_cache_) return Status::Ok();
  Command command;
  command.cdb = BlockCdb(0x35, 10, 0, 0, 0);
  command.timeout = kFlushTimeout;
  Sense sense;
  const Result<size_t> done = device_->Run("SYNCHRONIZE CACHE", command,
                                           Repeat::kOnlyUnchanged, &sense);
  if (done.ok()) {
    // A reset while it was running may have come before it.
    const Status usable = CheckUsable("flush", /*changes=*/true);
    if (!usable.ok()) flush_failed_ = true;
    return usable;
  }
  if (IsUnknownCommand(sense)) {
    has_cache_ = false;  // then what is written is written
    return Status::Ok();
  }
  flush_failed_ = true;
  const Status failed = Failed("flush", {0, 0}, done.error(), sense);
  return Status(failed.code(),
                fmt::format("{}: flush: {}", name_, done.error().message));
}

Result<SectorRange> ScsiMedium::NextAllocated(SectorRange from) {
  RETURN_IF_ERROR(
      CheckSectorRange(Info(), "search for data", from.first, from.count));
  const uint64_t written = Written();
  if (from.first >= written) return SectorRange{from.end(), 0};
  return SectorRange{from.first, std::min(from.end(), written) - from.first};
}

void ScsiMedium::DropReadCache(uint64_t lba, uint64_t count) {
  if (count == 0 || !CheckSectorRange(Info(), "drop cache", lba, count).ok()) {
    return;
  }
  MarkUncached({lba, count});
}

const char* ScsiMedium::ReadBackMethod() const {
  const ReadBack form = abilities_->read_back;
  if (form != ReadBack::kPlain) return ReadBackName(form);
  return abilities_->takes_verify ? "VERIFY" : "not";
}

void ScsiMedium::MarkUncached(SectorRange range) {
  MutexLock lock(&mu_);
  uint64_t first = range.first;
  uint64_t end = range.end();
  auto it = uncached_.upper_bound(first);
  if (it != uncached_.begin() && std::prev(it)->second >= first) --it;
  while (it != uncached_.end() && it->first <= end) {
    first = std::min(first, it->first);
    end = std::max(end, it->second);
    it = uncached_.erase(it);
  }
  uncached_[first] = end;
}

// Whether any sector of the range was marked; none is afterwards.
bool ScsiMedium::TakeUncached(SectorRange range) {
  MutexLock lock(&mu_);
  bool found = false;
  auto it = uncached_.upper_bound(range.first);
  if (it != uncached_.begin()) --it;
  while (it != uncached_.end() && it->first < range.end()) {
    const auto [first, end] = *it;
    if (end <= range.first) {
      ++it;
      continue;
    }
    found = true;
    it = uncached_.erase(it);
    if (first < range.first) uncached_[first] = range.first;
    if (end > range.end()) it = uncached_.insert({range.end(), end}).first;
  }
  return found;
}

}  // namespace vellum::scsi
