// SPDX-License-Identifier: Apache-2.0
#include "media/library_config.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "media/config_table.h"
#include "media/file_util.h"
#include "media/virtual_state.h"

namespace vellum {

namespace {

constexpr ConfigBounds kLibNum{0, 999'999};
constexpr ConfigBounds kBytes{0, 1ull << 62};
constexpr ConfigBounds kCheckpointMs{1, 3'600'000};
constexpr ConfigBounds kAddress{0, 65535};
constexpr ConfigBounds kGenerations{1, 1000};
constexpr ConfigBounds kPairs{0, 1'000'000};
constexpr ConfigBounds kCopies{1, 64};
constexpr ConfigBounds kTimeout{1, 86'400};

// The kinds: the name in the file, the reader of the tables that only this kind
// has, and their text.
struct Kind {
  const char* name;
  Status (*read)(ConfigTable* root, LibraryConfig* config);
  const char* (*introduction)();
  std::string (*text)(const LibraryConfig& config);
};

// In the order of LibraryConfig::devices.
constexpr Kind kKinds[] = {
    {"virtual",
     [](ConfigTable* root, LibraryConfig* config) {
       return ReadVirtualConfig(
           root, &config->devices.emplace<VirtualLibraryOptions>());
     },
     &VirtualConfigIntroduction,
     [](const LibraryConfig& config) {
       return VirtualConfigText(
           std::get<VirtualLibraryOptions>(config.devices));
     }},
    {"scsi",
     [](ConfigTable* root, LibraryConfig* config) {
       return ReadScsiConfig(root,
                             &config->devices.emplace<ScsiLibraryOptions>());
     },
     &ScsiConfigIntroduction,
     [](const LibraryConfig& config) {
       return ScsiConfigText(std::get<ScsiLibraryOptions>(config.devices));
     }},
    {"manual",
     [](ConfigTable* root, LibraryConfig* config) {
       return ReadManualConfig(
           root, &config->devices.emplace<ManualLibraryOptions>());
     },
     &ManualConfigIntroduction,
     [](const LibraryConfig& config) {
       return ManualConfigText(std::get<ManualLibraryOptions>(config.devices));
     }},
};
static_assert(std::size(kKinds) ==
              std::variant_size_v<decltype(LibraryConfig::devices)>);

const Kind& KindOf(const LibraryConfig& config) {
  return kKinds[config.devices.index()];
}

Status ReadKind(ConfigTable* root, ConfigTable* library,
                LibraryConfig* config) {
  std::string name = kKinds[0].name;
  RETURN_IF_ERROR(library->String("kind", &name));
  std::string known;
  for (const Kind& kind : kKinds) {
    if (name == kind.name) return kind.read(root, config);
    known += fmt::format("{}\"{}\"", known.empty() ? "" : ", ", kind.name);
  }
  return library->At("kind", fmt::format("\"{}\" is none of {}", name, known));
}

Status CheckCopyRange(const ConfigTable& policy, const LibraryConfig& config) {
  std::string problem;
  if (const auto* geometry =
          std::get_if<VirtualLibraryOptions>(&config.devices)) {
    problem = CopyRangeProblem(config, VirtualElementMap(*geometry));
  } else if (config.copy_end < config.copy_start) {
    // Which addresses exist, only the devices know.
    problem = fmt::format("copy_end: {} is before copy_start", config.copy_end);
  }
  if (problem.empty()) return Status::Ok();
  const size_t colon = problem.find(": ");
  return policy.At(problem.substr(0, colon), problem.substr(colon + 2));
}

Status ReadPolicy(ConfigTable* policy, LibraryConfig* config) {
  RETURN_IF_ERROR(policy->Integer("checkpoint_interval_ms", kCheckpointMs,
                                  &config->checkpoint_interval_ms));
  RETURN_IF_ERROR(policy->Integer("spool_limit", kBytes, &config->spool_limit));
  RETURN_IF_ERROR(
      policy->Integer("overlay_limit", kBytes, &config->overlay_limit));
  RETURN_IF_ERROR(policy->Integer("copy_start", kAddress, &config->copy_start));
  RETURN_IF_ERROR(policy->Integer("copy_end", kAddress, &config->copy_end));
  RETURN_IF_ERROR(
      policy->Integer("generations", kGenerations, &config->generations));
  RETURN_IF_ERROR(
      policy->Integer("tracked_pairs", kPairs, &config->tracked_pairs));
  RETURN_IF_ERROR(policy->Integer("simultaneous_copies", kCopies,
                                  &config->simultaneous_copies));
  RETURN_IF_ERROR(policy->RejectUnknown());
  return CheckCopyRange(*policy, *config);
}

// A program that cannot be run is said now, and not when a copy needs it.
Status ReadHook(ConfigTable* hooks, const std::string& key, std::string* path) {
  RETURN_IF_ERROR(hooks->String(key, path));
  if (path->empty()) return Status::Ok();
  if (path->front() != '/') {
    return hooks->At(key, fmt::format("\"{}\" is no absolute path", *path));
  }
  struct stat st {};
  if (stat(path->c_str(), &st) != 0) {
    return hooks->At(key, ErrnoError(*path, errno).message);
  }
  if (!S_ISREG(st.st_mode) || access(path->c_str(), X_OK) != 0) {
    return hooks->At(key, *path + " is no program that may be executed");
  }
  return Status::Ok();
}

Status ReadHooks(ConfigTable* table, HookCommands* hooks) {
  RETURN_IF_ERROR(ReadHook(table, "before_copy", &hooks->before_copy));
  RETURN_IF_ERROR(ReadHook(table, "after_copy", &hooks->after_copy));
  RETURN_IF_ERROR(ReadHook(table, "before_restore", &hooks->before_restore));
  RETURN_IF_ERROR(ReadHook(table, "after_restore", &hooks->after_restore));
  RETURN_IF_ERROR(table->Integer("timeout_s", kTimeout, &hooks->timeout_s));
  return table->RejectUnknown();
}

}  // namespace

std::string LibraryKindName(const LibraryConfig& config) {
  return KindOf(config).name;
}

std::string LibraryConfigPath(const std::string& directory) {
  return directory + "/library.toml";
}

std::string CopyRangeProblem(const LibraryConfig& config,
                             const ElementMap& map) {
  if (config.copy_start == 0 && config.copy_end == 0) return "";
  const auto valid = [&map](uint16_t address) {
    return map.storage.Contains({address}) ||
           map.import_export.Contains({address});
  };
  std::string ranges =
      fmt::format("storage {} to {}", map.storage.first.value,
                  map.storage.first.value + map.storage.count - 1);
  if (map.import_export.count > 0) {
    ranges += fmt::format(
        ", import/export {} to {}", map.import_export.first.value,
        map.import_export.first.value + map.import_export.count - 1);
  }
  if (!valid(config.copy_start)) {
    return fmt::format("copy_start: {} is no slot: {}", config.copy_start,
                       ranges);
  }
  if (!valid(config.copy_end) || config.copy_end < config.copy_start) {
    return fmt::format("copy_end: {} is no slot at or after copy_start: {}",
                       config.copy_end, ranges);
  }
  return "";
}

std::string LibraryConfigText(const LibraryConfig& config) {
  const Kind& kind = KindOf(config);
  return fmt::format(
      R"({introduction}
[library]
# What the library is made of.
kind = "{kind}"
# The number of this library, shown as LibNum. 0 to {lib_num_max}.
lib_num = {lib_num}

{devices}
[policy]
# Milliseconds after which changes are committed to the medium by themselves;
# fsync and `vellum sync` commit at once. 1 to {checkpoint_max}.
checkpoint_interval_ms = {checkpoint}
# Most bytes that copies may stage in spool/. 0: what the disk has free.
spool_limit = {spool}
# Most bytes of old data that a running copy may keep while its volume changes.
overlay_limit = {overlay}
# The slots of the copy pool, first and last address. 0 and 0: every storage
# element.
# `vellum setcopyrange` sets another range, which is kept in the catalog.
copy_start = {copy_start}
copy_end = {copy_end}
# How many complete backups of a volume are kept. With 1 a copy goes to the
# medium of the last one. 1 to {generations_max}.
generations = {generations}
# Most pairs of primary and backup whose changes are tracked. 0: no limit.
tracked_pairs = {pairs}
# Jobs that may run at once; others wait. 1 to {copies_max}.
simultaneous_copies = {copies}

# Programs that are run before and after each copy and restore: absolute paths,
# "" for none. What they are told is in library.toml(5).
[hooks]
before_copy = "{before_copy}"
after_copy = "{after_copy}"
before_restore = "{before_restore}"
after_restore = "{after_restore}"
# Seconds after which one is killed, and has failed. 1 to {timeout_max}.
timeout_s = {timeout}
)",
      fmt::arg("introduction", kind.introduction()),
      fmt::arg("kind", kind.name), fmt::arg("lib_num_max", kLibNum.max),
      fmt::arg("lib_num", config.lib_num),
      fmt::arg("devices", kind.text(config)),
      fmt::arg("checkpoint_max", kCheckpointMs.max),
      fmt::arg("checkpoint", config.checkpoint_interval_ms),
      fmt::arg("spool", config.spool_limit),
      fmt::arg("overlay", config.overlay_limit),
      fmt::arg("copy_start", config.copy_start),
      fmt::arg("copy_end", config.copy_end),
      fmt::arg("generations_max", kGenerations.max),
      fmt::arg("generations", config.generations),
      fmt::arg("pairs", config.tracked_pairs),
      fmt::arg("copies_max", kCopies.max),
      fmt::arg("copies", config.simultaneous_copies),
      fmt::arg("before_copy", config.hooks.before_copy),
      fmt::arg("after_copy", config.hooks.after_copy),
      fmt::arg("before_restore", config.hooks.before_restore),
      fmt::arg("after_restore", config.hooks.after_restore),
      fmt::arg("timeout_max", kTimeout.max),
      fmt::arg("timeout", config.hooks.timeout_s));
}

Result<LibraryConfig> ReadLibraryConfig(const std::string& directory) {
  LibraryConfig config;
  std::error_code ec;
  config.directory = std::filesystem::canonical(directory, ec).string();
  if (ec) return ErrnoError("library " + directory, ec.value());
  const std::string path = LibraryConfigPath(config.directory);
  Result<std::string> text = ReadWholeFile(path);
  if (!text.ok()) {
    if (text.error().code != Errc::kNotFound) return text.error();
    return Error{Errc::kNotFound,
                 config.directory + " is no library: it has no library.toml"};
  }
  ASSIGN_OR_RETURN(ConfigTable root, ConfigTable::Parse(path, *text));
  ASSIGN_OR_RETURN(ConfigTable library, root.Table("library"));
  RETURN_IF_ERROR(library.Integer("lib_num", kLibNum, &config.lib_num));
  RETURN_IF_ERROR(ReadKind(&root, &library, &config));
  RETURN_IF_ERROR(library.RejectUnknown());
  ASSIGN_OR_RETURN(ConfigTable policy, root.Table("policy"));
  RETURN_IF_ERROR(ReadPolicy(&policy, &config));
  ASSIGN_OR_RETURN(ConfigTable hooks, root.Table("hooks"));
  RETURN_IF_ERROR(ReadHooks(&hooks, &config.hooks));
  RETURN_IF_ERROR(root.RejectUnknown());
  return config;
}

}  // namespace vellum
