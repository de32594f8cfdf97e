// SPDX-License-Identifier: Apache-2.0
// Bulk recall: stage, and what became of it.
#include <fmt/format.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "copy/stages.h"
#include "fs/command_group.h"
#include "fs/service.h"
#include "fs/table_parts.h"
#include "media/file_util.h"

namespace vellum {
namespace {

constexpr uint64_t kMaxFiles = 10'000;  // in one answer
constexpr uint64_t kNone = UINT64_MAX;

// "VOLUME/PATH" of what may be a path below the mount point.
std::string BelowMount(const Service& service, std::string path) {
  const std::string& mount = service.mount_point();
  if (!mount.empty() && path.starts_with(mount + "/")) {
    path.erase(0, mount.size() + 1);
  }
  return path;
}

Result<Json> StageResults(const Service& service, StageId id, uint64_t after,
                          uint64_t limit) {
  ASSIGN_OR_RETURN(const std::vector<StageFile> files,
                   service.stages().Files(id, after, limit));
  Json rows = Json::array();
  for (const StageFile& file : files) {
    const char* result = !file.status.ok() ? ErrcName(file.status.code())
                         : file.done       ? "done"
                                           : "waiting";
    rows.push_back(
        {{"path", file.path},
         {"bytes", file.bytes},
         {"result", result},
         {"message",
          file.status.ok() ? Json() : Json(file.status.error().message)}});
  }
  const uint64_t next = after + files.size();
  return Json{{"files", std::move(rows)},
              {"next", files.size() < limit ? Json() : Json(next)}};
}

Result<Json> StageFiles(Service& service, const CommandLine& line,
                        std::stop_token) {
  OptionReader options(line);
  options.Args(0, 4096,
               "stage PATH... | stage list=FILE | stage cancel=N | stage "
               "results=N [after=K] [limit=K]");
  const std::optional<std::string> list = options.Text("list");
  const uint64_t cancel = options.Number("cancel", kNone, 1, kNone - 1);
  const uint64_t results = options.Number("results", kNone, 1, kNone - 1);
  const uint64_t after = options.Number("after", 0, 0, kNone - 1);
  const uint64_t limit = options.Number("limit", 1000, 1, kMaxFiles);
  RETURN_IF_ERROR(options.Finish());
  if (cancel != kNone) {
    RETURN_IF_ERROR(service.stages().Cancel(cancel));
    return Json{{"stage", cancel}};
  }
  if (results != kNone) return StageResults(service, results, after, limit);
  std::vector<std::string> paths;
  if (list) {
    if (!list->starts_with('/')) {
      return InvalidCommand(
          fmt::format("stage: list={} is no absolute path", *list));
    }
    ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(*list));
    std::string_view rest = text;
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      if (end > 0) {
        paths.push_back(BelowMount(service, std::string(rest.substr(0, end))));
      }
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  for (const std::string& path : line.args) {
    paths.push_back(BelowMount(service, path));
  }
  ASSIGN_OR_RETURN(const StageRecord stage, service.stages().Start(paths));
  Json answer = StageJson(stage);
  answer["stage"] = stage.id;
  return answer;
}

constexpr std::array<NamedCommand, 1> kStageCommands = {{
    {"stage", StageFiles},
}};

}  // namespace

std::span<const NamedCommand> StageCommands() { return kStageCommands; }

}  // namespace vellum
