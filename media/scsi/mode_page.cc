// SPDX-License-Identifier: Apache-2.0
#include "media/scsi/mode_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace vellum::scsi {

namespace {

using PageBytes = std::span<const uint8_t>;

uint16_t PageWord(PageBytes bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

// Bits 3 to 0: data transfer, import/export, storage, transport.
std::array<bool, 5> ElementBits(PageBytes page, size_t at) {
  std::array<bool, 5> bits{};
  if (at >= page.size()) return bits;
  for (int type = 1; type <= 4; ++type) {
    bits[static_cast<size_t>(type)] = (page[at] >> (type - 1) & 1) != 0;
  }
  return bits;
}

Result<ModePage> SenseMode(Device* device, uint8_t page, bool ten_bytes,
                           bool block_descriptors) {
  std::vector<uint8_t> data(252);
  const auto length = static_cast<uint8_t>(data.size());
  const uint8_t flags = block_descriptors ? 0x00 : 0x08;
  Command command;
  if (ten_bytes) {
    command.cdb = {0x5A, flags, page, 0, 0, 0, 0, 0, length, 0};
  } else {
    command.cdb = {0x1A, flags, page, 0, length, 0};
  }
  command.in = std::as_writable_bytes(std::span(data));
  const std::string what =
      fmt::format("MODE SENSE ({}) page {:02X}h", ten_bytes ? 10 : 6, page);
  ASSIGN_OR_RETURN(const size_t got,
                   device->Run(what, command, Repeat::kIdempotent));
  Result<ModePage> found = FindModePage(
      PageBytes(data).first(std::min(got, data.size())), ten_bytes, page);
  if (found.ok()) return found;
  return found.status().WithContext(device->Name() + ": " + what);
}

}  // namespace

Result<ModePage> ReadModePage(Device* device, uint8_t page) {
  Result<ModePage> result = SenseMode(device, page, false, false);
  if (!result.status().Is(Errc::kNotSupported)) return result;
  Result<ModePage> with_blocks = SenseMode(device, page, false, true);
  if (!with_blocks.status().Is(Errc::kNotSupported)) return with_blocks;
  Result<ModePage> ten = SenseMode(device, page, true, false);
  // What the command that every device has says is the better message.
  return ten.status().Is(Errc::kNotSupported) ? std::move(result)
                                              : std::move(ten);
}

Result<ModePage> FindModePage(std::span<const uint8_t> data, bool ten_bytes,
                              uint8_t page) {
  const size_t header = ten_bytes ? 8 : 4;
  if (data.size() < header) {
    return Error{Errc::kNotSupported,
                 fmt::format("{} bytes only", data.size())};
  }
  ModePage result;
  result.medium_type = data[ten_bytes ? 2 : 1];
  result.device_specific = data[ten_bytes ? 3 : 2];
  const size_t length =
      ten_bytes ? size_t{PageWord(data, 0)} + 2 : size_t{data[0]} + 1;
  const size_t blocks = ten_bytes ? PageWord(data, 6) : data[3];
  PageBytes rest = data.first(std::min(data.size(), length));
  rest = rest.subspan(std::min(rest.size(), header + blocks));
  while (rest.size() >= 2) {
    const size_t size = std::min(size_t{rest[1]} + 2, rest.size());
    if ((rest[0] & 0x3F) == page) {
      result.page.assign(rest.begin(),
                         rest.begin() + static_cast<ptrdiff_t>(size));
      return result;
    }
    rest = rest.subspan(size);
  }
  return Error{Errc::kNotSupported,
               fmt::format("page {:02X}h is not in the answer", page)};
}

Result<ElementMap> ParseElementAddressPage(std::span<const uint8_t> page) {
  if (page.size() < 18) {
    return Error{
        Errc::kDeviceError,
        fmt::format("element address page of {} bytes only", page.size())};
  }
  const auto range = [&](size_t at) {
    return ElementRange{{PageWord(page, at)}, PageWord(page, at + 2)};
  };
  ElementMap map;
  map.transport = range(2);
  map.storage = range(6);
  map.import_export = range(10);
  map.data_transfer = range(14);
  return map;
}

ChangerCapabilities ParseCapabilitiesPage(std::span<const uint8_t> page) {
  ChangerCapabilities result;
  result.known = page.size() > 7;
  result.stores = ElementBits(page, 2);
  for (size_t from = 1; from <= 4; ++from) {
    result.moves[from] = ElementBits(page, 3 + from);
    result.exchanges[from] = ElementBits(page, 11 + from);
  }
  return result;
}

}  // namespace vellum::scsi
