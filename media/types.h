// SPDX-License-Identifier: Apache-2.0
// Value types that every layer shares.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <string>
#include <vector>

namespace vellum {

// Unit of the format: one sector, 2048 bytes (ECMA-167 logical block).
inline constexpr uint32_t kSectorSize = 2048;
// Unit of the changed-block map: one region, 32 sectors, 64 KiB.
inline constexpr uint32_t kRegionSectors = 32;
inline constexpr uint32_t kRegionSize = kSectorSize * kRegionSectors;

using ByteSpan = std::span<std::byte>;
using ConstByteSpan = std::span<const std::byte>;
using Bytes = std::vector<std::byte>;

// Bytes in memory that can go to a disk without a copy (O_DIRECT): its address
// is a multiple of kMemoryAlignment.
inline constexpr size_t kMemoryAlignment = 4096;
template <typename T>
struct AlignedAllocator {
  using value_type = T;
  AlignedAllocator() = default;
  template <typename U>
  // NOLINTNEXTLINE(google-explicit-constructor): as allocators convert
  AlignedAllocator(const AlignedAllocator<U>&) {}
  T* allocate(size_t count) {
    return static_cast<T*>(
        ::operator new (count * sizeof(T), std::align_val_t{kMemoryAlignment}));
  }
  void deallocate(T* at, size_t) {
    ::operator delete (at, std::align_val_t{kMemoryAlignment});
  }
  bool operator==(const AlignedAllocator&) const = default;
};
using AlignedBytes = std::vector<std::byte, AlignedAllocator<std::byte>>;

// SMC-3 table 9: the four kinds of element of a medium changer.
enum class ElementType : uint8_t {
  kTransport = 1,
  kStorage = 2,
  kImportExport = 3,
  kDataTransfer = 4,
};

// 16-bit address of an element (SMC-3 6.1).
struct ElementAddress {
  uint16_t value = 0;
  auto operator<=>(const ElementAddress&) const = default;
};
std::string ToString(ElementAddress address);  // "1024"

// Bar code of a medium (PVOLTAG without its padding); empty when the medium
// has none.
using VolumeTag = std::string;
// Tags of the libraries that we make become file names: 1 to 32 of A-Z a-z 0-9
// - _.
bool IsVolumeTag(const VolumeTag& tag);

// A run of sectors of a medium. Half open: [first, first + count).
struct SectorRange {
  uint64_t first = 0;
  uint64_t count = 0;
  uint64_t end() const { return first + count; }
  auto operator<=>(const SectorRange&) const = default;
};

// The state of one volume at one commit. Numbers count checkpoints; two
// generations compare only when their lineage is equal.
struct Generation {
  uint64_t lineage = 0;  // random; 0 = none
  uint64_t number = 0;
  bool operator==(const Generation&) const = default;
};
std::string ToString(const Generation& generation);  // "9f3a…/17"

// Nanoseconds since the epoch, UTC, split as in timespec; nsec < 1e9.
struct TimeSpec {
  int64_t sec = 0;
  uint32_t nsec = 0;
  auto operator<=>(const TimeSpec&) const = default;
};
TimeSpec Now();

}  // namespace vellum
