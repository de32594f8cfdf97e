// SPDX-License-Identifier: Apache-2.0
#include "media/scsi/scsi_library.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <system_error>

#include "media/changer_controls.h"
#include "media/library_directory.h"
#include "media/scsi/scsi_drive.h"
#include "media/scsi/sg_transport.h"
#include "media/scsi/tagged_changer.h"

namespace vellum {

namespace {

namespace stdfs = std::filesystem;

bool IsDriveType(uint8_t type) {
  return type == 0x00 || type == 0x05 || type == 0x07;
}

// The device that a link stands for; the name itself when there is none.
std::string Resolved(const std::string& device) {
  std::error_code ec;
  const stdfs::path path = stdfs::canonical(device, ec);
  return ec ? device : path.string();
}

std::vector<std::string> ListGenericDevices() {
  std::vector<std::pair<int, std::string>> numbered;
  std::error_code ec;
  for (stdfs::directory_iterator it("/dev", ec), end; !ec && it != end;
       it.increment(ec)) {
    const std::string name = it->path().filename().string();
    if (!name.starts_with("sg")) continue;
    int number = 0;
    const char* last = name.data() + name.size();
    const auto [parsed, error] = std::from_chars(name.data() + 2, last, number);
    if (error == std::errc() && parsed == last) {
      numbered.emplace_back(number, it->path().string());
    }
  }
  std::sort(numbered.begin(), numbered.end());
  std::vector<std::string> devices;
  for (auto& [number, path] : numbered) devices.push_back(std::move(path));
  return devices;
}

// Every drive among the devices of the system. What cannot be asked is none;
// the log says why.
std::vector<scsi::DriveCandidate> FindCandidates(
    const ScsiLibraryOptions& options, const ScsiSystem& system) {
  std::vector<scsi::DriveCandidate> candidates;
  const std::string changer = Resolved(options.changer);
  for (const std::string& path : system.list()) {
    if (path == changer) continue;
    Result<std::unique_ptr<scsi::Transport>> transport = system.open(path);
    if (!transport.ok()) {
      spdlog::info("{} is not looked at: {}", path, transport.error().message);
      continue;
    }
    scsi::Device device(std::move(*transport));
    const Result<scsi::Inquiry> inquiry = device.Inquire();
    if (!inquiry.ok()) {
      spdlog::info("{} is not looked at: {}", path, inquiry.error().message);
    } else if (IsDriveType(inquiry->device_type)) {
      candidates.push_back({path, *inquiry});
    }
  }
  return candidates;
}

// Opens what was matched; a device that is no drive becomes the problem.
void OpenMatch(const ScsiSystem& system, scsi::DriveMatch* match,
               ScsiDriveDevices* drives) {
  const auto fail = [&](const std::string& why) {
    match->problem =
        fmt::format("drive {} has no device: {}", match->element.value, why);
  };
  Result<std::unique_ptr<scsi::Transport>> transport =
      system.open(match->device);
  if (!transport.ok()) return fail(transport.error().message);
  auto device = std::make_shared<scsi::Device>(std::move(*transport));
  const Result<scsi::Inquiry> inquiry = device->Inquire();
  if (!inquiry.ok()) return fail(inquiry.error().message);
  if (!IsDriveType(inquiry->device_type)) {
    return fail(
        fmt::format("{} is {} {} of type {}, no drive for disks or "
                    "optical media",
                    match->device, inquiry->vendor, inquiry->product,
                    inquiry->device_type));
  }
  drives->emplace_back(match->element, std::move(device));
}

}  // namespace

ScsiSystem HostScsiSystem() {
  return {&ListGenericDevices, &scsi::OpenSgTransport};
}

Status InitScsiLibrary(const std::string& directory,
                       const ScsiLibraryOptions& options) {
  RETURN_IF_ERROR(CheckScsiOptions(options).WithContext("init " + directory));
  LibraryConfig config;
  config.devices = options;
  return InitLibraryDirectory(directory, config, {}, nullptr);
}

LibraryDevices JoinScsiDevices(std::unique_ptr<Changer> changer,
                               ScsiDriveDevices drives, bool verify_writes) {
  const auto book = std::make_shared<scsi::TagBook>();
  LibraryDevices devices;
  devices.changer =
      std::make_unique<scsi::TaggedChanger>(std::move(changer), book);
  for (auto& [element, device] : drives) {
    scsi::ScsiDriveOptions options;
    options.volume_tag = [book, at = element] { return book->At(at); };
    options.verify_writes = verify_writes;
    devices.drives.push_back(std::make_unique<scsi::ScsiDrive>(
        element, std::move(device), std::move(options)));
  }
  return devices;
}

Result<ScsiParts> FindScsiParts(const ScsiLibraryOptions& options,
                                const ScsiSystem& system) {
  ScsiParts parts;
  ASSIGN_OR_RETURN(std::unique_ptr<scsi::Transport> transport,
                   system.open(options.changer));
  scsi::ScsiChangerOptions changer_options;
  changer_options.two_sided = options.sides == 2;
  ASSIGN_OR_RETURN(parts.changer, scsi::ScsiChanger::Open(std::move(transport),
                                                          changer_options));
  ASSIGN_OR_RETURN(const ChangerIdentity identity, parts.changer->Identify());
  if (!options.serial.empty() && options.serial != identity.serial) {
    return Error{Errc::kIncompatible,
                 fmt::format("{} is the changer with serial number \"{}\", not "
                             "\"{}\" as library.toml says",
                             options.changer, identity.serial, options.serial)};
  }
  ASSIGN_OR_RETURN(const std::vector<scsi::DriveElement> elements,
                   parts.changer->DriveElements());
  std::vector<ScsiDriveOption> named = options.drives;
  for (ScsiDriveOption& drive : named) {
    drive.device = Resolved(drive.device);
    const bool exists = std::any_of(elements.begin(), elements.end(),
                                    [&](const scsi::DriveElement& e) {
                                      return e.address == drive.element;
                                    });
    if (!exists) {
      return Error{
          Errc::kNotFound,
          fmt::format("library.toml names {} as drive {}, but the "
                      "changer {} has no such data transfer element",
                      drive.device, drive.element.value, options.changer)};
    }
  }
  std::vector<scsi::DriveCandidate> candidates;
  if (named.size() < elements.size()) {
    candidates = FindCandidates(options, system);
  }
  parts.matches = scsi::MatchDrives(elements, candidates, named);
  for (scsi::DriveMatch& match : parts.matches) {
    if (match.problem.empty()) OpenMatch(system, &match, &parts.drives);
  }
  parts.ejector = std::make_shared<scsi::Ejector>(
      options.eject, std::map<ElementAddress, std::shared_ptr<scsi::Device>>(
                         parts.drives.begin(), parts.drives.end()));
  parts.changer->EjectBy(parts.ejector);
  return parts;
}

Result<LibraryDevices> OpenScsiLibrary(const LibraryConfig& config,
                                       const ScsiSystem& system) {
  const auto& options = std::get<ScsiLibraryOptions>(config.devices);
  ASSIGN_OR_RETURN(ScsiParts parts, FindScsiParts(options, system));
  ASSIGN_OR_RETURN(const ElementMap map, parts.changer->Elements());
  const std::string problem = CopyRangeProblem(config, map);
  if (!problem.empty()) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{}: policy.{}",
                             LibraryConfigPath(config.directory), problem)};
  }
  // A daemon that died may have left its door locked.
  const Status unlocked = parts.changer->LockDoor(false);
  if (!unlocked.ok() && !unlocked.Is(Errc::kNotSupported)) {
    spdlog::warn("{}", unlocked.ToString());
  }
  std::string missing;
  for (const scsi::DriveMatch& match : parts.matches) {
    if (match.problem.empty()) continue;
    spdlog::warn("{}", match.problem);
    missing += (missing.empty() ? "" : "; ") + match.problem;
  }
  if (parts.drives.empty()) {
    return Error{
        Errc::kNotFound,
        fmt::format("the changer {} has no usable drive: {}", options.changer,
                    missing.empty() ? "it has no drive elements" : missing)};
  }
  // Called by the changer itself, so for no longer than it is there.
  scsi::ScsiChanger* const robot = parts.changer.get();
  const auto controls = std::make_shared<ChangerControls>(
      [robot](const std::optional<ElementRange>& range) {
        return range ? robot->InitializeElements(*range)
                     : robot->InitializeElementStatus();
      },
      [robot](bool lock) { return robot->LockDoor(lock); });
  LibraryDevices devices = JoinScsiDevices(
      std::move(parts.changer), std::move(parts.drives), options.verify_writes);
  devices.changer =
      std::make_unique<ControlledChanger>(std::move(devices.changer), controls);
  devices.changer_controls = controls;
  return devices;
}

}  // namespace vellum
