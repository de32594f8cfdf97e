// SPDX-License-Identifier: Apache-2.0
// The scenarios of what an operator does with volumes and media beside copies.
#include <fmt/format.h>

#include <span>
#include <utility>

#include "copy/damage_notes.h"
#include "copy/history.h"
#include "copy/inventory_progress.h"
#include "copy/medium_notes.h"
#include "copy/old_generations.h"
#include "copy/own_generations.h"
#include "copy/pool_book.h"
#include "copy/shelf.h"
#include "copy/stages.h"
#include "copy/tracking.h"
#include "tests/copy/fault_scenarios.h"
#include "tests/copy/fault_starts.h"

namespace vellum {
namespace {

constexpr ElementAddress kDoor{768};
constexpr ElementAddress kDrive{256};
constexpr uint32_t kThreshold = 80;

ElementAddress SlotOf(int medium) {
  return ElementAddress{static_cast<uint16_t>(1023 + medium)};
}

// --- Media that leave and come back

FileTreeText WithNew() {
  FileTreeText tree = First();
  tree["/n"] = RandomText(7, 3'000);
  return tree;
}

bool IsExported(FaultLab& lab) {
  return !lab.volumes().Find("PRIM")->record().location.empty();
}

// With a change that the export has to commit.
Status ChangeAndExport(FaultLab& lab) {
  if (!IsExported(lab)) {
    RETURN_IF_ERROR(lab.Put("PRIM", "/n", RandomText(7, 3'000)));
  }
  return Export(lab.archive(), "PRIM", "safe").status();
}

// In the slot, or in an import/export element; there, it may be exported.
std::string CheckExport(FaultLab& lab) {
  const auto place = lab.archive().library->FindMedium("V00001");
  if (!place.ok()) return place.error().ToString();
  if (place->in_import_export || !IsExported(lab)) return {};
  return "PRIM is said to be exported, and is in a slot";
}

Status ImportAll(FaultLab& lab) {
  ASSIGN_OR_RETURN(const auto rows, Import(lab.archive(), ""));
  for (const ImportRow& row : rows) {
    const auto place = lab.archive().library->FindMedium(row.medium);
    if (!place.ok()) return place.status();
    if (row.failed) {
      return Status(Errc::kDeviceError, row.medium + ": " + row.found);
    }
  }
  return Status::Ok();
}

Status ReadUnread(FaultLab& lab) {
  ASSIGN_OR_RETURN(const auto rows, Inventory(lab.archive(), /*all=*/false));
  for (const InventoryRow& row : rows) {
    if (row.found.find("injected") == std::string::npos) continue;
    return Status(Errc::kDeviceError, row.medium + ": " + row.found);
  }
  return Status::Ok();
}

void AddShelf(std::vector<FaultScenario>* all) {
  FaultScenario s;
  s.name = "export";
  s.lab = {.drives = 1, .media = 2};
  s.prepare = OnePrimary;
  s.run = ChangeAndExport;
  s.allowed["V00001"] = OneOf({First(), WithNew()});
  s.done = {{"V00001", WithNew()}};
  s.places["V00001"] = kDoor;
  s.check = CheckExport;
  s.may_freeze = true;
  all->push_back(s);

  // An exported volume, and one that nobody knows.
  s = FaultScenario();
  s.name = "import";
  s.lab = {.drives = 1, .media = 2, .doors = 2};
  s.prepare = [](FaultLab& lab) -> Status {
    RETURN_IF_ERROR(OneBackup(lab));
    RETURN_IF_ERROR(Export(lab.archive(), "PRIM", "safe").status());
    const auto backup = lab.volumes().FindByMedium("V00002");
    ASSIGN_OR_RETURN(const auto exclusion, lab.volumes().Exclude(backup));
    RETURN_IF_ERROR(lab.archive().library->SendHome("V00002"));
    RETURN_IF_ERROR(lab.archive().library->Move(
        SlotOf(2), ElementAddress{static_cast<uint16_t>(kDoor.value + 1)}));
    return lab.volumes().Forget(backup);
  };
  s.run = ImportAll;
  s.again = [](FaultLab& lab) -> Status {
    RETURN_IF_ERROR(ImportAll(lab));
    return ReadUnread(lab);
  };
  s.places = {{"V00001", {}}, {"V00002", {}}};
  s.done = {{"V00001", First()}, {"V00002", First()}};
  all->push_back(s);
}

// --- Volumes

Status ReadFiles(FaultLab& lab, const std::string& volume_id,
                 const FileTreeText& tree) {
  ASSIGN_OR_RETURN(const VolumeUse use,
                   lab.volumes().Use(lab.volumes().Find(volume_id)));
  for (const std::string path : {"a", "b"}) {
    ASSIGN_OR_RETURN(const Attr file, use->Lookup(use->root(), path));
    const std::string& want = tree.at("/" + path);
    std::string content(want.size(), '\0');
    RETURN_IF_ERROR(
        use->Read(file.ino, 0, std::as_writable_bytes(std::span(content)))
            .status());
    if (content == want) continue;
    return Status(Errc::kCorruption, volume_id + "/" + path + " differs");
  }
  return Status::Ok();
}

Status SendHome(FaultLab& lab, const VolumeTag& tag) {
  ASSIGN_OR_RETURN(const auto exclusion,
                   lab.volumes().Exclude(lab.volumes().FindByMedium(tag)));
  return lab.archive().library->SendHome(tag);
}

// As a mount at a place of its own does.
Status MountAndRelease(FaultLab& lab) {
  const auto backup = lab.volumes().FindByMedium("V00002");
  ASSIGN_OR_RETURN(Volumes::Reservation mounted,
                   lab.volumes().Reserve(backup, "mount at /mnt"));
  RETURN_IF_ERROR(ReadFiles(lab, backup->id(), First()));
  mounted.Release();
  return SendHome(lab, "V00002");
}

// With a change that the release has to commit.
Status ChangeAndHandOver(FaultLab& lab) {
  if (lab.volumes().Find("PRIM") == nullptr) return Status::Ok();
  ASSIGN_OR_RETURN(const MediumNote note,
                   ReadMediumNote(*lab.archive().catalog, "V00001"));
  if (note.clearing.empty()) {
    RETURN_IF_ERROR(lab.Put("PRIM", "/n", RandomText(7, 3'000)));
  }
  return Release(lab.archive(), "PRIM");
}

Status CheckPrimary(FaultLab& lab) {
  udf::FsckOptions options;
  options.check_data = true;
  ASSIGN_OR_RETURN(const udf::FsckReport report,
                   Fsck(lab.archive(), "PRIM", options));
  if (report.clean()) return Status::Ok();
  return Status(Errc::kCorruption,
                fmt::format("fsck of PRIM: sector {}: {}",
                            report.errors[0].sector, report.errors[0].text));
}

Status StageBoth(FaultLab& lab) {
  Stages stages(lab.archive().library, &lab.volumes());
  ASSIGN_OR_RETURN(const StageRecord started, stages.Start({"PRIM", "TWO/a"}));
  RETURN_IF_ERROR(stages.Wait(started.id).status());
  ASSIGN_OR_RETURN(const auto files, stages.Files(started.id, 0, 100));
  for (const StageFile& file : files) RETURN_IF_ERROR(file.status);
  if (files.size() == 5) return Status::Ok();
  return Status(Errc::kInternal,
                fmt::format("PRIM, TWO: {} files were read", files.size()));
}

void AddVolumes(std::vector<FaultScenario>* all) {
  FaultScenario s;
  s.name = "mount of a backup";
  s.sites.catalog = false;
  s.lab = {.drives = 1, .media = 2};
  s.prepare = OneBackup;
  s.run = MountAndRelease;
  s.done = {{"V00001", First()}, {"V00002", First()}};
  all->push_back(s);

  // Damage was known before: now it is not.
  s.name = "fsck";
  s.sites = {.writes = false};
  s.prepare = [](FaultLab& lab) -> Status {
    RETURN_IF_ERROR(OneBackup(lab));
    return NoteDamage(lab.archive().catalog,
                      lab.volumes().Find("PRIM")->record().medium_uuid,
                      DamageFinder::kFsck, "a bad sector");
  };
  s.run = CheckPrimary;
  all->push_back(s);

  s.name = "threshold";
  s.sites = {};
  s.prepare = OneBackup;
  s.run = [](FaultLab& lab) -> Status {
    ASSIGN_OR_RETURN(const VolumeUse use,
                     lab.volumes().Use(lab.volumes().Find("PRIM")));
    return use->SetThreshold(kThreshold);
  };
  all->push_back(s);

  // To a drive by hand, whose drive is then taken out of use, and back.
  s.name = "load and drive offline";
  s.sites.catalog = false;
  s.run = [](FaultLab& lab) -> Status {
    Library& library = *lab.archive().library;
    RETURN_IF_ERROR(library.SetDriveOnline(kDrive, true));
    ASSIGN_OR_RETURN(const MediumPlace place, library.FindMedium("V00001"));
    if (!place.loaded) RETURN_IF_ERROR(library.Move(place.element, kDrive));
    RETURN_IF_ERROR(ReadFiles(lab, "PRIM", First()));
    RETURN_IF_ERROR(library.SetDriveOnline(kDrive, false));
    return library.SetDriveOnline(kDrive, true);
  };
  all->push_back(s);

  s.name = "stage";
  s.prepare = [](FaultLab& lab) -> Status {
    RETURN_IF_ERROR(OnePrimary(lab));
    RETURN_IF_ERROR(MakeVolume(lab, 2, "TWO"));
    return PutFirst(lab, "TWO");
  };
  s.run = StageBoth;
  all->push_back(s);

  s = FaultScenario();
  s.name = "release";
  s.lab = {.drives = 1, .media = 2};
  s.prepare = OneBackup;
  s.run = ChangeAndHandOver;
  s.allowed["V00001"] = OneOf({First(), WithNew()});
  s.allowed["V00001"].released = true;
  s.forgotten = {"V00001"};
  s.done = {{"V00001", WithNew()}, {"V00002", First()}};
  s.may_freeze = true;
  all->push_back(s);
}

// --- The books: what the catalog alone has

// The backup counts, or may be overwritten; it is not just gone.
std::string CheckKnownOrFreed(FaultLab& lab, const VolumeTag& tag) {
  if (lab.volumes().FindByMedium(tag) != nullptr) return {};
  const auto note = ReadMediumNote(*lab.archive().catalog, tag);
  if (!note.ok()) return note.error().ToString();
  return note->freed.empty() ? tag + " is neither known nor free" : "";
}

std::string CheckOneKept(FaultLab& lab) {
  if (lab.volumes().FindByMedium("V00003") == nullptr) {
    return "the newest backup is given up";
  }
  return CheckKnownOrFreed(lab, "V00002");
}

// Three media, whatever broke off.
std::string CheckPool(FaultLab& lab) {
  const auto rows = ListPool(lab.archive(), {});
  if (!rows.ok()) return rows.error().ToString();
  if (rows->size() != 3)
    return fmt::format("{} media in the pool", rows->size());
  return CheckOneKept(lab);
}

Status SetRange(FaultLab& lab) {
  return SetPoolRange(lab.archive(), SlotOf(1), SlotOf(3)).status();
}

Status DeleteFirstRow(FaultLab& lab) {
  ASSIGN_OR_RETURN(const auto rows, ReadHistory(*lab.archive().catalog));
  if (rows.empty()) return Status::Ok();
  return DeleteHistory(lab.archive(), lab.jobs(), rows[0].job).status();
}

std::string CheckHistory(FaultLab& lab) {
  const auto rows = ReadHistory(*lab.archive().catalog);
  if (!rows.ok()) return rows.error().ToString();
  const auto note = ReadMediumNote(*lab.archive().catalog, "V00002");
  if (!note.ok()) return note.error().ToString();
  if (rows->empty() && note->freed.empty()) {
    return "the row is gone, and V00002 is not free";
  }
  return CheckKnownOrFreed(lab, "V00002");
}

Status KeepOne(FaultLab& lab) {
  const VolumeRecord primary = lab.volumes().Find("PRIM")->record();
  RETURN_IF_ERROR(SetOwnGenerations(lab.archive().catalog, primary, 1));
  ASSIGN_OR_RETURN(
      const ReleasedGenerations released,
      ReleaseGenerations(lab.archive(), lab.jobs(), {}, primary, 1));
  if (released.in_use.empty()) return Status::Ok();
  return Status(Errc::kBusy, released.in_use[0]);
}

Status TrackAnew(FaultLab& lab) {
  const Status stopped = StopTracking(lab.archive(), "PRIM", "V00002").status();
  if (!stopped.ok() && !stopped.Is(Errc::kNotFound)) return stopped;
  const Status started =
      StartTracking(lab.archive(), 0, "PRIM", "V00002").status();
  return started.Is(Errc::kExists) ? Status::Ok() : started;
}

Status GoOn(FaultLab& lab) {
  ASSIGN_OR_RETURN(const auto rows, ResumeInventory(lab.archive()));
  for (const InventoryRow& row : rows) {
    if (row.medium == "V00001") {
      return Status(Errc::kInternal, "V00001 was read again");
    }
    if (row.found.find("injected") == std::string::npos) continue;
    return Status(Errc::kDeviceError, row.medium + ": " + row.found);
  }
  return Status::Ok();
}

void AddBooks(std::vector<FaultScenario>* all) {
  FaultScenario s;
  s.name = "inventory --resume";
  s.lab = {.drives = 1, .media = 3};
  s.prepare = [](FaultLab& lab) -> Status {
    RETURN_IF_ERROR(OneBackup(lab));
    RETURN_IF_ERROR(BeginInventory(lab.archive().catalog, /*reset=*/true));
    return NoteMediumRead(lab.archive().catalog, "V00001");
  };
  s.run = GoOn;
  s.again = [](FaultLab& lab) -> Status {
    const Status status = GoOn(lab);
    return status.Is(Errc::kNotFound) ? ReadUnread(lab) : status;
  };
  s.done = {{"V00001", First()}, {"V00002", First()}};
  all->push_back(s);

  s = FaultScenario();
  s.name = "setcopyrange";
  s.lab = {.drives = 1, .media = 3};
  s.sites = {.medium = false, .changer = true, .drive = false};
  s.prepare = TwoOldBackups;
  s.run = SetRange;
  s.check = [](FaultLab& lab) { return CheckPool(lab); };
  s.done = {{"V00001", Second()}, {"V00002", First()}, {"V00003", First()}};
  all->push_back(s);

  s.name = "pool free";
  s.prepare = [](FaultLab& lab) -> Status {
    RETURN_IF_ERROR(TwoOldBackups(lab));
    return SetRange(lab);
  };
  s.run = [](FaultLab& lab) {
    return FreePoolSlot(lab.archive(), lab.jobs(), {}, SlotOf(2)).status();
  };
  s.forgotten = {"V00002"};
  all->push_back(s);

  s.name = "generations";
  s.sites.changer = false;
  s.prepare = TwoOldBackups;
  s.run = KeepOne;
  s.check = CheckOneKept;
  all->push_back(s);

  s.name = "history delete";
  s.prepare = [](FaultLab& lab) -> Status {
    RETURN_IF_ERROR(OneBackup(lab));
    return StopTracking(lab.archive(), "PRIM", "V00002").status();
  };
  s.run = DeleteFirstRow;
  s.check = CheckHistory;
  s.done = {{"V00001", First()}, {"V00002", First()}};
  all->push_back(s);

  s.name = "track";
  s.prepare = OneBackup;
  s.run = TrackAnew;
  s.check = nullptr;
  s.forgotten.clear();
  s.sites.look_ups = false;
  s.refusal = "is not known: `vellum backup -T";
  all->push_back(s);
}

}  // namespace

void AddServices(std::vector<FaultScenario>* all) {
  AddShelf(all);
  AddVolumes(all);
  AddBooks(all);
}

}  // namespace vellum
