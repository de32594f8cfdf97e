// SPDX-License-Identifier: Apache-2.0
#include "copy/job.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

namespace vellum {
namespace {

constexpr std::array kStateNames = {"queued",      "staging-in", "streaming",
                                    "load-target", "writing",    "verifying",
                                    "committing",  "returning",  "done",
                                    "failed",      "cancelled"};

nlohmann::json ToJson(const TimeSpec& time) {
  return nlohmann::json::array({time.sec, time.nsec});
}

TimeSpec TimeFrom(const nlohmann::json& json) {
  return {json.at(0).get<int64_t>(), json.at(1).get<uint32_t>()};
}

template <typename E>
E EnumFrom(const nlohmann::json& json, E last) {
  const auto value = json.get<uint32_t>();
  if (value > static_cast<uint32_t>(last)) {
    throw std::out_of_range("enumerator");
  }
  return static_cast<E>(value);
}

// By name: the numbers may change.
Errc ErrcFrom(const std::string& name) {
  for (int code = 0; code < static_cast<int>(Errc::kInternal); ++code) {
    if (name == ErrcName(static_cast<Errc>(code))) {
      return static_cast<Errc>(code);
    }
  }
  return Errc::kInternal;
}

nlohmann::json ToJson(const FileSelection& f) {
  // Names are bytes; a JSON text is not.
  nlohmann::json paths = nlohmann::json::array();
  for (const std::string& path : f.paths) {
    paths.push_back(
        nlohmann::json::binary_t::container_type(path.begin(), path.end()));
  }
  return {{"paths", std::move(paths)},
          {"recursive", f.recursive},
          {"select", static_cast<uint32_t>(f.select)},
          {"since", f.since ? ToJson(*f.since) : nlohmann::json()},
          {"below", nlohmann::json::binary_t::container_type(f.below.begin(),
                                                             f.below.end())},
          {"replace", f.replace}};
}

std::string BytesFrom(const nlohmann::json& json) {
  const auto bytes = json.get<std::vector<uint8_t>>();
  return std::string(bytes.begin(), bytes.end());
}

FileSelection SelectionFrom(const nlohmann::json& j) {
  FileSelection f;
  for (const nlohmann::json& path : j.at("paths")) {
    f.paths.push_back(BytesFrom(path));
  }
  f.recursive = j.at("recursive");
  f.select = EnumFrom(j.at("select"), FileSelect::kAll);
  if (!j.at("since").is_null()) f.since = TimeFrom(j.at("since"));
  f.below = BytesFrom(j.at("below"));
  f.replace = j.at("replace");
  return f;
}

nlohmann::json ToJson(const CopyRequest& r) {
  nlohmann::json json = {{"source", r.source},
                         {"mode", static_cast<uint32_t>(r.mode)},
                         {"policy", static_cast<uint32_t>(r.policy)},
                         {"target", r.target},
                         {"verify", r.verify},
                         {"whole", r.whole},
                         {"overwrite_last", r.overwrite_last},
                         {"wipe", r.wipe},
                         {"wait_mounted", r.wait_mounted},
                         {"track", static_cast<uint32_t>(r.track)}};
  if (r.mode == CopyMode::kFiles) json["files"] = ToJson(r.files);
  return json;
}

CopyRequest RequestFrom(const nlohmann::json& j) {
  CopyRequest r;
  r.source = j.at("source");
  r.mode = EnumFrom(j.at("mode"), CopyMode::kFiles);
  r.policy = EnumFrom(j.at("policy"), CopyPolicy::kFull);
  r.target = j.at("target");
  r.verify = j.at("verify");
  r.whole = j.at("whole");
  r.overwrite_last = j.at("overwrite_last");
  r.wipe = j.at("wipe");
  r.wait_mounted = j.at("wait_mounted");
  // Records of the first release have none.
  r.track = EnumFrom(j.value("track", nlohmann::json(0u)), TrackWish::kNo);
  if (r.mode == CopyMode::kFiles) r.files = SelectionFrom(j.at("files"));
  return r;
}

}  // namespace

const char* JobStateName(JobState state) {
  return kStateNames[static_cast<size_t>(state)];
}

const char* CopyModeName(CopyMode mode) {
  constexpr std::array kNames = {"image", "streaming", "incremental", "files"};
  return kNames[static_cast<size_t>(mode)];
}

const char* JobKindName(JobKind kind) {
  constexpr std::array kNames = {"copy", "compare", "restore"};
  return kNames[static_cast<size_t>(kind)];
}

std::string EncodeJob(const JobRecord& job) {
  const nlohmann::json json = {{"version", 1},
                               {"id", job.id},
                               {"kind", static_cast<uint32_t>(job.kind)},
                               {"request", ToJson(job.request)},
                               {"state", static_cast<uint32_t>(job.state)},
                               {"cancel_requested", job.cancel_requested},
                               {"method", job.method},
                               {"target_medium", job.target_medium},
                               {"target_volume", job.target_volume},
                               {"lineage", job.generation.lineage},
                               {"number", job.generation.number},
                               {"regions_total", job.regions_total},
                               {"regions_done", job.regions_done},
                               {"bytes_copied", job.bytes_copied},
                               {"bytes_verified", job.bytes_verified},
                               {"regions_compared", job.regions_compared},
                               {"regions_changed", job.regions_changed},
                               {"differs", job.differs},
                               {"created", ToJson(job.created)},
                               {"started", ToJson(job.started)},
                               {"state_since", ToJson(job.state_since)},
                               {"ended", ToJson(job.ended)},
                               {"error", ErrcName(job.error)},
                               {"message", job.message},
                               {"log", job.log},
                               {"hook", job.hook},
                               {"hook_exit", job.hook_exit}};
  // Messages may quote bytes of a medium that are no UTF-8.
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<JobRecord> DecodeJob(std::string_view data) {
  try {
    const nlohmann::json j = nlohmann::json::parse(data);
    if (j.at("version").get<int>() != 1) {
      return Error{Errc::kIncompatible, "job record of a newer version"};
    }
    JobRecord job;
    job.id = j.at("id");
    job.kind = EnumFrom(j.at("kind"), JobKind::kRestore);
    job.request = RequestFrom(j.at("request"));
    job.state = EnumFrom(j.at("state"), JobState::kCancelled);
    job.cancel_requested = j.at("cancel_requested");
    job.method = j.at("method");
    job.target_medium = j.at("target_medium");
    job.target_volume = j.at("target_volume");
    job.generation.lineage = j.at("lineage");
    job.generation.number = j.at("number");
    job.regions_total = j.at("regions_total");
    job.regions_done = j.at("regions_done");
    job.bytes_copied = j.at("bytes_copied");
    job.bytes_verified = j.at("bytes_verified");
    // Records of the first release have none.
    job.regions_compared = j.value("regions_compared", uint64_t{0});
    job.regions_changed = j.value("regions_changed", uint64_t{0});
    job.differs = j.value("differs", false);
    job.created = TimeFrom(j.at("created"));
    job.started = TimeFrom(j.at("started"));
    job.state_since = TimeFrom(j.at("state_since"));
    job.ended = TimeFrom(j.at("ended"));
    job.error = ErrcFrom(j.at("error").get<std::string>());
    job.message = j.at("message");
    job.log = j.at("log").get<std::vector<std::string>>();
    job.hook = j.value("hook", "");
    job.hook_exit = j.value("hook_exit", 0);
    return job;
  } catch (const std::exception& e) {
    return Error{Errc::kCorruption, fmt::format("job record: {}", e.what())};
  }
}

}  // namespace vellum
