// SPDX-License-Identifier: Apache-2.0
// The commands about single files: copy and restore with mode=files, and what
// a backup has that its primary has lost. Private to fs/commands*.cc.
#pragma once

#include <stop_token>
#include <string>

#include "fs/command_line.h"
#include "fs/json.h"
#include "media/error.h"

namespace vellum {

class Service;

// Does the command say mode=files?
bool IsAboutFiles(const CommandLine& line);

Result<Json> CopyFiles(Service& service, const CommandLine& line,
                       std::stop_token stop);
Result<Json> RestoreFiles(Service& service, const CommandLine& line,
                          std::stop_token stop);

// Files of the backup that are not on its primary any more (I11). kNotFound:
// one of the two; kInvalidArgument: no backup, or no tree of it is known.
Result<Json> ReportDeleted(Service& service, const std::string& backup);

}  // namespace vellum
