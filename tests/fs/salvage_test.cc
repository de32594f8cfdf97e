// SPDX-License-Identifier: Apache-2.0
// A library whose catalog cannot be opened any more starts all the same.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "copy/library_catalog.h"
#include "copy/verified.h"
#include "tests/fs/service_fixture.h"

namespace vellum {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

class SalvageTest : public ServiceFixture {
 protected:
  std::string catalog() const { return directory() + "/catalog"; }

  void Stop() {
    tree_.reset();
    control_.reset();
    service_.reset();
  }
  // Recovery writes tables of what stands in logs.
  void Restart() {
    Stop();
    Start();
  }
  std::vector<std::string> Files(const std::string& part) const {
    std::vector<std::string> files;
    for (const auto& file : fs::directory_iterator(catalog())) {
      const std::string path = file.path();
      if (path.find(part, catalog().size()) != std::string::npos &&
          fs::file_size(path) > 0) {
        files.push_back(path);
      }
    }
    std::sort(files.begin(), files.end());
    return files;
  }
  std::string Manifest() const {
    const std::vector<std::string> found = Files("/MANIFEST-");
    EXPECT_FALSE(found.empty());
    return found.empty() ? "" : found.back();
  }
  static void WriteOver(const std::string& path, uint64_t at,
                        const std::string& bytes) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at));
    file << bytes;
    ASSERT_TRUE(file.flush().good()) << path;
  }
  static void Cut(const std::string& path, uint64_t bytes) {
    fs::resize_file(path, fs::file_size(path) - bytes);
  }

  void Put(const std::string& volume, const std::string& name,
           const std::string& text) {
    const Result<VolumeUse> use =
        service_->volumes().Use(service_->volumes().Find(volume));
    ASSERT_OK(use);
    Result<Attr> file = (*use)->Lookup((*use)->root(), name);
    if (!file.ok()) file = (*use)->Create((*use)->root(), name, NewInode());
    ASSERT_OK(file);
    ASSERT_OK((*use)->Write(
        file->ino, 0, std::as_bytes(std::span(text.data(), text.size()))));
  }
  // Name, size and content of each file.
  std::vector<std::string> Content(const std::string& volume) {
    std::vector<std::string> content;
    const Result<VolumeUse> use =
        service_->volumes().Use(service_->volumes().Find(volume));
    EXPECT_OK(use);
    if (!use.ok()) return content;
    std::vector<DirItem> items;
    EXPECT_OK((*use)->ReadDir((*use)->root(), 0, [&](const DirItem& item) {
      items.push_back(item);
      return true;
    }));
    for (const DirItem& item : items) {
      Bytes data(1 << 20);
      const Result<size_t> count = (*use)->Read(item.ino, 0, data);
      EXPECT_OK(count);
      content.push_back(
          fmt::format("{} {}", item.name,
                      std::string(reinterpret_cast<const char*>(data.data()),
                                  count.ok() ? *count : 0)));
    }
    std::sort(content.begin(), content.end());
    return content;
  }
  JobRecord Copy(const std::string& command) {
    const Result<JobRecord> job = service_->jobs().Wait(Run(command)["job"]);
    EXPECT_OK(job);
    EXPECT_EQ(job->state, JobState::kDone) << job->message;
    return *job;
  }
  std::string CatalogAlert() {
    for (const Json& row : CatJson("alerts.json")) {
      if (row["object"] == "catalog") return row["message"];
    }
    return {};
  }
  std::set<std::string> Beside() const {
    std::set<std::string> names;
    for (const auto& file : fs::directory_iterator(directory())) {
      const std::string name = file.path().filename();
      if (name.rfind("catalog", 0) == 0) names.insert(name);
    }
    return names;
  }

  // A primary with a backup that was read back, a backup that was given up, a
  // setting and a history.
  void MakeLibrary() {
    Run("format V00001 name=VOL");
    for (int i = 0; i < 40; ++i) {
      Put("VOL", fmt::format("file{}", i), std::string(3000, 'a'));
    }
    Copy("copy VOL mode=streaming to=V00002");
    Run("generations VOL 3");
    Run("format V00003 name=OTHER");
    Put("OTHER", "kept", "as it is");
    Restart();
  }
};

struct Damage {
  const char* name;
  std::function<void(const std::string& manifest)> make;
};

TEST_F(SalvageTest, X8_ALibraryStartsWhateverIsLeftOfItsCatalog) {
  MakeLibrary();
  const std::string current = catalog() + "/CURRENT";
  const std::vector<Damage> damages = {
      {"no CURRENT", [&](const std::string&) { fs::remove(current); }},
      {"CURRENT empty",
       [&](const std::string&) { fs::resize_file(current, 0); }},
      {"CURRENT is nonsense",
       [&](const std::string&) { WriteFileOrDie(current, "nonsense"); }},
      {"CURRENT names a MANIFEST that never was",
       [&](const std::string&) {
         WriteFileOrDie(current, "MANIFEST-009999\n");
       }},
      {"CURRENT names none of its own",
       [&](const std::string& manifest) {
         fs::copy_file(manifest, catalog() + "/MANIFEST-000001",
                       fs::copy_options::overwrite_existing);
         WriteFileOrDie(current, "MANIFEST-000001\n");
       }},
      {"no MANIFEST",
       [&](const std::string& manifest) { fs::remove(manifest); }},
      {"MANIFEST empty",
       [&](const std::string& manifest) { fs::resize_file(manifest, 0); }},
      {"MANIFEST without its begin",
       [&](const std::string& manifest) {
         WriteOver(manifest, 0, std::string(64, '\0'));
       }},
      {"MANIFEST with a part missing",
       [&](const std::string& manifest) {
         WriteOver(manifest, fs::file_size(manifest) / 2,
                   std::string(40, '\0'));
       }},
      {"MANIFEST cut in half",
       [&](const std::string& manifest) {
         Cut(manifest, fs::file_size(manifest) / 2);
       }},
      {"MANIFEST without its last byte",
       [&](const std::string& manifest) { Cut(manifest, 1); }},
      {"a table missing",
       [&](const std::string&) { fs::remove(Files(".sst").front()); }},
      {"all tables damaged",
       [&](const std::string&) {
         for (const std::string& table : Files(".sst")) {
           WriteOver(table, 0, std::string(512, 'x'));
         }
       }},
  };
  for (const Damage& damage : damages) {
    SCOPED_TRACE(damage.name);
    const std::string before = fmt::format("file{}", &damage - damages.data());
    Put("VOL", before, std::string(5000, 'b'));
    // The changes are in a log, their predecessors in tables.
    Restart();
    const std::vector<std::string> tree = Content("VOL");
    Copy("copy VOL mode=incremental to=V00002");
    ASSERT_OK_AND_ASSIGN(
        bool verified,
        IsVerified(service_->catalog(),
                   service_->volumes().Find("V00002")->record()));
    EXPECT_TRUE(verified);
    const size_t jobs = CatJson("history.json").size();
    const uint64_t lineage =
        service_->volumes().Find("VOL")->generation().lineage;
    Stop();
    damage.make(Manifest());

    Start();
    ASSERT_NE(service_, nullptr);
    // Told, with what to do.
    const std::string alert = CatalogAlert();
    EXPECT_THAT(alert, HasSubstr("vellum reindex --reset"));
    EXPECT_THAT(alert, HasSubstr(catalog() + ".damaged"));
    EXPECT_TRUE(fs::exists(catalog() + ".damaged"));
    // Two are kept at most, and nothing else is left.
    EXPECT_LE(Beside().size(), 3u) << Beside().size();
    EXPECT_EQ(Beside().count("catalog.damaged"), 1u);
    // What no medium knows is there, where it could be read.
    if (std::string(damage.name) != "all tables damaged" &&
        std::string(damage.name) != "a table missing") {
      EXPECT_EQ(CatJson("history.json").size(), jobs);
      EXPECT_EQ(Run("generations VOL")["generations"], 3);
      ASSERT_OK_AND_ASSIGN(
          verified, IsVerified(service_->catalog(),
                               service_->volumes().Find("V00002")->record()));
      EXPECT_FALSE(verified);
      // No tree is trusted that was not read.
      for (const auto& volume : service_->volumes().List()) {
        EXPECT_NE(volume->record().tree, TreeState::kValid) << volume->id();
      }
    }

    Run("reindex mode=reset");
    EXPECT_EQ(CatalogAlert(), "");
    EXPECT_EQ(Content("VOL"), tree);
    EXPECT_EQ(Content("OTHER"), std::vector<std::string>{"kept as it is"});
    EXPECT_NE(service_->volumes().Find("VOL")->generation().lineage, lineage);
    for (const char* volume : {"VOL", "OTHER", "V00002"}) {
      EXPECT_EQ(Run(fmt::format("fsck {} data=yes", volume))["clean"], true)
          << volume;
    }
    // No change map goes on.
    EXPECT_EQ(Copy("copy VOL mode=incremental to=V00002").method, "full");
    Put("VOL", before, std::string(5000, 'c'));
    EXPECT_EQ(Copy("copy VOL mode=incremental to=V00002").method,
              "incremental");
    Copy("compare VOL V00002");
    Run("generations VOL 3");
  }
}

TEST_F(SalvageTest, X8_WithoutAReindexAVolumeIsReadWhenItIsLoaded) {
  MakeLibrary();
  const std::vector<std::string> tree = Content("VOL");
  Stop();
  fs::remove(Manifest());
  Start();
  EXPECT_EQ(Content("VOL"), tree);
  EXPECT_EQ(Copy("copy VOL mode=incremental to=V00002").method, "full");
  EXPECT_NE(CatalogAlert(), "");
  // Media whose tree is not known are read by an inventory, too.
  EXPECT_NE(service_->volumes().Find("OTHER")->record().tree,
            TreeState::kValid);
  Run("inventory");
  EXPECT_EQ(service_->volumes().Find("OTHER")->record().tree,
            TreeState::kValid);
}

TEST_F(SalvageTest, X8_AJobThatHadNotEndedIsNotRunAgain) {
  MakeLibrary();
  Run("library offline");
  const JobId id = Run("copy VOL to=V00004")["job"];
  Stop();
  fs::remove(Manifest());
  Start();
  ASSERT_OK_AND_ASSIGN(const JobRecord job, service_->jobs().Get(id));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_THAT(job.message, HasSubstr("give the command again"));
  // Its number is not given again.
  Run("library online");
  EXPECT_GT(Copy("copy VOL to=V00004").id, id);
}

TEST_F(SalvageTest, X8_ASalvageMayBeCutAnywhere) {
  MakeLibrary();
  Stop();
  fs::remove(Manifest());
  ASSERT_OK(OpenLibraryCatalog(catalog(), {}));
  const std::string made = catalog() + ".new";
  const std::string kept = catalog() + ".damaged";
  const auto opens = [&] {
    const auto opened = OpenLibraryCatalog(catalog(), {});
    EXPECT_OK(opened);
    if (!opened.ok()) return false;
    const auto note = SalvageNote(**opened);
    EXPECT_OK(note);
    return note.ok() && note->has_value() && (*opened)->GetVolume(1).ok();
  };
  // Before the damaged one is moved.
  fs::rename(catalog(), made);
  fs::rename(kept, catalog());
  EXPECT_TRUE(opens());
  EXPECT_EQ(Beside(), (std::set<std::string>{"catalog", "catalog.damaged"}));
  // Behind that.
  fs::rename(catalog(), made);
  EXPECT_TRUE(opens());
  EXPECT_EQ(Beside(), (std::set<std::string>{"catalog", "catalog.damaged"}));
  // While the new one was made.
  fs::copy(catalog(), catalog() + ".making");
  fs::copy(kept, catalog() + ".salvage");
  EXPECT_TRUE(opens());
  EXPECT_EQ(Beside(), (std::set<std::string>{"catalog", "catalog.damaged"}));
}

TEST_F(SalvageTest, X8_NothingIsThrownAwayWhereNothingCanBeRead) {
  MakeLibrary();
  Stop();
  for (const std::string& file : Files("/0")) {
    WriteFileOrDie(file, std::string(5000, 'x'));
  }
  fs::remove(Manifest());
  Start();
  EXPECT_THAT(CatalogAlert(), HasSubstr("Taken over: 0 volumes"));
  EXPECT_TRUE(service_->volumes().List().empty());
  Run("reindex mode=reset");
  EXPECT_EQ(Content("OTHER"), std::vector<std::string>{"kept as it is"});
  EXPECT_EQ(CatalogAlert(), "");
}

}  // namespace
}  // namespace vellum
