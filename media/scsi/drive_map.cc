// SPDX-License-Identifier: Apache-2.0
#include "media/scsi/drive_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace vellum::scsi {

namespace {

constexpr const char* kNameIt = "name it: [[drive]] in library.toml";

DriveMatch FindDevice(const DriveElement& element,
                      const std::vector<DriveCandidate>& candidates,
                      const std::vector<ScsiDriveOption>& named) {
  DriveMatch match;
  match.element = element.address;
  const auto fail = [&](const std::string& why) {
    match.problem = fmt::format("drive {} has no device: {}; {}",
                                element.address.value, why, kNameIt);
    return match;
  };
  for (const ScsiDriveOption& drive : named) {
    if (drive.element != element.address) continue;
    match.device = drive.device;
    match.reason = "named in library.toml";
    return match;
  }
  if (!element.identifier) {
    return fail("the changer does not tell its serial number");
  }
  std::vector<const DriveCandidate*> found;
  for (const DriveCandidate& candidate : candidates) {
    const bool taken = std::any_of(named.begin(), named.end(),
                                   [&](const ScsiDriveOption& drive) {
                                     return drive.device == candidate.device;
                                   });
    if (!taken && Identifies(*element.identifier, candidate.inquiry)) {
      found.push_back(&candidate);
    }
  }
  const std::string& text = element.identifier->text;
  if (found.empty()) {
    return fail(fmt::format("none of {} is what the changer calls \"{}\"",
                            candidates.size(), text));
  }
  if (found.size() > 1) {
    return fail(fmt::format("{} and {} are both \"{}\"", found[0]->device,
                            found[1]->device, text));
  }
  match.device = found[0]->device;
  match.reason = "serial number " + found[0]->inquiry.serial;
  return match;
}

}  // namespace

std::vector<DriveMatch> MatchDrives(
    const std::vector<DriveElement>& elements,
    const std::vector<DriveCandidate>& candidates,
    const std::vector<ScsiDriveOption>& named) {
  std::vector<DriveMatch> matches;
  for (const DriveElement& element : elements) {
    matches.push_back(FindDevice(element, candidates, named));
  }
  // Elements with the same identifier: none of them is certain.
  std::map<std::string, size_t> uses;
  for (const DriveMatch& match : matches) ++uses[match.device];
  for (DriveMatch& match : matches) {
    if (match.device.empty() || uses[match.device] == 1) continue;
    match.problem = fmt::format(
        "drive {} has no device: the changer calls another one {}, too; {}",
        match.element.value, match.device, kNameIt);
    match.device.clear();
  }
  return matches;
}

}  // namespace vellum::scsi
