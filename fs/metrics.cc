// SPDX-License-Identifier: Apache-2.0
#include "fs/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "fs/json.h"
#include "fs/service.h"
#include "fs/tables.h"

namespace vellum {
namespace {

using Labels = std::vector<std::pair<std::string_view, std::string>>;

Result<Json> RowsOf(const Service& service, std::string_view table) {
  const auto* const at =
      std::find(kTableNames.begin(), kTableNames.end(), table);
  ASSIGN_OR_RETURN(
      Table built,
      BuildTable(service, static_cast<size_t>(at - kTableNames.begin())));
  return std::move(built.rows);
}

std::string LabelText(const std::string& value) {
  std::string text;
  for (const char c : value) {
    if (c == '\\' || c == '"') text += '\\';
    if (c == '\n') {
      text += "\\n";
    } else {
      text += c;
    }
  }
  return text;
}

// The value of a row's key, as text; "none" where there is none.
std::string KeyText(const Json& row, const char* key) {
  const Json value = row.value(key, Json());
  if (value.is_string()) return value.get<std::string>();
  return value.is_null() ? "none" : value.dump();
}

class MetricsWriter {
 public:
  void Begin(std::string_view name, const char* type, const char* help) {
    name_ = name;
    text_ += fmt::format("# HELP vellum_{} {}\n# TYPE vellum_{} {}\n", name,
                         help, name, type);
  }
  // `value`: a number or a truth; what is not known has no line.
  void Add(const Labels& labels, const Json& value) {
    if (!value.is_number() && !value.is_boolean()) return;
    text_ += fmt::format("vellum_{}", name_);
    char separator = '{';
    for (const auto& [key, label] : labels) {
      text_ += fmt::format("{}{}=\"{}\"", separator, key, LabelText(label));
      separator = ',';
    }
    if (!labels.empty()) text_ += '}';
    text_ += ' ';
    text_ +=
        value.is_boolean() ? (value.get<bool>() ? "1" : "0") : value.dump();
    text_ += '\n';
  }
  void Single(std::string_view name, const char* help, const Json& value) {
    Begin(name, "gauge", help);
    Add({}, value);
  }
  // How many rows have which value of `key`.
  void CountBy(std::string_view name, const char* help, const Json& rows,
               const char* key, const std::vector<std::string>& always = {}) {
    Begin(name, "gauge", help);
    std::map<std::string, uint64_t> counts;
    for (const std::string& value : always) counts[value] = 0;
    for (const Json& row : rows) ++counts[KeyText(row, key)];
    for (const auto& [value, count] : counts) Add({{key, value}}, count);
  }
  // One line for each row, named by `by`.
  void Each(std::string_view name, const char* type, const char* help,
            const Json& rows, const char* by, const char* label,
            const char* key) {
    Begin(name, type, help);
    for (const Json& row : rows) {
      Add({{label, KeyText(row, by)}}, row.value(key, Json()));
    }
  }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
  std::string name_;
};

void AddVolumes(const Service& service, MetricsWriter* out) {
  Json rows = Json::array();
  for (const std::shared_ptr<Volume>& volume : service.volumes().List()) {
    rows.push_back(VolumeInfo(service, volume->record()));
  }
  out->CountBy("volumes", "Volumes that the catalog knows.", rows, "role");
  out->Each("volume_capacity_bytes", "gauge", "Size of the volume.", rows,
            "volume", "volume", "capacity_bytes");
  out->Each("volume_free_bytes", "gauge",
            "What can be written, up to the threshold.", rows, "volume",
            "volume", "free_bytes");
  out->Each("volume_files", "gauge", "Names that are no directories.", rows,
            "volume", "volume", "files");
  out->Each("volume_uncommitted", "gauge", "1 while changes wait for a commit.",
            rows, "volume", "volume", "uncommitted");
}

}  // namespace

Result<std::string> MetricsText(const Service& service) {
  MetricsWriter out;
  ASSIGN_OR_RETURN(const Json status, RowsOf(service, "status"));
  out.Begin("info", "gauge", "Always 1; the labels say what runs.");
  out.Add({{"version", KeyText(status, "version")},
           {"library", KeyText(status, "library")}},
          1);
  out.Single("waiting_requests", "Requests that wait for a drive.",
             status["waiting_requests"]);
  out.Single("parked_operations", "File operations that wait for a load.",
             status["parked_operations"]);
  out.Single("active_jobs", "Jobs that have not ended.", status["active_jobs"]);
  ASSIGN_OR_RETURN(const Json drives, RowsOf(service, "drives"));
  out.Each("drive_online", "gauge", "0 while the drive is offline.", drives,
           "address", "drive", "online");
  out.Each("drive_loads_total", "counter",
           "Loads of the drive since the daemon's start.", drives, "address",
           "drive", "loads");
  ASSIGN_OR_RETURN(const Json media, RowsOf(service, "media"));
  out.CountBy("media", "Media of the library and of the catalog.", media,
              "state");
  AddVolumes(service, &out);
  ASSIGN_OR_RETURN(const Json usage, RowsOf(service, "usage"));
  out.Each("medium_loads_total", "counter", "Loads of the medium.", usage,
           "medium", "medium", "loads");
  out.Each("medium_read_bytes_total", "counter", "Bytes read from the medium.",
           usage, "medium", "medium", "bytes_read");
  out.Each("medium_written_bytes_total", "counter",
           "Bytes written to the medium.", usage, "medium", "medium",
           "bytes_written");
  out.Each("medium_load_errors_total", "counter", "Loads that failed.", usage,
           "medium", "medium", "load_errors");
  out.Each("medium_read_errors_total", "counter", "Reads that failed.", usage,
           "medium", "medium", "read_errors");
  out.Each("medium_write_errors_total", "counter", "Writes that failed.", usage,
           "medium", "medium", "write_errors");
  ASSIGN_OR_RETURN(const Json jobs, RowsOf(service, "jobs"));
  out.CountBy("jobs", "Jobs that are known, the newest 1000 that ended.", jobs,
              "state");
  ASSIGN_OR_RETURN(const Json alerts, RowsOf(service, "alerts"));
  out.CountBy("alerts", "What an operator should look at.", alerts, "severity",
              {"error", "warning"});
  return out.Take();
}

}  // namespace vellum
