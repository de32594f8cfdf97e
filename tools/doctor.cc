// SPDX-License-Identifier: Apache-2.0
#include "tools/doctor.h"

#include <fmt/format.h>

#include <map>
#include <random>
#include <set>
#include <utility>

#include "media/cleaning_medium.h"
#include "media/scsi/scsi_drive.h"
#include "media/scsi/scsi_medium.h"
#include "media/udf/format.h"
#include "tools/human.h"
#include "tools/medium_trial.h"

namespace vellum {

namespace {

using Clock = std::chrono::steady_clock;

double ElapsedSeconds(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

const ElementRange& RangeOf(const ElementMap& map, ElementType type) {
  switch (type) {
    case ElementType::kTransport:
      return map.transport;
    case ElementType::kStorage:
      return map.storage;
    case ElementType::kImportExport:
      return map.import_export;
    case ElementType::kDataTransfer:
      break;
  }
  return map.data_transfer;
}

const char* ElementTypeName(ElementType type) {
  switch (type) {
    case ElementType::kTransport:
      return "transport";
    case ElementType::kStorage:
      return "storage";
    case ElementType::kImportExport:
      return "import/export";
    case ElementType::kDataTransfer:
      break;
  }
  return "drive";
}

constexpr ElementType kTypes[] = {
    ElementType::kTransport, ElementType::kStorage, ElementType::kImportExport,
    ElementType::kDataTransfer};

std::string DriveSubject(ElementAddress address) {
  return fmt::format("drive {}", address.value);
}

std::string TagOrElement(const ElementStatus& status) {
  return status.volume_tag.empty()
             ? fmt::format("the medium in {}", status.address.value)
             : status.volume_tag;
}

const char* ClassName(MediumClass medium_class) {
  switch (medium_class) {
    case MediumClass::kRewritable:
      return "rewritable";
    case MediumClass::kWriteOnce:
      return "write-once";
    case MediumClass::kSequential:
      break;
  }
  return "sequential";
}

const ElementStatus* FindElement(const std::vector<ElementStatus>& statuses,
                                 ElementAddress address) {
  for (const ElementStatus& status : statuses) {
    if (status.address == address) return &status;
  }
  return nullptr;
}

}  // namespace

const char* FindingName(Finding finding) {
  switch (finding) {
    case Finding::kGood:
      return "ok";
    case Finding::kNote:
      return "note";
    case Finding::kProblem:
      break;
  }
  return "problem";
}

std::vector<std::string> ElementStatusProblems(
    const ElementMap& map, const std::vector<ElementStatus>& statuses) {
  std::vector<std::string> problems;
  std::map<ElementType, std::set<uint16_t>> seen;
  std::map<VolumeTag, ElementAddress> tags;
  for (const ElementStatus& status : statuses) {
    const uint16_t address = status.address.value;
    if (!RangeOf(map, status.type).Contains(status.address)) {
      problems.push_back(
          fmt::format("element {} is reported as {}, but is not among them",
                      address, ElementTypeName(status.type)));
    }
    if (!seen[status.type].insert(address).second) {
      problems.push_back(fmt::format("element {} is reported twice", address));
    }
    if (status.volume_tag.empty()) continue;
    const auto [other, added] = tags.emplace(status.volume_tag, status.address);
    if (!added) {
      problems.push_back(fmt::format("volume tag {} is in elements {} and {}",
                                     status.volume_tag, other->second.value,
                                     address));
    }
    if (!status.full) {
      problems.push_back(fmt::format("element {} is empty but has tag {}",
                                     address, status.volume_tag));
    }
  }
  for (const ElementType type : kTypes) {
    const ElementRange& range = RangeOf(map, type);
    if (seen[type].size() < range.count) {
      problems.push_back(fmt::format("{} of {} {} elements are reported",
                                     seen[type].size(), range.count,
                                     ElementTypeName(type)));
    }
  }
  return problems;
}

void Doctor::Tell(Finding finding, const std::string& subject,
                  const std::string& text, Json values) {
  if (finding == Finding::kProblem) ++problems_;
  lines_.push_back({finding, subject, text, std::move(values)});
  tell_(lines_.back());
}

void Doctor::Give(const std::string& subject, const Status& status) {
  Tell(Finding::kProblem, subject, status.error().message,
       {{"code", ErrcName(status.code())}});
}

void Doctor::ExamineParts(ScsiParts& parts) {
  const auto capabilities = parts.changer->Capabilities();
  if (!capabilities.ok()) {
    Give("changer", capabilities.status());
  } else if (!capabilities->known) {
    Tell(Finding::kNote, "changer", "does not tell its capabilities");
  } else {
    const bool exchanges = capabilities->exchanges[2][4];
    const auto yes = [](bool value) { return value ? "yes" : "no"; };
    Tell(
        capabilities->moves[2][4] && capabilities->moves[4][2]
            ? Finding::kGood
            : Finding::kProblem,
        "changer",
        fmt::format("moves between storage and drives: {}; exchanges media: "
                    "{}; turns media over: {}",
                    yes(capabilities->moves[2][4] && capabilities->moves[4][2]),
                    yes(exchanges), yes(capabilities->turns)),
        {{"moves", capabilities->moves[2][4] && capabilities->moves[4][2]},
         {"exchanges", exchanges},
         {"turns_media", capabilities->turns}});
  }
  TryDoorLock(*parts.changer);
  ejector_ = parts.ejector;
  for (const scsi::DriveMatch& match : parts.matches) {
    const std::string subject = DriveSubject(match.element);
    if (!match.problem.empty()) {
      Tell(Finding::kProblem, subject, match.problem);
    } else {
      Tell(Finding::kGood, subject,
           fmt::format("is {}: {}", match.device, match.reason),
           {{"device", match.device}, {"reason", match.reason}});
    }
  }
}

void Doctor::TryDoorLock(scsi::ScsiChanger& changer) {
  Status locked = changer.LockDoor(true);
  const bool has_lock = !locked.Is(Errc::kNotSupported);
  if (has_lock) {
    const Status unlocked = changer.LockDoor(false);
    if (locked.ok()) locked = unlocked;
  }
  if (has_lock && !locked.ok()) return Give("changer", locked);
  Tell(Finding::kGood, "changer",
       fmt::format("its door can be locked (`vellum door lock`): {}",
                   has_lock ? "yes" : "no"),
       {{"door_lock", has_lock}});
}

void Doctor::TellEjects() {
  if (ejector_ == nullptr || !took_out_) return;
  const bool needed = ejector_->helped();
  Tell(needed ? Finding::kNote : Finding::kGood, "changer",
       needed
           ? "takes a medium out of a drive only after the drive was told to "
             "eject it: eject = \"always\" in library.toml does that at once"
       : ejector_->ejects()
           ? "takes media out of drives; each was ejected before, as "
             "library.toml says"
           : "takes media out of drives without an eject",
       {{"ejects", ejector_->ejects()}, {"eject_needed", needed}});
}

void Doctor::TellScsiMedium(const std::string& subject, Medium& medium) {
  auto* const scsi = dynamic_cast<scsi::ScsiMedium*>(&medium);
  if (scsi == nullptr) return;
  const MediumInfo info = medium.Info();
  Bytes sector(kSectorSize);
  medium.DropReadCache(0, 1);
  const Status read = medium.Read(0, sector);
  if (!read.ok()) return Give(subject, read);
  Tell(Finding::kGood, subject,
       fmt::format("reads that pass its cache: {}", scsi->ReadBackMethod()),
       {{"read_back", scsi->ReadBackMethod()}});
  if (info.write_protected || info.medium_class != MediumClass::kRewritable) {
    return;
  }
  const auto zeros = scsi->ZeroMethod();
  if (!zeros.ok()) return Give(subject, zeros.status());
  Tell(Finding::kGood, subject, "zeros: " + *zeros, {{"zeros", *zeros}});
}

bool Doctor::ExamineElements(Changer& changer) {
  const auto identity = changer.Identify();
  if (!identity.ok()) {
    Give("changer", identity.status());
    return false;
  }
  Tell(Finding::kGood, "changer",
       fmt::format("{} {} {} ({}), serial number {}", identity->vendor,
                   identity->product, identity->revision, identity->device,
                   identity->serial.empty() ? "not told" : identity->serial),
       {{"vendor", identity->vendor},
        {"product", identity->product},
        {"revision", identity->revision},
        {"serial", identity->serial},
        {"device", identity->device}});
  const auto map = changer.Elements();
  if (!map.ok()) {
    Give("elements", map.status());
    return false;
  }
  std::string ranges;
  Json values;
  for (const ElementType type : kTypes) {
    const ElementRange& range = RangeOf(*map, type);
    ranges += fmt::format("{}{} {}", ranges.empty() ? "" : ", ", range.count,
                          ElementTypeName(type));
    if (range.count > 0) ranges += fmt::format(" from {}", range.first.value);
    values[ElementTypeName(type)] = {{"first", range.first.value},
                                     {"count", range.count}};
  }
  Tell(Finding::kGood, "elements", ranges, values);
  if (map->storage.count == 0 || map->data_transfer.count == 0) {
    Tell(Finding::kProblem, "elements",
         "a library needs storage elements and drives");
  }
  const auto start = Clock::now();
  const auto statuses = changer.ReadElementStatus();
  if (!statuses.ok()) {
    Give("element status", statuses.status());
    return false;
  }
  size_t media = 0;
  size_t tagged = 0;
  for (const ElementStatus& status : *statuses) {
    if (status.full) ++media;
    if (status.full && !status.volume_tag.empty()) ++tagged;
    if (status.exception) {
      Tell(Finding::kProblem, fmt::format("element {}", status.address.value),
           status.note.empty() ? "an exception without a reason" : status.note);
    } else if (!status.accessible && status.type == ElementType::kStorage) {
      Tell(Finding::kNote, fmt::format("element {}", status.address.value),
           "the robot cannot reach it now");
    }
  }
  for (const std::string& problem : ElementStatusProblems(*map, *statuses)) {
    Tell(Finding::kProblem, "element status", problem);
  }
  Tell(
      media == tagged ? Finding::kGood : Finding::kNote, "element status",
      fmt::format("{} media, {} with a volume tag, {} elements, read in {:.3f} "
                  "s",
                  media, tagged, statuses->size(), ElapsedSeconds(start)),
      {{"elements", statuses->size()}, {"media", media}, {"tagged", tagged}});
  return true;
}

std::optional<ElementStatus> Doctor::ChooseMedium(
    const std::vector<ElementStatus>& statuses) {
  for (const ElementStatus& status : statuses) {
    if (!status.full || !status.accessible || status.exception ||
        IsCleaningMedium(status)) {
      continue;
    }
    if (options_.write_test.empty()
            ? status.type == ElementType::kStorage
            : status.volume_tag == options_.write_test &&
                  status.type != ElementType::kTransport) {
      return status;
    }
  }
  return std::nullopt;
}

void Doctor::ExamineDevices(LibraryDevices& devices) {
  if (!ExamineElements(*devices.changer)) return;
  for (const auto& drive : devices.drives) {
    TryDrive(*devices.changer, *drive);
  }
  TellEjects();
}

bool Doctor::Move(Changer& changer, const std::string& subject,
                  ElementAddress from, ElementAddress to,
                  const VolumeTag& tag) {
  const auto start = Clock::now();
  const Status moved = changer.MoveMedium(from, to);
  const double seconds = ElapsedSeconds(start);
  if (!moved.ok()) {
    Give(subject, moved);
    return false;
  }
  const std::string text = fmt::format("{} moved from {} to {} in {:.1f} s",
                                       tag.empty() ? "a medium" : tag,
                                       from.value, to.value, seconds);
  const auto statuses = changer.ReadElementStatus();
  if (!statuses.ok()) {
    Give(subject, statuses.status().WithContext(text));
    return true;
  }
  const ElementStatus* source = FindElement(*statuses, from);
  const ElementStatus* target = FindElement(*statuses, to);
  const bool right = source != nullptr && target != nullptr && !source->full &&
                     target->full && target->volume_tag == tag;
  Tell(right ? Finding::kGood : Finding::kProblem, subject,
       right ? text : text + ", but the element status says otherwise",
       {{"from", from.value},
        {"to", to.value},
        {"volume_tag", tag},
        {"seconds", seconds}});
  return true;
}

void Doctor::ExamineDocks(LibraryDevices& devices) {
  if (!ExamineElements(*devices.changer)) return;
  bool tested = options_.write_test.empty();
  for (const auto& drive : devices.drives) {
    const std::string subject = DriveSubject(drive->Address());
    if (!Identify(*drive)) continue;
    const auto statuses = devices.changer->ReadElementStatus();
    if (!statuses.ok()) {
      Give(subject, statuses.status());
      continue;
    }
    const ElementStatus* inside = FindElement(*statuses, drive->Address());
    if (inside == nullptr || !inside->full) {
      Tell(Finding::kNote, subject,
           "is empty: put a medium in to have it tried");
      continue;
    }
    if (inside->exception) continue;  // was said
    tested = tested || inside->volume_tag == options_.write_test;
    TryMedium(*drive, inside->volume_tag);
  }
  if (tested) return;
  Tell(Finding::kProblem, "write test",
       options_.write_test + " is in no dock: put it in");
}

bool Doctor::Identify(Drive& drive) {
  const std::string subject = DriveSubject(drive.Address());
  const auto identity = drive.Identify();
  if (!identity.ok()) {
    Give(subject, identity.status());
    return false;
  }
  Tell(Finding::kGood, subject,
       fmt::format("{} {} {} ({}), serial number {}", identity->vendor,
                   identity->product, identity->revision, identity->device,
                   identity->serial.empty() ? "not told" : identity->serial),
       {{"vendor", identity->vendor},
        {"product", identity->product},
        {"revision", identity->revision},
        {"serial", identity->serial},
        {"device", identity->device}});
  return true;
}

void Doctor::TryDrive(Changer& changer, Drive& drive) {
  const std::string subject = DriveSubject(drive.Address());
  if (!Identify(drive)) return;
  const auto statuses = changer.ReadElementStatus();
  if (!statuses.ok()) return Give(subject, statuses.status());
  const ElementStatus* inside = FindElement(*statuses, drive.Address());
  if (inside != nullptr && IsCleaningMedium(*inside)) {
    return Tell(Finding::kNote, subject,
                TagOrElement(*inside) + " cleans it: not tried");
  }
  if (inside != nullptr && inside->full) {
    Tell(Finding::kNote, subject,
         TagOrElement(*inside) + " is in it and stays there");
    return TryMedium(drive, inside->volume_tag);
  }
  const std::optional<ElementStatus> chosen = ChooseMedium(*statuses);
  if (!chosen) {
    return Tell(Finding::kNote, subject,
                "not tried: there is no medium for it in a storage element");
  }
  // Whatever a drive prevents since an earlier life.
  const Status closed = drive.Close();
  if (!closed.ok()) Give(subject, closed);
  const VolumeTag& tag = chosen->volume_tag;
  if (!Move(changer, subject, chosen->address, drive.Address(), tag)) return;
  TryMedium(drive, tag);
  took_out_ = Move(changer, subject, drive.Address(), chosen->address, tag) ||
              took_out_;
}

void Doctor::TryMedium(Drive& drive, const VolumeTag& tag) {
  const std::string subject = DriveSubject(drive.Address());
  const auto start = Clock::now();
  auto medium = drive.Open();
  if (!medium.ok()) return Give(subject, medium.status());
  const MediumInfo info = (*medium)->Info();
  const uint64_t unit = uint64_t{info.atomic_sectors} * kSectorSize;
  Tell(Finding::kGood, subject,
       fmt::format("{}: {}{}, {}, write unit {} bytes, ready in {:.1f} s",
                   info.name, ClassName(info.medium_class),
                   info.write_protected ? ", write-protected" : "",
                   FormatBytes(info.sectors * kSectorSize), unit,
                   ElapsedSeconds(start)),
       {{"medium", info.name},
        {"class", ClassName(info.medium_class)},
        {"capacity", info.sectors * kSectorSize},
        {"write_unit", unit},
        {"write_protected", info.write_protected},
        {"seconds", ElapsedSeconds(start)}});
  const auto* const scsi_drive = dynamic_cast<scsi::ScsiDrive*>(&drive);
  if (scsi_drive != nullptr && !scsi_drive->weakness().empty()) {
    Tell(Finding::kProblem, subject, scsi_drive->weakness());
  }
  const bool blank =
      info.medium_class == MediumClass::kWriteOnce && !info.write_protected;
  if (blank) {
    Tell(Finding::kNote, subject, "a blank medium: there is nothing to read");
  } else {
    const auto times = TryReading(**medium, options_.test_bytes);
    if (times.ok()) {
      const auto rate = static_cast<uint64_t>(times->Rate(times->read_seconds));
      Tell(Finding::kGood, subject,
           fmt::format("reads {}/s", FormatBytes(rate)),
           {{"read_bytes_per_second", rate}});
      TellScsiMedium(subject, **medium);
    } else {
      Give(subject, times.status());
    }
  }
  if (!options_.write_test.empty() && tag == options_.write_test) {
    TryWriting(subject, **medium);
  }
  medium->reset();
  const Status closed = drive.Close();
  if (!closed.ok()) Give(subject, closed);
}

void Doctor::TryWriting(const std::string& subject, Medium& medium) {
  const MediumInfo info = medium.Info();
  if (info.write_protected) {
    return Tell(Finding::kProblem, subject,
                info.name + " is write-protected: no write test");
  }
  if (info.medium_class != MediumClass::kRewritable) {
    return Tell(Finding::kProblem, subject,
                info.name + " is not rewritable: a write test would use it up");
  }
  if (!options_.clear) {
    const auto content = udf::ProbeMedium(medium);
    if (!content.ok()) return Give(subject, content.status());
    if (*content != udf::MediumContent::kBlank) {
      return Tell(
          Finding::kProblem, subject,
          fmt::format(
              "{} holds {}: no write test (--clear destroys "
              "it)",
              info.name,
              *content == udf::MediumContent::kVellum ? "a volume" : "data"));
    }
  }
  const auto times =
      TryWritingPattern(medium, options_.test_bytes, std::random_device{}());
  if (!times.ok()) return Give(subject, times.status());
  std::string how = "by the system";
  if (const auto* scsi = dynamic_cast<scsi::ScsiMedium*>(&medium)) {
    how = scsi->ReadBackMethod();
  }
  const auto write = static_cast<uint64_t>(times->Rate(times->write_seconds));
  const auto read = static_cast<uint64_t>(times->Rate(times->read_seconds));
  Tell(Finding::kGood, subject,
       fmt::format("writes {}/s, reads back {}/s (cache avoided: {}); what was "
                   "written is there",
                   FormatBytes(write), FormatBytes(read), how),
       {{"write_bytes_per_second", write},
        {"read_back_bytes_per_second", read},
        {"read_back", how},
        {"tested_bytes", times->bytes}});
}

}  // namespace vellum
