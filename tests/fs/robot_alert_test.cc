// SPDX-License-Identifier: Apache-2.0
// A medium that a power failure left in the robot's hand, as the operator sees
// it.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <utility>

#include "media/file_util.h"
#include "tests/fs/service_fixture.h"

namespace vellum {
namespace {

using testing::HasSubstr;
using testing::Not;

class RobotAlertTest : public ServiceFixture {
 protected:
  Json Robot() {
    for (const Json& row : CatJson("elements.json")) {
      if (row["type"] == "transport") return row;
    }
    return Json::object();
  }
  void Stop() {
    tree_.reset();
    control_.reset();
    service_.reset();
  }
  // What lies in `from` while nobody serves the library is in `to` then.
  void Place(int from, int to) {
    const std::string path = directory() + "/state/elements.json";
    ASSERT_OK_AND_ASSIGN(std::string text, ReadWholeFile(path));
    const std::string before = fmt::format("\"address\":{},", from);
    const size_t at = text.find(before);
    ASSERT_NE(at, std::string::npos) << text;
    text.replace(at, before.size(), fmt::format("\"address\":{},", to));
    ASSERT_OK(ReplaceFile(path, text));
  }
  // V00001 with VOL-A, which came from 1024, is in the robot.
  void StartWithRobotAndSlotsFull() {
    Run("format V00001 name=VOL-A");
    for (int n = 1; n <= 3; ++n) {
      Run(fmt::format("door put NEW{} new=yes capacity=16777216", n));
      if (n < 3) Run(fmt::format("move 768 {}", 1027 + n));
    }
    Stop();
    Place(1024, 1);
    Place(768, 1024);
    Start();
  }
};

TEST_F(RobotAlertTest, O9_WhatTheRobotHoldsIsToldUntilItIsPutDown) {
  StartWithRobotAndSlotsFull();
  const Json robot = Robot();
  EXPECT_EQ(robot["full"], true);
  EXPECT_EQ(robot["volume_tag"], "V00001");
  EXPECT_EQ(robot["volume"], "VOL-A");
  EXPECT_THAT(*Cat("alerts"),
              HasSubstr("the robot holds V00001: `vellum move 1 ELEMENT`"));
  Stop();
  Place(1024, 768);
  Start();  // now there is a place
  EXPECT_THAT(*Cat("alerts"), Not(HasSubstr("robot")));
  EXPECT_EQ(Robot()["full"], false);
  EXPECT_EQ(Run("fsck VOL-A data=yes")["clean"], true);
}

TEST_F(RobotAlertTest, O9_AMoveByHandPutsItHome) {
  Run("format V00001 name=VOL-A");
  Stop();
  Place(1024, 1);
  // No move comes off: where the elements are written before is a directory.
  const std::string in_the_way = directory() + "/state/elements.json.tmp";
  ASSERT_TRUE(std::filesystem::create_directory(in_the_way));
  Start();
  EXPECT_THAT(
      *Cat("alerts"),
      HasSubstr("the robot holds V00001: `vellum move 1 1024` puts it home"));
  EXPECT_EQ(Robot()["volume"], "VOL-A");
  ASSERT_TRUE(std::filesystem::remove(in_the_way));
  EXPECT_THAT(service_->Execute("move 1025 1028"),
              MessageHas("the transport holds V00001"));
  Run("move 1 1024");
  EXPECT_THAT(*Cat("alerts"), Not(HasSubstr("robot")));
  EXPECT_EQ(Robot()["full"], false);
  EXPECT_EQ(Run("fsck VOL-A data=yes")["clean"], true);
}

}  // namespace
}  // namespace vellum
