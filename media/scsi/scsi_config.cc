// SPDX-License-Identifier: Apache-2.0
#include "media/scsi/scsi_config.h"

#include <fmt/format.h>

#include <algorithm>

namespace vellum {

namespace {

constexpr ConfigBounds kElement{0, 65535};
constexpr ConfigBounds kSides{1, 2};
constexpr EjectRule kEjectRules[] = {EjectRule::kAuto, EjectRule::kAlways,
                                     EjectRule::kNever};

bool IsPrintable(const std::string& text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c >= 0x20 && c < 0x7F; });
}

// Empty: nothing is wrong.
std::string DeviceProblem(const std::string& device) {
  if (device.empty()) return "the path of a device is missing";
  if (!IsPrintable(device) || device.front() != '/') {
    return fmt::format("\"{}\" is no absolute path of a device", device);
  }
  return "";
}

std::string DriveProblem(const ScsiLibraryOptions& options, size_t index) {
  const ScsiDriveOption& drive = options.drives[index];
  if (drive.device == options.changer) {
    return fmt::format("{} is the changer", drive.device);
  }
  for (size_t i = 0; i < index; ++i) {
    if (options.drives[i].element == drive.element) {
      return fmt::format("element {} has {} already", drive.element.value,
                         options.drives[i].device);
    }
    if (options.drives[i].device == drive.device) {
      return fmt::format("{} is element {} already", drive.device,
                         options.drives[i].element.value);
    }
  }
  return DeviceProblem(drive.device);
}

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

Status ReadEjectRule(ConfigTable* changer, EjectRule* rule) {
  std::string name = EjectRuleName(*rule);
  RETURN_IF_ERROR(changer->String("eject", &name));
  for (const EjectRule each : kEjectRules) {
    if (name != EjectRuleName(each)) continue;
    *rule = each;
    return Status::Ok();
  }
  return changer->At(
      "eject", fmt::format("\"{}\" is none of auto, always, never", name));
}

}  // namespace

const char* EjectRuleName(EjectRule rule) {
  switch (rule) {
    case EjectRule::kAuto:
      return "auto";
    case EjectRule::kAlways:
      return "always";
    case EjectRule::kNever:
      break;
  }
  return "never";
}

Status CheckScsiOptions(const ScsiLibraryOptions& options) {
  const std::string problem = DeviceProblem(options.changer);
  if (!problem.empty()) {
    return Status(Errc::kInvalidArgument, "changer: " + problem);
  }
  if (!IsPrintable(options.serial)) {
    return Status(Errc::kInvalidArgument, "serial: not printable ASCII");
  }
  for (size_t i = 0; i < options.drives.size(); ++i) {
    const std::string wrong = DriveProblem(options, i);
    if (!wrong.empty()) {
      return Status(
          Errc::kInvalidArgument,
          fmt::format("drive {}: {}", options.drives[i].element.value, wrong));
    }
  }
  return Status::Ok();
}

Status ReadScsiConfig(ConfigTable* root, ScsiLibraryOptions* options) {
  ASSIGN_OR_RETURN(ConfigTable changer, root->Table("changer"));
  RETURN_IF_ERROR(changer.String("device", &options->changer));
  RETURN_IF_ERROR(changer.String("serial", &options->serial));
  RETURN_IF_ERROR(changer.Integer("sides", kSides, &options->sides));
  RETURN_IF_ERROR(changer.Boolean("verify_writes", &options->verify_writes));
  RETURN_IF_ERROR(ReadEjectRule(&changer, &options->eject));
  RETURN_IF_ERROR(changer.RejectUnknown());
  const std::string problem = DeviceProblem(options->changer);
  if (!problem.empty()) return changer.At("device", problem);
  if (!IsPrintable(options->serial)) {
    return changer.At("serial", "not printable ASCII");
  }
  ASSIGN_OR_RETURN(std::vector<ConfigTable> drives, root->Tables("drive"));
  for (ConfigTable& table : drives) {
    ScsiDriveOption drive;
    RETURN_IF_ERROR(table.Integer("element", kElement, &drive.element.value));
    if (!table.Has("element")) {
      return table.At("element", "the address of a drive is missing");
    }
    RETURN_IF_ERROR(table.String("device", &drive.device));
    RETURN_IF_ERROR(table.RejectUnknown());
    options->drives.push_back(std::move(drive));
    const std::string wrong =
        DriveProblem(*options, options->drives.size() - 1);
    if (!wrong.empty()) return table.At("device", wrong);
  }
  return Status::Ok();
}

const char* ScsiConfigIntroduction() {
  return
      R"(# A library of SCSI devices for Vellum: a changer and its drives. Edit this file
# only while no daemon serves the library; it is read when one starts. A key
# that is left out has its default; an unknown key is an error.
#
#   catalog/   the index: may be deleted, it is rebuilt from the media
#   spool/     staging space of copies
#   state/     the daemon's log and lock
)";
}

std::string ScsiConfigText(const ScsiLibraryOptions& options) {
  std::string text = fmt::format(
      R"([changer]
# The changer's generic device. Numbers of /dev/sgN may change at every start of
# the system: a link that udev makes for the device does not.
device = {}
# The serial number that the changer must have; empty: any.
serial = {}
# 2: media have two sides, each a volume of its own (TAG + "A", TAG + "B"), and
# the robot turns them over.
sides = {}
# true: the drives check each block after they wrote it (WRITE AND VERIFY, or
# what else they can). Copies are read back and compared in any case.
verify_writes = {}
# Whether a drive is told to eject its medium before the robot takes it:
# "always"; "never"; "auto", once the changer has refused to take one that was
# not ejected. Say "always" where the robot jams instead of refusing.
eject = "{}"

# The device of each drive is found by itself where the changer tells the
# serial numbers of its drives. Where it does not, name them, one [[drive]] each:
#   [[drive]]
#   element = 256
#   device = "/dev/sg4"
)",
      Quoted(options.changer), Quoted(options.serial), options.sides,
      options.verify_writes, EjectRuleName(options.eject));
  for (const ScsiDriveOption& drive : options.drives) {
    text += fmt::format("\n[[drive]]\nelement = {}\ndevice = {}\n",
                        drive.element.value, Quoted(drive.device));
  }
  return text;
}

}  // namespace vellum
