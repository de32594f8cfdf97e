// SPDX-License-Identifier: Apache-2.0
// The grammar of control commands (docs/control.md): words separated by blanks,
// key=value options anywhere behind the verb, "quoted text" with \ escapes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "media/error.h"

namespace vellum {

class WorkMeter;

struct CommandLine {
  std::string verb;
  std::vector<std::string> args;
  std::map<std::string, std::string> options;
  // Where the command says how far it is; null: nobody watches.
  WorkMeter* meter = nullptr;
};

// A word is an option when it begins with lower case letters, digits and
// hyphens followed by an unquoted '='. kInvalidArgument: nothing but blanks, a
// quote that is not closed, an option given twice, a second line, a NUL byte.
Result<CommandLine> ParseCommandLine(std::string_view text);

// One word in the grammar's quotes, if it needs them.
std::string QuoteWord(std::string_view word);

// Takes options out of a command line and says what was wrong with them: the
// message names the option, the value and what is known. Call Finish last: it
// answers the first error found, or complains of options nobody asked for.
// Thread-safety: none.
class OptionReader {
 public:
  explicit OptionReader(const CommandLine& line) : line_(line) {}

  std::optional<std::string> Text(const std::string& key);
  // The same where an empty value is for the caller to judge.
  std::optional<std::string> AnyText(const std::string& key);
  // "yes"/"no", also "true"/"false", "1"/"0".
  bool Flag(const std::string& key, bool fallback);
  uint64_t Number(const std::string& key, uint64_t fallback, uint64_t min,
                  uint64_t max);
  // The index of the value among `choices`.
  size_t Choice(const std::string& key, const std::vector<std::string>& choices,
                size_t fallback);
  // Between min and max words behind the verb; `usage` goes into the message.
  void Args(size_t min, size_t max, const std::string& usage);
  Status Finish() const;

 private:
  void Fail(std::string message);

  const CommandLine& line_;
  std::vector<std::string> known_;
  std::optional<Error> error_;
};

// Decimal, or hexadecimal with 0x; nothing else. nullopt when it is not.
std::optional<uint64_t> ParseNumber(std::string_view text);

}  // namespace vellum
