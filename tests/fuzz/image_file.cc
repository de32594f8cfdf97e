// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/image_file.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <span>

#include "media/types.h"
#include "tests/fuzz/checked.h"
#include "tests/fuzz/input.h"
#include "tests/support/temp_dir.h"

namespace vellum::fuzz {
namespace {

bool IsBlank(ConstByteSpan data) {
  return std::all_of(data.begin(), data.end(),
                     [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

std::unique_ptr<MemoryMedium> ReadImage(const std::string& path) {
  const std::string content = ReadFileOrDie(path);
  auto medium = std::make_unique<MemoryMedium>(content.size() / kSectorSize);
  medium->AbortOutside();
  const ConstByteSpan all = std::as_bytes(std::span(content));
  for (size_t at = 0; at < all.size(); at += kRegionSize) {
    const ConstByteSpan part =
        all.subspan(at, std::min<size_t>(kRegionSize, all.size() - at));
    if (!IsBlank(part)) medium->Poke(at, part);
  }
  return medium;
}

void WriteImage(const MemoryMedium& medium, const std::string& path) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  const uint64_t size = medium.Info().sectors * kSectorSize;
  for (uint64_t at = 0; at < size; at += kRegionSize) {
    Bytes data(std::min<uint64_t>(kRegionSize, size - at));
    medium.Peek(at, data);
    if (IsBlank(data)) continue;
    out.seekp(static_cast<std::streamoff>(at));
    out.write(reinterpret_cast<const char*>(data.data()),
              static_cast<std::streamsize>(data.size()));
  }
  out.close();
  if (!out) Check(Status(Errc::kDeviceError, path + " cannot be written"));
  std::filesystem::resize_file(path, size);
}

}  // namespace vellum::fuzz
