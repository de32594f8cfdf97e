// SPDX-License-Identifier: Apache-2.0
// Commands of the operator of a manual library.
#include <fmt/format.h>

#include <array>
#include <optional>

#include "fs/command_group.h"
#include "fs/service.h"
#include "media/manual/manual_confirm.h"

namespace vellum {
namespace {

Result<ManualState*> Manual(const Service& service, const char* verb) {
  if (service.manual() == nullptr) {
    return Error{
        Errc::kNotSupported,
        fmt::format("{}: this library has a changer and asks nobody", verb)};
  }
  return service.manual();
}

Result<uint64_t> Number(const CommandLine& line) {
  const std::optional<uint64_t> number = ParseNumber(line.args[0]);
  if (number) return *number;
  return InvalidCommand(
      fmt::format("{}: \"{}\" is not a number", line.verb, line.args[0]));
}

Result<Json> Confirm(Service& service, const CommandLine& line,
                     std::stop_token stop) {
  OptionReader options(line);
  options.Args(0, 1,
               "confirm REQUEST [relabelled=yes] | confirm dock=ELEMENT "
               "tag=TAG [new=yes] [relabelled=yes]");
  Confirmation said;
  const std::optional<std::string> tag = options.Text("tag");
  said.dock.value =
      static_cast<uint16_t>(options.Number("dock", 0, 0, UINT16_MAX));
  said.is_new = options.Flag("new", false);
  said.relabelled = options.Flag("relabelled", false);
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(ManualState * manual, Manual(service, "confirm"));
  Json answer;
  if (!line.args.empty()) {
    if (tag || said.dock.value != 0 || said.is_new) {
      return InvalidCommand(
          "confirm: a request says itself which dock and medium are meant");
    }
    ASSIGN_OR_RETURN(const uint64_t number, Number(line));
    RETURN_IF_ERROR(ConfirmRequest(*manual, number, said.relabelled));
    answer = {{"request", number}};
  } else {
    if (!tag || said.dock.value == 0) {
      return InvalidCommand(
          "confirm: say REQUEST, or dock=ELEMENT and tag=TAG");
    }
    said.tag = *tag;
    RETURN_IF_ERROR(ConfirmMedium(*manual, said));
    answer = {{"dock", said.dock.value}, {"medium", said.tag}};
  }
  RETURN_IF_ERROR(service.library().RefreshElements(stop));
  return answer;
}

Result<Json> Refuse(Service& service, const CommandLine& line,
                    std::stop_token) {
  OptionReader options(line);
  options.Args(1, 1, "refuse REQUEST [reason=TEXT]");
  const std::string reason =
      options.Text("reason").value_or("the operator cannot do it");
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(ManualState * manual, Manual(service, "refuse"));
  ASSIGN_OR_RETURN(const uint64_t number, Number(line));
  RETURN_IF_ERROR(manual->desk().Refuse(number, reason));
  return Json{{"request", number}};
}

constexpr std::array<NamedCommand, 2> kOperatorCommands = {{
    {"confirm", Confirm},
    {"refuse", Refuse},
}};

}  // namespace

std::span<const NamedCommand> OperatorCommands() { return kOperatorCommands; }

}  // namespace vellum
