// SPDX-License-Identifier: Apache-2.0
// What a test's subject has logged.
#pragma once

#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace vellum {

// Takes the process's log while it lives. Thread-safe but for its beginning and
// its end.
class LoggedLines {
 public:
  LoggedLines() : sink_(std::make_shared<Sink>()) {
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", sink_));
  }
  ~LoggedLines() { spdlog::set_default_logger(before_); }
  LoggedLines(const LoggedLines&) = delete;
  LoggedLines& operator=(const LoggedLines&) = delete;

  // How many have that text.
  long Count(const std::string& text) const { return sink_->Count(text); }
  // All of them.
  std::string Text() const { return sink_->Text(); }

 private:
  class Sink : public spdlog::sinks::base_sink<std::mutex> {
   public:
    long Count(const std::string& text) {
      const std::lock_guard<std::mutex> lock(mutex_);
      return std::count_if(lines_.begin(), lines_.end(),
                           [&](const std::string& line) {
                             return line.find(text) != std::string::npos;
                           });
    }

    std::string Text() {
      const std::lock_guard<std::mutex> lock(mutex_);
      std::string text;
      for (const std::string& line : lines_) text += line + "\n";
      return text;
    }

   protected:
    void sink_it_(const spdlog::details::log_msg& message) override {
      lines_.emplace_back(message.payload.data(), message.payload.size());
    }
    void flush_() override {}

   private:
    std::vector<std::string> lines_;
  };

  const std::shared_ptr<spdlog::logger> before_ = spdlog::default_logger();
  const std::shared_ptr<Sink> sink_;
};

}  // namespace vellum
