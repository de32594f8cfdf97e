// SPDX-License-Identifier: Apache-2.0
// Every input of the corpus and seeded random mutations of them, through the
// targets, without a fuzzer. A target that finds something aborts; what it was
// working on is then printed, so that it can be made a corpus file.
#include <gtest/gtest.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/fuzz/input.h"
#include "tests/fuzz/mutator.h"
#include "tests/fuzz/targets.h"
#include "tests/support/temp_dir.h"

namespace vellum::fuzz {
namespace {

constexpr int kMutations = 3000;
// One input may not take longer, on a machine that has other things to do.
constexpr std::chrono::seconds kPatience(10);

// What runs, for the report of a crash: a signal handler has no other way.
const Target* running = nullptr;
const Bytes* running_input = nullptr;

void Print(const char* text, size_t size) {
  if (write(STDERR_FILENO, text, size) < 0) _exit(1);
}

void ReportInput(int signal_number) {
  constexpr char kDigits[] = "0123456789abcdef";
  constexpr char kTitle[] = "\ninput (hex) of target ";
  Print(kTitle, sizeof kTitle - 1);
  if (running != nullptr && running_input != nullptr) {
    Print(running->name, std::char_traits<char>::length(running->name));
    Print(":\n", 2);
    for (const std::byte b : *running_input) {
      const auto value = std::to_integer<uint8_t>(b);
      const char pair[2] = {kDigits[value >> 4], kDigits[value & 15]};
      Print(pair, 2);
    }
    Print("\n", 1);
  }
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

void RunOne(const Target& target, const Bytes& input) {
  running = &target;
  running_input = &input;
  const auto start = std::chrono::steady_clock::now();
  target.run(input);
  EXPECT_LT(std::chrono::steady_clock::now() - start, kPatience)
      << target.name << ": an input of " << input.size() << " bytes";
}

std::vector<Bytes> Corpus(const Target& target) {
  std::vector<Bytes> inputs;
  const std::string folder = std::string(FUZZ_CORPUS) + "/" + target.name;
  std::vector<std::string> paths;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    paths.push_back(file.path());
  }
  std::sort(paths.begin(), paths.end());  // the same order everywhere
  for (const std::string& path : paths) {
    inputs.push_back(ToBytes(ReadFileOrDie(path)));
  }
  return inputs;
}

class FuzzReplay : public testing::TestWithParam<size_t> {
 protected:
  void SetUp() override {
    spdlog::set_level(spdlog::level::off);
    for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
      signal(number, ReportInput);
    }
  }
};

TEST_P(FuzzReplay, CorpusAndMutations) {
  const Target& target = Targets()[GetParam()];
  std::vector<Bytes> pool = Corpus(target);
  ASSERT_FALSE(pool.empty()) << "no corpus for " << target.name;
  for (const Bytes& input : pool) RunOne(target, input);
  const std::vector<Bytes> seeds = target.seeds();
  pool.insert(pool.end(), seeds.begin(), seeds.end());
  for (const Bytes& input : seeds) RunOne(target, input);
  const char* given = std::getenv("VELLUM_SEED");
  const uint32_t seed =
      given != nullptr ? static_cast<uint32_t>(std::strtoul(given, nullptr, 0))
                       : static_cast<uint32_t>(GetParam()) + 1;
  std::printf("fuzz_replay: %s: VELLUM_SEED=%u, %zu inputs, %d mutations\n",
              target.name, seed, pool.size(), kMutations);
  Mutator mutator(seed);
  for (int i = 0; i < kMutations; ++i) RunOne(target, mutator.Mutate(pool));
}

TEST(NamesPlace, DemandsAWordAndItsNumber) {
  for (const char* text :
       {"descriptor 266 in block 64: CRC is wrong", "sectors 288 and 304",
        "directory 64 is not one extent", "elements.json: entry 2: bad"}) {
    EXPECT_TRUE(NamesPlace(text)) << text;
  }
  for (const char* text :
       {"", "sector", "descriptor 266: CRC is wrong", "12 sectors",
        "volume V1: generation 5 is gone", "sector64", "a block that 3 have"}) {
    EXPECT_FALSE(NamesPlace(text)) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, FuzzReplay,
                         testing::Range<size_t>(0, Targets().size()),
                         [](const testing::TestParamInfo<size_t>& parameter) {
                           return std::string(Targets()[parameter.param].name);
                         });

}  // namespace
}  // namespace vellum::fuzz
