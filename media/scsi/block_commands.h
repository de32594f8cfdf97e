// SPDX-License-Identifier: Apache-2.0
// READ, WRITE and VERIFY as CDBs. Private to media/scsi.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "media/scsi/big_endian.h"
#include "media/scsi/sense.h"

namespace vellum::scsi {

// By the length of the command.
struct BlockOpcodes {
  uint8_t read;
  uint8_t write;
  uint8_t verify;
  uint8_t write_verify;
  size_t length;
};
inline constexpr BlockOpcodes kBlockOpcodes[] = {
    {0x28, 0x2A, 0x2F, 0x2E, 10},
    {0x88, 0x8A, 0x8F, 0x8E, 16},
    {0xA8, 0xAA, 0xAF, 0xAE, 12},
};
inline constexpr size_t kLongCommands = 1;

inline constexpr uint8_t kWriteSame10 = 0x41;
inline constexpr uint8_t kWriteSame16 = 0x93;

inline constexpr uint8_t kCompare = 0x02;  // BYTCHK of WRITE AND VERIFY

inline std::vector<uint8_t> BlockCdb(uint8_t opcode, size_t length,
                                     uint8_t flags, uint64_t block,
                                     uint64_t blocks) {
  std::vector<uint8_t> cdb = {opcode, flags};
  PutBig(&cdb, block, length == 16 ? 8 : 4);
  if (length == 10) {
    cdb.push_back(0);
    PutBig(&cdb, blocks, 2);
    cdb.push_back(0);
  } else {
    PutBig(&cdb, blocks, 4);
    cdb.resize(length, 0);
  }
  return cdb;
}

inline bool IsUnknownCommand(const Sense& sense) {
  return sense.Is(kIllegalRequest, 0x20, 0x00);
}

// "Invalid field in CDB": of a bit that the device does not have.
inline bool IsUnknownField(const Sense& sense) {
  return sense.Is(kIllegalRequest, 0x24, 0x00);
}

}  // namespace vellum::scsi
