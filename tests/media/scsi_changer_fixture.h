// SPDX-License-Identifier: Apache-2.0
// ScsiChanger on a changer in memory.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "media/scsi/scsi_changer.h"
#include "tests/support/fake_scsi_changer.h"
#include "tests/support/status_matchers.h"

namespace vellum::scsi {

inline constexpr uint8_t kMoveMedium = 0xA5;

inline ElementAddress A(int address) {
  return ElementAddress{static_cast<uint16_t>(address)};
}

inline ScsiChangerOptions Fast() {
  ScsiChangerOptions options;
  options.ready_bound = std::chrono::milliseconds(50);
  options.patience = {
      std::chrono::milliseconds(20), std::chrono::milliseconds(20),
      std::chrono::milliseconds(1), std::chrono::milliseconds(2)};
  return options;
}

// "1024 V1", "1025 -": the elements of the map, without the empty ones that
// have nothing to say.
inline std::vector<std::string> Full(
    const Result<std::vector<ElementStatus>>& statuses) {
  if (!statuses.ok()) return {statuses.error().ToString()};
  std::vector<std::string> lines;
  for (const ElementStatus& status : *statuses) {
    if (!status.full && status.note.empty()) continue;
    std::string line = ToString(status.address) + " " +
                       (status.volume_tag.empty() ? "-" : status.volume_tag);
    if (!status.accessible) line += " inaccessible";
    if (status.imported) line += " imported";
    if (status.source) line += " from " + ToString(*status.source);
    if (!status.note.empty()) line += ": " + status.note;
    lines.push_back(line);
  }
  return lines;
}

class ScsiChangerTest : public testing::Test {
 protected:
  void Open(const FakeScsiChangerOptions& options = {}) {
    fake_ = std::make_unique<FakeScsiChanger>(options);
    fake_->Put(1024, "V00001L1");
    fake_->Put(1026, "V00002L1");
    Connect();
  }
  void Connect() {
    auto changer = ScsiChanger::Open(fake_->Open(), Fast());
    ASSERT_OK(changer);
    changer_ = std::move(*changer);
  }
  ScsiScript& script() { return fake_->script(); }
  std::vector<uint8_t> LastMove() {
    std::vector<uint8_t> cdb;
    for (const SentCommand& sent : script().Log()) {
      if (sent.cdb[0] == kMoveMedium) cdb = sent.cdb;
    }
    return cdb;
  }

  std::unique_ptr<FakeScsiChanger> fake_;
  std::unique_ptr<ScsiChanger> changer_;
};

}  // namespace vellum::scsi
