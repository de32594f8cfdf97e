// SPDX-License-Identifier: Apache-2.0
// Short operations on whole media and volumes that a caller waits for.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "copy/work_meter.h"
#include "index/catalog.h"
#include "index/volumes.h"
#include "media/error.h"
#include "media/library.h"
#include "media/udf/fsck.h"

namespace vellum {

// What the operations work on; all outlive the call.
struct Archive {
  Catalog* catalog = nullptr;
  Library* library = nullptr;
  Volumes* volumes = nullptr;
  // Where the operation says how far it is; null: nobody watches.
  WorkMeter* meter = nullptr;
};

// Finds a medium by element address, volume tag or volume id. kNotFound,
// kNoMedium (empty element): the message names what was asked for.
Result<MediumId> ResolveMedium(const Archive& archive, const std::string& name);

struct FormatRequest {
  std::string medium;  // element address or volume tag
  std::string volume_id;
  udf::Role role = udf::Role::kPrimary;
  uint32_t threshold = 0;  // 0: 100 for a primary, 99 for a backup
  bool clear = false;
  bool wipe = true;  // with clear: nothing that was on the medium stays
  uint32_t root_uid = 0, root_gid = 0;
};
// Makes a volume and makes it known. Broken off, it leaves a volume that was on
// the medium displaced (index/volumes.h) until an inventory reads the medium.
// kInvalidArgument (volume id rule,
// threshold of a backup), kExists (id taken in this library; medium holds data
// and no clear), kBusy (volume on it in use), kNoMedium.
Result<VolumeRecord> Format(const Archive& archive,
                            const FormatRequest& request,
                            std::stop_token stop = {});

// I8: makes a BACKUP a PRIMARY: one control slot write, O(1), one way. Default
// name: the recorded primary's. kInvalidArgument (not a backup, incomplete),
// kExists (name known), kBusy. One that broke off after its write, before the
// catalog knew, is ended by the next one with the same name. `*on_medium` tells
// whether the medium says PRIMARY, or may, also after an error.
Result<VolumeRecord> Convert(const Archive& archive, const std::string& backup,
                             const std::string& new_id,
                             std::stop_token stop = {},
                             bool* on_medium = nullptr);

// The control slot of a medium that holds a complete backup becomes that of a
// PRIMARY, with a new lineage: one slot write.
struct PrimaryIdentity {
  std::string volume_id;
  uint32_t threshold = 100;
};
Result<udf::ControlSlot> WritePrimarySlot(Medium& medium,
                                          const PrimaryIdentity& identity);

// O17: the copy takes the place of its original, under its name. The original
// is renamed (OWNER-OLD1, …), on its medium too if that can be done, and stays
// in the catalog. kNotFound, kInvalidArgument (no complete copy), kExists
// (another volume has the original's name), kBusy.
struct Promoted {
  VolumeRecord primary;
  std::string retired;  // the original's new name; empty: it was not known
  std::string problem;  // why the original's medium does not carry that name
};
Result<Promoted> Promote(const Archive& archive, const std::string& copy,
                         std::stop_token stop = {});

// Hands the volume over: other systems may write to its medium afterwards, and
// to Vellum it is foreign (udf::ReleaseVolume). The catalog forgets the volume.
// Broken off, it is ended by the next one, or by an inventory that reads the
// medium.
// kNotFound, kBusy, kNoMedium, kWriteProtected, kIncompatible.
Status Release(const Archive& archive, const std::string& volume,
               std::stop_token stop = {});

// Loads the medium of the volume and checks it. The volume is committed and
// detached for the time of the check. Damage is noted in the catalog
// (copy/damage_notes.h).
Result<udf::FsckReport> Fsck(const Archive& archive, const std::string& volume,
                             const udf::FsckOptions& options,
                             std::stop_token stop = {});

// Loads every medium whose content is not known (all: every one), reads its
// label and, if it holds a volume, its tree. kInterrupted: what was read is
// known.
struct InventoryRow {
  MediumId medium;
  ElementAddress element;
  std::string found;  // volume id, "blank", "foreign", or the error
};
Result<std::vector<InventoryRow>> Inventory(const Archive& archive, bool all,
                                            std::stop_token stop = {});

// Goes on with the last inventory of all media (or reset, below) that did not
// come to its end, also over a restart: media that it has read are not read
// again, and have no row. kNotFound: none was broken off.
Result<std::vector<InventoryRow>> ResumeInventory(const Archive& archive,
                                                  std::stop_token stop = {});

// Loads one medium, reads its label and, if it holds a volume, its tree; what
// it found, as in InventoryRow.
Result<std::string> ReadLabel(const Archive& archive, const MediumId& medium,
                              std::stop_token stop = {});

// How far the catalog is taken back to what can be seen.
enum class ReindexMode : uint8_t {
  kSync,    // to the element status: no medium moves
  kUpdate,  // media of unknown content are read: the inventory
  kReset,   // every medium and every tree is read, whatever the catalog says
};
// One row for each medium, and with kSync one for each volume whose medium is
// not in the library (element 0, found "VOL (removed)"). No volume is ever
// forgotten. After kReset a primary has a new lineage: the change maps are
// gone, and the next copies are full ones.
Result<std::vector<InventoryRow>> Reindex(const Archive& archive,
                                          ReindexMode mode,
                                          std::stop_token stop = {});

}  // namespace vellum
