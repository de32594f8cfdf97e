// SPDX-License-Identifier: Apache-2.0
#include "tests/scsi/devices.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "media/scsi/sg_transport.h"
#include "tests/support/iscsi_transport.h"

namespace vellum {
namespace {

constexpr uint8_t kMoveMedium = 0xA5;
constexpr uint8_t kReadElementStatus = 0xB8;
constexpr uint8_t kWithVolumeTags = 0x10;
constexpr size_t kStatusBytes = 16 * 1024;

uint8_t High(ElementAddress address) {
  return static_cast<uint8_t>(address.value >> 8);
}
uint8_t Low(ElementAddress address) {
  return static_cast<uint8_t>(address.value);
}
size_t Number(const Bytes& bytes, size_t at, size_t length) {
  size_t value = 0;
  for (size_t i = at; i < at + length; ++i) {
    value = value << 8 | static_cast<size_t>(bytes.at(i));
  }
  return value;
}

// The elements that are full when `full`, else those that are empty.
std::vector<ElementAddress> Elements(scsi::Device& changer, ElementType type,
                                     bool full) {
  std::vector<ElementAddress> found;
  for (const auto& [address, tag] : ReadByCommand(changer, type)) {
    if (!tag.empty() == full) found.push_back(address);
  }
  return found;
}

}  // namespace

std::string NamedByEnvironment(const char* variable) {
  const char* const value = std::getenv(variable);
  if (value != nullptr) return value;
  std::fprintf(stderr, "%s is not set: run this by tests/scsi/jukebox.py\n",
               variable);
  std::abort();
}

ScsiNames NamedDevices() {
  ScsiNames names;
  names.changer = NamedByEnvironment("VELLUM_SCSI_CHANGER");
  const std::string list = NamedByEnvironment("VELLUM_SCSI_DRIVES");
  std::string_view rest = list;
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    const size_t equals = pair.find('=');
    VELLUM_CHECK(equals != std::string_view::npos);
    const int address = std::atoi(std::string(pair.substr(0, equals)).c_str());
    names.drives.emplace_back(ElementAddress{static_cast<uint16_t>(address)},
                              pair.substr(equals + 1));
  }
  return names;
}

Result<std::unique_ptr<scsi::Transport>> OpenTransport(
    const std::string& name) {
  if (IscsiTransport::IsUrl(name)) return IscsiTransport::Open(name);
  return scsi::OpenSgTransport(name);
}

Status MoveByCommand(scsi::Device& changer, ElementAddress from,
                     ElementAddress to) {
  scsi::Command command;
  command.cdb = {kMoveMedium, 0,       0, 1, High(from), Low(from),
                 High(to),    Low(to), 0, 0, 0,          0};
  return changer.Run("MOVE MEDIUM", command, scsi::Repeat::kOnlyNotBegun)
      .status();
}

std::vector<std::pair<ElementAddress, VolumeTag>> ReadByCommand(
    scsi::Device& changer, ElementType type) {
  Bytes data(kStatusBytes);
  scsi::Command command;
  command.cdb = {
      kReadElementStatus,
      static_cast<uint8_t>(kWithVolumeTags | static_cast<uint8_t>(type)),
      0,
      0,
      0xFF,
      0xFF,
      0,
      0,
      static_cast<uint8_t>(kStatusBytes >> 8),
      0,
      0,
      0};
  command.in = data;
  const auto read =
      changer.Run("READ ELEMENT STATUS", command, scsi::Repeat::kIdempotent);
  VELLUM_CHECK(read.ok());
  // The header of 8 bytes, then that of the only page: SMC-3 6.11.
  std::vector<std::pair<ElementAddress, VolumeTag>> elements;
  const size_t length = Number(data, 10, 2);
  const size_t end = 16 + Number(data, 13, 3);
  if (length == 0) return elements;
  for (size_t at = 16; at + length <= end; at += length) {
    std::string tag;
    const bool full = (Number(data, at + 2, 1) & 1) != 0;
    for (size_t i = 0; full && i < 32; ++i) {
      const char c = static_cast<char>(data.at(at + 12 + i));
      if (c > ' ') tag += c;
    }
    elements.emplace_back(
        ElementAddress{static_cast<uint16_t>(Number(data, at, 2))}, tag);
  }
  return elements;
}

std::pair<ElementAddress, VolumeTag> FirstMedium(scsi::Device& changer) {
  std::pair<ElementAddress, VolumeTag> first;
  for (const auto& element : ReadByCommand(changer, ElementType::kStorage)) {
    if (element.second.empty()) continue;
    if (first.second.empty() || element.second < first.second) first = element;
  }
  VELLUM_CHECK(!first.second.empty());
  return first;
}

void PutEverythingAway() {
  const ScsiNames names = NamedDevices();
  for (const auto& [address, name] : names.drives) {
    auto transport = OpenTransport(name);
    VELLUM_CHECK(transport.ok());
    scsi::Device drive(std::move(*transport));
    drive.PreventRemoval(false).IgnoreError("the move below says it");
  }
  auto transport = OpenTransport(names.changer);
  VELLUM_CHECK(transport.ok());
  scsi::Device changer(std::move(*transport));
  std::vector<ElementAddress> free =
      Elements(changer, ElementType::kStorage, false);
  for (const ElementType type :
       {ElementType::kDataTransfer, ElementType::kImportExport}) {
    for (const ElementAddress element : Elements(changer, type, true)) {
      VELLUM_CHECK(!free.empty());
      const Status moved = MoveByCommand(changer, element, free.back());
      VELLUM_CHECK(moved.ok());
      free.pop_back();
    }
  }
}

}  // namespace vellum
