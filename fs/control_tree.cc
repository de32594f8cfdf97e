// SPDX-License-Identifier: Apache-2.0
// Node ids of the control tree, all below 2^32:
//   2 .vellum | 3 command | 4 jobs | 5 volumes | 6 operator | 7 metrics |
//   16 + 2t, 17 + 2t  table t and its .json |
//   0x40000000 | job << 3 | file | 0x80000000 | volume << 4 | file
// with file 0 for the directory itself, k for the k-th name below.
#include "fs/control_tree.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <optional>

#include "fs/command_line.h"
#include "fs/metrics.h"
#include "fs/service.h"
#include "fs/tables.h"
#include "fs/text_table.h"

namespace vellum {
namespace {

constexpr NodeId kCommand = 3;
constexpr NodeId kJobs = 4;
constexpr NodeId kVolumes = 5;
// The kernel lets one write(2) at a time into a file: who has something to say
// while a command waits for a medium needs another one.
constexpr NodeId kOperator = 6;
constexpr NodeId kMetrics = 7;
constexpr NodeId kFirstTable = 16;
constexpr NodeId kJobBit = 0x40000000;
constexpr NodeId kVolumeBit = 0x80000000;
constexpr NodeId kMaxNumber = (1u << 27) - 1;

constexpr std::array<std::string_view, 6> kJobFiles = {
    "status", "progress", "log", "cancel", "files", "files.json"};
enum JobFile : unsigned {
  kJobStatus = 1,
  kJobProgress,
  kJobLog,
  kJobCancel,
  kJobResults,
  kJobResultsJson
};

constexpr std::array<std::string_view, 7> kVolumeFiles = {
    "info", "info.json", "copy", "track", "history", "threshold", "role"};
enum VolumeFile : unsigned {
  kVolumeInfo = 1,
  kVolumeInfoJson,
  kVolumeCopy,
  kVolumeTrack,
  kVolumeHistory,
  kVolumeThreshold,
  kVolumeRole
};

bool IsTable(NodeId node) {
  return node >= kFirstTable && node < kFirstTable + 2 * kTableNames.size();
}
bool IsVolumeNode(NodeId node) { return (node & kVolumeBit) != 0; }
bool IsJobNode(NodeId node) {
  return !IsVolumeNode(node) && (node & kJobBit) != 0;
}
NodeId JobNode(JobId job, unsigned file) { return kJobBit | job << 3 | file; }
NodeId VolumeFileNode(VolumeIndex volume, unsigned file) {
  return kVolumeBit | NodeId{volume} << 4 | file;
}
JobId JobOf(NodeId node) { return (node & ~kJobBit) >> 3; }
VolumeIndex IndexOf(NodeId node) {
  return static_cast<VolumeIndex>((node & ~kVolumeBit) >> 4);
}
unsigned FileOf(NodeId node) {
  return static_cast<unsigned>(IsVolumeNode(node) ? node & 15 : node & 7);
}

bool IsDirectory(NodeId node) {
  if (node == kControlRoot || node == kJobs || node == kVolumes) return true;
  return (IsVolumeNode(node) || IsJobNode(node)) && FileOf(node) == 0;
}

Error NoSuch(std::string_view name) {
  return Error{Errc::kNotFound, fmt::format("{}: no such control file", name)};
}

Result<std::shared_ptr<Volume>> VolumeAt(const Service& service, NodeId node) {
  std::shared_ptr<Volume> volume = service.volumes().FindByIndex(IndexOf(node));
  if (!volume) return NoSuch("volumes/…");
  return volume;
}

std::string Lines(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  return out;
}

}  // namespace

ControlTree::ControlTree(Service* service)
    : service_(service), started_(Now()) {}

Result<NodeId> ControlTree::Lookup(NodeId dir, std::string_view name) const {
  if (name == ".") return dir;
  if (name == "..") return Parent(dir);
  if (dir == kJobs) {
    const std::optional<uint64_t> id = ParseNumber(name);
    if (!id || *id > kMaxNumber || std::to_string(*id) != name ||
        !service_->jobs().Get(*id).ok()) {
      return NoSuch(name);
    }
    return JobNode(*id, 0);
  }
  if (dir == kVolumes) {
    const std::shared_ptr<Volume> volume =
        service_->volumes().Find(std::string(name));
    if (!volume || volume->index() > kMaxNumber) return NoSuch(name);
    return VolumeFileNode(volume->index(), 0);
  }
  ASSIGN_OR_RETURN(const std::vector<ControlItem> items, List(dir));
  for (const ControlItem& item : items) {
    if (item.name == name) return item.node;
  }
  return NoSuch(name);
}

NodeId ControlTree::Parent(NodeId node) const {
  if (node == kControlRoot) return kRootNode;
  if (IsJobNode(node)) return FileOf(node) == 0 ? kJobs : node & ~NodeId{7};
  if (IsVolumeNode(node)) {
    return FileOf(node) == 0 ? kVolumes : node & ~NodeId{15};
  }
  return kControlRoot;
}

Result<struct stat> ControlTree::Stat(NodeId node) const {
  if (IsJobNode(node)) {
    RETURN_IF_ERROR(service_->jobs().Get(JobOf(node)).status());
    if (FileOf(node) > kJobFiles.size()) return NoSuch("jobs/…");
  } else if (IsVolumeNode(node)) {
    RETURN_IF_ERROR(VolumeAt(*service_, node).status());
    if (FileOf(node) > kVolumeFiles.size()) return NoSuch("volumes/…");
  } else if (node < kControlRoot || (node > kMetrics && !IsTable(node))) {
    return NoSuch(std::to_string(node));
  }
  struct stat st {};
  st.st_ino = node;
  st.st_uid = getuid();
  st.st_gid = getgid();
  if (IsDirectory(node)) {
    st.st_mode = S_IFDIR | 0700;
    st.st_nlink = 2;
  } else {
    st.st_mode = S_IFREG | (Accepts(node) ? 0600 : 0400);
    st.st_nlink = 1;
  }
  st.st_atim.tv_sec = st.st_mtim.tv_sec = st.st_ctim.tv_sec =
      static_cast<time_t>(started_.sec);
  return st;
}

Result<std::vector<ControlItem>> ControlTree::List(NodeId dir) const {
  std::vector<ControlItem> items;
  const auto add = [&items](std::string_view name, NodeId node) {
    items.push_back({std::string(name), node, IsDirectory(node)});
  };
  if (dir == kControlRoot) {
    add("command", kCommand);
    add("operator", kOperator);
    add("metrics", kMetrics);
    add("jobs", kJobs);
    add("volumes", kVolumes);
    for (size_t i = 0; i < kTableNames.size(); ++i) {
      // The name of that table belongs to the directory of jobs.
      const bool taken = kTableNames[i] == "jobs";
      add(taken ? "jobs.txt" : kTableNames[i], kFirstTable + 2 * i);
      add(fmt::format("{}.json", kTableNames[i]), kFirstTable + 2 * i + 1);
    }
  } else if (dir == kJobs) {
    for (const JobRecord& job : service_->jobs().List()) {
      if (job.id <= kMaxNumber) add(std::to_string(job.id), JobNode(job.id, 0));
    }
  } else if (dir == kVolumes) {
    for (const std::shared_ptr<Volume>& volume : service_->volumes().List()) {
      if (volume->index() > kMaxNumber) continue;
      add(volume->id(), VolumeFileNode(volume->index(), 0));
    }
  } else if (IsJobNode(dir) && FileOf(dir) == 0) {
    for (unsigned i = 0; i < kJobFiles.size(); ++i) {
      add(kJobFiles[i], dir | (i + 1));
    }
  } else if (IsVolumeNode(dir) && FileOf(dir) == 0) {
    for (unsigned i = 0; i < kVolumeFiles.size(); ++i) {
      add(kVolumeFiles[i], dir | (i + 1));
    }
  } else {
    return Error{Errc::kNotDirectory, "not a control directory"};
  }
  return items;
}

bool ControlTree::Accepts(NodeId node) {
  if (IsJobNode(node)) return FileOf(node) == kJobCancel;
  if (IsVolumeNode(node)) {
    return FileOf(node) == kVolumeCopy || FileOf(node) == kVolumeThreshold;
  }
  return node == kCommand || node == kOperator;
}

Result<std::string> ControlTree::Read(NodeId node) const {
  if (IsJobNode(node)) return ReadJobFile(node);
  if (IsVolumeNode(node)) return ReadVolumeFile(node);
  if (node == kMetrics) return MetricsText(*service_);
  if (!IsTable(node)) return std::string();  // command: nothing before a write
  const size_t index = (node - kFirstTable) / 2;
  ASSIGN_OR_RETURN(const Table table, BuildTable(*service_, index));
  if ((node - kFirstTable) % 2 == 1) return RenderJson(table.rows);
  return table.rows.is_object() ? RenderPairs(table.rows) : RenderText(table);
}

Result<std::string> ControlTree::ReadJobFile(NodeId node) const {
  ASSIGN_OR_RETURN(const JobRecord job, service_->jobs().Get(JobOf(node)));
  switch (FileOf(node)) {
    case kJobStatus: {
      std::string text = std::string(JobStateName(job.state)) + "\n";
      if (!job.message.empty()) text += job.message + "\n";
      return text;
    }
    case kJobProgress:
      return RenderPairs(JobProgress(job, Now()));
    case kJobLog:
      return Lines(job.log);
    case kJobResults:
    case kJobResultsJson: {
      ASSIGN_OR_RETURN(const Table table, FilesTable(*service_, job.id));
      return FileOf(node) == kJobResults ? RenderText(table)
                                         : RenderJson(table.rows);
    }
    default:
      return std::string(job.cancel_requested ? "1\n" : "0\n");
  }
}

Result<std::string> ControlTree::ReadVolumeFile(NodeId node) const {
  ASSIGN_OR_RETURN(const std::shared_ptr<Volume> volume,
                   VolumeAt(*service_, node));
  const VolumeRecord record = volume->record();
  switch (FileOf(node)) {
    case kVolumeInfo:
      return RenderPairs(VolumeInfo(*service_, record));
    case kVolumeInfoJson:
      return RenderJson(VolumeInfo(*service_, record));
    case kVolumeCopy:
      return RenderText(JobsTable(*service_, record.id));
    case kVolumeTrack: {
      ASSIGN_OR_RETURN(const Table table, TrackingTable(*service_, record.id));
      return RenderText(table);
    }
    case kVolumeHistory: {
      ASSIGN_OR_RETURN(const Table table, HistoryTable(*service_, record.id));
      return RenderText(table);
    }
    case kVolumeThreshold:
      return std::to_string(record.threshold) + "\n";
    default:
      return std::string(RoleName(record.role)) + "\n";
  }
}

Result<std::string> ControlTree::CommandFor(NodeId node,
                                            const std::string& text) const {
  if (node == kCommand || node == kOperator) return text;
  if (IsJobNode(node)) return fmt::format("cancel {}", JobOf(node));
  ASSIGN_OR_RETURN(const std::shared_ptr<Volume> volume,
                   VolumeAt(*service_, node));
  return fmt::format("{} {} {}",
                     FileOf(node) == kVolumeCopy ? "copy" : "threshold",
                     QuoteWord(volume->id()), text);
}

}  // namespace vellum
