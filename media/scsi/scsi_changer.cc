// SPDX-License-Identifier: Apache-2.0
#include "media/scsi/scsi_changer.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace vellum::scsi {

namespace {

constexpr uint8_t kChangerType = 8;
constexpr uint8_t kInitialize = 0x07;
constexpr uint8_t kInitializeRange = 0x37;
constexpr uint8_t kInitializeRangeOld = 0xE7;  // before SMC-2
constexpr uint8_t kMoveMedium = 0xA5;
constexpr uint8_t kExchangeMedium = 0xA6;

uint8_t AddressHigh(uint16_t value) { return static_cast<uint8_t>(value >> 8); }
uint8_t AddressLow(uint16_t value) { return static_cast<uint8_t>(value); }

// "1024 holds V00001L1", "256 is empty".
std::string DescribeElement(const ElementStatus& status) {
  std::string text = ToString(status.address);
  if (!status.full) {
    text += " is empty";
  } else if (status.volume_tag.empty()) {
    text += " holds a medium without tag";
  } else {
    text += " holds " + status.volume_tag;
  }
  if (!status.note.empty()) text += " (" + status.note + ")";
  return text;
}

std::string DescribeElements(const std::vector<ElementStatus>& statuses) {
  std::string text;
  for (const ElementStatus& status : statuses) {
    text += (text.empty() ? "" : ", ") + DescribeElement(status);
  }
  return text;
}

bool HoldTheSame(const std::vector<ElementStatus>& a,
                 const std::vector<ElementStatus>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const ElementStatus& x, const ElementStatus& y) {
                      return x.full == y.full && x.volume_tag == y.volume_tag;
                    });
}

std::string MediumAt(const ElementStatus& status) {
  if (!status.full) return "a medium";
  return status.volume_tag.empty() ? "a medium without tag" : status.volume_tag;
}

}  // namespace

bool Identifies(const ElementIdentifier& identifier, const Inquiry& inquiry) {
  if (inquiry.serial.empty()) return false;
  if (identifier.serial == inquiry.serial) {
    return identifier.vendor.empty() || identifier.vendor == inquiry.vendor;
  }
  return identifier.text == fmt::format("{:<8}{:<16}{}", inquiry.vendor,
                                        inquiry.product, inquiry.serial);
}

Result<std::unique_ptr<ScsiChanger>> ScsiChanger::Open(
    std::unique_ptr<Transport> transport, const ScsiChangerOptions& options) {
  std::unique_ptr<ScsiChanger> changer(
      new ScsiChanger(std::move(transport), options));
  ASSIGN_OR_RETURN(const Inquiry inquiry, changer->device_.Inquire());
  if (inquiry.device_type != kChangerType) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{}: this is no media changer but a device of "
                             "type {} ({} {})",
                             changer->device_.Name(), inquiry.device_type,
                             inquiry.vendor, inquiry.product)};
  }
  changer->serial_ = inquiry.serial;
  RETURN_IF_ERROR(changer->WaitReady());
  RETURN_IF_ERROR(changer->Elements().status());
  return changer;
}

ScsiChanger::~ScsiChanger() {
  if (!locked_) return;
  const Status allowed = device_.PreventRemoval(false);
  if (!allowed.ok()) {
    spdlog::warn("the door stays locked: {}", allowed.ToString());
  }
}

Status ScsiChanger::LockDoor(bool lock) {
  const Status done = device_.PreventRemoval(lock).WithContext(
      lock ? "lock the door" : "unlock the door");
  // The answer alone may be lost: what may be locked is unlocked at the end.
  if (done.ok() || (lock && !done.Is(Errc::kNotSupported))) locked_ = lock;
  return done;
}

void ScsiChanger::LockAgain() {
  if (!locked_) return;
  const Status locked = device_.PreventRemoval(true);
  if (!locked.ok()) {
    spdlog::warn("the door is not locked any more: {}", locked.ToString());
  }
}

Status ScsiChanger::WaitReady() {
  Status ready = device_.WaitReady(options_.ready_bound);
  // With its door open, or a magazine out, a changer still tells its elements;
  // what it cannot do then, it refuses by itself.
  if (ready.Is(Errc::kNotReady) || ready.Is(Errc::kNoMedium)) {
    return Status::Ok();
  }
  return ready;
}

Result<ChangerIdentity> ScsiChanger::Identify() {
  ASSIGN_OR_RETURN(const Inquiry inquiry, device_.Inquire());
  return ChangerIdentity{inquiry.vendor, inquiry.product, inquiry.revision,
                         inquiry.serial, device_.Name()};
}

Result<ElementMap> ScsiChanger::Elements() {
  Result<ModePage> page = ReadModePage(&device_, 0x1D);
  if (page.ok()) {
    Result<ElementMap> map = ParseElementAddressPage(page->page);
    if (!map.ok()) return map.status().WithContext(device_.Name());
    map_ = *map;
  } else if (page.status().Is(Errc::kNotSupported)) {
    ASSIGN_OR_RETURN(map_, reader_.Discover());
  } else {
    return page.error();
  }
  return *map_;
}

Result<std::vector<ElementRecord>> ScsiChanger::ReadRecords() {
  Result<ElementMap> found = Elements();
  if (found.status().Is(Errc::kOffline)) {
    RETURN_IF_ERROR(Reopen());
    found = Elements();
  }
  ASSIGN_OR_RETURN(const ElementMap map, std::move(found));
  Result<std::vector<ElementRecord>> records = reader_.ReadAll(map);
  if (!records.status().Is(Errc::kNotReady)) return records;
  RETURN_IF_ERROR(WaitReady());
  return reader_.ReadAll(map);
}

Status ScsiChanger::Reopen() {
  RETURN_IF_ERROR(device_.Reopen());
  ASSIGN_OR_RETURN(const Inquiry inquiry, device_.Inquire());
  if (inquiry.device_type == kChangerType && inquiry.serial == serial_) {
    LockAgain();
    return Status::Ok();
  }
  return Status(Errc::kOffline,
                fmt::format("{}: {} {} with serial number \"{}\" answers where "
                            "the changer \"{}\" was",
                            device_.Name(), inquiry.vendor, inquiry.product,
                            inquiry.serial, serial_));
}

bool ScsiChanger::TakeChanged() {
  const bool medium = device_.TakeMediumChanged();
  const bool reset = device_.TakeReset();
  const bool conditions = device_.TakeConditionsChanged();
  if (reset) LockAgain();
  return medium || reset || conditions;
}

Result<bool> ScsiChanger::ElementsChanged() {
  const Status ready = device_.WaitReady(std::chrono::milliseconds(0));
  if (ready.Is(Errc::kOffline)) {
    RETURN_IF_ERROR(Reopen());
    changed_ = true;
  }
  changed_ = TakeChanged() || changed_;
  if (changed_) return true;
  // With its door open it is not ready, and says more when that is closed.
  if (ready.ok() || ready.Is(Errc::kNotReady) || ready.Is(Errc::kNoMedium) ||
      ready.Is(Errc::kTimedOut) || ready.Is(Errc::kBusy)) {
    return false;
  }
  return ready;
}

Result<std::vector<ElementStatus>> ScsiChanger::ReadElementStatus() {
  constexpr int kMostReads = 3;
  for (int reads = 1;; ++reads) {
    TakeChanged();
    ASSIGN_OR_RETURN(const std::vector<ElementRecord> records, ReadRecords());
    // What was read before the change may not be true any more.
    if (TakeChanged() && reads < kMostReads) continue;
    changed_ = false;
    return StatusesOf(*map_, records, options_.two_sided);
  }
}

Result<std::vector<DriveElement>> ScsiChanger::DriveElements() {
  ASSIGN_OR_RETURN(const ElementMap map, Elements());
  ASSIGN_OR_RETURN(std::vector<ElementRecord> records, reader_.ReadDrives(map));
  std::vector<DriveElement> drives;
  for (ElementRecord& record : records) {
    drives.push_back(
        {record.address, record.full, std::move(record.identifier)});
  }
  return drives;
}

Result<ChangerCapabilities> ScsiChanger::Capabilities() {
  ChangerCapabilities result;
  const Result<ModePage> page = ReadModePage(&device_, 0x1F);
  if (page.ok()) {
    result = ParseCapabilitiesPage(page->page);
  } else if (!page.status().Is(Errc::kNotSupported)) {
    return page.error();
  }
  const Result<ModePage> geometry = ReadModePage(&device_, 0x1E);
  if (geometry.ok()) {
    // Two bytes for each transport element; bit 0 is ROTATE.
    for (size_t at = 2; at < geometry->page.size(); at += 2) {
      result.turns = result.turns || (geometry->page[at] & 0x01) != 0;
    }
  } else if (!geometry.status().Is(Errc::kNotSupported)) {
    return geometry.error();
  }
  return result;
}

Status ScsiChanger::CheckElements(
    const std::string& context, const std::vector<ElementAddress>& addresses) {
  if (!map_) RETURN_IF_ERROR(Elements().status());
  for (const ElementAddress address : addresses) {
    // Not every changer refuses it as such.
    if (!TypeOf(*map_, address)) {
      return Status(Errc::kNotFound,
                    fmt::format("{}: {}: no element {}", device_.Name(),
                                context, address.value));
    }
  }
  return Status::Ok();
}

Result<ElementStatus> ScsiChanger::ReadElement(ElementAddress address) {
  const ElementType type = *TypeOf(*map_, address);
  const ElementRange one{address, 1};
  Result<std::optional<ElementRecord>> record = reader_.ReadOne(*map_, address);
  if (record.status().Is(Errc::kNotReady)) {
    RETURN_IF_ERROR(WaitReady());
    record = reader_.ReadOne(*map_, address);
  }
  if (!record.ok()) return record.error();
  std::vector<ElementRecord> records;
  if (*record) records.push_back(std::move(**record));
  ElementMap map;
  switch (type) {
    case ElementType::kTransport:
      map.transport = one;
      break;
    case ElementType::kStorage:
      map.storage = one;
      break;
    case ElementType::kImportExport:
      map.import_export = one;
      break;
    case ElementType::kDataTransfer:
      map.data_transfer = one;
      break;
  }
  return StatusesOf(map, records, options_.two_sided).front();
}

Result<std::vector<ElementStatus>> ScsiChanger::ReadElements(
    const std::vector<ElementAddress>& addresses) {
  std::vector<ElementStatus> statuses;
  for (const ElementAddress address : addresses) {
    ASSIGN_OR_RETURN(ElementStatus status, ReadElement(address));
    statuses.push_back(std::move(status));
  }
  return statuses;
}

Status ScsiChanger::MoveMedium(ElementAddress from, ElementAddress to) {
  return Move(from, to, false);
}

Status ScsiChanger::MoveMediumTurned(ElementAddress from, ElementAddress to) {
  return Move(from, to, true);
}

Status ScsiChanger::Move(ElementAddress from, ElementAddress to, bool turned) {
  const std::string route = fmt::format("from {} to {}{}", from.value, to.value,
                                        turned ? ", turned over" : "");
  RETURN_IF_ERROR(CheckElements("move a medium " + route, {from, to}));
  Result<std::vector<ElementStatus>> before = ReadElements({from, to});
  if (!before.ok()) {
    return before.status().WithContext("before the move " + route);
  }
  const ElementStatus& source = before->front();
  const std::string what = fmt::format("move {} {}", MediumAt(source), route);
  // Devices differ in what they say to this.
  if (from == to && !turned) {
    return Status(source.full ? Errc::kExists : Errc::kNoMedium,
                  fmt::format("{}: {}: {}", device_.Name(), what,
                              DescribeElement(source)));
  }
  // What a robot holds only that one puts down.
  const uint16_t robot =
      map_->transport.Contains(from) ? from.value : map_->transport.first.value;
  Command command;
  command.cdb = {kMoveMedium,
                 0,
                 AddressHigh(robot),
                 AddressLow(robot),
                 AddressHigh(from.value),
                 AddressLow(from.value),
                 AddressHigh(to.value),
                 AddressLow(to.value),
                 0,
                 0,
                 static_cast<uint8_t>(turned ? 1 : 0),
                 0};
  command.timeout = options_.move_timeout;
  return RunMoveOut(what, command, *before, source);
}

Status ScsiChanger::ExchangeMedium(ElementAddress from, ElementAddress to,
                                   ElementAddress rest) {
  const std::string route = fmt::format("from {} to {}, what is there to {}",
                                        from.value, to.value, rest.value);
  RETURN_IF_ERROR(
      CheckElements("exchange a medium " + route, {from, to, rest}));
  std::vector<ElementAddress> ends = {from, to};
  if (rest != from) ends.push_back(rest);
  Result<std::vector<ElementStatus>> before = ReadElements(ends);
  if (!before.ok()) {
    return before.status().WithContext("before the exchange " + route);
  }
  const uint16_t robot = map_->transport.first.value;
  Command command;
  command.cdb = {kExchangeMedium,
                 0,
                 AddressHigh(robot),
                 AddressLow(robot),
                 AddressHigh(from.value),
                 AddressLow(from.value),
                 AddressHigh(to.value),
                 AddressLow(to.value),
                 AddressHigh(rest.value),
                 AddressLow(rest.value),
                 0,
                 0};
  command.timeout = options_.move_timeout;
  return RunMoveOut(
      fmt::format("exchange {} {}", MediumAt(before->front()), route), command,
      *before, (*before)[1]);
}

Status ScsiChanger::RunMoveOut(const std::string& what, const Command& command,
                               const std::vector<ElementStatus>& before,
                               const ElementStatus& out_of) {
  bool kept = false;
  const ElementAddress drive = out_of.address;
  if (ejector_ == nullptr || !out_of.full ||
      !map_->data_transfer.Contains(drive)) {
    return RunMove(what, command, before, &kept);
  }
  Result<bool> ejected = ejector_->BeforeMove(drive);
  if (!ejected.ok()) {
    return ejected.status().WithContext(
        fmt::format("{}: {}: drive {} keeps its medium", device_.Name(), what,
                    drive.value));
  }
  const bool before_move = *ejected;
  Status moved = RunMove(what, command, before, &kept);
  if (kept && !before_move) {
    ejected = ejector_->AfterRefusal(drive);
    if (!ejected.ok()) {
      return Status(moved.code(),
                    fmt::format("{}; and drive {} does not eject it: {}",
                                moved.error().message, drive.value,
                                ejected.error().message));
    }
    if (!*ejected) return moved;
    moved = RunMove(what, command, before, &kept);
    if (moved.ok()) ejector_->NoteHelped(drive);
  }
  if (!moved.ok() && *ejected) ejector_->TakeBack(drive);
  return moved;
}

Status ScsiChanger::RunMove(const std::string& what, const Command& command,
                            const std::vector<ElementStatus>& before,
                            bool* kept) {
  std::vector<ElementAddress> addresses;
  for (const ElementStatus& status : before) {
    addresses.push_back(status.address);
  }
  for (int tries = 0;; ++tries) {
    Sense sense;
    const Status status =
        device_.Run(what, command, Repeat::kOnlyUnchanged, &sense).status();
    *kept = KeptInDrive(sense);
    if (status.ok()) return status;
    const auto now = ReadElements(addresses);
    if (!now.ok()) {
      return Status(status.code(),
                    fmt::format("{}; what is there now is not "
                                "known: {}",
                                status.error().message, now.error().message));
    }
    if (tries == 0 && MeansMediumChanged(sense) && HoldTheSame(before, *now)) {
      continue;
    }
    return Status(status.code(),
                  fmt::format("{}; now {}", status.error().message,
                              DescribeElements(*now)));
  }
}

Status ScsiChanger::RunInitialize(const std::string& what,
                                  std::vector<uint8_t> cdb) {
  Command command;
  command.cdb = std::move(cdb);
  command.timeout = options_.initialize_timeout;
  RETURN_IF_ERROR(device_.Run(what, command, Repeat::kOnlyNotBegun).status());
  // Some answer at once and look afterwards.
  return WaitReady();
}

Status ScsiChanger::InitializeElementStatus() {
  return RunInitialize("INITIALIZE ELEMENT STATUS",
                       {kInitialize, 0, 0, 0, 0, 0});
}

Status ScsiChanger::InitializeElements(const ElementRange& range) {
  for (const uint8_t operation : {kInitializeRange, kInitializeRangeOld}) {
    const Status status = RunInitialize(
        fmt::format("INITIALIZE ELEMENT STATUS WITH RANGE ({:02X}h) {} from {}",
                    operation, range.count, range.first.value),
        {operation, 1, AddressHigh(range.first.value),
         AddressLow(range.first.value), 0, 0, AddressHigh(range.count),
         AddressLow(range.count), 0, 0});
    if (!status.Is(Errc::kNotSupported)) return status;
  }
  return InitializeElementStatus();
}

}  // namespace vellum::scsi
