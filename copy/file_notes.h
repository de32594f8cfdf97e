// SPDX-License-Identifier: Apache-2.0
// What copies by file note in the control log of a backup (I6), as JSON texts:
//   {"event":"files","state":"started", …}       before the first change
//   {"event":"directories","results":[…], …}     when they are on the medium
//   {"event":"files","state":"done", …}          failed, cancelled, interrupted
// A copy without its last line was broken off: each file is whole, but what it
// says of the directories is all that is known to be done.
//
// Thread-safety: functions.
#pragma once

#include <string>
#include <vector>

#include "copy/file_plan.h"
#include "copy/file_results.h"
#include "copy/file_writer.h"
#include "copy/job.h"
#include "media/error.h"
#include "media/udf/control.h"

namespace vellum {

udf::LogEntry NoteOfStart(const JobRecord& job);
// One entry for some of them each; files are left out.
std::vector<udf::LogEntry> NotesOfDirectories(
    JobId job, const std::vector<FileResult>& results);
udf::LogEntry NoteOfEnd(const JobRecord& job, const FileCounts& counts,
                        const std::string& state, const std::string& message);

// Bytes that all notes of a copy with this plan take at most.
uint64_t NoteBytes(const JobRecord& job, const FilePlan& plan,
                   const FileWriterOptions& options);

}  // namespace vellum
