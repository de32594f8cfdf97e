// SPDX-License-Identifier: Apache-2.0
// A table of the control tree: rows as JSON, and the text made from them.
#pragma once

#include <string>
#include <vector>

#include "fs/json.h"

namespace vellum {

struct Column {
  std::string key;     // of the row's JSON object
  std::string header;  // in the text
};

struct Table {
  std::vector<Column> columns;  // of the text; rows may hold more keys
  Json rows = Json::array();    // of objects
};

// Aligned columns, numbers to the right, the header first. Missing and null
// values and empty strings are "-".
std::string RenderText(const Table& table);

// "key  value" lines of one object; an object in it gives "key.inner" lines.
std::string RenderPairs(const Json& object);

// The rows, ending with a newline.
std::string RenderJson(const Json& value);

}  // namespace vellum
