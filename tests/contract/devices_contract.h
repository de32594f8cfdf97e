// SPDX-License-Identifier: Apache-2.0
// What every Changer and Drive must do, and what they must do together. An
// implementation takes part by instantiating the suites with a factory (see
// medium_contract.h).
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <vector>

#include "media/changer.h"
#include "media/drive.h"

namespace vellum {

// A library at rest: all drives empty, at least one medium in a storage
// element, at least two empty storage elements, media may be overwritten or are
// blank.
class DevicesHarness {
 public:
  virtual ~DevicesHarness() = default;
  virtual Changer& changer() = 0;
  virtual const std::vector<std::unique_ptr<Drive>>& drives() = 0;
  // The storage element of the medium that may be written; unless it is told,
  // any one.
  virtual std::optional<ElementAddress> Writable() { return std::nullopt; }
};

using DevicesHarnessFactory = std::unique_ptr<DevicesHarness> (*)();

class DevicesContract : public testing::TestWithParam<DevicesHarnessFactory> {
 protected:
  void SetUp() override;
  Changer& changer() { return harness_->changer(); }
  Drive& drive() { return *harness_->drives().front(); }

  // The element's status as the changer tells it now.
  ElementStatus At(ElementAddress address);

  // Found by SetUp.
  ElementAddress full_;   // a storage element with a medium
  ElementAddress empty_;  // storage elements without
  ElementAddress empty2_;
  VolumeTag tag_;  // of the medium in full_

 private:
  std::unique_ptr<DevicesHarness> harness_;
};

class ChangerContract : public DevicesContract {};
class DriveContract : public DevicesContract {};

}  // namespace vellum
