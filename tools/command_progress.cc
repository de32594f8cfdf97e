// SPDX-License-Identifier: Apache-2.0
#include "tools/command_progress.h"

#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>

#include "tools/human.h"
#include "tools/live_line.h"

namespace vellum {

namespace {

// Most commands end sooner, and leave the terminal alone.
constexpr std::chrono::milliseconds kProgressPoll{300};

std::string Amount(const std::string& unit, uint64_t count) {
  return unit == "bytes" ? FormatBytes(count)
                         : fmt::format("{} {}", count, unit);
}

// The newest of the commands that read like this one.
Json Find(const Json& rows, const std::string& command) {
  Json found;
  for (const Json& row : rows) {
    if (row.value("command", "") == command) found = row;
  }
  return found;
}

void Watch(const std::stop_token& stop, const Client& client,
           const std::string& command, std::ostream* err) {
  LiveLine line(err);
  std::mutex mutex;
  std::condition_variable_any wakes;
  std::unique_lock lock(mutex);
  while (!wakes.wait_for(lock, stop, kProgressPoll,
                         [&stop] { return stop.stop_requested(); })) {
    const Result<Json> rows = client.ReadJson("running.json");
    if (!rows.ok() || !rows->is_array()) continue;  // the command says why
    const Json row = Find(*rows, command);
    if (!row.is_null()) line.Show(DescribeRunning(row));
  }
  line.Clear();
}

}  // namespace

std::string DescribeRunning(const Json& row) {
  const auto number = [&row](const char* key) {
    const Json value = row.value(key, Json());
    return value.is_number() ? value.get<double>() : -1.0;
  };
  const Json unit = row.value("unit", Json());
  const Json step = row.value("step", Json());
  std::string text = row.value("command", "");
  std::string separator = ": ";
  const auto add = [&](const std::string& part) {
    text += separator + part;
    separator = ", ";
  };
  if (unit.is_string()) {
    const auto done = static_cast<uint64_t>(number("done"));
    if (number("total") >= 0) {
      const auto total = static_cast<uint64_t>(number("total"));
      add(fmt::format(
          "{} of {} ({} %)",
          unit == "bytes" ? FormatBytes(done) : std::to_string(done),
          Amount(unit, total), static_cast<int>(number("percent"))));
    } else {
      add(Amount(unit, done));
    }
    if (unit == "bytes" && number("per_second") > 0) {
      add(FormatBytes(static_cast<uint64_t>(number("per_second"))) + "/s");
    }
  }
  if (step.is_string()) add(step.get<std::string>());
  if (number("remaining_seconds") >= 0) {
    add(FormatSeconds(number("remaining_seconds")) + " left");
  }
  return text;
}

Result<Json> SendAndShow(const Cli& cli, const Client& client,
                         const std::vector<std::string>& words) {
  if (!cli.env.terminal) return client.Send(words);
  std::jthread watcher;
  try {
    watcher = std::jthread([client, command = CommandText(words),
                            err = cli.env.err](const std::stop_token& stop) {
      Watch(stop, client, command, err);
    });
  } catch (const std::system_error&) {
    // The command matters, the line does not.
  }
  return client.Send(words);
}

}  // namespace vellum
