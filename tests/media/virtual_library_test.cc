// SPDX-License-Identifier: Apache-2.0
#include "media/virtual_library.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "media/file_util.h"
#include "media/library_directory.h"
#include "tests/support/logged_lines.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace vellum {
namespace {

namespace stdfs = std::filesystem;

constexpr uint64_t kCapacity = 8 << 20;

VirtualLibraryOptions Small() {
  VirtualLibraryOptions options;
  options.slots = 6;
  options.media = 3;
  options.capacity = kCapacity;
  return options;
}

const VirtualLibraryOptions& Geometry(const LibraryConfig& config) {
  return std::get<VirtualLibraryOptions>(config.devices);
}

class VirtualLibraryTest : public testing::Test {
 protected:
  void Init() { ASSERT_OK(InitVirtualLibrary(path_, Small())); }
  LibraryDevices Devices() {
    const auto config = ReadLibraryConfig(path_);
    EXPECT_OK(config);
    auto devices = OpenVirtualLibrary(*config);
    EXPECT_OK(devices);
    return std::move(*devices);
  }
  ElementStatus At(Changer& changer, uint16_t address) {
    const auto statuses = changer.ReadElementStatus();
    EXPECT_OK(statuses);
    for (const ElementStatus& status : *statuses) {
      if (status.address.value == address) return status;
    }
    ADD_FAILURE() << "no element " << address;
    return {};
  }
  // library.toml as the operator would have it.
  Status ConfigError(const std::string& text) {
    WriteFileOrDie(path_ + "/library.toml", text);
    return ReadLibraryConfig(path_).status();
  }

  TempDir dir_;
  const std::string path_ = dir_.Sub("library");
};

// ---- init

TEST_F(VirtualLibraryTest, H1_InitMakesMediaInTheFirstSlots) {
  Init();
  LibraryDevices devices = Devices();
  EXPECT_EQ(devices.drives.size(), 2u);
  EXPECT_EQ(At(*devices.changer, 1024).volume_tag, "V00001");
  EXPECT_EQ(At(*devices.changer, 1026).volume_tag, "V00003");
  EXPECT_FALSE(At(*devices.changer, 1027).full);
  EXPECT_EQ(stdfs::file_size(path_ + "/media/V00003.img"), kCapacity);
  for (const char* name : {"/media", "/state", "/catalog", "/spool"}) {
    EXPECT_TRUE(stdfs::is_directory(path_ + name)) << name;
  }
}

TEST_F(VirtualLibraryTest, ImagesOfANewLibraryTakeNoSpace) {
  Init();
  struct stat st {};
  ASSERT_EQ(stat((path_ + "/media/V00001.img").c_str(), &st), 0);
  EXPECT_EQ(st.st_blocks, 0);
}

// Who reads an image reads every file on it, whatever its mode there.
TEST_F(VirtualLibraryTest, InitKeepsOthersOut) {
  const auto mode = [](const std::string& path) {
    struct stat st {};
    EXPECT_EQ(stat(path.c_str(), &st), 0) << path;
    return st.st_mode & 07777;
  };
  for (const bool exists : {false, true}) {
    stdfs::remove_all(path_);
    if (exists) {
      ASSERT_EQ(mkdir(path_.c_str(), 0755), 0);
    }
    Init();
    EXPECT_EQ(mode(path_), 0700u);
    EXPECT_EQ(mode(path_ + "/media/V00001.img"), 0600u);
  }
}

TEST_F(VirtualLibraryTest, InitAcceptsAnEmptyDirectory) {
  ASSERT_TRUE(stdfs::create_directory(path_));
  Init();
  EXPECT_OK(ReadLibraryConfig(path_));
}

TEST_F(VirtualLibraryTest, InitRefusesADirectoryThatIsNotEmpty) {
  stdfs::create_directory(path_);
  WriteFileOrDie(path_ + "/precious", "data");
  EXPECT_THAT(InitVirtualLibrary(path_, Small()), HasErrc(Errc::kExists));
  EXPECT_EQ(ReadFileOrDie(path_ + "/precious"), "data");
  EXPECT_EQ(std::distance(stdfs::directory_iterator(path_), {}), 1);
}

TEST_F(VirtualLibraryTest, InitTakesOverWhatAKilledInitHasLeft) {
  const auto leave = [this] {
    stdfs::create_directories(path_ + "/media");
    stdfs::create_directory(path_ + "/state");
    stdfs::create_directory(path_ + "/catalog");
    for (const char* tag : {"V00001", "V00099"}) {
      WriteFileOrDie(path_ + "/media/" + tag + ".img", "");
      stdfs::resize_file(path_ + "/media/" + tag + ".img", kCapacity);
    }
    WriteFileOrDie(path_ + "/state/elements.json.tmp", "{\"ver");
    WriteFileOrDie(path_ + "/library.toml.tmp", "# Vel");
  };
  leave();
  // An image with data is no such thing.
  WriteFileOrDie(path_ + "/media/V00001.img", "data");
  const Status refused = InitVirtualLibrary(path_, Small());
  EXPECT_THAT(refused, HasErrc(Errc::kExists));
  EXPECT_THAT(refused, MessageHas("library.toml is missing"));
  EXPECT_EQ(ReadFileOrDie(path_ + "/media/V00001.img"), "data");
  // Nor is a folder that somebody else is in.
  leave();
  WriteFileOrDie(path_ + "/catalog/000001.log", "rows");
  EXPECT_THAT(InitVirtualLibrary(path_, Small()), HasErrc(Errc::kExists));
  stdfs::remove(path_ + "/catalog/000001.log");
  {
    const UniqueFd other(open(path_.c_str(), O_RDONLY | O_DIRECTORY));
    ASSERT_EQ(flock(other.get(), LOCK_EX), 0);
    EXPECT_THAT(InitVirtualLibrary(path_, Small()), HasErrc(Errc::kBusy));
  }
  ASSERT_OK(InitVirtualLibrary(path_, Small()));
  EXPECT_FALSE(stdfs::exists(path_ + "/media/V00099.img"));
  EXPECT_FALSE(stdfs::exists(path_ + "/library.toml.tmp"));
  LibraryDevices devices = Devices();
  EXPECT_EQ(At(*devices.changer, 1026).volume_tag, "V00003");
}

TEST_F(VirtualLibraryTest, WithoutAnElementListAllMediaAreInTheSlots) {
  Init();
  {
    LibraryDevices devices = Devices();
    ASSERT_OK(devices.changer->MoveMedium({1024}, {1029}));
  }
  const std::string list = path_ + "/state/elements.json";
  WriteFileOrDie(list, "");
  ASSERT_OK_AND_ASSIGN(const LibraryConfig config, ReadLibraryConfig(path_));
  EXPECT_THAT(OpenVirtualLibrary(config).status(),
              MessageHas("delete it: the next start puts all media"));
  stdfs::remove(list);
  WriteFileOrDie(path_ + "/media/not a medium.img", "");
  for (int i = 0; i < 2; ++i) {
    LibraryDevices devices = Devices();
    EXPECT_EQ(At(*devices.changer, 1024).volume_tag, "V00001");
    EXPECT_EQ(At(*devices.changer, 1026).volume_tag, "V00003");
    EXPECT_FALSE(At(*devices.changer, 1029).full);
    EXPECT_TRUE(stdfs::exists(list)) << "written anew";
  }
  stdfs::remove(list);
  for (const char* tag : {"A1", "A2", "A3", "A4"}) {
    WriteFileOrDie(path_ + "/media/" + tag + ".img", "");
  }
  EXPECT_THAT(OpenVirtualLibrary(config).status(), MessageHas("7 images"));
}

TEST_F(VirtualLibraryTest, InitRefusesALibraryAndAFile) {
  Init();
  EXPECT_THAT(InitVirtualLibrary(path_, Small()), HasErrc(Errc::kExists));
  EXPECT_THAT(InitVirtualLibrary(path_, Small()), MessageHas(path_));
  const std::string file = dir_.Sub("file");
  WriteFileOrDie(file, "");
  EXPECT_THAT(InitVirtualLibrary(file, Small()), HasErrc(Errc::kNotDirectory));
  EXPECT_THAT(InitVirtualLibrary(dir_.Sub("no/such/parent"), Small()),
              HasErrc(Errc::kNotFound));
}

TEST_F(VirtualLibraryTest, InitNamesTheBoundOfEachOption) {
  const auto expect = [this](VirtualLibraryOptions options,
                             const char* message) {
    const Status status = InitVirtualLibrary(path_, options);
    EXPECT_THAT(status, HasErrc(Errc::kInvalidArgument));
    EXPECT_THAT(status, MessageHas(message));
    EXPECT_FALSE(stdfs::exists(path_));
  };
  VirtualLibraryOptions options = Small();
  options.slots = 0;
  expect(options, "slots: 0 is not between 1 and 64512");
  options = Small();
  options.slots = 64513;
  expect(options, "slots: 64513 is not between 1 and 64512");
  options = Small();
  options.drives = 0;
  expect(options, "drives: 0 is not between 1 and 512");
  options = Small();
  options.drives = 513;
  expect(options, "drives: 513");
  options = Small();
  options.import_export = 257;
  expect(options, "import_export: 257 is not between 0 and 256");
  options = Small();
  options.media = 7;
  expect(options, "media: 7 is not between 0 and 6");
  options = Small();
  options.capacity = kCapacity - 1;
  expect(options, "capacity: 8388607 is not between 8388608");
  options = Small();
  options.capacity = 1ull << 60;
  expect(options, "capacity");
  options = Small();
  options.atomic_unit = 131072;
  expect(options, "atomic_unit: 131072 is not between 2048 and 65536");
  options.atomic_unit = 64000;
  expect(options, "atomic_unit: 64000 is not a power of two");
}

TEST_F(VirtualLibraryTest, AtomicUnitIsTheMediums) {
  VirtualLibraryOptions options = Small();
  options.atomic_unit = 65536;
  ASSERT_OK(InitVirtualLibrary(path_, options));
  ASSERT_OK_AND_ASSIGN(const LibraryConfig config, ReadLibraryConfig(path_));
  EXPECT_EQ(Geometry(config).atomic_unit, 65536u);
  ASSERT_OK_AND_ASSIGN(LibraryDevices devices, OpenVirtualLibrary(config));
  ASSERT_OK(devices.changer->MoveMedium({1024}, {256}));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Medium> medium,
                       devices.drives[0]->Open());
  EXPECT_EQ(medium->Info().atomic_sectors, 32u);
}

TEST_F(VirtualLibraryTest, CapacityIsRoundedDownToRegions) {
  VirtualLibraryOptions options = Small();
  options.capacity = kCapacity + kRegionSize - 1;
  ASSERT_OK(InitVirtualLibrary(path_, options));
  EXPECT_EQ(stdfs::file_size(path_ + "/media/V00001.img"), kCapacity);
  ASSERT_OK_AND_ASSIGN(const LibraryConfig config, ReadLibraryConfig(path_));
  EXPECT_EQ(Geometry(config).capacity, kCapacity);
}

// ---- library.toml

TEST_F(VirtualLibraryTest, ConfigOfInitReadsBack) {
  Init();
  ASSERT_OK_AND_ASSIGN(const LibraryConfig config, ReadLibraryConfig(path_));
  EXPECT_EQ(config.directory, stdfs::canonical(path_).string());
  EXPECT_EQ(Geometry(config).slots, 6);
  EXPECT_EQ(Geometry(config).drives, 2);
  EXPECT_EQ(Geometry(config).import_export, 1);
  EXPECT_EQ(Geometry(config).media, 3);
  EXPECT_EQ(Geometry(config).capacity, kCapacity);
  EXPECT_EQ(Geometry(config).atomic_unit, 2048u);
  const LibraryConfig defaults;
  EXPECT_EQ(config.checkpoint_interval_ms, defaults.checkpoint_interval_ms);
  EXPECT_EQ(config.spool_limit, defaults.spool_limit);
  EXPECT_EQ(config.overlay_limit, defaults.overlay_limit);
  EXPECT_EQ(config.copy_start, 0);
  EXPECT_EQ(config.copy_end, 0);
}

TEST_F(VirtualLibraryTest, ConfigSaysWhatTheOperatorWrote) {
  Init();
  ASSERT_OK(
      ConfigError("[library]\nlib_num = 7\n"
                  "[geometry]\nslots = 20\ncapacity = 9_000_000\n"
                  "[policy]\ncheckpoint_interval_ms = 250\n"
                  "spool_limit = 1000\noverlay_limit = 2000\n"
                  "copy_start = 1030\ncopy_end = 1043\n"));
  ASSERT_OK_AND_ASSIGN(const LibraryConfig config, ReadLibraryConfig(path_));
  EXPECT_EQ(config.lib_num, 7u);
  EXPECT_EQ(Geometry(config).slots, 20);
  EXPECT_EQ(Geometry(config).drives, 2);  // left out: the default
  EXPECT_EQ(Geometry(config).capacity, 9'000'000 / kRegionSize * kRegionSize);
  EXPECT_EQ(config.checkpoint_interval_ms, 250u);
  EXPECT_EQ(config.spool_limit, 1000u);
  EXPECT_EQ(config.overlay_limit, 2000u);
  EXPECT_EQ(config.copy_start, 1030);
  EXPECT_EQ(config.copy_end, 1043);
}

TEST_F(VirtualLibraryTest, ConfigErrorsNameTheFileAndTheLine) {
  Init();
  const struct {
    const char* text;
    const char* message;
  } cases[] = {
      {"[geometry]\n\nslots = = 3\n", "library.toml:3: "},
      {"[geometry]\nslots = \"many\"\n",
       "library.toml:2: geometry.slots: must be a whole number"},
      {"[geometry]\nslots = 1.5\n", "library.toml:2: geometry.slots"},
      {"# one\n# two\n[geometry]\ndrives = 0\n",
       "library.toml:4: geometry.drives: 0 is not between 1 and 512"},
      {"[geometry]\ndrives = -1\n", "library.toml:2: geometry.drives: -1"},
      {"[policy]\nspool_limit = 1\nspol_limit = 2\n",
       "library.toml:3: unknown key policy.spol_limit"},
      {"\nslots = 3\n", "library.toml:2: unknown key slots"},
      {"[extra]\n", "library.toml:1: unknown key extra"},
      {"geometry = 3\n", "library.toml:1: geometry must be a table"},
      {"[policy]\ncopy_start = 500\ncopy_end = 1030\n",
       "library.toml:2: policy.copy_start: 500 is no slot: storage 1024 to "
       "1035, import/export 768 to 768"},
      {"[policy]\ncopy_start = 1030\ncopy_end = 1029\n",
       "library.toml:3: policy.copy_end: 1029"},
      {"[policy]\ncopy_start = 1030\n", "library.toml:1: policy.copy_end: 0"},
  };
  for (const auto& c : cases) {
    const Status status = ConfigError(c.text);
    EXPECT_THAT(status, HasErrc(Errc::kInvalidArgument)) << c.text;
    EXPECT_THAT(status, MessageHas(c.message)) << c.text;
  }
}

TEST_F(VirtualLibraryTest, ADirectoryThatIsNoLibraryIsNotFound) {
  EXPECT_THAT(ReadLibraryConfig(dir_.Sub("none")), HasErrc(Errc::kNotFound));
  EXPECT_THAT(ReadLibraryConfig(dir_.path()), HasErrc(Errc::kNotFound));
  EXPECT_THAT(ReadLibraryConfig(dir_.path()), MessageHas(dir_.path()));
  EXPECT_THAT(LibraryLock::Take(dir_.path()), HasErrc(Errc::kNotFound));
}

// ---- lock

TEST_F(VirtualLibraryTest, ASecondLockNamesTheHolder) {
  Init();
  {
    ASSERT_OK_AND_ASSIGN(LibraryLock lock, LibraryLock::Take(path_));
    const auto second = LibraryLock::Take(path_);
    EXPECT_THAT(second, HasErrc(Errc::kBusy));
    EXPECT_THAT(second, MessageHas("process " + std::to_string(getpid())));
    LibraryLock moved = std::move(lock);
    EXPECT_THAT(LibraryLock::Take(path_), HasErrc(Errc::kBusy));
  }
  EXPECT_OK(LibraryLock::Take(path_));
}

TEST_F(VirtualLibraryTest, TheLockOutlivesItsTakerInTheChild) {
  Init();
  auto lock = LibraryLock::Take(path_);
  ASSERT_OK(lock);
  int to_child[2];
  int to_parent[2];
  ASSERT_EQ(pipe(to_child), 0);
  ASSERT_EQ(pipe(to_parent), 0);
  const pid_t child = fork();
  if (child == 0) {
    char byte = lock->UpdateOwner().ok() ? 'y' : 'n';
    if (write(to_parent[1], &byte, 1) != 1) _exit(1);
    _exit(read(to_child[0], &byte, 1) == 1 ? 0 : 1);
  }
  char byte = 0;
  ASSERT_EQ(read(to_parent[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  { const LibraryLock dropped = std::move(*lock); }  // as a parent that exits
  EXPECT_THAT(LibraryLock::Take(path_),
              MessageHas("process " + std::to_string(child)));
  ASSERT_EQ(write(to_child[1], "x", 1), 1);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_OK(LibraryLock::Take(path_));
  for (const int fd : {to_child[0], to_child[1], to_parent[0], to_parent[1]}) {
    close(fd);
  }
}

// ---- elements and images

TEST_F(VirtualLibraryTest, H1_PlacesSurviveARestart) {
  Init();
  {
    LibraryDevices devices = Devices();
    ASSERT_OK(devices.changer->MoveMedium({1024}, {256}));
    ASSERT_OK(devices.changer->MoveMedium({1025}, {768}));
  }
  LibraryDevices devices = Devices();
  EXPECT_EQ(At(*devices.changer, 256).volume_tag, "V00001");
  EXPECT_EQ(At(*devices.changer, 256).source, ElementAddress{1024});
  EXPECT_EQ(At(*devices.changer, 768).volume_tag, "V00002");
  EXPECT_FALSE(At(*devices.changer, 1024).full);
}

TEST_F(VirtualLibraryTest, AMissingImageIsShownAndFailsItsLoadOnly) {
  Init();
  stdfs::remove(path_ + "/media/V00002.img");
  LibraryDevices devices = Devices();
  EXPECT_TRUE(At(*devices.changer, 1025).exception);
  EXPECT_THAT(At(*devices.changer, 1025).note,
              testing::HasSubstr("V00002.img"));
  EXPECT_FALSE(At(*devices.changer, 1024).exception);
  ASSERT_OK(devices.changer->MoveMedium({1025}, {256}));
  const auto opened = devices.drives[0]->Open();
  EXPECT_THAT(opened, HasErrc(Errc::kNoMedium));
  EXPECT_THAT(opened, MessageHas("V00002.img"));
  // The drive holds nothing back: the medium goes home.
  EXPECT_OK(devices.changer->MoveMedium({256}, {1025}));
}

TEST_F(VirtualLibraryTest, ATruncatedImageIsIncompatible) {
  Init();
  stdfs::resize_file(path_ + "/media/V00001.img", kCapacity - kSectorSize);
  LibraryDevices devices = Devices();
  EXPECT_TRUE(At(*devices.changer, 1024).exception);
  ASSERT_OK(devices.changer->MoveMedium({1024}, {256}));
  const auto opened = devices.drives[0]->Open();
  EXPECT_THAT(opened, HasErrc(Errc::kIncompatible));
  EXPECT_THAT(opened, MessageHas("V00001.img"));
  EXPECT_THAT(opened, MessageHas(std::to_string(kCapacity)));
}

TEST_F(VirtualLibraryTest, AWriteProtectedImageIsAWriteProtectedMedium) {
  Init();
  ASSERT_EQ(chmod((path_ + "/media/V00001.img").c_str(), 0444), 0);
  LibraryDevices devices = Devices();
  ASSERT_OK(devices.changer->MoveMedium({1024}, {256}));
  ASSERT_OK_AND_ASSIGN(const auto medium, devices.drives[0]->Open());
  EXPECT_TRUE(medium->Info().write_protected);
}

TEST_F(VirtualLibraryTest, H6_ADriveKeepsItsImageLocked) {
  Init();
  LibraryDevices devices = Devices();
  ASSERT_OK(devices.changer->MoveMedium({1024}, {256}));
  const int fd = open((path_ + "/media/V00001.img").c_str(), O_RDONLY);
  ASSERT_GE(fd, 0);
  {
    ASSERT_OK_AND_ASSIGN(const auto medium, devices.drives[0]->Open());
    EXPECT_NE(flock(fd, LOCK_EX | LOCK_NB), 0);
    EXPECT_EQ(errno, EWOULDBLOCK);
  }
  ASSERT_OK(devices.drives[0]->Close());
  ASSERT_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
  // Locked by someone else: not ready, until it is free.
  const LoggedLines log;
  std::optional<Result<std::unique_ptr<Medium>>> opened;
  {
    const std::jthread load([&] { opened = devices.drives[0]->Open(); });
    const auto deadline =
        std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (log.Count("another process has locked it: waiting") == 0 &&
           std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    close(fd);
  }
  EXPECT_OK(*opened);
  EXPECT_EQ(log.Count("another process has locked it: waiting"), 1);
}

TEST_F(VirtualLibraryTest, DamagedElementStateIsNamed) {
  Init();
  ASSERT_OK_AND_ASSIGN(const LibraryConfig config, ReadLibraryConfig(path_));
  const struct {
    const char* text;
    const char* message;
  } cases[] = {
      {"", "not JSON"},
      {"{\"version\": 9, \"elements\": []}", "version"},
      {"{\"version\": 1}", "not an element list"},
      {"{\"version\": 1, \"elements\": [{}]}", "without address"},
      {"{\"version\": 1, \"elements\": [{\"address\": 70000, "
       "\"volume_tag\": \"V1\"}]}",
       "16-bit"},
      {"{\"version\": 1, \"elements\": [{\"address\": 1030, "
       "\"volume_tag\": \"V1\"}]}",
       "element 1030"},
      {"{\"version\": 1, \"elements\": [{\"address\": 1024, "
       "\"volume_tag\": \"../V1\"}]}",
       "volume_tag"},
      {"{\"version\": 1, \"elements\": [{\"address\": 1024, "
       "\"volume_tag\": \"V1\"}, {\"address\": 1025, \"volume_tag\": "
       "\"V1\"}]}",
       "elements 1024 and 1025"},
      {"{\"version\": 1, \"elements\": [{\"address\": 1024, "
       "\"volume_tag\": \"V1\"}, {\"address\": 1024, \"volume_tag\": "
       "\"V2\"}]}",
       "twice"},
  };
  for (const auto& c : cases) {
    WriteFileOrDie(path_ + "/state/elements.json", c.text);
    const Status status = OpenVirtualLibrary(config).status();
    EXPECT_THAT(status, HasErrc(Errc::kCorruption)) << c.text;
    EXPECT_THAT(status, MessageHas(c.message)) << c.text;
    EXPECT_THAT(status, MessageHas("elements.json")) << c.text;
  }
}

TEST_F(VirtualLibraryTest, AMoveThatCannotBeRecordedDidNotHappen) {
  Init();
  LibraryDevices devices = Devices();
  // In the way of the temporary file, also for root.
  stdfs::create_directory(path_ + "/state/elements.json.tmp");
  EXPECT_FALSE(devices.changer->MoveMedium({1024}, {256}).ok());
  EXPECT_EQ(At(*devices.changer, 1024).volume_tag, "V00001");
  EXPECT_FALSE(At(*devices.changer, 256).full);
  stdfs::remove(path_ + "/state/elements.json.tmp");
  EXPECT_OK(devices.changer->MoveMedium({1024}, {256}));
}

// ---- kill -9

// Moves media around until it is killed; tells after the first round.
[[noreturn]] void MoveForever(const LibraryConfig& config, int tell) {
  auto devices = OpenVirtualLibrary(config);
  if (!devices.ok()) _exit(1);
  const uint16_t stops[] = {256, 1027, 257, 768, 1028};
  bool told = false;
  for (;;) {
    const auto statuses = devices->changer->ReadElementStatus();
    if (!statuses.ok()) _exit(2);
    size_t stop = 0;
    for (const ElementStatus& status : *statuses) {
      if (!status.full) continue;
      for (size_t i = 0; i < 5; ++i) {
        const ElementAddress to{stops[(stop + i) % 5]};
        if (devices->changer->MoveMedium(status.address, to).ok()) break;
      }
      ++stop;
    }
    if (!told && write(tell, "x", 1) != 1) _exit(3);
    told = true;
  }
}

TEST_F(VirtualLibraryTest, H1_KilledAnywhereEachMediumIsInExactlyOneElement) {
  Init();
  ASSERT_OK_AND_ASSIGN(const LibraryConfig config, ReadLibraryConfig(path_));
  for (int round = 0; round < 20; ++round) {
    int tell[2];
    ASSERT_EQ(pipe(tell), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) MoveForever(config, tell[1]);
    close(tell[1]);
    char byte = 0;
    ASSERT_EQ(read(tell[0], &byte, 1), 1);
    close(tell[0]);
    usleep(static_cast<useconds_t>(round) * 700);  // another instant each time
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));

    LibraryDevices devices = Devices();
    ASSERT_OK_AND_ASSIGN(const auto elements,
                         devices.changer->ReadElementStatus());
    std::multiset<VolumeTag> tags;
    for (const ElementStatus& element : elements) {
      if (element.full) tags.insert(element.volume_tag);
    }
    EXPECT_EQ(tags, (std::multiset<VolumeTag>{"V00001", "V00002", "V00003"}));
  }
}

}  // namespace
}  // namespace vellum
