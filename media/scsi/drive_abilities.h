// SPDX-License-Identifier: Apache-2.0
// What a drive takes, as it said or as was found by trying: remembered from one
// medium to the next.
#pragma once

#include <atomic>
#include <cstdint>

#include "media/error.h"
#include "media/scsi/device.h"

namespace vellum::scsi {

// How a READ says that the data is to come from the medium and not from a
// cache: bits of the command, from the strongest to none.
enum class ReadBack : uint8_t {
  kDpoAndFua = 0x18,
  kFua = 0x08,  // MMC reserves DPO
  kPlain = 0,
};
ReadBack Weaker(ReadBack form);
const char* ReadBackName(ReadBack form);  // "DPO and FUA", "FUA", "plain"

// WRITE SAME of zeros. What is not known is tried.
struct WriteSameFacts {
  bool takes_10 = true;
  bool takes_16 = true;
  uint64_t most_blocks = 0;  // of one command; 0: no limit was told
  bool told = false;         // the drive said which it takes
};
// REPORT SUPPORTED OPERATION CODES, of drives that are new enough to have it
// (SPC-3; some older ones hang), and the Block Limits page. WSNZ is of no
// concern: what is sent always counts its blocks.
Result<WriteSameFacts> AskWriteSame(Device& device);

// Thread-safety: every member is one atomic value; ReadsBackBy may be called
// concurrently.
struct DriveAbilities {
  explicit DriveAbilities(uint8_t device_type)
      : read_back(device_type == 0x05 ? ReadBack::kFua : ReadBack::kDpoAndFua) {
  }

  // A read of this form came off after the stronger ones were refused. What is
  // refused once for some other reason is not given up for ever.
  void ReadsBackBy(ReadBack form);

  std::atomic<ReadBack> read_back;
  std::atomic<bool> takes_verify{true};
  std::atomic<bool> takes_write_same_10{true};
  std::atomic<bool> takes_write_same_16{true};
  // Of 2048 bytes: what one WRITE SAME was found to fill where more is refused.
  std::atomic<uint64_t> fill_sectors{UINT64_MAX};
};

}  // namespace vellum::scsi
