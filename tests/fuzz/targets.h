// SPDX-License-Identifier: Apache-2.0
// Everything that reads bytes which somebody else may have written, as
// functions of one hostile input. libFuzzer (fuzz_main.cc) and
// fuzz_replay_test.cc run the same ones. A target returns or aborts the
// process: it aborts when a promise is broken (a corruption that does not say
// where, an extent outside the partition, an encoding that does not come back).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "media/types.h"

namespace vellum::fuzz {

// Thread-safety: none; one target at a time.
struct Target {
  const char* name;  // folder of its corpus
  void (*run)(ConstByteSpan input);
  // A few inputs that reach deep, to start from.
  std::vector<Bytes> (*seeds)();
};

const std::vector<Target>& Targets();
// nullptr: no such target.
const Target* FindTarget(std::string_view name);

// One of each file; Targets() is the table of them.
void RunUdfImage(ConstByteSpan input);
void RunJournal(ConstByteSpan input);
void RunDirectory(ConstByteSpan input);
void RunFileEntry(ConstByteSpan input);
void RunCommand(ConstByteSpan input);
void RunLibraryConfig(ConstByteSpan input);
void RunElements(ConstByteSpan input);
void RunRecords(ConstByteSpan input);
void RunAttach(ConstByteSpan input);
void RunNote(ConstByteSpan input);
void RunScsi(ConstByteSpan input);
std::vector<Bytes> UdfImageSeeds();
std::vector<Bytes> JournalSeeds();
std::vector<Bytes> DirectorySeeds();
std::vector<Bytes> FileEntrySeeds();
std::vector<Bytes> CommandSeeds();
std::vector<Bytes> LibraryConfigSeeds();
std::vector<Bytes> ElementsSeeds();
std::vector<Bytes> RecordsSeeds();
std::vector<Bytes> AttachSeeds();
std::vector<Bytes> NoteSeeds();
std::vector<Bytes> ScsiSeeds();

}  // namespace vellum::fuzz
