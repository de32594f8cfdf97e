// SPDX-License-Identifier: Apache-2.0
// What every write-once Medium must do: MediumContract is for those that take
// any sector at any time. An implementation takes part as in medium_contract.h,
// with harnesses that give blank media of at least 1024 sectors.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tests/contract/medium_contract.h"
#include "tests/support/status_matchers.h"

namespace vellum {

class WriteOnceContract : public MediumContract {
 protected:
  static Bytes Filled(size_t sectors, int value) {
    return Bytes(sectors * kSectorSize, static_cast<std::byte>(value));
  }
  // What is recorded there, as far as the drive reads it yet.
  void ExpectRecorded(uint64_t lba, size_t sectors, int value) {
    Bytes data = Filled(sectors, 0xEE);
    const bool closed = medium().Info().write_protected;
    const Status read = medium().Read(lba, data);
    if (!closed && !harness().ReadsOpen()) {
      EXPECT_THAT(read, HasErrc(Errc::kNotSupported));
      return;
    }
    EXPECT_OK(read);
    EXPECT_TRUE(data == Filled(sectors, value)) << "at sector " << lba;
  }
  void ExpectNothing(uint64_t lba, size_t sectors) {
    Bytes data = Filled(sectors, 0xEE);
    EXPECT_OK(medium().Read(lba, data));
    EXPECT_TRUE(data == Filled(sectors, 0)) << "at sector " << lba;
  }
};

}  // namespace vellum
