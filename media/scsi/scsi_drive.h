// SPDX-License-Identifier: Apache-2.0
// A drive behind SCSI: a disk (PDT 0), an optical disc drive (5), an optical
// memory (7).
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "media/drive.h"
#include "media/scsi/device.h"
#include "media/scsi/drive_abilities.h"
#include "media/scsi/medium_facts.h"
#include "media/types.h"

namespace vellum::scsi {

struct ScsiDriveOptions {
  // How long a medium may take to become ready after it was moved in.
  std::chrono::milliseconds ready{300'000};
  // The tag of the medium that the changer moved in, for MediumInfo::name; may
  // be empty. Called from Open.
  std::function<VolumeTag()> volume_tag;
  bool verify_writes = false;  // ScsiMedium
  // How long the drive may take to see what the robot has put in.
  std::chrono::milliseconds appears{5'000};
};

// Thread-safety: as Drive.
class ScsiDrive : public Drive {
 public:
  ScsiDrive(ElementAddress address, std::shared_ptr<Device> device,
            ScsiDriveOptions options);
  ~ScsiDrive() override;

  ElementAddress Address() const override { return address_; }
  Result<DriveIdentity> Identify() override;
  // Also kIncompatible for a device that is no such drive.
  Result<std::unique_ptr<Medium>> Open() override;
  // Allows removal, whoever prevented it: a daemon that died may have. A drive
  // that is gone is logged and no error, so that the robot may try to take the
  // medium out of it.
  Status Close() override;

  // What Open found out about the medium that is open.
  const std::optional<MediumFacts>& facts() const { return facts_; }
  // Why a change of that medium may go unnoticed (Transport::HoldMedium);
  // empty: it cannot.
  const std::string& weakness() const { return weakness_; }

 private:
  Status MakeReady();
  // After an answer that there is no medium.
  Status AwaitMedium();
  Result<MediumFacts> LookAtMedium();
  Status AllowRemoval();

  const ElementAddress address_;
  const std::shared_ptr<Device> device_;
  const ScsiDriveOptions options_;
  std::optional<Inquiry> inquiry_;
  std::optional<MediumFacts> facts_;
  std::shared_ptr<DriveAbilities> abilities_;  // once a medium was open
  std::string weakness_;
  bool open_ = false;
};

}  // namespace vellum::scsi
