// SPDX-License-Identifier: Apache-2.0
// What is done while something fails: every kind of copy, and every operation
// on whole media, each from a start of its own.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "media/error.h"
#include "tests/copy/fault_lab.h"

namespace vellum {

// Of what it does any I/O.
struct FaultSites {
  bool medium = true;
  bool writes = true;  // and that writes it
  bool changer = true;
  bool drive = true;
  bool catalog = true;  // that writes it
  bool look_ups = true;
};

struct FaultScenario {
  std::string name;
  FaultLabOptions lab;
  // Makes the start, of an open lab without volumes.
  std::function<Status(FaultLab&)> prepare;
  // What fails. The error of a job is that of its end.
  std::function<Status(FaultLab&)> run;
  // What it is run as again, after a failure; empty: `run`.
  std::function<Status(FaultLab&)> again;
  // What each medium may hold after it failed; those that are not named hold
  // what they held at the start.
  std::map<VolumeTag, Allowed> allowed;
  // What each medium holds after it succeeded.
  std::map<VolumeTag, FileTreeText> done;
  // Pairs of primary and backup that are the same then, sector by sector.
  std::map<VolumeTag, VolumeTag> equal;
  // Write-once media: one of those that may hold anything holds this.
  FileTreeText somewhere;
  // Where media are after it succeeded (0: in a slot); the others, where they
  // started.
  std::map<VolumeTag, ElementAddress> places;
  // The volumes on these are not in the catalog any more then.
  std::set<VolumeTag> forgotten;
  // What must be so when it broke off, of an open lab; an empty text: it is.
  std::function<std::string(FaultLab&)> check;
  FaultSites sites;
  bool uses_spool = false;
  bool is_job = false;  // what a next session takes up
  // It writes a volume in use: what cannot be committed freezes that volume
  // until it is loaded anew.
  bool may_freeze = false;
  // What it may be refused with where a damaged catalog alone knew how far it
  // was; the media are as after a failure then. Empty: it never is.
  std::string refusal;
  // Nobody can write the new name on this medium: the catalog alone has it.
  VolumeTag other_label;
};

std::vector<FaultScenario> FaultScenarios();
// Those of them that make no copy and no volume.
void AddServices(std::vector<FaultScenario>* all);
FaultScenario ScenarioCalled(const std::string& name);  // one of them

inline void PrintTo(const FaultScenario& scenario, std::ostream* out) {
  *out << scenario.name;
}

// With three drives. In the one that no job needs is another primary, kOther,
// with the file "/file".
inline constexpr const char* kOther = "OTHER";
std::string ContentOfOther();
FaultScenario WithOther(FaultScenario scenario);

// Its name as that of a test.
std::string ScenarioTestName(const testing::TestParamInfo<FaultScenario>& info);

// The lab of the scenario, at its start and closed.
Result<std::unique_ptr<FaultLab>> MakeLab(FaultScenario* scenario);

}  // namespace vellum
