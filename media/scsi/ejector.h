// SPDX-License-Identifier: Apache-2.0
// Has a drive eject its medium before the robot takes it.
//
// SMC leaves to the maker whether MOVE MEDIUM gets a medium out of a drive by
// itself. Most optical changers do. Others refuse the move until the drive was
// told to eject (START STOP UNIT with LoEj): nothing has moved then, so it can
// be tried.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <utility>

#include "media/error.h"
#include "media/scsi/device.h"
#include "media/scsi/scsi_config.h"
#include "media/types.h"

namespace vellum::scsi {

// REQUIRES of all that eject: nobody uses the medium. Thread-safety: one caller
// at a time, the changer's; ejects() and helped() by any thread.
class Ejector {
 public:
  Ejector(EjectRule rule,
          std::map<ElementAddress, std::shared_ptr<Device>> drives)
      : rule_(rule),
        ejects_(rule == EjectRule::kAlways),
        drives_(std::move(drives)) {}

  // Before a move out of `drive`: ejects where that is the rule or has helped
  // before. Whether it did. An error: the drive keeps its medium, and nothing
  // may reach for it.
  Result<bool> BeforeMove(ElementAddress drive);
  // The changer refused the move: the drive has not given its medium free.
  // Whether it was ejected, so that the move may be tried again.
  Result<bool> AfterRefusal(ElementAddress drive);
  // The move behind that came off: from now on it is ejected before each.
  void NoteHelped(ElementAddress drive);
  // What was ejected was not moved: it is pulled in again, as it was.
  void TakeBack(ElementAddress drive);

  // Whether moves out of drives begin with an eject.
  bool ejects() const { return ejects_; }
  // Whether that was found out, not configured.
  bool helped() const { return ejects_ && rule_ == EjectRule::kAuto; }

 private:
  Device* DriveAt(ElementAddress drive) const;
  Result<bool> Eject(Device& device);

  const EjectRule rule_;
  std::atomic<bool> ejects_;
  const std::map<ElementAddress, std::shared_ptr<Device>> drives_;
};

}  // namespace vellum::scsi
