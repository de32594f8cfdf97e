// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4) in plain C++: the guest of tests/vm is one static
// program without libraries.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

namespace vellum {

class Sha256 {
 public:
  void Update(const unsigned char* data, size_t size) {
    total_ += size;
    while (size > 0) {
      if (filled_ == 0 && size >= sizeof(block_)) {
        Compress(data);
        data += sizeof(block_);
        size -= sizeof(block_);
        continue;
      }
      const size_t part = std::min(size, sizeof(block_) - filled_);
      std::memcpy(block_ + filled_, data, part);
      filled_ += part;
      data += part;
      size -= part;
      if (filled_ == sizeof(block_)) {
        Compress(block_);
        filled_ = 0;
      }
    }
  }

  // In hexadecimal. Once.
  std::string Finish() {
    const uint64_t bits = total_ * 8;
    static constexpr unsigned char kPadding[64] = {0x80};
    Update(kPadding, 1 + (119 - filled_) % 64);
    unsigned char length[8];
    for (int i = 0; i < 8; ++i) {
      length[i] = static_cast<unsigned char>(bits >> (56 - 8 * i));
    }
    Update(length, sizeof(length));
    std::string hex;
    for (const uint32_t word : state_) {
      for (int shift = 28; shift >= 0; shift -= 4) {
        hex += "0123456789abcdef"[word >> shift & 15];
      }
    }
    return hex;
  }

 private:
  static uint32_t Rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

  void Compress(const unsigned char* p) {
    static constexpr std::array<uint32_t, 64> kRound = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
        0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
        0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
        0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
        0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
        0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
        0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
        0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
        0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    uint32_t w[64];
    for (int i = 0; i < 16; ++i) {
      w[i] = uint32_t{p[4 * i]} << 24 | uint32_t{p[4 * i + 1]} << 16 |
             uint32_t{p[4 * i + 2]} << 8 | p[4 * i + 3];
    }
    for (int i = 16; i < 64; ++i) {
      const uint32_t a = w[i - 15];
      const uint32_t b = w[i - 2];
      w[i] = w[i - 16] + (Rotate(a, 7) ^ Rotate(a, 18) ^ a >> 3) + w[i - 7] +
             (Rotate(b, 17) ^ Rotate(b, 19) ^ b >> 10);
    }
    std::array<uint32_t, 8> s = state_;
    for (size_t i = 0; i < 64; ++i) {
      const uint32_t sum1 =
          Rotate(s[4], 6) ^ Rotate(s[4], 11) ^ Rotate(s[4], 25);
      const uint32_t t1 =
          s[7] + sum1 + ((s[4] & s[5]) ^ (~s[4] & s[6])) + kRound[i] + w[i];
      const uint32_t sum0 =
          Rotate(s[0], 2) ^ Rotate(s[0], 13) ^ Rotate(s[0], 22);
      const uint32_t t2 =
          sum0 + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
      s = {t1 + t2, s[0], s[1], s[2], s[3] + t1, s[4], s[5], s[6]};
    }
    for (size_t i = 0; i < 8; ++i) state_[i] += s[i];
  }

  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372,
                                    0xa54ff53a, 0x510e527f, 0x9b05688c,
                                    0x1f83d9ab, 0x5be0cd19};
  unsigned char block_[64] = {};
  size_t filled_ = 0;
  uint64_t total_ = 0;
};

}  // namespace vellum
