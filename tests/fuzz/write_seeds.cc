// SPDX-License-Identifier: Apache-2.0
// write_seeds FOLDER: writes the seeds of every target as FOLDER/TARGET/seed-N,
// for libFuzzer. (The replay test has them without.)
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/fuzz/input.h"
#include "tests/fuzz/targets.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: write_seeds FOLDER\n");
    return 2;
  }
  for (const vellum::fuzz::Target& target : vellum::fuzz::Targets()) {
    const std::filesystem::path folder =
        std::filesystem::path(argv[1]) / target.name;
    std::filesystem::create_directories(folder);
    int number = 0;
    for (const vellum::Bytes& seed : target.seeds()) {
      std::ofstream out(folder / ("seed-" + std::to_string(number++)),
                        std::ios::binary);
      out << vellum::fuzz::AsText(seed);
      if (!out.flush()) {
        std::fprintf(stderr, "write_seeds: cannot write to %s\n",
                     folder.c_str());
        return 1;
      }
    }
  }
  return 0;
}
