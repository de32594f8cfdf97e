// SPDX-License-Identifier: Apache-2.0
#include "tests/copy/fault_devices.h"

#include <fmt/format.h>

#include <utility>

namespace vellum {

class SweptChanger : public Changer {
 public:
  SweptChanger(FaultDevices* faults, std::unique_ptr<Changer> base)
      : faults_(faults), base_(std::move(base)) {}
  Result<ChangerIdentity> Identify() override { return base_->Identify(); }
  Result<ElementMap> Elements() override { return base_->Elements(); }
  Result<std::vector<ElementStatus>> ReadElementStatus() override {
    bool done = false;
    RETURN_IF_ERROR(Count("inventory", &done));
    return base_->ReadElementStatus();
  }
  Status MoveMedium(ElementAddress from, ElementAddress to) override {
    bool done = false;
    const Status fault =
        Count(fmt::format("move from {} to {}", from.value, to.value), &done);
    if (!fault.ok() && !done) return fault;
    RETURN_IF_ERROR(base_->MoveMedium(from, to));
    return fault;
  }
  Status InitializeElementStatus() override { return Status::Ok(); }

 private:
  Status Count(const std::string& what, bool* done) {
    return faults_->Count(FaultDevices::Device::kChanger, {}, what.c_str(),
                          done);
  }

  FaultDevices* const faults_;
  const std::unique_ptr<Changer> base_;
};

class SweptDrive : public Drive {
 public:
  SweptDrive(FaultDevices* faults, std::unique_ptr<Drive> base)
      : faults_(faults), base_(std::move(base)) {}
  ElementAddress Address() const override { return base_->Address(); }
  Result<DriveIdentity> Identify() override {
    bool done = false;
    RETURN_IF_ERROR(Count("identify", &done));
    return base_->Identify();
  }
  Result<std::unique_ptr<Medium>> Open() override {
    bool done = false;
    const Status fault = Count("load", &done);
    if (!fault.ok() && !done) return fault.error();
    ASSIGN_OR_RETURN(std::unique_ptr<Medium> loaded, base_->Open());
    if (!fault.ok()) return fault.error();
    return faults_->media().Open(std::move(loaded));
  }
  Status Close() override {
    bool done = false;
    const Status fault = Count("unload", &done);
    if (!fault.ok() && !done) return fault;
    RETURN_IF_ERROR(base_->Close());
    return fault;
  }

 private:
  Status Count(const char* what, bool* done) {
    return faults_->Count(FaultDevices::Device::kDrive, Address(), what, done);
  }

  FaultDevices* const faults_;
  const std::unique_ptr<Drive> base_;
};

void FaultDevices::At(uint64_t n, Device device, Act act) {
  const MutexLock lock(&mu_);
  left_ = n;
  device_ = device;
  act_ = act;
  reached_ = false;
}

bool FaultDevices::reached() const {
  const MutexLock lock(&mu_);
  return reached_;
}

bool FaultDevices::Clear() {
  const MutexLock lock(&mu_);
  left_ = 0;
  reached_ = false;
  hangs_.reset();
  return std::exchange(gone_, std::nullopt).has_value();
}

Status FaultDevices::Count(Device device, ElementAddress element,
                           const char* what, bool* done) {
  const std::string name =
      device == Device::kChanger ? "changer" : "drive " + ToString(element);
  const auto failed = [&](Errc code, const char* why) {
    return Status(code, fmt::format("{}: {}: {}", name, what, why));
  };
  if (!power_()) return failed(Errc::kOffline, "power is off");
  MutexLock lock(&mu_);
  const bool now = left_ > 0 && device == device_ && --left_ == 0;
  if (now) {
    reached_ = true;
    if (act_ == Act::kGone) gone_ = element;
    if (act_ == Act::kHang) hangs_ = element;
  }
  if (hangs_ == element) {
    lock.Unlock();
    hold_->Stay();
    return Status::Ok();
  }
  if (gone_ == element) return failed(Errc::kOffline, "gone (injected)");
  if (!now) return Status::Ok();
  *done = act_ == Act::kDone;
  return failed(Errc::kDeviceError, "injected fault");
}

std::unique_ptr<Changer> FaultDevices::Wrap(std::unique_ptr<Changer> changer) {
  return std::make_unique<SweptChanger>(this, std::move(changer));
}

std::unique_ptr<Drive> FaultDevices::Wrap(std::unique_ptr<Drive> drive) {
  return std::make_unique<SweptDrive>(this, std::move(drive));
}

}  // namespace vellum
