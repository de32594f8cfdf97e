// SPDX-License-Identifier: Apache-2.0
#include "fs/running_commands.h"

#include <algorithm>

#include "fs/service.h"
#include "fs/tables.h"

namespace vellum {

RunningCommands::Entry::Entry(RunningCommands* list, const std::string& text)
    : list_(list), meter_(std::make_shared<WorkMeter>()) {
  Command command;
  command.text = text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
  command.since = Now();
  command.meter = meter_;
  MutexLock lock(&list_->mu_);
  id_ = command.id = list_->next_++;
  list_->running_.emplace(id_, std::move(command));
}

RunningCommands::Entry::~Entry() {
  MutexLock lock(&list_->mu_);
  list_->running_.erase(id_);
}

std::vector<RunningCommands::Command> RunningCommands::List() const {
  MutexLock lock(&mu_);
  std::vector<Command> commands;
  for (const auto& entry : running_) commands.push_back(entry.second);
  return commands;
}

Json RunningJson(const RunningCommands::Command& command, TimeSpec now) {
  const WorkMeter::Reading work = command.meter->Read();
  Json row;
  row["id"] = command.id;
  row["command"] = command.text;
  row["since"] = TimeJson(command.since);
  row["step"] = work.step.empty() ? Json() : Json(work.step);
  row["unit"] = nullptr;
  row["done"] = nullptr;
  row["total"] = nullptr;
  row["percent"] = nullptr;
  row["per_second"] = nullptr;
  row["remaining_seconds"] = nullptr;
  if (work.unit.empty()) return row;
  row["unit"] = work.unit;
  row["done"] = work.done;
  // An estimate that was passed is none.
  const bool known = work.total != 0 && work.done <= work.total;
  if (known) {
    row["total"] = work.total;
    row["percent"] = work.done * 100 / work.total;
  }
  const double elapsed =
      static_cast<double>(now.sec - work.since.sec) +
      (static_cast<double>(now.nsec) - static_cast<double>(work.since.nsec)) *
          1e-9;
  if (work.done == 0 || elapsed <= 0) return row;
  const double rate = static_cast<double>(work.done) / elapsed;
  row["per_second"] = rate;
  if (known) {
    row["remaining_seconds"] = static_cast<uint64_t>(
        static_cast<double>(work.total - work.done) / rate);
  }
  return row;
}

Table RunningTable(const Service& service) {
  Table table;
  table.columns = {{"command", "Command"}, {"since", "Since"},
                   {"step", "Step"},       {"done", "Done"},
                   {"total", "Total"},     {"unit", "Unit"},
                   {"percent", "Percent"}, {"remaining_seconds", "Remaining"}};
  const TimeSpec now = Now();
  for (const RunningCommands::Command& command : service.running().List()) {
    table.rows.push_back(RunningJson(command, now));
  }
  return table;
}

}  // namespace vellum
