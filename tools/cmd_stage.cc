// SPDX-License-Identifier: Apache-2.0
// vellum stage: bulk recall, ordered by volume and address.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tools/cli.h"
#include "tools/cmd_devices.h"
#include "tools/human.h"
#include "tools/mount_path.h"
#include "tools/partial_result.h"

namespace vellum {

namespace {

struct StageArguments {
  std::vector<std::string> paths;
  std::string list;  // "-": standard input
  bool wait = false;
  uint64_t cancel = 0;
  uint64_t results = 0;
};

// A list that the daemon can read, for as long as it lives.
class ListFile {
 public:
  static Result<std::unique_ptr<ListFile>> Write(
      const std::vector<std::string>& paths) {
    std::string name =
        (std::filesystem::temp_directory_path() / "vellum-stage.XXXXXX");
    const int fd = mkostemp(name.data(), O_CLOEXEC);
    if (fd < 0) return ErrnoError("make " + name, errno);
    close(fd);
    std::unique_ptr<ListFile> file(new ListFile(name));
    std::ofstream out(name);
    for (const std::string& path : paths) out << path << '\n';
    out.close();
    if (!out) return Error{Errc::kNoSpace, name + ": could not be written"};
    return file;
  }
  ~ListFile() { unlink(name_.c_str()); }
  const std::string& name() const { return name_; }

 private:
  explicit ListFile(std::string name) : name_(std::move(name)) {}
  const std::string name_;
};

Result<Json> StageRow(const Client& client, uint64_t id) {
  ASSIGN_OR_RETURN(const Json rows, client.ReadJson("stages.json"));
  for (const Json& row : rows) {
    if (row.value("id", uint64_t{0}) == id) return row;
  }
  return Error{Errc::kNotFound, fmt::format("no stage {} is known", id)};
}

std::string StageLine(const Json& row) {
  std::string line = fmt::format(
      "stage {}: {} of {} files, {} of {}, {} of {} volumes",
      row.value("id", 0), row.value("files_done", 0), row.value("files", 0),
      FormatBytes(row.value("bytes_done", uint64_t{0})),
      FormatBytes(row.value("bytes", uint64_t{0})),
      row.value("volumes_done", 0), row.value("volumes", 0));
  if (row.value("files_failed", 0) > 0) {
    line += fmt::format(", {} failed", row.value("files_failed", 0));
  }
  const Json rate = row.value("bytes_per_second", Json());
  if (rate.is_number()) {
    line += fmt::format(", {}/s", FormatBytes(rate.get<uint64_t>()));
  }
  const Json remaining = row.value("remaining_seconds", Json());
  if (remaining.is_number()) {
    line += fmt::format(", {} to go", FormatSeconds(remaining.get<double>()));
  }
  return line;
}

// All files of a stage, or those that failed.
int PrintResults(const Cli& cli, const Client& client, uint64_t id,
                 bool failed_only) {
  Json all = Json::array();
  Json after = 0;
  while (!after.is_null()) {
    const Result<Json> page =
        client.Send({"stage", Option("results", std::to_string(id)),
                     Option("after", after.dump())});
    if (!page.ok()) return cli.Fail(page.error());
    for (const Json& file : page->value("files", Json::array())) {
      const std::string result = file.value("result", "");
      if (failed_only && (result == "done" || result == "waiting")) continue;
      if (cli.json) {
        all.push_back(file);
        continue;
      }
      const Json message = file.value("message", Json());
      cli.out() << fmt::format(
          "{:<12} {}{}\n", result, file.value("path", ""),
          message.is_string() ? ": " + message.get<std::string>() : "");
    }
    after = page->value("next", Json());
  }
  if (cli.json && !failed_only) cli.out() << all.dump() << '\n';
  return kExitOk;
}

int WaitForStage(const Cli& cli, const Client& client, uint64_t id) {
  for (;;) {
    const Result<Json> row = StageRow(client, id);
    if (!row.ok()) return cli.Fail(row.error());
    const bool ended = row->value("state", "") != "running";
    if (cli.env.terminal && !cli.json) {
      *cli.env.err << '\r' << StageLine(*row) << "\x1b[K" << std::flush;
      if (ended) *cli.env.err << '\n';
    }
    if (!ended) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      continue;
    }
    const auto failed = row->value("files_failed", uint64_t{0});
    const bool cancelled = row->value("state", "") != "done";
    if (failed == 0 && !cancelled) {
      return cli.Done(*row, [&] { cli.out() << StageLine(*row) << '\n'; });
    }
    if (!cli.json) {
      cli.out() << StageLine(*row) << '\n';
      const int printed = PrintResults(cli, client, id, true);
      if (printed != kExitOk) return printed;
    }
    return FailPartly(
        cli,
        Error{cancelled ? Errc::kAborted : Errc::kDeviceError,
              fmt::format("stage {}: {}{} of {} files could not be read "
                          "(vellum stage --results {})",
                          id, cancelled ? "cancelled; " : "", failed,
                          row->value("files", uint64_t{0}), id)},
        kExitJobFailed, *row);
  }
}

Result<std::vector<std::string>> ReadList(const std::string& name) {
  std::ifstream file;
  if (name != "-") {
    file.open(name);
    if (!file) return ErrnoError(name, errno);
  }
  std::istream& in = name == "-" ? std::cin : file;
  std::vector<std::string> paths;
  for (std::string line; std::getline(in, line);) {
    if (!line.empty()) paths.push_back(line);
  }
  return paths;
}

int StartStage(const Cli& cli, const Client& client,
               const StageArguments& given) {
  std::vector<std::string> paths = given.paths;
  if (!given.list.empty()) {
    const Result<std::vector<std::string>> list = ReadList(given.list);
    if (!list.ok()) return cli.Fail(list.error());
    paths.insert(paths.end(), list->begin(), list->end());
  }
  for (std::string& path : paths) path = VolumePathOf(client.mount(), path);
  Result<std::unique_ptr<ListFile>> list = ListFile::Write(paths);
  if (!list.ok()) return cli.Fail(list.error());
  const Result<Json> result =
      client.Send({"stage", Option("list", (*list)->name())});
  if (!result.ok()) return cli.Fail(result.error());
  const uint64_t id = result->value("stage", uint64_t{0});
  if (given.wait) return WaitForStage(cli, client, id);
  return cli.Done(*result, [&] { cli.out() << StageLine(*result) << '\n'; });
}

int RunStage(const Cli& cli, const StageArguments& given) {
  return cli.WithDaemon([&](const Client& client) {
    if (given.results != 0) {
      return PrintResults(cli, client, given.results, false);
    }
    if (given.cancel != 0) {
      const Result<Json> result = client.Send(
          {"stage", Option("cancel", std::to_string(given.cancel))});
      if (!result.ok()) return cli.Fail(result.error());
      return cli.Done(*result, [&] {
        cli.out() << fmt::format("stage {}: ends soon\n", given.cancel);
      });
    }
    return StartStage(cli, client, given);
  });
}

}  // namespace

void AddStage(CLI::App& app, Cli& cli) {
  auto given = std::make_shared<StageArguments>();
  CLI::App* sub = app.add_subcommand(
      "stage",
      "Read many files once, volume by volume and in the order of the medium");
  CLI::Option* paths = sub->add_option(
      "PATH", given->paths, "In the mount, or VOLUME/PATH; folders too");
  CLI::Option* list =
      sub->add_option("-f,--files", given->list,
                      "A file with a path on each line; - is standard input")
          ->type_name("LIST");
  sub->add_flag("--wait", given->wait,
                "Follow it to its end, and name the files that failed");
  CLI::Option* cancel =
      sub->add_option("--cancel", given->cancel, "End this stage")
          ->type_name("N");
  CLI::Option* results =
      sub->add_option("--results", given->results,
                      "What became of each file of this stage")
          ->type_name("N");
  cancel->excludes(paths)->excludes(list)->excludes(results);
  results->excludes(paths)->excludes(list);
  sub->callback([&cli, given] {
    cli.action = [&cli, given] {
      if (given->paths.empty() && given->list.empty() && given->cancel == 0 &&
          given->results == 0) {
        return cli.Fail(Error{Errc::kInvalidArgument,
                              "stage: say PATH, or a list of them with -f"},
                        kExitUsage);
      }
      return RunStage(cli, *given);
    };
  });
}

}  // namespace vellum
