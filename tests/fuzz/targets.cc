// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/targets.h"

namespace vellum::fuzz {

const std::vector<Target>& Targets() {
  static const std::vector<Target> kTargets = {
      {"udf_image", RunUdfImage, UdfImageSeeds},
      {"journal", RunJournal, JournalSeeds},
      {"directory", RunDirectory, DirectorySeeds},
      {"file_entry", RunFileEntry, FileEntrySeeds},
      {"command", RunCommand, CommandSeeds},
      {"library_config", RunLibraryConfig, LibraryConfigSeeds},
      {"elements", RunElements, ElementsSeeds},
      {"records", RunRecords, RecordsSeeds},
      {"attach", RunAttach, AttachSeeds},
      {"note", RunNote, NoteSeeds},
      {"scsi", RunScsi, ScsiSeeds},
  };
  return kTargets;
}

const Target* FindTarget(std::string_view name) {
  for (const Target& target : Targets()) {
    if (name == target.name) return &target;
  }
  return nullptr;
}

}  // namespace vellum::fuzz
