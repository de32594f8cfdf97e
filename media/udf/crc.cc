// SPDX-License-Identifier: Apache-2.0
// The two checksums of the format.
#include <array>
#include <cstring>

#include "media/udf/codec.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace vellum::udf {
namespace {

// Table k gives the effect of a byte that k further bytes follow, so that
// eight bytes take one step ("slicing by 8").
template <typename T>
using Tables = std::array<std::array<T, 256>, 8>;

constexpr Tables<uint16_t> MakeCrc16Tables() {
  Tables<uint16_t> tables{};
  for (unsigned n = 0; n < 256; ++n) {
    unsigned crc = n << 8;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1;
    }
    tables[0][n] = static_cast<uint16_t>(crc);
  }
  for (size_t k = 1; k < tables.size(); ++k) {
    for (unsigned n = 0; n < 256; ++n) {
      const unsigned crc = tables[k - 1][n];
      tables[k][n] =
          static_cast<uint16_t>((crc << 8) ^ tables[0][(crc >> 8) & 0xFF]);
    }
  }
  return tables;
}

constexpr Tables<uint32_t> MakeCrc32cTables() {
  Tables<uint32_t> tables{};
  for (uint32_t n = 0; n < 256; ++n) {
    uint32_t crc = n;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82F63B78 : crc >> 1;
    }
    tables[0][n] = crc;
  }
  for (size_t k = 1; k < tables.size(); ++k) {
    for (uint32_t n = 0; n < 256; ++n) {
      const uint32_t crc = tables[k - 1][n];
      tables[k][n] = (crc >> 8) ^ tables[0][crc & 0xFF];
    }
  }
  return tables;
}

constexpr Tables<uint16_t> kCrc16 = MakeCrc16Tables();
constexpr Tables<uint32_t> kCrc32c = MakeCrc32cTables();

uint8_t At(const std::byte* p, size_t i) {
  return std::to_integer<uint8_t>(p[i]);
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t Crc32cHardware(uint32_t crc,
                                                          const std::byte* p,
                                                          size_t n) {
  uint64_t wide = crc;
  for (; n >= 8; p += 8, n -= 8) {
    uint64_t word;
    std::memcpy(&word, p, sizeof(word));
    wide = _mm_crc32_u64(wide, word);
  }
  crc = static_cast<uint32_t>(wide);
  for (; n > 0; ++p, --n) crc = _mm_crc32_u8(crc, At(p, 0));
  return crc;
}
#endif

}  // namespace

uint16_t Crc16(ConstByteSpan data) {
  const std::byte* p = data.data();
  size_t n = data.size();
  unsigned crc = 0;
  for (; n >= 8; p += 8, n -= 8) {
    crc = kCrc16[7][At(p, 0) ^ (crc >> 8)] ^
          kCrc16[6][At(p, 1) ^ (crc & 0xFF)] ^ kCrc16[5][At(p, 2)] ^
          kCrc16[4][At(p, 3)] ^ kCrc16[3][At(p, 4)] ^ kCrc16[2][At(p, 5)] ^
          kCrc16[1][At(p, 6)] ^ kCrc16[0][At(p, 7)];
  }
  for (; n > 0; ++p, --n) {
    crc = ((crc << 8) ^ kCrc16[0][(crc >> 8) ^ At(p, 0)]) & 0xFFFF;
  }
  return static_cast<uint16_t>(crc);
}

uint32_t Crc32cPortable(ConstByteSpan data, uint32_t seed) {
  const std::byte* p = data.data();
  size_t n = data.size();
  uint32_t crc = ~seed;
  for (; n >= 8; p += 8, n -= 8) {
    crc = kCrc32c[7][At(p, 0) ^ (crc & 0xFF)] ^
          kCrc32c[6][At(p, 1) ^ ((crc >> 8) & 0xFF)] ^
          kCrc32c[5][At(p, 2) ^ ((crc >> 16) & 0xFF)] ^
          kCrc32c[4][At(p, 3) ^ (crc >> 24)] ^ kCrc32c[3][At(p, 4)] ^
          kCrc32c[2][At(p, 5)] ^ kCrc32c[1][At(p, 6)] ^ kCrc32c[0][At(p, 7)];
  }
  for (; n > 0; ++p, --n) {
    crc = (crc >> 8) ^ kCrc32c[0][(crc ^ At(p, 0)) & 0xFF];
  }
  return ~crc;
}

uint32_t Crc32c(ConstByteSpan data, uint32_t seed) {
#if defined(__x86_64__)
  static const bool hardware = __builtin_cpu_supports("sse4.2") != 0;
  if (hardware) return ~Crc32cHardware(~seed, data.data(), data.size());
#endif
  return Crc32cPortable(data, seed);
}

}  // namespace vellum::udf
