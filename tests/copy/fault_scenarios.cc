// SPDX-License-Identifier: Apache-2.0
#include "tests/copy/fault_scenarios.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "copy/staging_estimate.h"
#include "tests/copy/fault_starts.h"

namespace vellum {
namespace {

Allowed NewBackup() {
  Allowed allowed = OneOf({First()});
  allowed.nothing = allowed.incomplete = true;
  return allowed;
}
Allowed Piecewise() {
  Allowed allowed = OneOf({First(), Second()});
  allowed.by_file = true;
  return allowed;
}

// A copy onto V00002.
FaultScenario CopyScenario(const std::string& name, uint16_t drives,
                           CopyMode mode, bool second) {
  FaultScenario s;
  s.name = name;
  s.lab.drives = drives;
  s.lab.media = 2;  // another one is nowhere to be had
  s.prepare = second ? OldBackup : OnePrimary;
  s.run = Copying(CopyOf(mode));
  s.allowed["V00002"] = second ? OneOf({First(), Second()}) : NewBackup();
  s.done["V00001"] = s.done["V00002"] = second ? Second() : First();
  s.equal["V00001"] = "V00002";
  s.uses_spool = drives == 1;
  return s;
}

void AddCopies(std::vector<FaultScenario>* all) {
  all->push_back(CopyScenario("image copy", 1, CopyMode::kImage, false));
  all->push_back(
      CopyScenario("image copy over a backup", 1, CopyMode::kImage, true));
  all->push_back(
      CopyScenario("streaming copy", 2, CopyMode::kStreaming, false));
  all->push_back(
      CopyScenario("staged incremental", 1, CopyMode::kIncremental, true));
  all->push_back(
      CopyScenario("incremental copy", 2, CopyMode::kIncremental, true));

  FaultScenario s =
      CopyScenario("image copy over one of two", 1, CopyMode::kImage, true);
  s.lab.media = 3;
  s.prepare = TwoOldBackups;
  s.run = Copying(CopyOf(CopyMode::kImage, "V00002"));
  s.allowed["V00002"].announced = true;
  s.done["V00003"] = First();
  all->push_back(s);

  // A write-once medium takes nothing after a failure; the next one does.
  s = CopyScenario("write-once copy", 2, CopyMode::kStreaming, false);
  s.lab.media = 5;
  s.lab.write_once = true;
  s.allowed["V00003"] = s.allowed["V00004"] = s.allowed["V00005"] =
      s.allowed["V00002"];
  s.done.erase("V00002");
  s.somewhere = First();
  s.equal.clear();
  all->push_back(s);

  s.name = "staged write-once copy";
  s.lab.drives = 1;
  s.run = Copying(CopyOf(CopyMode::kImage));
  s.uses_spool = true;
  all->push_back(s);
}

void AddFileCopies(std::vector<FaultScenario>* all) {
  FaultScenario s;
  s.name = "file copy to a primary";
  s.lab = {.drives = 2, .media = 2};
  s.prepare = [](FaultLab& lab) -> Status {
    RETURN_IF_ERROR(OnePrimary(lab));
    RETURN_IF_ERROR(MakeVolume(lab, 2, "ALL"));
    RETURN_IF_ERROR(Copying(CopyOfFiles("ALL"))(lab));
    return PutSecond(lab, "PRIM");
  };
  s.run = Copying(CopyOfFiles("ALL"));
  s.allowed["V00002"] = Piecewise();
  s.done = {{"V00001", Second()}, {"V00002", Both()}};
  s.may_freeze = true;
  all->push_back(s);

  s.name = "file copy onto a backup";
  s.lab.drives = 1;
  s.prepare = [](FaultLab& lab) -> Status {
    RETURN_IF_ERROR(OnePrimary(lab));
    RETURN_IF_ERROR(Copying(CopyOfFiles("V00002"))(lab));
    return PutSecond(lab, "PRIM");
  };
  s.run = Copying(CopyOfFiles("V00002"));
  s.uses_spool = true;
  all->push_back(s);

  // The copy formats it first: broken off, that is no foreign data to the next.
  s.name = "file copy to a new medium";
  s.prepare = OnePrimary;
  s.refusal = "format it with clear";
  s.allowed["V00002"] = NewBackup();
  s.allowed["V00002"].by_file = true;
  s.done = {{"V00001", First()}, {"V00002", First()}};
  all->push_back(s);

  s.name = "restore of files";
  s.refusal.clear();
  s.prepare = OldBackup;
  s.run = [](FaultLab& lab) {
    FileSelection files;
    files.paths = {"/"};
    files.recursive = true;
    files.replace = true;
    return lab.Finish(lab.jobs().SubmitFileRestore("PRIM", "V00002", files));
  };
  s.allowed.clear();
  s.allowed["V00001"] = Piecewise();
  FileTreeText restored = First();
  restored["/n"] = Second()["/n"];
  s.done = {{"V00001", restored}, {"V00002", First()}};
  all->push_back(s);
}

void AddRestores(std::vector<FaultScenario>* all) {
  for (const uint16_t drives : {uint16_t{1}, uint16_t{2}}) {
    FaultScenario s;
    s.name = drives == 1 ? "staged restore" : "restore";
    s.lab = {.drives = drives, .media = 2};
    s.prepare = OldBackup;
    s.run = [](FaultLab& lab) {
      return lab.Finish(lab.jobs().SubmitRestore("PRIM", "V00002"));
    };
    s.allowed["V00001"] = OneOf({First(), Second()});
    // Asked for and confirmed: what is on the primary is given up.
    s.allowed["V00001"].incomplete = true;
    s.refusal = "PRIM is a BACKUP: only a PRIMARY is restored";
    s.done = {{"V00001", First()}, {"V00002", First()}};
    s.uses_spool = drives == 1;
    all->push_back(s);
  }
  FaultScenario s;
  s.name = "compare";
  s.lab = {.drives = 1, .media = 2};
  s.prepare = OneBackup;
  s.run = [](FaultLab& lab) {
    return lab.Finish(lab.jobs().SubmitCompare("PRIM", "V00002"));
  };
  s.done = {{"V00001", First()}, {"V00002", First()}};
  all->push_back(s);
}

Status ReadAll(FaultLab& lab) {
  ASSIGN_OR_RETURN(const auto rows,
                   Reindex(lab.archive(), ReindexMode::kReset));
  for (const InventoryRow& row : rows) {
    if (row.found != "blank" &&
        lab.volumes().FindByMedium(row.medium) == nullptr) {
      return Status(Errc::kDeviceError, row.medium + ": " + row.found);
    }
    if (row.found.find("injected") != std::string::npos) {
      return Status(Errc::kDeviceError, row.medium + ": " + row.found);
    }
  }
  return Status::Ok();
}

void AddOperations(std::vector<FaultScenario>* all) {
  FaultScenario s;
  s.name = "format";
  s.lab = {.drives = 1, .media = 2};
  s.prepare = OnePrimary;
  s.run = [](FaultLab& lab) { return MakeVolume(lab, 2, "NEW"); };
  const auto format_again = [](FaultLab& lab) {
    FormatRequest request;
    request.medium = "V00002";
    request.volume_id = "NEW";
    request.clear = true;
    return Format(lab.archive(), request).status();
  };
  s.again = format_again;
  s.allowed["V00002"] = OneOf({Empty()});
  s.allowed["V00002"].nothing = true;
  s.done = {{"V00001", First()}, {"V00002", Empty()}};
  all->push_back(s);

  s.name = "format over a backup";
  s.prepare = OneBackup;
  s.run = format_again;
  s.allowed["V00002"] = OneOf({First(), Empty()});
  s.allowed["V00002"].nothing = s.allowed["V00002"].incomplete = true;
  all->push_back(s);

  s = FaultScenario();
  s.name = "reindex --reset";
  s.lab = {.drives = 1, .media = 2};
  s.prepare = OneBackup;
  s.run = ReadAll;
  s.done = {{"V00001", First()}, {"V00002", First()}};
  all->push_back(s);

  s.name = "convert";
  s.run = [](FaultLab& lab) {
    return Convert(lab.archive(), "V00002", "CONVERTED").status();
  };
  s.again = [](FaultLab& lab) -> Status {
    if (lab.volumes().Find("CONVERTED") != nullptr) return Status::Ok();
    return Convert(lab.archive(), "V00002", "CONVERTED").status();
  };
  all->push_back(s);

  s.name = "promote";
  s.run = [](FaultLab& lab) -> Status {
    ASSIGN_OR_RETURN(const Promoted promoted, Promote(lab.archive(), "V00002"));
    if (promoted.problem.empty()) return Status::Ok();
    return Status(Errc::kDeviceError, promoted.problem);
  };
  s.other_label = "V00001";
  s.again = [](FaultLab& lab) -> Status {
    const auto volume = lab.volumes().FindByMedium("V00002");
    if (volume != nullptr && volume->id() == "PRIM") return Status::Ok();
    return Promote(lab.archive(), "V00002").status();
  };
  all->push_back(s);
}

}  // namespace

FaultScenario ScenarioCalled(const std::string& name) {
  for (FaultScenario& scenario : FaultScenarios()) {
    if (scenario.name == name) return std::move(scenario);
  }
  ADD_FAILURE() << "no scenario " << name;
  return {};
}

std::string ContentOfOther() { return RandomText(6, 150'000); }

FaultScenario WithOther(FaultScenario scenario) {
  scenario.lab.drives = 3;
  const int medium = ++scenario.lab.media;
  scenario.prepare = [medium, prepare = scenario.prepare](FaultLab& lab) {
    RETURN_IF_ERROR(prepare(lab));
    RETURN_IF_ERROR(MakeVolume(lab, medium, kOther));
    return lab.Put(kOther, "/file", ContentOfOther());
  };
  return scenario;
}

std::vector<FaultScenario> FaultScenarios() {
  std::vector<FaultScenario> all;
  AddCopies(&all);
  AddFileCopies(&all);
  AddRestores(&all);
  for (FaultScenario& scenario : all) scenario.is_job = true;
  AddOperations(&all);
  AddServices(&all);
  return all;
}

std::string ScenarioTestName(
    const testing::TestParamInfo<FaultScenario>& info) {
  std::string name;
  bool up = true;
  for (const char c : info.param.name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) {
      up = true;
      continue;
    }
    name += up ? static_cast<char>(std::toupper(c)) : c;
    up = false;
  }
  return name;
}

Result<std::unique_ptr<FaultLab>> MakeLab(FaultScenario* scenario) {
  auto lab = std::make_unique<FaultLab>(scenario->lab);
  RETURN_IF_ERROR(lab->Open());
  RETURN_IF_ERROR(scenario->prepare(*lab));
  // What a failed job kept would be missing to the next one.
  uint64_t most = 0;
  for (const auto& volume : lab->volumes().List()) {
    most =
        std::max(most, EstimateStaging(*lab->archive().catalog,
                                       volume->record(), std::nullopt, false));
  }
  lab->LimitSpool(most * 3 / 2);
  lab->SaveStart();
  for (const VolumeTag& tag : lab->tags()) {
    if (scenario->allowed.count(tag) != 0) continue;
    const Result<FileTreeText> tree = ReadTree(lab->content(tag));
    Allowed& allowed = scenario->allowed[tag];
    if (tree.ok()) {
      allowed.trees = {*tree};
    } else {
      allowed.nothing = true;
    }
  }
  return lab;
}

}  // namespace vellum
