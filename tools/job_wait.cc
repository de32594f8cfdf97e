// SPDX-License-Identifier: Apache-2.0
#include "tools/job_wait.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "media/types.h"
#include "tools/human.h"
#include "tools/live_line.h"

namespace vellum {

namespace {

using Clock = std::chrono::steady_clock;

// How long a job is left alone: an eighth of what it was waited for already, so
// that a short one ends when it ends, and a long one is asked for seldom.
constexpr std::chrono::milliseconds kLeastPoll{2};
constexpr std::chrono::milliseconds kMostPoll{100};
constexpr uint64_t kRegionBytes = kRegionSize;  // jobs count regions

bool Ended(const std::string& state) {
  return state == "done" || state == "failed" || state == "cancelled";
}

Result<Json> ReadJob(const Client& client, uint64_t job) {
  ASSIGN_OR_RETURN(const Json rows, client.ReadJson("jobs.json"));
  for (const Json& row : rows) {
    if (row.value("id", uint64_t{0}) == job) return row;
  }
  return Error{Errc::kNotFound, fmt::format("job {}: no such job", job)};
}

// What the job does now: "job 3: writing 45 % (1.2 of 2.7 GB), 120.0 MB/s,
// 13 s left". The rate is that of the present state.
class Progress {
 public:
  explicit Progress(const Cli& cli) : cli_(cli), line_(cli.env.err) {}

  void Show(const Json& job) {
    const std::string state = job.value("state", "");
    const std::string waits = WaitsFor(job);
    const Clock::time_point now = Clock::now();
    if (state != state_ || waits != waits_) {
      if (state != state_) since_ = now;
      state_ = state;
      waits_ = waits;
      if (!cli_.env.terminal) {
        *cli_.env.err << fmt::format("job {}: {}{}\n", job.value("id", 0),
                                     state, waits);
      }
    }
    if (cli_.env.terminal) line_.Show(Describe(job, now));
  }

  // Leaves the line of the terminal.
  void End() { line_.Keep(); }

 private:
  // ": waits for V00005: held by mount at /srv/a", or nothing.
  static std::string WaitsFor(const Json& job) {
    const std::string message = job.value("message", "");
    return message.rfind("waits for ", 0) == 0 ? ": " + message : "";
  }

  std::string Describe(const Json& job, Clock::time_point now) const {
    std::string text =
        fmt::format("job {}: {}{}", job.value("id", 0), state_, waits_);
    const auto total = job.value("regions_total", uint64_t{0});
    const auto done = std::min(total, job.value("regions_done", uint64_t{0}));
    if (total == 0 || Ended(state_)) return text;
    text += fmt::format(" {} % ({} of {})", done * 100 / total,
                        FormatBytes(done * kRegionBytes),
                        FormatBytes(total * kRegionBytes));
    const double seconds = std::chrono::duration<double>(now - since_).count();
    if (seconds > 0.5 && done > 0) {
      const double rate = static_cast<double>(done * kRegionBytes) / seconds;
      const auto left = static_cast<double>((total - done) * kRegionBytes);
      text += fmt::format(", {}/s, {} left",
                          FormatBytes(static_cast<uint64_t>(rate)),
                          FormatSeconds(left / rate));
    }
    return text;
  }

  const Cli& cli_;
  std::string state_;
  std::string waits_;
  Clock::time_point since_;
  LiveLine line_;
};

}  // namespace

Result<Json> WaitForJob(const Cli& cli, const Client& client, uint64_t job) {
  Progress progress(cli);
  const Clock::time_point began = Clock::now();
  while (true) {
    Result<Json> row = ReadJob(client, job);
    if (!row.ok()) {
      progress.End();
      return row;
    }
    progress.Show(*row);
    if (Ended(row->value("state", ""))) {
      progress.End();
      return row;
    }
    std::this_thread::sleep_for(std::clamp<Clock::duration>(
        (Clock::now() - began) / 8, kLeastPoll, kMostPoll));
  }
}

int FinishJob(const Cli& cli, const Client& client, uint64_t job) {
  const Result<Json> row = WaitForJob(cli, client, job);
  if (!row.ok()) return cli.Fail(row.error());
  const std::string state = row->value("state", "");
  const std::string message = row->value("message", "");
  if (state == "done") {
    return cli.Done(*row, [&] {
      cli.out() << fmt::format("job {}: done{}{}\n", job,
                               message.empty() ? "" : ": ", message);
    });
  }
  const bool differences = row->value("kind", "") == "compare" &&
                           row->value("error", "") == "CORRUPTION";
  const Error error{differences ? Errc::kCorruption : Errc::kAborted,
                    fmt::format("job {}: {}{}{}", job, state,
                                message.empty() ? "" : ": ", message)};
  if (differences) return cli.Fail(error, kExitDifferences);
  // A hook that failed passes its exit code on.
  const Json hook = row->value("hook_exit", Json());
  return cli.Fail(error, hook.is_number_integer() && hook != 0
                             ? hook.get<int>()
                             : kExitJobFailed);
}

}  // namespace vellum
