// SPDX-License-Identifier: Apache-2.0
// The tables of the control tree. Each is built once, as JSON rows; its text
// twin is made from the same rows (fs/text_table.h). Nothing here moves a
// medium: all comes from memory and the catalog. Keys: docs/control.md.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "copy/job.h"
#include "fs/json.h"
#include "fs/running_commands.h"
#include "fs/text_table.h"
#include "index/records.h"
#include "media/error.h"
#include "media/udf/fsck.h"

namespace vellum {

class Service;

inline constexpr std::array<std::string_view, 19> kTableNames = {
    "status", "elements", "drives",   "media",   "copies",
    "pool",   "devices",  "tracking", "history", "jobs",
    "alerts", "requests", "running",  "queue",   "stages",
    "usage",  "health",   "faults",   "door"};

// REQUIRES: index < kTableNames.size().
Result<Table> BuildTable(const Service& service, size_t index);

// The same for one volume: rows that name it as source or target.
// `volume` empty: all.
Result<Table> HistoryTable(const Service& service, const std::string& volume);
Table JobsTable(const Service& service,
                const std::optional<std::string>& volume);
// Open requests to the operator; empty where there is none.
Table RequestsTable(const Service& service);
// Commands that run now, and how far they are.
Table RunningTable(const Service& service);
Result<Table> TrackingTable(const Service& service,
                            const std::optional<std::string>& volume);

// One volume, as `info` answers it.
Json VolumeInfo(const Service& service, const VolumeRecord& record);
// One job, as the jobs table shows it.
Json JobJson(const JobRecord& job);
// What became of each file and directory of a copy by file.
Result<Table> FilesTable(const Service& service, JobId job);
// progress of one job: state, percent, rate, remaining time.
Json JobProgress(const JobRecord& job, TimeSpec now);
// One command that runs: what it does, how far it is, rate, remaining time.
Json RunningJson(const RunningCommands::Command& command, TimeSpec now);

// What a check of a volume found, as `fsck` answers it.
Json FsckJson(const udf::FsckReport& report);

Json GenerationJson(const Generation& generation);
// "2026-01-31T12:00:00Z"; null for the zero time.
Json TimeJson(const TimeSpec& time);
const char* RoleName(udf::Role role);
const char* SlotStateName(udf::SlotState state);

}  // namespace vellum
