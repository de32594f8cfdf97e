// SPDX-License-Identifier: Apache-2.0
// A manual library's surroundings: a folder of image files as the shelf, and
// one folder for each dock, into which a test (or an operator of its own
// thread) puts symlinks to the images.
#pragma once

#include <string>
#include <thread>

#include "media/manual/manual_state.h"
#include "media/types.h"
#include "tests/support/temp_dir.h"

namespace vellum {

class ManualBench {
 public:
  // Media V00001, V00002, … on shelf places 1024, …; blank, 8 MiB each.
  explicit ManualBench(uint16_t docks = 1, uint16_t slots = 6,
                       uint16_t media = 2);

  const ManualConfig& config() const { return config_; }
  std::shared_ptr<ManualState> Load() const;  // aborts when it cannot

  std::string Image(const VolumeTag& tag) const;
  std::string DockFolder(ElementAddress dock) const;
  void PutIn(const VolumeTag& tag, ElementAddress dock) const;
  void TakeOut(ElementAddress dock) const;  // everything
  // Makes a volume on the medium, as if it had come with one; its uuid.
  std::string Format(const VolumeTag& tag, const std::string& volume) const;

  static constexpr ElementAddress kDock{256};
  static constexpr ElementAddress kDock2{257};

 private:
  TempDir dir_;
  ManualConfig config_;
};

// Does at once what the desk asks for, and confirms media without a label.
class ObedientOperator {
 public:
  ObedientOperator(std::shared_ptr<ManualState> state,
                   const ManualBench* bench);

 private:
  void Serve(const OperatorRequest& request);

  const std::shared_ptr<ManualState> state_;
  const ManualBench* const bench_;
  std::jthread thread_;  // last: it uses the others
};

// Waits until a request is open for which `found` is shown; answers it.
OperatorRequest AwaitRequest(ManualState& state, const std::string& found = "");

}  // namespace vellum
