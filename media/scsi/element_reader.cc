// SPDX-License-Identifier: Apache-2.0
#include "media/scsi/element_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>

#include "media/cleaning_medium.h"

namespace vellum::scsi {

namespace {

constexpr std::array kElementTypes = {
    ElementType::kTransport, ElementType::kStorage, ElementType::kImportExport,
    ElementType::kDataTransfer};

// With tag and identifier, a header for each; what is short is asked for again.
constexpr size_t kGuessPerElement = 112;
constexpr size_t kGuessBase = 64;
constexpr size_t kLongestAllocation = 0xFFFFFF;
constexpr size_t kMostGuessed = 4096;

// A refusal that a simpler form of the command may get around.
bool RefusesForm(const Status& status) {
  return status.Is(Errc::kNotSupported) || status.Is(Errc::kNotFound) ||
         status.Is(Errc::kInvalidArgument);
}

size_t TotalOf(const ElementMap& map) {
  size_t total = 0;
  for (const ElementType type : kElementTypes)
    total += RangeOf(map, type).count;
  return total;
}

// Each element of the map once, whole, as its type.
bool Covers(const ElementMap& map, const std::vector<ElementRecord>& records) {
  std::map<uint16_t, int> seen;
  for (const ElementRecord& record : records) {
    if (record.cut || !RangeOf(map, record.type).Contains(record.address)) {
      return false;
    }
    if (++seen[record.address.value] > 1) return false;
  }
  return seen.size() == TotalOf(map);
}

}  // namespace

const ElementRange& RangeOf(const ElementMap& map, ElementType type) {
  switch (type) {
    case ElementType::kTransport:
      return map.transport;
    case ElementType::kStorage:
      return map.storage;
    case ElementType::kImportExport:
      return map.import_export;
    case ElementType::kDataTransfer:
      break;
  }
  return map.data_transfer;
}

std::optional<ElementType> TypeOf(const ElementMap& map,
                                  ElementAddress address) {
  for (const ElementType type : kElementTypes) {
    if (RangeOf(map, type).Contains(address)) return type;
  }
  return std::nullopt;
}

std::vector<ElementStatus> StatusesOf(const ElementMap& map,
                                      const std::vector<ElementRecord>& records,
                                      bool two_sided) {
  std::map<std::pair<ElementType, uint16_t>, const ElementRecord*> by_address;
  bool tells_access = false;
  for (const ElementRecord& record : records) {
    by_address.try_emplace({record.type, record.address.value}, &record);
    tells_access = tells_access || record.access;
  }
  std::vector<ElementStatus> result;
  for (const ElementType type : kElementTypes) {
    const ElementRange& range = RangeOf(map, type);
    for (uint32_t i = 0; i < range.count; ++i) {
      ElementStatus status;
      status.type = type;
      status.address.value = static_cast<uint16_t>(range.first.value + i);
      const auto it = by_address.find({type, status.address.value});
      if (it == by_address.end()) {
        status.accessible = false;
        status.note = "not reported by the changer";
        result.push_back(std::move(status));
        continue;
      }
      const ElementRecord& record = *it->second;
      status.full = record.full;
      status.exception = record.exception;
      if (record.disabled) {
        status.accessible = false;
        status.note = "disabled";
      } else if (type != ElementType::kTransport && tells_access) {
        status.accessible = record.access;
      }
      if (record.exception) {
        status.note = "exception " + DescribeCode(record.asc, record.ascq);
      } else if (record.full && record.medium_type == 2) {
        status.note = kCleaningMedium;
      }
      // An empty element has no tag and no source, whatever is left there.
      if (record.full) {
        status.imported = record.imported;
        status.volume_tag = record.volume_tag;
        status.source = record.source;
        if (two_sided && record.medium_type != 2) {
          status.sides = 2;
          status.turned = record.inverted;
        }
      }
      result.push_back(std::move(status));
    }
  }
  return result;
}

Result<std::vector<ElementRecord>> ElementReader::ReadAll(
    const ElementMap& map) {
  if (!by_type_) {
    Result<std::vector<ElementRecord>> records = ReadAtOnce(map);
    if (records.ok() || !RefusesForm(records.status())) return records;
    by_type_ = true;
  }
  std::vector<ElementRecord> all;
  Status refusal;
  for (const ElementType type : kElementTypes) {
    const ElementRange& range = RangeOf(map, type);
    if (range.count == 0) continue;
    Result<std::vector<ElementRecord>> records = ReadType(type, range, false);
    if (records.ok()) {
      std::move(records->begin(), records->end(), std::back_inserter(all));
    } else if (RefusesForm(records.status())) {
      refusal = records.status();
    } else {
      return records.error();
    }
  }
  if (refusal.ok()) return all;
  Result<std::vector<ElementRecord>> records = ReadAtOnce(map);
  if (records.ok()) {
    by_type_ = false;
    return records;
  }
  if (!RefusesForm(records.status())) return records;
  if (all.empty()) return refusal;
  return all;
}

Result<std::vector<ElementRecord>> ElementReader::ReadAtOnce(
    const ElementMap& map) {
  ASSIGN_OR_RETURN(Answer answer, Ask(0, 0, 0xFFFF, TotalOf(map), false));
  if (!answer.whole || !Covers(map, answer.report.records)) {
    return Error{Errc::kNotSupported,
                 device_->Name() +
                     ": READ ELEMENT STATUS of all types does not answer with "
                     "the elements that there are"};
  }
  return std::move(answer.report.records);
}

Result<std::vector<ElementRecord>> ElementReader::ReadType(
    ElementType type, const ElementRange& range, bool identify) {
  std::map<uint16_t, ElementRecord> found;
  uint32_t start = range.first.value;
  const uint32_t end = start + range.count;
  while (start < end) {
    const auto left = static_cast<uint16_t>(end - start);
    Result<Answer> answer =
        Ask(static_cast<uint8_t>(type), static_cast<uint16_t>(start), left,
            left, identify);
    if (!answer.ok()) {
      // Behind the last element that there is.
      if (!found.empty() && RefusesForm(answer.status())) break;
      return answer.error();
    }
    uint32_t next = start;
    for (ElementRecord& record : answer->report.records) {
      const uint16_t address = record.address.value;
      if (record.type != type || address < start || address >= end) continue;
      // The next command, which begins with it, brings it whole.
      if (record.cut && !answer->whole && next != start) continue;
      next = std::max(next, uint32_t{address} + 1);
      found.try_emplace(address, std::move(record));
    }
    if (next == start) break;
    start = next;
  }
  std::vector<ElementRecord> records;
  records.reserve(found.size());
  for (auto& [address, record] : found) records.push_back(std::move(record));
  return records;
}

Result<std::optional<ElementRecord>> ElementReader::ReadOne(
    const ElementMap& map, ElementAddress address) {
  Result<std::vector<ElementRecord>> records =
      by_type_ ? ReadType(*TypeOf(map, address), {address, 1}, false)
               : ReadAll(map);
  if (by_type_ && RefusesForm(records.status())) records = ReadAll(map);
  if (!records.ok()) return records.error();
  for (ElementRecord& record : *records) {
    if (record.address == address) return std::optional(std::move(record));
  }
  return std::optional<ElementRecord>();
}

Result<std::vector<ElementRecord>> ElementReader::ReadDrives(
    const ElementMap& map) {
  if (map.data_transfer.count == 0) return std::vector<ElementRecord>();
  Result<std::vector<ElementRecord>> records =
      ReadType(ElementType::kDataTransfer, map.data_transfer, true);
  if (!RefusesForm(records.status())) return records;
  records = ReadAll(map);
  if (!records.ok()) return records;
  std::erase_if(*records, [](const ElementRecord& record) {
    return record.type != ElementType::kDataTransfer;
  });
  return records;
}

Result<ElementMap> ElementReader::Discover() {
  std::vector<ElementRecord> records;
  for (const ElementType type : kElementTypes) {
    // A changer refuses types that it does not have.
    auto some = ReadType(type, ElementRange{{0}, 0xFFFF}, false);
    if (some.ok()) {
      std::move(some->begin(), some->end(), std::back_inserter(records));
    } else if (!RefusesForm(some.status())) {
      return some.error();
    }
  }
  if (records.empty()) {
    ASSIGN_OR_RETURN(Answer answer, Ask(0, 0, 0xFFFF, kMostGuessed, false));
    records = std::move(answer.report.records);
  }
  const auto range = [&](ElementType type) {
    uint32_t first = 0xFFFF;
    uint32_t last = 0;
    bool any = false;
    for (const ElementRecord& record : records) {
      if (record.type != type) continue;
      any = true;
      first = std::min<uint32_t>(first, record.address.value);
      last = std::max<uint32_t>(last, record.address.value);
    }
    if (!any) return ElementRange{};
    return ElementRange{{static_cast<uint16_t>(first)},
                        static_cast<uint16_t>(last - first + 1)};
  };
  return ElementMap{
      range(ElementType::kTransport), range(ElementType::kStorage),
      range(ElementType::kImportExport), range(ElementType::kDataTransfer)};
}

Result<ElementReader::Answer> ElementReader::Ask(uint8_t type, uint16_t first,
                                                 uint16_t count,
                                                 size_t expected,
                                                 bool identify) {
  const size_t longest = std::min(device_->MaxTransfer(), kLongestAllocation);
  size_t length =
      std::min(kGuessBase + std::min(expected, kMostGuessed) * kGuessPerElement,
               longest);
  // From the fullest form to the plainest.
  std::vector<Form> forms;
  for (const bool tags : {true, false}) {
    for (const bool ids : {true, false}) {
      if ((!tags || volume_tags_) && (!ids || (identify && identifiers_))) {
        forms.push_back({tags, ids});
      }
    }
  }
  for (size_t i = 0;;) {
    Sense sense;
    Result<Answer> answer =
        AskOnce(type, first, count, length, forms[i], &sense);
    if (answer.ok()) {
      const size_t available = answer->report.available;
      if (available > length && length < longest) {
        length = std::min(available, longest);
        continue;
      }
      answer->whole = available <= length;
      // Learned only now: a refusal may have had another reason.
      if (!forms[i].tags) volume_tags_ = false;
      if (identify && !forms[i].identify) identifiers_ = false;
      return answer;
    }
    const bool invalid_field = sense.valid && sense.key == kIllegalRequest &&
                               (sense.asc == 0x24 || sense.asc == 0x26);
    if (!invalid_field || ++i == forms.size()) return answer;
  }
}

Result<ElementReader::Answer> ElementReader::AskOnce(uint8_t type,
                                                     uint16_t first,
                                                     uint16_t count,
                                                     size_t length, Form form,
                                                     Sense* sense) {
  std::vector<uint8_t> data(length);
  Command command;
  command.cdb = {0xB8,
                 static_cast<uint8_t>((form.tags ? 0x10 : 0x00) | type),
                 static_cast<uint8_t>(first >> 8),
                 static_cast<uint8_t>(first),
                 static_cast<uint8_t>(count >> 8),
                 static_cast<uint8_t>(count),
                 static_cast<uint8_t>(form.identify ? 0x01 : 0x00),
                 static_cast<uint8_t>(length >> 16),
                 static_cast<uint8_t>(length >> 8),
                 static_cast<uint8_t>(length),
                 0,
                 0};
  command.in = std::as_writable_bytes(std::span(data));
  command.timeout = timeout_;
  const std::string what =
      fmt::format("READ ELEMENT STATUS type {} from {}", type, first);
  ASSIGN_OR_RETURN(const size_t got,
                   device_->Run(what, command, Repeat::kIdempotent, sense));
  Result<ElementReport> report = ParseElementStatus(
      std::span<const uint8_t>(data).first(std::min(got, data.size())));
  if (!report.ok()) {
    return report.status().WithContext(device_->Name() + ": " + what);
  }
  return Answer{std::move(*report), true};
}

}  // namespace vellum::scsi
