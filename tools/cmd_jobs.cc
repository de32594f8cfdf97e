// SPDX-License-Identifier: Apache-2.0
// vellum jobs, vellum cancel.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <sstream>
#include <utility>

#include "tools/cli.h"
#include "tools/job_wait.h"

namespace vellum {

namespace {

struct JobsArguments {
  std::optional<uint64_t> job;
  bool log = false;
  bool files = false;
  bool wait = false;
};

int ShowFile(const Cli& cli, const Client& client, const std::string& name) {
  const Result<std::string> text = client.ReadControl(name);
  if (!text.ok()) return cli.Fail(text.error());
  cli.out() << *text;
  return kExitOk;
}

Error NoSuchJob(uint64_t job) {
  return Error{Errc::kNotFound, fmt::format("job {}: no such job", job)};
}

// A file of the job's folder; a folder that is missing is a missing job.
Result<std::string> ReadJobFile(const Client& client, uint64_t job,
                                const char* name) {
  Result<std::string> text =
      client.ReadControl(fmt::format("jobs/{}/{}", job, name));
  if (!text.ok() && text.error().code == Errc::kNotFound) return NoSuchJob(job);
  return text;
}

int ShowStatus(const Cli& cli, const Client& client, uint64_t job) {
  const Result<std::string> text = ReadJobFile(client, job, "status");
  if (!text.ok()) return cli.Fail(text.error());
  cli.out() << *text;
  return kExitOk;
}

int ShowLog(const Cli& cli, const Client& client, uint64_t job) {
  const Result<std::string> text = ReadJobFile(client, job, "log");
  if (!text.ok()) return cli.Fail(text.error());
  Json lines = Json::array();
  std::istringstream stream(*text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return cli.Done({{"log", std::move(lines)}}, [&] { cli.out() << *text; });
}

int OneJob(const Cli& cli, const Client& client,
           const JobsArguments& arguments) {
  if (arguments.wait) return FinishJob(cli, client, *arguments.job);
  if (arguments.log) return ShowLog(cli, client, *arguments.job);
  if (arguments.files) {
    const Result<std::string> text =
        ReadJobFile(client, *arguments.job, cli.json ? "files.json" : "files");
    if (!text.ok()) return cli.Fail(text.error());
    cli.out() << *text;
    return kExitOk;
  }
  if (!cli.json) return ShowStatus(cli, client, *arguments.job);
  const Result<Json> rows = client.ReadJson("jobs.json");
  if (!rows.ok()) return cli.Fail(rows.error());
  for (const Json& row : *rows) {
    if (row.value("id", uint64_t{0}) == *arguments.job) {
      return cli.Done(row, [] {});
    }
  }
  return cli.Fail(NoSuchJob(*arguments.job));
}

int Jobs(const Cli& cli, const JobsArguments& arguments) {
  if (!arguments.job && (arguments.log || arguments.files || arguments.wait)) {
    return cli.Fail(Error{Errc::kInvalidArgument,
                          "jobs: --log, --files and --wait need a job"},
                    kExitUsage);
  }
  return cli.WithDaemon([&](const Client& client) {
    if (arguments.job) return OneJob(cli, client, arguments);
    return ShowFile(cli, client, cli.json ? "jobs.json" : "jobs.txt");
  });
}

void AddJobs(CLI::App& app, Cli& cli) {
  auto arguments = std::make_shared<JobsArguments>();
  CLI::App* sub = app.add_subcommand("jobs", "List jobs, or show one");
  sub->add_option("JOB", arguments->job, "Number of the job");
  CLI::Option* log =
      sub->add_flag("--log", arguments->log, "What the job did, with times");
  CLI::Option* files =
      sub->add_flag("--files", arguments->files,
                    "What became of each file and directory of a copy by file");
  files->excludes(log);
  sub->add_flag("--wait", arguments->wait, "Wait for its end")
      ->excludes(log)
      ->excludes(files);
  sub->callback([&cli, arguments] {
    cli.action = [&cli, arguments] { return Jobs(cli, *arguments); };
  });
}

void AddCancel(CLI::App& app, Cli& cli) {
  auto job = std::make_shared<uint64_t>(0);
  CLI::App* sub = app.add_subcommand("cancel", "Cancel a job");
  sub->add_option("JOB", *job, "Number of the job")->required();
  sub->callback([&cli, job] {
    cli.action = [&cli, job] {
      return cli.WithDaemon([&](const Client& client) {
        const Result<Json> result =
            client.Send({"cancel", std::to_string(*job)});
        if (!result.ok()) return cli.Fail(result.error());
        return cli.Done(*result, [&] {
          cli.out() << fmt::format("job {}: will be cancelled\n", *job);
        });
      });
    };
  });
}

}  // namespace

void AddJobCommands(CLI::App& app, Cli& cli) {
  AddJobs(app, cli);
  AddCancel(app, cli);
}

}  // namespace vellum
