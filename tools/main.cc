// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "tools/cli.h"

namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

int main(int argc, char** argv) {
  vellum::Environment environment;
  environment.out = &std::cout;
  environment.err = &std::cerr;
  if (isatty(STDIN_FILENO) != 0) environment.in = &std::cin;
  environment.terminal = ::isatty(STDERR_FILENO) != 0;
  environment.mount_default = Variable("VELLUM_MOUNT");
  environment.library_default = Variable("VELLUM_LIBRARY");
  environment.connect = [](const vellum::DaemonAddress& address)
      -> vellum::Result<vellum::Client> {
    ASSIGN_OR_RETURN(std::string mount, vellum::FindMount(address));
    return vellum::Client(std::move(mount));
  };
  const std::string name =
      argc > 0 ? std::filesystem::path(argv[0]).filename().string() : "vellum";
  return vellum::RunVellum(
      name, std::vector<std::string>(argv + 1, argv + argc), environment);
}
