// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_library.h"

#include <fmt/format.h>

#include <utility>

#include "media/borrowed_medium.h"

namespace vellum {

class FakeChanger : public Changer {
 public:
  explicit FakeChanger(FakeLibrary* library) : library_(library) {}

  Result<ChangerIdentity> Identify() override {
    ChangerIdentity identity;
    identity.vendor = "FAKE";
    identity.product = "CHANGER";
    identity.revision = "1";
    identity.serial = "F1";
    identity.device = "fake library";
    return identity;
  }
  Result<ElementMap> Elements() override { return library_->map_; }
  Result<std::vector<ElementStatus>> ReadElementStatus() override {
    return library_->Statuses();
  }
  Status MoveMedium(ElementAddress from, ElementAddress to) override {
    return library_->Move(from, to);
  }
  Status MoveMediumTurned(ElementAddress from, ElementAddress to) override {
    return library_->Move(from, to, /*turn=*/true);
  }
  Status ExchangeMedium(ElementAddress from, ElementAddress to,
                        ElementAddress rest) override {
    return library_->Exchange(from, to, rest);
  }
  Result<bool> ElementsChanged() override { return library_->TakeChanged(); }
  Status InitializeElementStatus() override { return Status::Ok(); }

 private:
  FakeLibrary* const library_;
};

class FakeDrive : public Drive {
 public:
  FakeDrive(FakeLibrary* library, ElementAddress address)
      : library_(library), address_(address) {}

  ElementAddress Address() const override { return address_; }
  Result<DriveIdentity> Identify() override {
    DriveIdentity identity;
    identity.vendor = "FAKE";
    identity.product = "DRIVE";
    identity.revision = "1";
    ASSIGN_OR_RETURN(identity.serial, library_->SerialOf(address_));
    identity.device = "fake drive " + ToString(address_);
    return identity;
  }
  Result<std::unique_ptr<Medium>> Open() override {
    return library_->OpenDrive(address_);
  }
  Status Close() override {
    library_->CloseDrive(address_);
    return Status::Ok();
  }

 private:
  FakeLibrary* const library_;
  const ElementAddress address_;
};

// What a test may lose.
class FakeLibrary::LossyMedium : public BorrowedMedium {
 public:
  LossyMedium(FakeLibrary* library, ElementAddress drive,
              std::shared_ptr<MemoryMedium> medium)
      : BorrowedMedium(medium.get()),
        library_(library),
        drive_(drive),
        medium_(std::move(medium)) {}
  Status Read(uint64_t lba, ByteSpan out) override {
    RETURN_IF_ERROR(Check());
    return BorrowedMedium::Read(lba, out);
  }
  Status WriteBy(Writer write, uint64_t lba, ConstByteSpan data) override {
    RETURN_IF_ERROR(Check());
    return BorrowedMedium::WriteBy(write, lba, data);
  }
  Status Flush() override {
    RETURN_IF_ERROR(Check());
    return BorrowedMedium::Flush();
  }

 private:
  Status Check() const {
    MutexLock lock(&library_->mu_);
    const auto it = library_->lost_.find(drive_);
    if (it == library_->lost_.end()) return Status::Ok();
    return Status(it->second, "drive " + ToString(drive_) + ": fault");
  }

  FakeLibrary* const library_;
  const ElementAddress drive_;
  const std::shared_ptr<MemoryMedium> medium_;
};

FakeLibrary::FakeLibrary(const FakeLibraryOptions& options)
    : options_(options) {
  map_.transport = {{1}, 1};
  map_.data_transfer = {{256}, options.drives};
  map_.import_export = {{768}, options.import_export};
  map_.storage = {{1024}, options.slots};
  MutexLock lock(&mu_);
  for (uint16_t i = 0; i < options.media; ++i) {
    MemoryMediumOptions medium;
    medium.sectors = options.sectors;
    medium.name = fmt::format("V{:05}", i + 1);
    media_[medium.name] = std::make_shared<MemoryMedium>(medium);
    if (options.two_sided) {
      MemoryMediumOptions side_b = medium;
      side_b.name += "B";
      media_[side_b.name] = std::make_shared<MemoryMedium>(side_b);
    }
    places_[ElementAddress{static_cast<uint16_t>(1024 + i)}].tag = medium.name;
  }
}

FakeLibrary::~FakeLibrary() = default;

std::unique_ptr<Changer> FakeLibrary::MakeChanger() {
  return std::make_unique<FakeChanger>(this);
}

std::vector<std::unique_ptr<Drive>> FakeLibrary::MakeDrives() {
  std::vector<std::unique_ptr<Drive>> drives;
  for (uint16_t i = 0; i < map_.data_transfer.count; ++i) {
    drives.push_back(std::make_unique<FakeDrive>(
        this, ElementAddress{static_cast<uint16_t>(256 + i)}));
  }
  return drives;
}

std::shared_ptr<MemoryMedium> FakeLibrary::Content(const VolumeTag& tag) const {
  MutexLock lock(&mu_);
  return media_.at(tag);
}

ElementAddress FakeLibrary::WhereIs(const VolumeTag& tag) const {
  MutexLock lock(&mu_);
  for (const auto& [address, held] : places_) {
    if (held.tag == tag) return address;
  }
  return {};
}

void FakeLibrary::Place(const VolumeTag& tag, ElementAddress element) {
  MutexLock lock(&mu_);
  for (auto it = places_.begin(); it != places_.end(); ++it) {
    if (it->second.tag == tag) {
      places_.erase(it);
      break;
    }
  }
  if (element.value != 0) places_[element].tag = tag;
}

void FakeLibrary::Relabel(const VolumeTag& tag, const VolumeTag& now) {
  MutexLock lock(&mu_);
  media_[now] = media_.at(tag);
  media_.erase(tag);
  for (auto& [address, held] : places_) {
    if (held.tag == tag) held.tag = now;
  }
}

void FakeLibrary::HideTags() {
  MutexLock lock(&mu_);
  tags_hidden_ = true;
}

void FakeLibrary::FailNextOpen(const VolumeTag& tag, Errc code) {
  MutexLock lock(&mu_);
  fail_open_[tag] = code;
}

void FakeLibrary::LoseMedium(ElementAddress drive, Errc code) {
  MutexLock lock(&mu_);
  lost_[drive] = code;
}

void FakeLibrary::Unplug(ElementAddress drive, bool away) {
  MutexLock lock(&mu_);
  if (away) {
    away_.insert(drive);
    lost_[drive] = Errc::kOffline;
  } else {
    away_.erase(drive);
  }
}

void FakeLibrary::Replace(ElementAddress drive, const std::string& serial) {
  MutexLock lock(&mu_);
  serials_[drive] = serial;
}

Result<std::string> FakeLibrary::SerialOf(ElementAddress drive) const {
  MutexLock lock(&mu_);
  if (away_.count(drive) != 0) {
    return Error{Errc::kOffline, "drive " + ToString(drive) + ": gone"};
  }
  const auto it = serials_.find(drive);
  return it == serials_.end() ? "F" + ToString(drive) : it->second;
}

void FakeLibrary::TellChanged() {
  MutexLock lock(&mu_);
  changed_ = true;
}

bool FakeLibrary::TakeChanged() {
  MutexLock lock(&mu_);
  return std::exchange(changed_, false);
}

size_t FakeLibrary::exchanges() const {
  MutexLock lock(&mu_);
  return exchanges_;
}

size_t FakeLibrary::turns() const {
  MutexLock lock(&mu_);
  return turns_;
}

Status FakeLibrary::Exchange(ElementAddress from, ElementAddress to,
                             ElementAddress rest) {
  MutexLock lock(&mu_);
  if (!options_.exchanges) {
    return Status(Errc::kNotSupported, "the fake changer exchanges none");
  }
  if (const auto fail = std::exchange(fail_move_, std::nullopt)) {
    return Status(*fail, "exchange: fault");
  }
  RETURN_IF_ERROR(MoveLocked(to, rest, false));
  RETURN_IF_ERROR(MoveLocked(from, to, false));
  moves_ -= 2;
  ++exchanges_;
  return Status::Ok();
}

void FakeLibrary::FailNextMove(Errc code, bool after_moving) {
  MutexLock lock(&mu_);
  fail_move_ = code;
  fail_after_moving_ = after_moving;
}

void FakeLibrary::HoldMoves(bool hold) {
  MutexLock lock(&mu_);
  hold_ = hold;
  cv_.NotifyAll();
}

void FakeLibrary::AwaitHeldMove() {
  MutexLock lock(&mu_);
  while (held_ == 0) cv_.Wait(&mu_);
}

size_t FakeLibrary::moves() const {
  MutexLock lock(&mu_);
  return moves_;
}

size_t FakeLibrary::loads() const {
  MutexLock lock(&mu_);
  return loads_;
}

bool FakeLibrary::moves_overlapped() const {
  MutexLock lock(&mu_);
  return overlapped_;
}

Status FakeLibrary::Move(ElementAddress from, ElementAddress to, bool turn) {
  MutexLock lock(&mu_);
  if (++moving_ > 1) overlapped_ = true;
  ++held_;
  cv_.NotifyAll();
  while (hold_) cv_.Wait(&mu_);
  --held_;
  Status status;
  const std::optional<Errc> fail = std::exchange(fail_move_, std::nullopt);
  if (!fail || fail_after_moving_) status = MoveLocked(from, to, turn);
  if (fail) {
    status = Status(
        *fail, fmt::format("move from {} to {}: fault", from.value, to.value));
  }
  --moving_;
  return status;
}

Status FakeLibrary::MoveLocked(ElementAddress from, ElementAddress to,
                               bool turn) {
  const auto source = places_.find(from);
  const std::string what = fmt::format(
      "move {} from {} to {}",
      source == places_.end() ? "?" : source->second.tag, from.value, to.value);
  for (const ElementAddress address : {from, to}) {
    if (address == from && map_.transport.Contains(from)) continue;
    if (!map_.data_transfer.Contains(address) &&
        !map_.import_export.Contains(address) &&
        !map_.storage.Contains(address)) {
      return Status(Errc::kNotFound, what + ": no such element");
    }
  }
  if (source == places_.end()) {
    return Status(Errc::kNoMedium, what + ": source empty");
  }
  for (const auto& [address, held] : places_) {
    if (map_.transport.Contains(address) && address != from) {
      return Status(Errc::kDeviceError, what + ": the robot holds " + held.tag);
    }
  }
  if (turn &&
      (!options_.two_sided || (from == to && !options_.turns_in_drive))) {
    return Status(Errc::kNotSupported, what + ": not turned over");
  }
  if (places_.count(to) != 0 && !(turn && from == to)) {
    return Status(Errc::kExists, what + ": target full");
  }
  if (in_use_.count(from) != 0) {
    return Status(Errc::kBusy, what + ": drive in use");
  }
  Held held = source->second;
  if (!map_.data_transfer.Contains(from) && !map_.transport.Contains(from)) {
    held.source = from;
  }
  if (turn) {
    held.turned = !held.turned;
    ++turns_;
  }
  places_.erase(source);
  places_[to] = std::move(held);
  ++moves_;
  if (map_.data_transfer.Contains(to)) ++loads_;
  return Status::Ok();
}

std::vector<ElementStatus> FakeLibrary::Statuses() const {
  MutexLock lock(&mu_);
  std::vector<ElementStatus> result;
  for (const auto& [type, range] :
       {std::pair(ElementType::kTransport, map_.transport),
        std::pair(ElementType::kStorage, map_.storage),
        std::pair(ElementType::kImportExport, map_.import_export),
        std::pair(ElementType::kDataTransfer, map_.data_transfer)}) {
    for (uint16_t i = 0; i < range.count; ++i) {
      ElementStatus status;
      status.address.value = static_cast<uint16_t>(range.first.value + i);
      status.type = type;
      status.accessible = in_use_.count(status.address) == 0;
      const auto it = places_.find(status.address);
      if (it != places_.end()) {
        status.full = true;
        status.source = it->second.source;
        if (!tags_hidden_) status.volume_tag = it->second.tag;
        status.sides = options_.two_sided ? 2 : 1;
        status.turned = it->second.turned;
      }
      result.push_back(std::move(status));
    }
  }
  return result;
}

Result<std::unique_ptr<Medium>> FakeLibrary::OpenDrive(ElementAddress drive) {
  MutexLock lock(&mu_);
  const auto it = places_.find(drive);
  if (it == places_.end()) {
    return Error{Errc::kNoMedium, "drive " + ToString(drive) + ": empty"};
  }
  if (away_.count(drive) != 0) {
    return Error{Errc::kOffline, "drive " + ToString(drive) + ": gone"};
  }
  const VolumeTag tag = it->second.tag + (it->second.turned ? "B" : "");
  const auto fail = fail_open_.find(tag);
  if (fail != fail_open_.end()) {
    const Errc code = fail->second;
    fail_open_.erase(fail);
    return Error{code, tag + " in drive " + ToString(drive) + ": fault"};
  }
  in_use_.insert(drive);
  lost_.erase(drive);
  return std::unique_ptr<Medium>(
      std::make_unique<LossyMedium>(this, drive, media_.at(tag)));
}

void FakeLibrary::CloseDrive(ElementAddress drive) {
  MutexLock lock(&mu_);
  in_use_.erase(drive);
}

}  // namespace vellum
