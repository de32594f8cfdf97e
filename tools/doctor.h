// SPDX-License-Identifier: Apache-2.0
// vellum doctor: tries a library step by step, on its devices alone: no
// catalog, no volumes.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fs/json.h"
#include "media/element.h"
#include "media/error.h"
#include "media/library_devices.h"
#include "media/scsi/scsi_library.h"
#include "media/types.h"

namespace vellum {

struct DoctorOptions {
  // The medium whose content may be destroyed; empty: nothing is written.
  VolumeTag write_test;
  bool clear = false;  // it may hold data
  uint64_t test_bytes = 32u << 20;
};

enum class Finding : uint8_t { kGood, kNote, kProblem };
const char* FindingName(Finding finding);  // "ok", "note", "problem"

// What one step found.
struct DoctorLine {
  Finding finding = Finding::kGood;
  std::string subject;  // "changer", "drive 256", …
  std::string text;
  Json values = Json::object();
};

// What contradicts itself in an element status: counts, addresses out of their
// range, an element or a volume tag that is there twice. Pure.
std::vector<std::string> ElementStatusProblems(
    const ElementMap& map, const std::vector<ElementStatus>& statuses);

// Thread-safety: one thread. Moves media into every drive and back; a medium
// that was in a drive before is looked at there and stays. After a problem it
// goes on with what can still be tried, and takes back what it has moved.
class Doctor {
 public:
  // `tell` is called with every line as it is found.
  Doctor(const DoctorOptions& options,
         std::function<void(const DoctorLine&)> tell)
      : options_(options), tell_(std::move(tell)) {}

  // What a SCSI library is made of; before its parts are joined.
  void ExamineParts(ScsiParts& parts);
  void ExamineDevices(LibraryDevices& devices);
  // Of a manual library: nobody is asked to move anything, what lies in the
  // docks is tried there.
  void ExamineDocks(LibraryDevices& devices);

  // Of a step that ended everything.
  void Give(const std::string& subject, const Status& status);

  size_t problems() const { return problems_; }
  const std::vector<DoctorLine>& lines() const { return lines_; }

 private:
  void Tell(Finding finding, const std::string& subject,
            const std::string& text, Json values = Json::object());
  bool ExamineElements(Changer& changer);
  // The element that holds the medium to try drives with; nothing: no medium.
  std::optional<ElementStatus> ChooseMedium(
      const std::vector<ElementStatus>& statuses);
  bool Identify(Drive& drive);
  void TryDrive(Changer& changer, Drive& drive);
  void TryMedium(Drive& drive, const VolumeTag& tag);
  void TryWriting(const std::string& subject, Medium& medium);
  // What a SCSI drive takes; nothing is written.
  void TellScsiMedium(const std::string& subject, Medium& medium);
  void TryDoorLock(scsi::ScsiChanger& changer);
  // Whether media had to be ejected for the robot.
  void TellEjects();
  bool Move(Changer& changer, const std::string& subject, ElementAddress from,
            ElementAddress to, const VolumeTag& tag);

  const DoctorOptions options_;
  const std::function<void(const DoctorLine&)> tell_;
  std::vector<DoctorLine> lines_;
  size_t problems_ = 0;
  std::shared_ptr<scsi::Ejector> ejector_;  // of a SCSI library
  bool took_out_ = false;                   // a medium out of a drive
};

}  // namespace vellum
