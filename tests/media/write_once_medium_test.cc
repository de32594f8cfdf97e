// SPDX-License-Identifier: Apache-2.0
#include "media/write_once_medium.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "media/library_directory.h"
#include "media/virtual_library.h"
#include "media/virtual_medium.h"
#include "tests/support/memory_medium.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace vellum {
namespace {

class WriteOnceTest : public testing::Test {
 protected:
  std::unique_ptr<WriteOnceMedium> Open() {
    return std::make_unique<WriteOnceMedium>(ShareMedium(base_), written_,
                                             [this](WrittenState state) {
                                               written_ = state;
                                               return keep_;
                                             });
  }
  static Bytes Filled(size_t sectors, int value) {
    return Bytes(sectors * kSectorSize, static_cast<std::byte>(value));
  }

  std::shared_ptr<MemoryMedium> base_ = std::make_shared<MemoryMedium>(4096);
  WrittenState written_ = WrittenState::kBlank;
  Status keep_;
};

TEST_F(WriteOnceTest, H2_TakesEachSectorOnceInOrder) {
  const auto medium = Open();
  EXPECT_EQ(medium->Info().medium_class, MediumClass::kWriteOnce);
  EXPECT_FALSE(medium->Info().write_protected);
  EXPECT_THAT(medium->Write(1, Filled(1, 1)), HasErrc(Errc::kInvalidArgument));
  EXPECT_EQ(written_, WrittenState::kBlank);  // nothing was begun
  ASSERT_OK(medium->Write(0, Filled(3, 1)));
  EXPECT_EQ(written_, WrittenState::kOpen);
  EXPECT_THAT(medium->Write(0, Filled(1, 2)), HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(medium->Write(4, Filled(1, 2)), HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(medium->Discard(3, 1), HasErrc(Errc::kNotSupported));
  ASSERT_OK(medium->Write(3, Filled(1, 2)));
  Bytes back = Filled(4, 0);
  ASSERT_OK(medium->Read(0, back));
  EXPECT_EQ(back[2 * kSectorSize], std::byte{1});
  EXPECT_EQ(back[3 * kSectorSize], std::byte{2});
}

TEST_F(WriteOnceTest, H2_ClosedMediumRefusesASecondWriteBeforeItStarts) {
  auto medium = Open();
  EXPECT_THAT(medium->Finalize(), HasErrc(Errc::kInvalidArgument));  // empty
  ASSERT_OK(medium->Write(0, Filled(1, 1)));
  ASSERT_OK(medium->Finalize());
  EXPECT_EQ(written_, WrittenState::kClosed);
  EXPECT_TRUE(medium->Info().write_protected);
  EXPECT_THAT(medium->Write(1, Filled(1, 2)), HasErrc(Errc::kWriteProtected));
  EXPECT_THAT(medium->Finalize(), HasErrc(Errc::kWriteProtected));
  medium = Open();
  EXPECT_TRUE(medium->Info().write_protected);
  EXPECT_THAT(medium->Write(0, Filled(1, 2)), HasErrc(Errc::kWriteProtected));
  Bytes back = Filled(2, 9);
  ASSERT_OK(medium->Read(0, back));
  EXPECT_EQ(back[0], std::byte{1});
  EXPECT_EQ(back[kSectorSize], std::byte{0});
}

TEST_F(WriteOnceTest, H2_UnloadedBeforeItsEndItIsSpoiled) {
  ASSERT_OK(Open()->Write(0, Filled(1, 1)));
  const auto medium = Open();
  EXPECT_TRUE(medium->Info().write_protected);
  EXPECT_THAT(medium->Write(1, Filled(1, 2)), HasErrc(Errc::kWriteProtected));
  EXPECT_THAT(medium->Finalize(), HasErrc(Errc::kWriteProtected));
  EXPECT_EQ(written_, WrittenState::kOpen);
}

TEST_F(WriteOnceTest, H2_NothingIsWrittenThatCouldNotBeNoted) {
  keep_ = Status(Errc::kNoSpace, "no room for the note");
  const auto medium = Open();
  EXPECT_THAT(medium->Write(0, Filled(1, 1)), HasErrc(Errc::kNoSpace));
  Bytes back = Filled(1, 9);
  ASSERT_OK(medium->Read(0, back));
  EXPECT_EQ(back[0], std::byte{0});
  EXPECT_THAT(medium->Write(0, Filled(1, 1)), HasErrc(Errc::kWriteProtected));
}

// ---- in a virtual library

class NewMediumTest : public testing::Test {
 protected:
  void SetUp() override {
    VirtualLibraryOptions options;
    options.slots = 4;
    options.media = 1;
    options.capacity = 16 << 20;
    ASSERT_OK(InitVirtualLibrary(library_, options));
  }
  std::string Image(const VolumeTag& tag) {
    return library_ + "/media/" + tag + ".img";
  }
  std::unique_ptr<Medium> Load(ElementAddress slot) {
    auto config = ReadLibraryConfig(library_);
    EXPECT_OK(config);
    auto devices = OpenVirtualLibrary(*config);
    EXPECT_OK(devices);
    devices_ = std::move(*devices);
    EXPECT_OK(
        devices_.changer->MoveMedium(slot, devices_.drives[0]->Address()));
    auto medium = devices_.drives[0]->Open();
    EXPECT_OK(medium);
    return medium.ok() ? std::move(*medium) : nullptr;
  }
  void Unload(std::unique_ptr<Medium> medium, ElementAddress slot) {
    medium.reset();
    ASSERT_OK(devices_.drives[0]->Close());
    ASSERT_OK(
        devices_.changer->MoveMedium(devices_.drives[0]->Address(), slot));
  }

  TempDir dir_;
  std::string library_ = dir_.Sub("library");
  LibraryDevices devices_;
};

TEST_F(NewMediumTest, H2_OfAnotherCapacity) {
  NewVirtualMedium small;
  small.capacity = 8 << 20;
  ASSERT_OK_AND_ASSIGN(const auto added, AddVirtualMedium(library_, small));
  EXPECT_EQ(added.first, "V00002");
  EXPECT_EQ(added.second, ElementAddress{1025});
  const auto medium = Load(added.second);
  EXPECT_EQ(medium->Info().sectors, (8u << 20) / kSectorSize);
  EXPECT_EQ(medium->Info().medium_class, MediumClass::kRewritable);
}

TEST_F(NewMediumTest, H2_WriteOnceStaysWrittenAcrossLoads) {
  NewVirtualMedium once;
  once.write_once = true;
  once.tag = "ONCE1";
  once.element = ElementAddress{1027};
  ASSERT_OK(AddVirtualMedium(library_, once));
  auto medium = Load({1027});
  EXPECT_FALSE(medium->Info().write_protected);
  ASSERT_OK(medium->Write(0, Bytes(kSectorSize)));
  ASSERT_OK(medium->Finalize());
  Unload(std::move(medium), {1027});
  medium = Load({1027});
  EXPECT_TRUE(medium->Info().write_protected);
  EXPECT_THAT(medium->Write(0, Bytes(kSectorSize)),
              HasErrc(Errc::kWriteProtected));
  ASSERT_OK_AND_ASSIGN(const auto traits, ReadMediumTraits(Image("ONCE1")));
  EXPECT_EQ(traits->written, WrittenState::kClosed);
}

TEST_F(NewMediumTest, H2_WriteProtected) {
  NewVirtualMedium locked;
  locked.write_protected = true;
  ASSERT_OK_AND_ASSIGN(const auto added, AddVirtualMedium(library_, locked));
  const auto medium = Load(added.second);
  EXPECT_TRUE(medium->Info().write_protected);
}

TEST_F(NewMediumTest, WhatCannotBeAddedIsSaid) {
  NewVirtualMedium medium;
  medium.tag = "V00001";
  EXPECT_THAT(AddVirtualMedium(library_, medium), HasErrc(Errc::kExists));
  medium.tag = "a/b";
  EXPECT_THAT(AddVirtualMedium(library_, medium),
              HasErrc(Errc::kInvalidArgument));
  medium.tag = "NEW";
  medium.element = ElementAddress{1024};
  EXPECT_THAT(AddVirtualMedium(library_, medium), MessageHas("holds V00001"));
  medium.element = ElementAddress{256};
  EXPECT_THAT(AddVirtualMedium(library_, medium), MessageHas("no slot"));
  medium.element.reset();
  medium.capacity = 1000;
  EXPECT_THAT(AddVirtualMedium(library_, medium), MessageHas("capacity"));
  medium.capacity.reset();
  {
    ASSERT_OK_AND_ASSIGN(const LibraryLock lock, LibraryLock::Take(library_));
    EXPECT_THAT(AddVirtualMedium(library_, medium), HasErrc(Errc::kBusy));
  }
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK(AddVirtualMedium(library_, NewVirtualMedium()));
  }
  EXPECT_THAT(AddVirtualMedium(library_, NewVirtualMedium()),
              HasErrc(Errc::kNoSpace));
}

TEST_F(NewMediumTest, DamagedDescriptionIsShownAtTheElement) {
  ASSERT_OK(AddVirtualMedium(library_, NewVirtualMedium()));
  WriteFileOrDie(library_ + "/media/V00002.json", "{}");
  ASSERT_OK_AND_ASSIGN(const auto config, ReadLibraryConfig(library_));
  ASSERT_OK_AND_ASSIGN(auto devices, OpenVirtualLibrary(config));
  ASSERT_OK_AND_ASSIGN(const auto statuses,
                       devices.changer->ReadElementStatus());
  bool shown = false;
  for (const ElementStatus& status : statuses) {
    if (status.volume_tag != "V00002") continue;
    shown = status.exception &&
            status.note.find("V00002.json") != std::string::npos;
  }
  EXPECT_TRUE(shown);
}

}  // namespace
}  // namespace vellum
