// SPDX-License-Identifier: Apache-2.0
// library.toml as tables and keys whose mistakes are reported with file and
// line. The only user of the TOML parser.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "media/error.h"

namespace vellum {

struct ConfigBounds {
  uint64_t min;
  uint64_t max;
};

// kInvalidArgument "NAME: VALUE is not between MIN and MAX".
Status CheckBounds(const std::string& name, uint64_t value,
                   ConfigBounds bounds);

// One table of the file, or the file itself. Every key that is asked for is
// remembered, so that those that nobody asked for can be named.
// Errors of all methods: kInvalidArgument "FILE:LINE: TABLE.KEY: …".
// Thread-safety: one thread; copies share what was parsed.
class ConfigTable {
 public:
  // `path` is for messages.
  static Result<ConfigTable> Parse(const std::string& path,
                                   const std::string& text);

  // The table [key]; an empty one when the file has none.
  Result<ConfigTable> Table(const std::string& key);
  // The tables [[key]], in the order of the file.
  Result<std::vector<ConfigTable>> Tables(const std::string& key);

  // Leave `*value` alone when the key is absent.
  template <typename T>
  Status Integer(const std::string& key, ConfigBounds bounds, T* value) {
    std::optional<uint64_t> number;
    RETURN_IF_ERROR(ReadInteger(key, bounds, &number));
    if (number) *value = static_cast<T>(*number);
    return Status::Ok();
  }
  Status String(const std::string& key, std::string* value);
  Status Boolean(const std::string& key, bool* value);

  bool Has(const std::string& key) const;
  // After all that may be there was asked for.
  Status RejectUnknown() const;
  // An error at the line of `key`; at the line of the table when it is absent,
  // at the file when there is no table either.
  Status At(const std::string& key, const std::string& message) const;

 private:
  struct Impl;
  explicit ConfigTable(std::shared_ptr<const Impl> impl)
      : impl_(std::move(impl)) {}
  Status ReadInteger(const std::string& key, ConfigBounds bounds,
                     std::optional<uint64_t>* value);

  std::shared_ptr<const Impl> impl_;
  std::vector<std::string> known_;
};

}  // namespace vellum
