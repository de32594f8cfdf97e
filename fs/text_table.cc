// SPDX-License-Identifier: Apache-2.0
#include "fs/text_table.h"

#include <algorithm>
#include <utility>

namespace vellum {
namespace {

std::string Cell(const Json& value) {
  std::string text;
  if (value.is_string()) {
    text = value.get<std::string>();
  } else if (value.is_boolean()) {
    text = value.get<bool>() ? "yes" : "no";
  } else if (value.is_array()) {
    for (const Json& part : value) {
      if (!text.empty()) text += ",";
      text += Cell(part);
    }
  } else if (!value.is_null()) {
    text = value.dump();
  }
  // One row is one line, whatever a message holds.
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text.empty() ? "-" : text;
}

Json ValueOf(const Json& row, const std::string& key) {
  const auto it = row.find(key);
  return it == row.end() ? Json() : *it;
}

void Flatten(const Json& object, const std::string& prefix,
             std::vector<std::pair<std::string, std::string>>* pairs) {
  for (const auto& item : object.items()) {
    if (item.value().is_object()) {
      Flatten(item.value(), prefix + item.key() + ".", pairs);
    } else {
      pairs->emplace_back(prefix + item.key(), Cell(item.value()));
    }
  }
}

// Columns as terminals count them, nearly: UTF-8 sequences are one wide.
size_t Width(const std::string& text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(),
      [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

std::string RenderText(const Table& table) {
  const size_t columns = table.columns.size();
  std::vector<std::vector<std::string>> cells;
  std::vector<size_t> widths;
  std::vector<bool> numeric(columns, !table.rows.empty());
  for (const Column& column : table.columns) {
    widths.push_back(Width(column.header));
  }
  for (const Json& row : table.rows) {
    std::vector<std::string> line;
    for (size_t i = 0; i < columns; ++i) {
      const Json value = ValueOf(row, table.columns[i].key);
      if (!value.is_number() && !value.is_null()) numeric[i] = false;
      line.push_back(Cell(value));
      widths[i] = std::max(widths[i], Width(line.back()));
    }
    cells.push_back(std::move(line));
  }
  std::string out;
  const auto append = [&](const std::vector<std::string>& line) {
    std::string text;
    for (size_t i = 0; i < columns; ++i) {
      const std::string pad(widths[i] - Width(line[i]), ' ');
      if (i != 0) text += "  ";
      text += numeric[i] ? pad + line[i] : line[i] + pad;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  };
  std::vector<std::string> headers;
  for (const Column& column : table.columns) headers.push_back(column.header);
  append(headers);
  for (const std::vector<std::string>& line : cells) append(line);
  return out;
}

std::string RenderPairs(const Json& object) {
  std::vector<std::pair<std::string, std::string>> pairs;
  Flatten(object, "", &pairs);
  size_t width = 0;
  for (const auto& pair : pairs) width = std::max(width, Width(pair.first));
  std::string out;
  for (const auto& [key, value] : pairs) {
    out += key + std::string(width - Width(key) + 2, ' ') + value + "\n";
  }
  return out;
}

std::string RenderJson(const Json& value) {
  // Names on media are bytes; what is no UTF-8 must not make this throw.
  return value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace vellum
