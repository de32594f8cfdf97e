// SPDX-License-Identifier: Apache-2.0
// A media changer that speaks SCSI (SMC-3).
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "media/changer.h"
#include "media/scsi/device.h"
#include "media/scsi/ejector.h"
#include "media/scsi/element_reader.h"
#include "media/scsi/element_status.h"
#include "media/scsi/mode_page.h"
#include "media/scsi/transport.h"

namespace vellum::scsi {

struct ScsiChangerOptions {
  // A robot may have to fetch a magazine, or try a grip again.
  std::chrono::milliseconds move_timeout{std::chrono::minutes(10)};
  // It may look at every slot.
  std::chrono::milliseconds initialize_timeout{std::chrono::hours(1)};
  std::chrono::milliseconds status_timeout{std::chrono::minutes(5)};
  // While it takes stock after power on, or after its door was closed.
  std::chrono::milliseconds ready_bound{std::chrono::minutes(5)};
  // Every medium but a cleaning one has two sides. No changer tells.
  bool two_sided = false;
  Patience patience;
};

// A data transfer element, for finding which device it is.
struct DriveElement {
  ElementAddress address;
  bool full = false;
  std::optional<ElementIdentifier> identifier;  // DVCID, where it is told
};

// Whether the drive that answered `inquiry` is the one that the changer means:
// by its serial number. False when either has none. Some changers cut the last
// identifier, or send vendor, product and serial number as one vendor specific
// text.
bool Identifies(const ElementIdentifier& identifier, const Inquiry& inquiry);

// Ownership and thread-safety: as Changer says.
//
// Every answer comes from the device: nothing about media is kept between
// calls. A failed move or exchange reads both ends again and says what is there
// now. kNotReady, kOffline, kTimedOut and kBusy as Device says.
class ScsiChanger : public Changer {
 public:
  // Waits for the changer to become ready. kInvalidArgument: the device is no
  // media changer.
  static Result<std::unique_ptr<ScsiChanger>> Open(
      std::unique_ptr<Transport> transport,
      const ScsiChangerOptions& options = {});
  // Lets an operator in, if LockDoor kept him out.
  ~ScsiChanger() override;

  // From now on the drives eject as it says before media are taken from them.
  void EjectBy(std::shared_ptr<Ejector> ejector) {
    ejector_ = std::move(ejector);
  }

  Result<ChangerIdentity> Identify() override;
  // Of mode page 1Dh; of a changer without it, of the elements it reports.
  Result<ElementMap> Elements() override;
  Result<std::vector<ElementStatus>> ReadElementStatus() override;
  Status MoveMedium(ElementAddress from, ElementAddress to) override;
  // Everything: INITIALIZE ELEMENT STATUS. May take as long as a look at every
  // slot.
  Status InitializeElementStatus() override;

  // The INVERT bit of MOVE MEDIUM.
  Status MoveMediumTurned(ElementAddress from, ElementAddress to) override;
  // EXCHANGE MEDIUM; `rest` may be `from`.
  Status ExchangeMedium(ElementAddress from, ElementAddress to,
                        ElementAddress rest) override;
  // After a unit attention 28/xx, 29/xx or 3F/xx of any command: TEST UNIT
  // READY brings the one that is pending.
  Result<bool> ElementsChanged() override;
  // A part only: WITH RANGE (37h, E7h), else everything.
  Status InitializeElements(const ElementRange& range);
  // Locks the door and the import/export elements, or lets an operator in:
  // PREVENT ALLOW MEDIUM REMOVAL; again after a reset of the changer, which
  // forgets it. Until this ends. kNotSupported where it cannot.
  Status LockDoor(bool lock);

  Result<ChangerCapabilities> Capabilities();
  Result<std::vector<DriveElement>> DriveElements();
  // As the device reports them, with what ElementStatus does not hold.
  Result<std::vector<ElementRecord>> ReadRecords();

  // Whether READ ELEMENT STATUS has brought volume tags, drive identifiers; as
  // far as was tried.
  bool has_volume_tags() const { return reader_.has_volume_tags(); }
  bool has_identifiers() const { return reader_.has_identifiers(); }
  bool reads_by_type() const { return reader_.reads_by_type(); }

 private:
  ScsiChanger(std::unique_ptr<Transport> transport,
              const ScsiChangerOptions& options)
      : options_(options),
        device_(std::move(transport), options.patience),
        reader_(&device_, options.status_timeout) {}

  Status WaitReady();
  // Whether such a unit attention has come; forgets it. After a reset it locks
  // the door again.
  bool TakeChanged();
  void LockAgain();
  // After the device was gone. kOffline: it is, or another changer answers.
  Status Reopen();
  // kNotFound with `context` when one of them is none.
  Status CheckElements(const std::string& context,
                       const std::vector<ElementAddress>& addresses);
  Result<ElementStatus> ReadElement(ElementAddress address);
  Result<std::vector<ElementStatus>> ReadElements(
      const std::vector<ElementAddress>& addresses);
  Status Move(ElementAddress from, ElementAddress to, bool turned);
  // RunMove; where `out_of`, one of `before`, is a drive that holds a medium,
  // the Ejector has its say.
  Status RunMoveOut(const std::string& what, const Command& command,
                    const std::vector<ElementStatus>& before,
                    const ElementStatus& out_of);
  // Sends `command`; after a unit attention that says that media may have been
  // changed once more, if these elements are as they were. After an error the
  // message says what they hold.
  // `kept`: whether it was refused because a drive keeps its medium.
  Status RunMove(const std::string& what, const Command& command,
                 const std::vector<ElementStatus>& before, bool* kept);
  Status RunInitialize(const std::string& what, std::vector<uint8_t> cdb);

  const ScsiChangerOptions options_;
  Device device_;
  ElementReader reader_;
  std::optional<ElementMap> map_;  // of the last Elements()
  std::string serial_;             // as the device said when it was opened
  bool changed_ = false;           // since the last ReadElementStatus
  bool locked_ = false;            // LockDoor
  std::shared_ptr<Ejector> ejector_;
};

}  // namespace vellum::scsi
