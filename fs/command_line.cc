// SPDX-License-Identifier: Apache-2.0
#include "fs/command_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace vellum {
namespace {

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool IsKeyChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

struct Word {
  std::string text;
  size_t equals = 0;  // position of the first unquoted '=' behind a key; else 0
};

Error InvalidText(std::string message) {
  return Error{Errc::kInvalidArgument, std::move(message)};
}

// Reads the word that begins at text[*pos]; *pos moves behind it.
Result<Word> ReadWord(std::string_view text, size_t* pos) {
  Word word;
  bool quoted = false;
  bool key_possible = true;
  for (; *pos < text.size(); ++*pos) {
    const char c = text[*pos];
    if (!quoted && IsBlank(c)) break;
    if (c == '"') {
      quoted = !quoted;
      key_possible = false;
      continue;
    }
    if (c == '\\') {
      if (*pos + 1 == text.size()) {
        return InvalidText("command ends behind a backslash");
      }
      word.text += text[++*pos];
      key_possible = false;
      continue;
    }
    if (key_possible && c == '=' && !word.text.empty()) {
      word.equals = word.text.size();
      key_possible = false;
    } else if (!IsKeyChar(c)) {
      key_possible = false;
    }
    word.text += c;
  }
  if (quoted) return InvalidText("a quote (\") in the command is not closed");
  return word;
}

std::string Join(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) {
    if (!out.empty()) out += ", ";
    out += word;
  }
  return out;
}

}  // namespace

Result<CommandLine> ParseCommandLine(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) {
    return InvalidText("the command holds a NUL byte");
  }
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  if (text.find('\n') != std::string_view::npos) {
    return InvalidText("one write is one command: it has more than one line");
  }
  CommandLine line;
  size_t pos = 0;
  while (pos < text.size()) {
    if (IsBlank(text[pos])) {
      ++pos;
      continue;
    }
    ASSIGN_OR_RETURN(Word word, ReadWord(text, &pos));
    if (line.verb.empty()) {
      if (word.equals != 0 || word.text.empty()) {
        return InvalidText(fmt::format("\"{}\" is not a command", word.text));
      }
      line.verb = std::move(word.text);
    } else if (word.equals != 0) {
      const std::string key = word.text.substr(0, word.equals);
      const bool added =
          line.options.emplace(key, word.text.substr(word.equals + 1)).second;
      if (!added) {
        return InvalidText(
            fmt::format("{}: option {} is given twice", line.verb, key));
      }
    } else {
      line.args.push_back(std::move(word.text));
    }
  }
  if (line.verb.empty()) return InvalidText("the command is empty");
  return line;
}

std::string QuoteWord(std::string_view word) {
  const bool plain =
      !word.empty() && std::none_of(word.begin(), word.end(), [](char c) {
        return IsBlank(c) || c == '"' || c == '\\' || c == '=';
      });
  if (plain) return std::string(word);
  std::string out = "\"";
  for (char c : word) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

void OptionReader::Fail(std::string message) {
  if (!error_) error_ = InvalidText(line_.verb + ": " + std::move(message));
}

std::optional<std::string> OptionReader::AnyText(const std::string& key) {
  known_.push_back(key);
  const auto it = line_.options.find(key);
  if (it == line_.options.end()) return std::nullopt;
  return it->second;
}

std::optional<std::string> OptionReader::Text(const std::string& key) {
  std::optional<std::string> text = AnyText(key);
  if (text && text->empty()) Fail(fmt::format("option {} has no value", key));
  return text;
}

bool OptionReader::Flag(const std::string& key, bool fallback) {
  const std::optional<std::string> text = Text(key);
  if (!text) return fallback;
  if (*text == "yes" || *text == "true" || *text == "1") return true;
  if (*text == "no" || *text == "false" || *text == "0") return false;
  Fail(fmt::format("option {}={}: expected yes or no", key, *text));
  return fallback;
}

uint64_t OptionReader::Number(const std::string& key, uint64_t fallback,
                              uint64_t min, uint64_t max) {
  const std::optional<std::string> text = Text(key);
  if (!text) return fallback;
  const std::optional<uint64_t> value = ParseNumber(*text);
  if (!value || *value < min || *value > max) {
    Fail(fmt::format("option {}={}: expected a number from {} to {}", key,
                     *text, min, max));
    return fallback;
  }
  return *value;
}

size_t OptionReader::Choice(const std::string& key,
                            const std::vector<std::string>& choices,
                            size_t fallback) {
  const std::optional<std::string> text = Text(key);
  if (!text) return fallback;
  const auto it = std::find(choices.begin(), choices.end(), *text);
  if (it == choices.end()) {
    Fail(fmt::format("option {}={}: expected one of {}", key, *text,
                     Join(choices)));
    return fallback;
  }
  return static_cast<size_t>(it - choices.begin());
}

void OptionReader::Args(size_t min, size_t max, const std::string& usage) {
  if (line_.args.size() < min || line_.args.size() > max) {
    Fail("usage: " + usage);
  }
}

Status OptionReader::Finish() const {
  for (const auto& [key, value] : line_.options) {
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    return InvalidText(
        known_.empty() ? fmt::format("{}: unknown option \"{}\": it takes none",
                                     line_.verb, key)
                       : fmt::format("{}: unknown option \"{}\": it takes {}",
                                     line_.verb, key, Join(known_)));
  }
  if (error_) return *error_;
  return Status::Ok();
}

std::optional<uint64_t> ParseNumber(std::string_view text) {
  int base = 10;
  if (text.substr(0, 2) == "0x" || text.substr(0, 2) == "0X") {
    base = 16;
    text.remove_prefix(2);
  }
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value, base);
  if (text.empty() || result.ec != std::errc() || result.ptr != end) {
    return std::nullopt;
  }
  return value;
}

}  // namespace vellum
