// SPDX-License-Identifier: Apache-2.0
// Commands that did some of what they were to do.
#pragma once

#include <ostream>

#include "fs/errno_map.h"
#include "fs/json.h"
#include "tools/cli.h"

namespace vellum {

// As Cli::Fail; with --json what there is of a result stands beside the error.
inline int FailPartly(const Cli& cli, const Error& error, int code,
                      const Json& result) {
  if (!cli.json) return cli.Fail(error, code);
  const Json answer = {{"ok", false},
                       {"error",
                        {{"code", ErrcName(error.code)},
                         {"errno", ErrnoName(ErrnoOf(error.code))},
                         {"message", error.message}}},
                       {"result", result}};
  cli.out() << answer.dump() << '\n';
  *cli.env.err << "vellum: " << error.message << '\n';
  return code;
}

}  // namespace vellum
