// SPDX-License-Identifier: Apache-2.0
// Commands about the machine: its door, drives on- and offline, loading by
// hand, health flags, faults on demand, library.toml anew.
#include <fmt/format.h>

#include <array>
#include <optional>

#include "copy/operations.h"
#include "copy/shelf.h"
#include "fs/closed_volume.h"
#include "fs/command_group.h"
#include "fs/service.h"
#include "media/health_flags.h"
#include "media/virtual_controls.h"

namespace vellum {
namespace {

constexpr uint64_t kNotSaid = UINT64_MAX;

Result<VirtualControls*> Controls(const Service& service,
                                  const std::string& verb) {
  if (service.virtual_controls() == nullptr) {
    return Error{Errc::kNotSupported,
                 fmt::format("{}: only a virtual library can do that: this one "
                             "has real devices",
                             verb)};
  }
  return service.virtual_controls();
}

Result<ElementAddress> ParseElement(const CommandLine& line,
                                    const std::string& word) {
  const std::optional<uint64_t> number = ParseNumber(word);
  if (number && *number <= UINT16_MAX) {
    return ElementAddress{static_cast<uint16_t>(*number)};
  }
  return InvalidCommand(
      fmt::format("{}: \"{}\" is not an element address", line.verb, word));
}

// --- The door (H3)

Result<Json> PutIn(Service& service, VirtualControls* controls,
                   const CommandLine& line, std::stop_token stop) {
  OptionReader options(line);
  options.Args(1, 2,
               "door put [TAG] [element=N] [new=yes [capacity=BYTES] "
               "[write-once=yes] [write-protected=yes]]");
  NewVirtualMedium medium;
  const uint64_t element = options.Number("element", kNotSaid, 0, UINT16_MAX);
  const bool is_new = options.Flag("new", false);
  const uint64_t capacity = options.Number("capacity", kNotSaid, 1, 1ull << 62);
  medium.write_once = options.Flag("write-once", false);
  medium.write_protected = options.Flag("write-protected", false);
  RETURN_IF_ERROR(options.Finish());
  if (line.args.size() > 1) medium.tag = line.args[1];
  if (element != kNotSaid) {
    medium.element = ElementAddress{static_cast<uint16_t>(element)};
  }
  if (capacity != kNotSaid) medium.capacity = capacity;
  ElementAddress where;
  if (is_new) {
    ASSIGN_OR_RETURN(const auto made, controls->PutNew(medium));
    medium.tag = made.first;
    where = made.second;
  } else {
    if (medium.tag.empty()) {
      return InvalidCommand(
          "door put: say the volume tag of a medium outside, or new=yes");
    }
    ASSIGN_OR_RETURN(where, controls->PutIn(medium.tag, medium.element));
  }
  RETURN_IF_ERROR(service.library().RefreshElements(stop));
  return Json{{"medium", medium.tag}, {"element", where.value}};
}

Result<Json> TakeOut(Service& service, VirtualControls* controls,
                     const CommandLine& line, std::stop_token stop) {
  OptionReader options(line);
  options.Args(2, 2, "door take ELEMENT|TAG");
  RETURN_IF_ERROR(options.Finish());
  const std::optional<uint64_t> number = ParseNumber(line.args[1]);
  ElementAddress element;
  if (number && *number <= UINT16_MAX) {
    element.value = static_cast<uint16_t>(*number);
  } else {
    ASSIGN_OR_RETURN(const MediumId medium,
                     ResolveMedium(service.archive(), line.args[1]));
    ASSIGN_OR_RETURN(const MediumPlace place,
                     service.library().FindMedium(medium));
    element = place.element;
  }
  ASSIGN_OR_RETURN(const VolumeTag tag, controls->TakeOut(element));
  RETURN_IF_ERROR(service.library().RefreshElements(stop));
  return Json{{"medium", tag}, {"element", element.value}};
}

Result<Json> LockDoor(Service& service, const CommandLine& line,
                      std::stop_token stop) {
  OptionReader options(line);
  options.Args(1, 1, "door lock|unlock");
  RETURN_IF_ERROR(options.Finish());
  const bool lock = line.args[0] == "lock";
  if (service.changer_controls() == nullptr) {
    return Error{Errc::kNotSupported,
                 "door: this library has no door that can be locked"};
  }
  RETURN_IF_ERROR(
      service.changer_controls()->LockDoor(service.library(), lock, stop));
  return Json{{"locked", lock}};
}

Result<Json> Door(Service& service, const CommandLine& line,
                  std::stop_token stop) {
  const std::string what = line.args.empty() ? "" : line.args[0];
  if (what == "lock" || what == "unlock") {
    return LockDoor(service, line, stop);
  }
  ASSIGN_OR_RETURN(VirtualControls * controls, Controls(service, "door"));
  if (what == "put") return PutIn(service, controls, line, stop);
  if (what == "take") return TakeOut(service, controls, line, stop);
  return InvalidCommand(
      "door: usage: door put …, door take …, door lock or door unlock");
}

// --- Drives and library on- and offline, loads by hand (H3)

Result<Json> SetDrive(Service& service, const CommandLine& line,
                      std::stop_token stop) {
  OptionReader options(line);
  options.Args(2, 2, "drive online|offline ELEMENT");
  RETURN_IF_ERROR(options.Finish());
  const bool online = line.args[0] == "online";
  if (!online && line.args[0] != "offline") {
    return InvalidCommand("drive: usage: drive online|offline ELEMENT");
  }
  ASSIGN_OR_RETURN(const ElementAddress drive,
                   ParseElement(line, line.args[1]));
  SayStep(line,
          fmt::format("{} drive {}", online ? "asks" : "empties", drive.value));
  ClosedVolume closed;
  for (const DriveState& each : service.library().Drives()) {
    if (online || each.address != drive || each.medium.empty()) continue;
    closed = VolumeToClose(service.volumes(), each.medium);
  }
  const Status set = service.library().SetDriveOnline(drive, online, stop);
  if (!set.Is(Errc::kNotFound)) {
    service.auxiliary().SetDriveOffline(drive, !online);
  }
  RETURN_IF_ERROR(set);
  RETURN_IF_ERROR(closed.Lost());
  return Json{{"drive", drive.value}, {"online", online}};
}

Result<Json> SetLibrary(Service& service, const CommandLine& line,
                        std::stop_token) {
  OptionReader options(line);
  options.Args(1, 1, "library online|offline");
  RETURN_IF_ERROR(options.Finish());
  const bool online = line.args[0] == "online";
  if (!online && line.args[0] != "offline") {
    return InvalidCommand("library: usage: library online|offline");
  }
  service.library().SetOnline(online);
  return Json{{"online", online}};
}

Result<ElementAddress> EmptyDrive(const Service& service) {
  for (const DriveState& drive : service.library().Drives()) {
    if (drive.online && drive.medium.empty() && drive.activity == "empty") {
      return drive.address;
    }
  }
  return Error{Errc::kBusy, "load: no drive that is online is empty"};
}

Result<Json> LoadByHand(Service& service, const CommandLine& line,
                        std::stop_token stop) {
  OptionReader options(line);
  options.Args(1, 1, "load MEDIUM [drive=ELEMENT]");
  const uint64_t wanted = options.Number("drive", kNotSaid, 0, UINT16_MAX);
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(const MediumId medium,
                   ResolveMedium(service.archive(), line.args[0]));
  ASSIGN_OR_RETURN(const MediumPlace place,
                   service.library().FindMedium(medium));
  if (const auto volume = service.volumes().FindByMedium(medium)) {
    RETURN_IF_ERROR(CheckNotExported(volume->record()));
  }
  if (place.loaded) {
    return Error{Errc::kExists, fmt::format("load: {} is in drive {}", medium,
                                            place.element.value)};
  }
  ElementAddress drive{static_cast<uint16_t>(wanted)};
  if (wanted == kNotSaid) {
    ASSIGN_OR_RETURN(drive, EmptyDrive(service));
  } else if (!service.library().Elements().data_transfer.Contains(drive)) {
    return InvalidCommand(
        fmt::format("load: element {} is no drive", drive.value));
  }
  SayStep(line, fmt::format("loads {} from {} into drive {}", medium,
                            place.element.value, drive.value));
  RETURN_IF_ERROR(service.library().Move(place.element, drive, stop));
  // In the drive; it is loaded when the drive has opened it.
  std::vector<LeaseRequest> requests(1);
  requests.front().medium = medium;
  requests.front().owner = "load";
  RETURN_IF_ERROR(
      service.library().AcquireAndWait(std::move(requests), stop).status());
  return Json{{"medium", medium}, {"drive", drive.value}};
}

Result<Json> UnloadByHand(Service& service, const CommandLine& line,
                          std::stop_token stop) {
  OptionReader options(line);
  options.Args(1, 1, "unload DRIVE|MEDIUM");
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(const MediumId medium,
                   ResolveMedium(service.archive(), line.args[0]));
  ASSIGN_OR_RETURN(const MediumPlace place,
                   service.library().FindMedium(medium));
  if (!place.loaded) {
    return Error{Errc::kNoMedium,
                 fmt::format("unload: {} is in element {}, which is no drive",
                             medium, place.element.value)};
  }
  SayStep(line, "closes what is on " + medium);
  ASSIGN_OR_RETURN(const ClosedVolume closed,
                   CloseVolumeOn(service.volumes(), medium, stop));
  SayStep(line, fmt::format("takes {} home to {}", medium, place.home.value));
  RETURN_IF_ERROR(service.library().SendHome(medium));
  ASSIGN_OR_RETURN(const MediumPlace now, service.library().FindMedium(medium));
  RETURN_IF_ERROR(closed.Lost());
  return Json{{"medium", medium},
              {"drive", place.element.value},
              {"element", now.element.value}};
}

// --- Health flags (H4)

Result<std::string> HealthObject(const Service& service,
                                 const std::string& name) {
  const std::optional<uint64_t> number = ParseNumber(name);
  if (number && *number <= UINT16_MAX) {
    const ElementAddress address{static_cast<uint16_t>(*number)};
    if (service.library().Elements().data_transfer.Contains(address)) {
      return DriveObject(address);
    }
  }
  return ResolveMedium(service.archive(), name);
}

Result<Json> SetHealth(Service& service, const CommandLine& line,
                       std::stop_token) {
  constexpr const char* kUsage =
      "health set OBJECT FLAG [note=TEXT] | health clear OBJECT [FLAG]";
  OptionReader options(line);
  options.Args(2, 3, kUsage);
  const std::string note = options.Text("note").value_or("");
  RETURN_IF_ERROR(options.Finish());
  const bool set = line.args[0] == "set";
  if ((!set && line.args[0] != "clear") || (set && line.args.size() != 3)) {
    return InvalidCommand(fmt::format("health: usage: {}", kUsage));
  }
  ASSIGN_OR_RETURN(const std::string object,
                   HealthObject(service, line.args[1]));
  const HealthFlag* flag = nullptr;
  if (line.args.size() == 3) {
    flag = FindHealthFlag(line.args[2]);
    if (flag == nullptr) {
      std::string known;
      for (const HealthFlag& each : HealthFlags()) {
        known += fmt::format("{}{} ({})", known.empty() ? "" : ", ", each.name,
                             each.number);
      }
      return InvalidCommand(
          fmt::format("health: \"{}\" is no flag: known are "
                      "{}",
                      line.args[2], known));
    }
  }
  if (set) {
    service.auxiliary().SetFlag(object, flag->number, true, note);
    return Json{{"object", object}, {"flag", flag->name}, {"set", true}};
  }
  const size_t cleared = service.auxiliary().ClearFlags(
      object,
      flag == nullptr ? std::nullopt : std::optional<uint32_t>(flag->number));
  if (cleared == 0) {
    return Error{Errc::kNotFound,
                 fmt::format("health: {} has no {}flag set", object,
                             flag == nullptr ? "" : "such ")};
  }
  return Json{{"object", object}, {"cleared", cleared}};
}

// --- Faults on demand (H6)

struct FaultCall {
  Service& service;
  DeviceFaults& faults;
  const CommandLine& line;
  OptionReader& options;
};

Result<VolumeTag> FaultTag(const FaultCall& call) {
  ASSIGN_OR_RETURN(const MediumId medium,
                   ResolveMedium(call.service.archive(), call.line.args[1]));
  ASSIGN_OR_RETURN(const MediumPlace place,
                   call.service.library().FindMedium(medium));
  return place.tag.empty() ? medium : place.tag;
}

Result<Json> MediumErrorFault(FaultCall& call) {
  call.options.Args(2, 2,
                    "fault medium-error MEDIUM first=SECTOR [count=N] "
                    "[access=read|write|both]");
  const uint64_t first = call.options.Number("first", 0, 0, UINT32_MAX);
  const uint64_t count = call.options.Number("count", 1, 1, UINT32_MAX);
  const size_t access =
      call.options.Choice("access", {"read", "write", "both"}, 0);
  RETURN_IF_ERROR(call.options.Finish());
  ASSIGN_OR_RETURN(const VolumeTag tag, FaultTag(call));
  call.faults.FailSectors(tag, static_cast<DeviceFaults::Access>(access),
                          {first, count});
  return Json::object();
}

Result<Json> ShortTransferFault(FaultCall& call) {
  call.options.Args(2, 2,
                    "fault short-transfer MEDIUM [times=N] "
                    "[access=read|write|both]");
  const uint64_t times = call.options.Number("times", 1, 1, UINT32_MAX);
  const size_t access =
      call.options.Choice("access", {"read", "write", "both"}, 0);
  RETURN_IF_ERROR(call.options.Finish());
  ASSIGN_OR_RETURN(const VolumeTag tag, FaultTag(call));
  call.faults.ShortenTransfers(tag, static_cast<DeviceFaults::Access>(access),
                               static_cast<uint32_t>(times));
  return Json::object();
}

Result<Json> SlowLoadFault(FaultCall& call) {
  call.options.Args(2, 2, "fault slow-load MEDIUM ms=N");
  const uint64_t ms = call.options.Number("ms", 1000, 1, 3'600'000);
  RETURN_IF_ERROR(call.options.Finish());
  ASSIGN_OR_RETURN(const VolumeTag tag, FaultTag(call));
  call.faults.SlowLoad(tag, std::chrono::milliseconds(ms));
  return Json::object();
}

Result<Json> FailingLoadFault(FaultCall& call) {
  call.options.Args(2, 2, "fault failing-load MEDIUM [times=N]");
  const uint64_t times = call.options.Number("times", 1, 1, UINT32_MAX);
  RETURN_IF_ERROR(call.options.Finish());
  ASSIGN_OR_RETURN(const VolumeTag tag, FaultTag(call));
  call.faults.FailLoads(tag, static_cast<uint32_t>(times));
  return Json::object();
}

Result<Json> LostBarCodeFault(FaultCall& call) {
  call.options.Args(2, 2, "fault lost-bar-code MEDIUM");
  RETURN_IF_ERROR(call.options.Finish());
  ASSIGN_OR_RETURN(const VolumeTag tag, FaultTag(call));
  call.faults.HideTag(tag);
  return Json::object();
}

Result<Json> DriveGoneFault(FaultCall& call) {
  call.options.Args(2, 2, "fault drive-gone ELEMENT");
  RETURN_IF_ERROR(call.options.Finish());
  ASSIGN_OR_RETURN(const ElementAddress drive,
                   ParseElement(call.line, call.line.args[1]));
  if (!call.service.library().Elements().data_transfer.Contains(drive)) {
    return InvalidCommand(
        fmt::format("fault: element {} is no drive", drive.value));
  }
  call.faults.LoseDrive(drive);
  return Json::object();
}

Result<Json> SwapFault(FaultCall& call) {
  call.options.Args(3, 3, "fault swap TAG TAG");
  RETURN_IF_ERROR(call.options.Finish());
  RETURN_IF_ERROR(call.service.virtual_controls()->Swap(call.line.args[1],
                                                        call.line.args[2]));
  return Json::object();
}

Result<Json> PlainFault(FaultCall& call, void (DeviceFaults::*act)()) {
  call.options.Args(1, 1, "fault " + call.line.args[0]);
  RETURN_IF_ERROR(call.options.Finish());
  (call.faults.*act)();
  return Json::object();
}

Result<Json> PowerCutFault(FaultCall& call) {
  call.options.Args(1, 1, "fault power-cut [tear=yes] [seed=N]");
  const bool tear = call.options.Flag("tear", false);
  const uint64_t seed = call.options.Number("seed", 1, 0, kNotSaid - 1);
  RETURN_IF_ERROR(call.options.Finish());
  ASSIGN_OR_RETURN(const uint64_t sectors, call.faults.CutPower(tear, seed));
  return Json{{"sectors", sectors}};
}

struct FaultKind {
  Result<Json> (*run)(FaultCall&);
  const char* name;
};
constexpr FaultKind kFaultKinds[] = {
    {[](FaultCall& c) { return PlainFault(c, &DeviceFaults::ArmPowerCut); },
     "arm-power-cut"},
    {[](FaultCall& c) { return PlainFault(c, &DeviceFaults::Clear); }, "clear"},
    {DriveGoneFault, "drive-gone"},
    {FailingLoadFault, "failing-load"},
    {LostBarCodeFault, "lost-bar-code"},
    {MediumErrorFault, "medium-error"},
    {PowerCutFault, "power-cut"},
    {ShortTransferFault, "short-transfer"},
    {SlowLoadFault, "slow-load"},
    {[](FaultCall& c) { return PlainFault(c, &DeviceFaults::StickTransport); },
     "stuck-transport"},
    {SwapFault, "swap"},
    {[](FaultCall& c) { return PlainFault(c, &DeviceFaults::RaiseAttention); },
     "unit-attention"},
};

Result<Json> InjectFault(Service& service, const CommandLine& line,
                         std::stop_token) {
  ASSIGN_OR_RETURN(VirtualControls * controls, Controls(service, "fault"));
  OptionReader options(line);
  FaultCall call{service, *controls->faults(), line, options};
  std::string known;
  const std::string kind = line.args.empty() ? "" : line.args[0];
  for (const FaultKind& each : kFaultKinds) {
    if (kind == each.name) return each.run(call);
    known += known.empty() ? "" : ", ";
    known += each.name;
  }
  return InvalidCommand(
      fmt::format("fault: \"{}\" is none of {}", kind, known));
}

// --- library.toml (H2)

Result<Json> ReloadConfig(Service& service, const CommandLine& line,
                          std::stop_token) {
  OptionReader options(line);
  options.Args(0, 0, "reload");
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(const std::vector<std::string> changed, service.Reload());
  return Json{{"changed", changed}};
}

constexpr std::array<NamedCommand, 8> kDeviceCommands = {{
    {"door", Door},
    {"drive", SetDrive},
    {"fault", InjectFault},
    {"health", SetHealth},
    {"library", SetLibrary},
    {"load", LoadByHand},
    {"reload", ReloadConfig},
    {"unload", UnloadByHand},
}};

}  // namespace

std::span<const NamedCommand> DeviceCommands() { return kDeviceCommands; }

}  // namespace vellum
