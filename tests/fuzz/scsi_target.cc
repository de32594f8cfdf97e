// SPDX-License-Identifier: Apache-2.0
// What SCSI devices answer: element status, sense data, mode pages. The first
// byte says which.
#include <algorithm>
#include <chrono>
#include <memory>

#include "media/scsi/element_reader.h"
#include "media/scsi/element_status.h"
#include "media/scsi/mode_page.h"
#include "media/scsi/sense.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/targets.h"

namespace vellum::fuzz {
namespace {

using scsi::ElementRecord;
using scsi::ElementReport;

constexpr size_t kHeader = 8;

std::span<const uint8_t> AsOctets(ConstByteSpan data) {
  return {reinterpret_cast<const uint8_t*>(data.data()), data.size()};
}

bool IsText(const std::string& text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c >= 0x20 && c < 0x7F; });
}

// Elements of each type, some of them at the end of the addresses.
ElementMap SomeMap() {
  return ElementMap{{{1}, 1}, {{1024}, 40}, {{0xFFF0}, 16}, {{256}, 4}};
}

// Answers every command with the same bytes.
class ParrotTransport : public scsi::Transport {
 public:
  explicit ParrotTransport(ConstByteSpan answer) : answer_(answer) {}
  Result<scsi::Reply> Execute(const scsi::Command& command) override {
    VELLUM_CHECK(++commands_ < 500);  // else it would never end
    scsi::Reply reply;
    reply.transferred = std::min(answer_.size(), command.in.size());
    std::copy_n(answer_.begin(), reply.transferred, command.in.begin());
    return reply;
  }
  size_t MaxTransfer() const override { return 64 * 1024; }
  std::string Name() const override { return "/dev/parrot"; }

 private:
  const ConstByteSpan answer_;
  int commands_ = 0;
};

void CheckStatuses(const ElementMap& map,
                   const std::vector<ElementRecord>& records) {
  const std::vector<ElementStatus> statuses = scsi::StatusesOf(map, records);
  VELLUM_CHECK(statuses.size() ==
               size_t{map.transport.count} + map.storage.count +
                   map.import_export.count + map.data_transfer.count);
  for (const ElementStatus& status : statuses) {
    VELLUM_CHECK(status.full ||
                 (status.volume_tag.empty() && !status.source.has_value()));
  }
}

void CheckElementStatus(ConstByteSpan data) {
  const Result<ElementReport> report = scsi::ParseElementStatus(AsOctets(data));
  CheckSaid(report.status());
  VELLUM_CHECK(report.ok() == (data.size() >= kHeader));
  if (!report.ok()) return;
  VELLUM_CHECK(report->records.size() <= report->count);
  VELLUM_CHECK(report->records.size() <= data.size());
  for (const ElementRecord& record : report->records) {
    VELLUM_CHECK(IsText(record.volume_tag) && IsText(record.alternate_tag));
    VELLUM_CHECK(!record.identifier || IsText(record.identifier->text));
  }
  CheckStatuses(SomeMap(), report->records);

  scsi::Device device(std::make_unique<ParrotTransport>(data));
  scsi::ElementReader reader(&device, std::chrono::seconds(1));
  const auto all = reader.ReadAll(SomeMap());
  VELLUM_CHECK(all.ok());
  CheckStatuses(SomeMap(), *all);
  const auto drives = reader.ReadType(ElementType::kDataTransfer,
                                      SomeMap().data_transfer, true);
  VELLUM_CHECK(drives.ok() && drives->size() <= 4);
  VELLUM_CHECK(reader.Discover().ok());
}

void CheckSense(ConstByteSpan data) {
  const scsi::Sense sense = scsi::DecodeSense(AsOctets(data));
  VELLUM_CHECK(sense.progress_percent.value_or(0) <= 100);
  VELLUM_CHECK(!scsi::Describe(sense).empty());
  VELLUM_CHECK(sense.valid || scsi::SenseCode(sense) == Errc::kDeviceError);
}

void CheckModePages(ConstByteSpan data) {
  for (const bool ten_bytes : {false, true}) {
    for (const uint8_t page : {0x1D, 0x1E, 0x1F}) {
      const auto found = scsi::FindModePage(AsOctets(data), ten_bytes, page);
      CheckSaid(found.status());
      if (!found.ok()) continue;
      VELLUM_CHECK(found->page.size() >= 2 && found->page.size() <= 257);
      CheckSaid(scsi::ParseElementAddressPage(found->page).status());
      scsi::ParseCapabilitiesPage(found->page);
    }
  }
}

}  // namespace

void RunScsi(ConstByteSpan data) {
  Input input(data);
  const uint8_t kind = input.Byte();
  const ConstByteSpan rest = input.Rest();
  // An allocation that ends where the answer ends.
  const Bytes exact(rest.begin(), rest.end());
  switch (kind % 3) {
    case 0:
      return CheckElementStatus(exact);
    case 1:
      return CheckSense(exact);
    default:
      return CheckModePages(exact);
  }
}

std::vector<Bytes> ScsiSeeds() {
  const auto bytes = [](std::initializer_list<int> values) {
    Bytes result;
    for (const int value : values) result.push_back(std::byte(value));
    return result;
  };
  return {
      // Two slots, one descriptor of 16 bytes each.
      bytes({0, 4,    0, 0,    2,    0, 0, 0, 40, 2,    0, 0, 16, 0, 0, 0, 32,
             4, 0,    9, 0,    0,    0, 0, 0, 0,  0x81, 4, 1, 0,  0, 0, 0, 4,
             1, 0x0C, 0, 0x3B, 0x12, 0, 0, 0, 8,  0,    0, 0, 0,  0, 0}),
      // Sense, fixed and with descriptors.
      bytes(
          {1, 0xF0, 0, 3, 0, 0, 16, 0, 10, 0, 0, 0, 0, 0x11, 0, 0, 0x80, 1, 2}),
      bytes({1, 0x72, 2, 4, 1, 0, 0, 0, 20, 0, 10,   0x80, 0, 0, 0,
             0, 0,    0, 0, 0, 9, 2, 6, 0,  0, 0x80, 0x40, 0, 0}),
      // Pages of a changer, with a block descriptor and behind 8 bytes.
      bytes({2, 23, 0, 0, 8, 0, 0, 0, 0, 0, 0, 8, 0, 0x1D, 0x12, 0, 1,
             0, 1,  4, 0, 0, 8, 3, 0, 0, 1, 1, 0, 0, 2,    0,    0}),
      bytes({2,  0,  24, 0, 0, 0, 0, 0,  0, 0x1F, 0x12, 15, 0, 15, 15,
             15, 15, 0,  0, 0, 0, 0, 14, 0, 0,    0,    0,  0, 0}),
      bytes({2, 7, 0, 0, 0, 0x1E, 2, 1, 0}),
  };
}

}  // namespace vellum::fuzz
