// SPDX-License-Identifier: Apache-2.0
// What the operator of a manual library is asked for, as a table.
#include "fs/service.h"
#include "fs/tables.h"

namespace vellum {

Table RequestsTable(const Service& service) {
  Table table;
  table.columns = {{"request", "Request"},
                   {"text", "Please"},
                   {"found", "Found"},
                   {"since", "Since"}};
  if (service.manual() == nullptr) return table;
  for (const OperatorRequest& request : service.manual()->desk().List()) {
    const auto text_or_null = [](const std::string& text) {
      return text.empty() ? Json() : Json(text);
    };
    table.rows.push_back({{"request", request.number},
                          {"kind", request.load ? "load" : "unload"},
                          {"medium", text_or_null(request.medium)},
                          {"from", request.from.value},
                          {"to", request.to.value},
                          {"dock", request.dock.value},
                          {"text", request.text},
                          {"found", text_or_null(request.found)},
                          {"since", TimeJson(request.since)}});
  }
  return table;
}

}  // namespace vellum
