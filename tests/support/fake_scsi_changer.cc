// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_scsi_changer.h"

#include <algorithm>
#include <utility>

#include "media/scsi/element_reader.h"

namespace vellum {

namespace {

using FakeBytes = std::vector<uint8_t>;

void Append(FakeBytes* to, const FakeBytes& more) {
  to->insert(to->end(), more.begin(), more.end());
}

void AppendText(FakeBytes* to, std::string text, size_t size) {
  text.resize(size, ' ');
  to->insert(to->end(), text.begin(), text.end());
}

void AppendWord(FakeBytes* to, size_t value) {
  to->push_back(static_cast<uint8_t>(value >> 8));
  to->push_back(static_cast<uint8_t>(value));
}

uint16_t CdbWord(const scsi::Command& command, size_t at) {
  return static_cast<uint16_t>(command.cdb[at] << 8 | command.cdb[at + 1]);
}

const ElementRange& FakeRange(const ElementMap& map, int type) {
  return scsi::RangeOf(map, static_cast<ElementType>(type));
}

}  // namespace

FakeScsiChanger::FakeScsiChanger(FakeScsiChangerOptions options)
    : options_(std::move(options)) {
  const auto handle = [this](auto method) {
    return [this, method](const scsi::Command& command) {
      return (this->*method)(command);
    };
  };
  const auto available = [](bool exists) {
    return exists ? Good() : Check(5, 0x20, 0x00);
  };
  script_.Always(0x00, handle(&FakeScsiChanger::TestReady))
      .Always(0x07, Good())
      .Always(0x12, handle(&FakeScsiChanger::Inquiry))
      .Always(0x1A, handle(&FakeScsiChanger::ModeSense))
      .Always(0x1E, Good())
      .Always(0x37, available(options_.initialize_range))
      .Always(0x5A, handle(&FakeScsiChanger::ModeSense))
      .Always(0xA5, handle(&FakeScsiChanger::Move))
      .Always(0xA6, options_.exchange ? handle(&FakeScsiChanger::Exchange)
                                      : Check(5, 0x20, 0x00))
      .Always(0xB8, handle(&FakeScsiChanger::ReadStatus))
      .Always(0xE7, available(options_.initialize_range_old));
}

void FakeScsiChanger::Put(uint16_t element, const std::string& tag) {
  Medium medium;
  medium.tag = tag;
  medium.by_hand = true;
  VELLUM_CHECK(Known(element) && media_.emplace(element, medium).second);
}

void FakeScsiChanger::Take(uint16_t element) {
  VELLUM_CHECK(media_.erase(element) == 1);
}

std::optional<std::string> FakeScsiChanger::At(uint16_t element) const {
  const auto it = media_.find(element);
  if (it == media_.end()) return std::nullopt;
  return it->second.tag;
}

void FakeScsiChanger::SetException(uint16_t element, uint8_t asc,
                                   uint8_t ascq) {
  Medium& medium = media_.at(element);
  medium.exception = true;
  medium.asc = asc;
  medium.ascq = ascq;
}

bool FakeScsiChanger::Known(uint16_t element) const {
  return scsi::TypeOf(options_.map, ElementAddress{element}).has_value();
}

Result<scsi::Reply> FakeScsiChanger::TestReady(const scsi::Command& command) {
  if (stock_polls_ == 0) return Good()(command);
  --stock_polls_;
  return Check(2, 0x04, 0x01)(command);
}

Result<scsi::Reply> FakeScsiChanger::Inquiry(const scsi::Command& command) {
  if ((command.cdb[1] & 1) != 0) {
    if (command.cdb[2] != 0x80) return Check(5, 0x24, 0x00)(command);
    FakeBytes page = {8, 0x80, 0, 6};
    AppendText(&page, "JB0001", 6);
    return Data(page)(command);
  }
  FakeBytes data = {8, 0x80, 5, 2, 31, 0, 0, 0};
  AppendText(&data, "VELLUM", 8);
  AppendText(&data, "FAKE CHANGER", 16);
  AppendText(&data, "0001", 4);
  return Data(data)(command);
}

Result<scsi::Reply> FakeScsiChanger::ModeSense(const scsi::Command& command) {
  const bool ten = command.cdb[0] == 0x5A;
  if (!ten && !options_.mode_sense_6) return Check(5, 0x20, 0x00)(command);
  FakeBytes page = {command.cdb[2], 0};
  switch (command.cdb[2]) {
    case 0x1D:
      if (!options_.address_page) return Check(5, 0x24, 0x00)(command);
      for (const int type : {1, 2, 3, 4}) {
        const ElementRange& range = FakeRange(options_.map, type);
        AppendWord(&page, range.first.value);
        AppendWord(&page, range.count);
      }
      AppendWord(&page, 0);
      break;
    case 0x1E:
      AppendWord(&page, options_.turns ? 0x0100 : 0);
      break;
    case 0x1F:
      Append(&page, {0x0F, 0, 0x0F, 0x0F, 0x0F, 0x0F, 0, 0, 0, 0});
      Append(&page,
             {0, static_cast<uint8_t>(options_.exchange ? 0x0E : 0), 0, 0});
      Append(&page, {0, 0, 0, 0});
      break;
    default:
      return Check(5, 0x24, 0x00)(command);
  }
  page[1] = static_cast<uint8_t>(page.size() - 2);
  FakeBytes data(ten ? 8 : 4);
  Append(&data, page);
  data[ten ? 1 : 0] = static_cast<uint8_t>(data.size() - (ten ? 2 : 1));
  return Data(data)(command);
}

FakeBytes FakeScsiChanger::Descriptor(int type, uint16_t address, bool tags,
                                      bool identify) const {
  const auto it = media_.find(address);
  const Medium* medium = it == media_.end() ? nullptr : &it->second;
  FakeBytes bytes;
  AppendWord(&bytes, address);
  uint8_t flags = medium != nullptr ? 0x01 : 0x00;
  if (medium != nullptr && medium->exception) flags |= 0x04;
  if (options_.access_bits && type != 1) flags |= 0x08;
  if (type == 3) flags |= 0x30;
  if (type == 3 && medium != nullptr && medium->by_hand) flags |= 0x02;
  const bool exception = medium != nullptr && medium->exception;
  Append(&bytes, {flags, 0, exception ? medium->asc : uint8_t{0},
                  exception ? medium->ascq : uint8_t{0}, 0, 0, 0});
  const bool source = medium != nullptr && medium->has_source;
  bytes.push_back(static_cast<uint8_t>((source ? 0x80 : 0) |
                                       (source && medium->turned ? 0x40 : 0) |
                                       (medium != nullptr ? medium->type : 0)));
  AppendWord(&bytes, source ? medium->source : 0);
  if (tags) {
    AppendText(&bytes, medium != nullptr ? medium->tag : "", 32);
    Append(&bytes, {0, 0, 0, 0});
  }
  if (identify && type == 4) {
    Append(&bytes, {2, 1, 0, 32});
    AppendText(&bytes, "VELLUM", 8);
    AppendText(&bytes, "FAKE DRIVE", 16);
    AppendText(&bytes, "DRV" + std::to_string(address), 8);
  } else {
    Append(&bytes, {0, 0, 0, 0});
  }
  return bytes;
}

FakeBytes FakeScsiChanger::Page(int type, uint16_t first, size_t* left,
                                bool tags, bool identify) const {
  const ElementRange& range = FakeRange(options_.map, type);
  FakeBytes body;
  size_t length = 0;
  for (uint32_t i = 0; i<range.count&& * left> 0; ++i) {
    const auto address = static_cast<uint16_t>(range.first.value + i);
    if (address < first || hidden_.count(address) != 0) continue;
    const FakeBytes bytes = Descriptor(type, address, tags, identify);
    length = bytes.size();
    Append(&body, bytes);
    --*left;
  }
  if (body.empty()) return {};
  FakeBytes page = {static_cast<uint8_t>(type),
                    static_cast<uint8_t>(tags ? 0x80 : 0)};
  AppendWord(&page, length);
  page.push_back(0);
  page.push_back(static_cast<uint8_t>(body.size() >> 16));
  AppendWord(&page, body.size() & 0xFFFF);
  Append(&page, body);
  return page;
}

Result<scsi::Reply> FakeScsiChanger::ReadStatus(const scsi::Command& command) {
  using AllTypes = FakeScsiChangerOptions::AllTypes;
  if (stock_polls_ > 0) return Check(2, 0x04, 0x01)(command);
  const int wanted = command.cdb[1] & 0x0F;
  const bool tags = (command.cdb[1] & 0x10) != 0;
  const bool identify = (command.cdb[6] & 0x01) != 0;
  if ((tags && !options_.volume_tags) || (identify && !options_.identifiers) ||
      (wanted == 0 && options_.all_types == AllTypes::kRefused) ||
      (wanted != 0 &&
       (options_.refused_type == wanted || options_.refused_type == 15))) {
    return Check(5, 0x24, 0x00)(command);
  }
  const size_t most =
      options_.ignores_count
          ? 65536
          : std::min<size_t>(CdbWord(command, 4), options_.most_elements);
  size_t left = most;
  FakeBytes body;
  for (const int type : {1, 2, 3, 4}) {
    if (wanted != 0 && wanted != type) continue;
    FakeBytes page = Page(type, CdbWord(command, 2), &left, tags, identify);
    if (wanted == 0 && options_.all_types == AllTypes::kShort &&
        page.size() > 8) {
      page.resize(page.size() - 8);
    }
    Append(&body, page);
  }
  FakeBytes data;
  AppendWord(&data, CdbWord(command, 2));
  AppendWord(&data, most - left);
  data.push_back(0);
  data.push_back(static_cast<uint8_t>(body.size() >> 16));
  AppendWord(&data, body.size() & 0xFFFF);
  Append(&data, body);
  if (!body.empty()) data.resize(data.size() - options_.cut);
  return Data(data)(command);
}

void FakeScsiChanger::Carry(uint16_t from, uint16_t to, bool turn) {
  Medium medium = media_.at(from);
  media_.erase(from);
  medium.source = from;
  medium.has_source = true;
  medium.by_hand = false;
  medium.turned = medium.turned != turn;
  media_[to] = medium;
}

Result<scsi::Reply> FakeScsiChanger::Move(const scsi::Command& command) {
  const uint16_t from = CdbWord(command, 4);
  const uint16_t to = CdbWord(command, 6);
  const bool turn = (command.cdb[10] & 1) != 0;
  if (stock_polls_ > 0) return Check(2, 0x04, 0x01)(command);
  if (turn && !options_.turns) return Check(5, 0x24, 0x00)(command);
  if (!Known(from) || !Known(to)) return Check(5, 0x21, 0x01)(command);
  if (media_.count(from) == 0) return Check(5, 0x3B, 0x0E)(command);
  if (media_.count(to) != 0 && from != to) {
    return Check(5, 0x3B, 0x0D)(command);
  }
  Carry(from, to, turn);
  return Good()(command);
}

Result<scsi::Reply> FakeScsiChanger::Exchange(const scsi::Command& command) {
  const uint16_t from = CdbWord(command, 4);
  const uint16_t to = CdbWord(command, 6);
  const uint16_t rest = CdbWord(command, 8);
  if (!Known(from) || !Known(to) || !Known(rest)) {
    return Check(5, 0x21, 0x01)(command);
  }
  if (media_.count(from) == 0 || media_.count(to) == 0) {
    return Check(5, 0x3B, 0x0E)(command);
  }
  if (rest != from && media_.count(rest) != 0) {
    return Check(5, 0x3B, 0x0D)(command);
  }
  const Medium out = media_.at(to);
  media_.erase(to);
  Carry(from, to, false);
  media_[rest] = out;
  media_[rest].source = to;
  media_[rest].has_source = true;
  return Good()(command);
}

}  // namespace vellum
