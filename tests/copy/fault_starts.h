// SPDX-License-Identifier: Apache-2.0
// What scenarios of faults start with: trees, volumes, backups.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "copy/job.h"
#include "media/error.h"
#include "tests/copy/fault_lab.h"

namespace vellum {

std::string RandomText(uint64_t seed, size_t size);

// The first generation, and what is changed in the second.
Status PutFirst(FaultLab& lab, const std::string& volume);
Status PutSecond(FaultLab& lab, const std::string& volume);
FileTreeText Empty();
FileTreeText First();
FileTreeText Second();
FileTreeText Both();  // copies by file delete nothing

Status MakeVolume(FaultLab& lab, int medium, const std::string& id);
CopyRequest CopyOf(CopyMode mode, const std::string& target = "");
CopyRequest CopyOfFiles(const std::string& target);
std::function<Status(FaultLab&)> Copying(const CopyRequest& request);

Status OnePrimary(FaultLab& lab);     // V00001: PRIM in its first generation
Status OneBackup(FaultLab& lab);      // V00002 is a backup of it
Status OldBackup(FaultLab& lab);      // PRIM has changed since
Status TwoOldBackups(FaultLab& lab);  // V00003 is one, too

Allowed OneOf(std::vector<FileTreeText> trees);

}  // namespace vellum
