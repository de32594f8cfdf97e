// SPDX-License-Identifier: Apache-2.0
// Follows a job to its end, with a line of progress.
#pragma once

#include <cstdint>

#include "tools/cli.h"

namespace vellum {

// The job's record as the control tree shows it (a row of jobs.json). The
// progress goes to stderr: one line that is overwritten on a terminal, else one
// line per state.
Result<Json> WaitForJob(const Cli& cli, const Client& client, uint64_t job);

// Waits, prints what became of the job, answers the exit code: kExitOk,
// kExitDifferences when a compare found differences, else kExitJobFailed.
int FinishJob(const Cli& cli, const Client& client, uint64_t job);

}  // namespace vellum
