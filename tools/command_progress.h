// SPDX-License-Identifier: Apache-2.0
// Commands that take long, and how far they are.
#pragma once

#include <string>
#include <vector>

#include "tools/cli.h"

namespace vellum {

// Sends the command and waits for its end. On a terminal a line says meanwhile
// how far it is (the control tree's table `running`), and is gone afterwards.
Result<Json> SendAndShow(const Cli& cli, const Client& client,
                         const std::vector<std::string>& words);

// "inventory all=yes: 3 of 8 media (37 %), reads V00004, 12 s left", of a row
// of running.json.
std::string DescribeRunning(const Json& row);

}  // namespace vellum
