// SPDX-License-Identifier: Apache-2.0
// The commands of the control tree, one function each (docs/control.md).
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "fs/command_line.h"
#include "fs/json.h"
#include "media/error.h"

namespace vellum {

class Service;

// Waits for the end of the command. kInvalidArgument for an unknown command or
// option: the message names the mistake.
Result<Json> RunCommand(Service& service, const CommandLine& line,
                        std::stop_token stop);

// {"ok":true,"result":…} or {"ok":false,"error":{…}}, ending with a newline.
std::string AnswerText(const Result<Json>& result);

}  // namespace vellum
