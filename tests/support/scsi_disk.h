// SPDX-License-Identifier: Apache-2.0
// A SCSI drive with media, in memory, that answers commands: disk, optical
// memory or optical disc drive, with the quirks that a test asks for.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "media/scsi/transport.h"

namespace vellum {

// What is in the drive. Shared with the test.
struct ScsiCartridge {
  ScsiCartridge(uint32_t size_of_block, uint64_t count);

  uint32_t block_size;
  std::vector<std::byte> data;
  bool write_protected = false;
  uint16_t profile = 0;  // for optical disc drives
  bool blank = false;    // write-once: not closed
  uint64_t next = 0;     // of a blank one: where the next write must be
  std::set<uint64_t> unreadable;  // blocks that answer 3/11/00
  std::set<uint64_t> refused;     // blocks whose transfer answers 5/24/00
  std::set<uint64_t> weak;        // blocks that do not keep what is written
  std::set<uint64_t> erased;      // blocks that answer 8/00/00 until written
  uint8_t medium_type = 3;        // of the mode parameter header

  uint64_t blocks() const { return data.size() / block_size; }
};

struct ScsiDiskOptions {
  uint8_t device_type = 0;
  std::string name = "/dev/memory";
  std::string vendor = "VELLUM";
  std::string product = "MEMORY DISK";
  std::string serial = "SN0001";
  uint8_t physical_exponent = 0;  // of READ CAPACITY(16)
  uint32_t block_limit = 0;       // Block Limits page; 0: no such page
  size_t transport_limit = 1 << 20;
  bool removable = true;
  uint8_t version = 6;  // of INQUIRY: SPC-4
  bool queues = true;   // CMDQUE
  // VERIFY: with BLKVFY looks for blocks that are not erased.
  bool takes_blank_verify = true;
  bool takes_dpo = true;
  bool takes_fua = true;
  bool takes_compare = true;  // BYTCHK of WRITE AND VERIFY
  // The CLOSE TRACK SESSION that makes a disc complete: 6, or 1 on drives that
  // are quick to close.
  uint8_t closing_function = 6;
  // REPORT SUPPORTED OPERATION CODES tells of one command at a time.
  bool reports_operations = false;
  uint64_t most_write_same = 0;  // blocks; 0: any number
  bool tells_write_same = true;  // that, on the Block Limits page
  // What a READ of a disc that is not closed answers, if not its data, and
  // whether the drive says then that nothing is recorded.
  std::optional<std::array<uint8_t, 3>> open_disc_sense = {};
  bool forgets_open_disc = false;
  std::set<uint8_t> unknown = {};  // operation codes that answer 5/20/00
};

struct ScsiDiskCommand {
  std::vector<uint8_t> cdb;
  size_t bytes = 0;
};

// Ownership: a handle; copies and the transports that it opened are one drive.
// Thread-safety: all methods, and Execute, may be called concurrently.
//
// It has a volatile cache: what was written and not yet synchronised is lost
// by Reset. Reads without FUA are answered from a cache that remembers what was
// written, reads with FUA and VERIFY from the cartridge.
class ScsiDisk {
 public:
  explicit ScsiDisk(const ScsiDiskOptions& options = {});

  // By robot or hand, also while removal is prevented. Queues 6/28/00 when
  // `attention`.
  void Insert(std::shared_ptr<ScsiCartridge> cartridge, bool attention = true);
  std::shared_ptr<ScsiCartridge> Remove();
  bool prevented() const;
  // By START STOP UNIT: it looks empty until it is loaded, or another is put
  // in.
  bool ejected() const;

  void Attention(uint8_t asc, uint8_t ascq);
  // As a power failure of the drive: 6/29/00, cache lost, removal allowed.
  void Reset();
  // No answer to anything; gone altogether.
  void Hang();
  void Vanish();
  // TEST UNIT READY answers 2/04/01 that many times, or 2/04/02 until START
  // STOP UNIT.
  void BecomeReadyAfter(int questions);
  void NeedStart();
  // TEST UNIT READY answers 2/3A/00 that many times; or the tray is open,
  // 2/3A/02, until it is loaded.
  void AppearAfter(int questions);
  void OpenTray();
  // The next command with this code fails so, once.
  void FailNext(uint8_t operation, uint8_t key, uint8_t asc, uint8_t ascq);
  // Once, as soon as a command of this code has begun, before it is answered.
  void SwapDuring(uint8_t operation, std::shared_ptr<ScsiCartridge> cartridge);

  std::vector<ScsiDiskCommand> Log() const;
  size_t Count(uint8_t operation) const;
  // Most commands that were being answered at one time; each READ, WRITE, WRITE
  // SAME and flush waits a moment for another one when `expect` is more than 1.
  void AwaitOverlap(int expect);
  int most_at_once() const;

  std::unique_ptr<scsi::Transport> Open() const;

 private:
  class State;
  class MemoryTransport;
  std::shared_ptr<State> state_;
};

}  // namespace vellum
