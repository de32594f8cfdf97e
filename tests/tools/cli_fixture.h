// SPDX-License-Identifier: Apache-2.0
// Commands run in this process against a daemon that only writes down what it
// is told.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/temp_dir.h"
#include "tools/cli.h"

namespace vellum {

class CliTest : public testing::Test {
 protected:
  CliTest() {
    std::filesystem::create_directories(Control(""));
    environment_.out = &out_;
    environment_.err = &err_;
    environment_.connect = [this](const DaemonAddress&) -> Result<Client> {
      if (!daemon_) return Error{Errc::kOffline, "no library is mounted"};
      return Client(dir_.path(), [this](const std::string& command) {
        sent_.push_back(command);
        if (answers_.empty()) return Result<std::string>(answer_);
        std::string answer = std::move(answers_.front());
        answers_.pop_front();
        return Result<std::string>(std::move(answer));
      });
    };
  }

  std::string Control(const std::string& name) {
    return dir_.Sub(".vellum") + "/" + name;
  }
  int Run(const std::vector<std::string>& arguments,
          const std::string& name = "vellum") {
    out_.str("");
    err_.str("");
    return RunVellum(name, arguments, environment_);
  }
  void Answer(const std::string& result) {
    answer_ = "{\"ok\":true,\"result\":" + result + "}\n";
  }
  void AnswerError(const std::string& code, const std::string& message) {
    answer_ = "{\"ok\":false,\"error\":{\"code\":\"" + code +
              "\",\"message\":\"" + message + "\"}}\n";
  }
  void Jobs(const std::string& rows) {
    WriteFileOrDie(Control("jobs.json"), rows);
  }

  TempDir dir_;
  std::ostringstream out_, err_;
  Environment environment_;
  bool daemon_ = true;
  std::string answer_ = "{\"ok\":true,\"result\":{}}\n";
  std::deque<std::string> answers_;  // in turn, before answer_
  std::vector<std::string> sent_;
};

}  // namespace vellum
