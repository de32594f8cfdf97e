// SPDX-License-Identifier: Apache-2.0
// What every Medium must do. An implementation takes part by instantiating
// the suite with a factory, in a source file of its own:
//
//   INSTANTIATE_TEST_SUITE_P(Image, MediumContract,
//                            testing::Values(&MakeImageHarness));
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "media/medium.h"

namespace vellum {

// A medium of at least 1024 sectors whose content may be overwritten, and what
// it needs to live.
class MediumHarness {
 public:
  virtual ~MediumHarness() = default;
  virtual Medium& medium() = 0;
  // Whether a write-once medium is read before it is closed; MMC leaves that
  // to the drive.
  virtual bool ReadsOpen() const { return true; }
};

using MediumHarnessFactory = std::unique_ptr<MediumHarness> (*)();

class MediumContract : public testing::TestWithParam<MediumHarnessFactory> {
 protected:
  void SetUp() override {
    harness_ = GetParam()();
    ASSERT_NE(harness_, nullptr);
  }
  Medium& medium() { return harness_->medium(); }
  MediumHarness& harness() { return *harness_; }

 private:
  std::unique_ptr<MediumHarness> harness_;
};

}  // namespace vellum
