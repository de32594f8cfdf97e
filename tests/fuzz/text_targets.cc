// SPDX-License-Identifier: Apache-2.0
// Texts that people and programs write: control commands, library.toml, and
// elements.json.
#include <algorithm>
#include <filesystem>
#include <system_error>

#include "fs/command_line.h"
#include "media/library_config.h"
#include "media/virtual_library.h"
#include "media/virtual_state.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/targets.h"
#include "tests/support/temp_dir.h"

namespace vellum::fuzz {
namespace {

// A directory for the files that a target writes anew for each input.
const TempDir& Directory() {
  static const TempDir kDirectory;
  return kDirectory;
}

// A new file each time: the file system would make a replaced one durable.
void WriteAnew(const std::string& path, std::string_view content) {
  std::error_code none;
  std::filesystem::remove(path, none);
  WriteFileOrDie(path, content);
}

}  // namespace

void RunCommand(ConstByteSpan data) {
  const std::string_view text = AsText(data);
  const Result<CommandLine> line = ParseCommandLine(text);
  CheckSaid(line.status());
  if (line.ok()) {
    VELLUM_CHECK(!line->verb.empty() || text.find('"') != text.npos);
    OptionReader options(*line);
    options.Text("to");
    options.Flag("wait", true);
    options.Number("threshold", 5, 1, 100);
    options.Choice("mode", {"full", "incremental"}, 0);
    options.Args(0, 2, "copy FROM TO");
    CheckSaid(options.Finish());
    for (const std::string& arg : line->args) ParseNumber(arg);
  }
  // Any word without a line's end comes back out of its quotes.
  if (text.find('\n') == text.npos && text.find('\0') == text.npos) {
    const Result<CommandLine> quoted =
        ParseCommandLine("verb " + QuoteWord(text));
    VELLUM_CHECK(quoted.ok() && quoted->args.size() == 1 &&
                 quoted->args[0] == text);
  }
}

void RunLibraryConfig(ConstByteSpan data) {
  WriteAnew(LibraryConfigPath(Directory().path()), AsText(data));
  const Result<LibraryConfig> config = ReadLibraryConfig(Directory().path());
  CheckSaid(config.status());
  if (!config.ok()) {
    // Names the file.
    VELLUM_CHECK(config.error().message.find("library.toml") !=
                 std::string::npos);
    return;
  }
  const auto* geometry = std::get_if<VirtualLibraryOptions>(&config->devices);
  const Status options =
      geometry != nullptr
          ? CheckGeometry(*geometry)
          : CheckScsiOptions(std::get<ScsiLibraryOptions>(config->devices));
  CheckSaid(options);
  if (geometry != nullptr) VirtualElementMap(*geometry);
  if (!options.ok()) return;
  // What it says can be written and read back.
  WriteAnew(LibraryConfigPath(Directory().path()), LibraryConfigText(*config));
  const Result<LibraryConfig> again = ReadLibraryConfig(Directory().path());
  VELLUM_CHECK(again.ok() && again->devices == config->devices &&
               again->copy_end == config->copy_end);
}

void RunElements(ConstByteSpan data) {
  const VirtualLibraryOptions geometry;
  const std::string directory = Directory().path();
  // elements.json stands in a folder that WriteVirtualPlaces expects.
  static const bool kMade = [&directory] {
    VirtualLibraryOptions small;
    small.media = 0;
    return InitVirtualLibrary(directory + "/library", small).ok();
  }();
  VELLUM_CHECK(kMade);
  const std::string library = directory + "/library";
  WriteAnew(VirtualElementsPath(library), AsText(data));
  const Result<VirtualPlaces> places = ReadVirtualPlaces(library, geometry);
  CheckSaid(places.status());
  if (!places.ok()) {
    VELLUM_CHECK(places.error().message.find("elements.json") !=
                 std::string::npos);
    return;
  }
  for (const auto& [address, place] : *places) {
    VELLUM_CHECK(!place.tag.empty() &&
                 place.tag.find('/') == std::string::npos);
  }
}

std::vector<Bytes> CommandSeeds() {
  std::vector<Bytes> seeds;
  for (const char* text : {"copy V00001 V00002 mode=full wait=yes\n",
                           "label \"two words\" to=\"a \\\"quoted\\\" one\"",
                           "load threshold=0x10", "verb a=1 a=2", "\"",
                           "convert  V1\t V2  threshold=101", "x \\n"}) {
    seeds.push_back(ToBytes(text));
  }
  return seeds;
}

std::vector<Bytes> LibraryConfigSeeds() {
  LibraryConfig config;
  std::vector<Bytes> seeds = {ToBytes(LibraryConfigText(config))};
  for (const char* text :
       {"[geometry]\nslots = 70000\n", "[policy]\ncopy_start = 1024\n",
        "geometry = 3", "[geometry]\ncapacity = 9_223_372_036_854_775_807",
        "[library]\nlib_num = -1", "a = [[[[[[[[", "x = 1979-05-27T07:32:00Z",
        "[policy]\ncopy_start = 1024\ncopy_end = 1030\n",
        "[geometry]\nslots = 5\nmedia = 9\n"}) {
    seeds.push_back(ToBytes(text));
  }
  return seeds;
}

std::vector<Bytes> ElementsSeeds() {
  std::vector<Bytes> seeds;
  for (
      const char* text :
      {R"({"version": 1, "elements": [{"address": 1024, "volume_tag": "V1"}]})",
       R"({"version": 1, "elements": [{"address": 256, "volume_tag": "V2",)"
       R"( "source": 1025, "imported": true}]})",
       R"({"version": 2})", R"({"elements": {}})", "[1,2", "{\"version\":1e99}",
       R"({"version": 1, "elements": [{"address": 1024, "volume_tag": "../x"},)"
       R"({"address": 1024, "volume_tag": ""}]})"}) {
    seeds.push_back(ToBytes(text));
  }
  return seeds;
}

}  // namespace vellum::fuzz
