// SPDX-License-Identifier: Apache-2.0
// Faults on demand (H6) and the door (H3) of a virtual library.
#include "media/device_faults.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "media/library.h"
#include "media/virtual_controls.h"
#include "media/virtual_library.h"
#include "tests/support/memory_medium.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace vellum {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class DeviceFaultsTest : public testing::Test {
 protected:
  void SetUp() override {
    VirtualLibraryOptions options;
    options.slots = 6;
    options.media = 3;
    options.drives = 2;
    options.import_export = 2;
    options.capacity = 8 << 20;
    ASSERT_OK(InitVirtualLibrary(directory_, options));
    OpenLibrary();
  }
  void OpenLibrary() {
    library_.reset();
    const auto config = ReadLibraryConfig(directory_);
    ASSERT_OK(config);
    auto devices = OpenVirtualLibrary(*config);
    ASSERT_OK(devices);
    controls_ = devices->virtual_controls;
    auto library =
        Library::Open(std::move(devices->changer), std::move(devices->drives));
    ASSERT_OK(library);
    library_ = std::move(*library);
  }
  Result<MediumLease> Take(const MediumId& medium) {
    LeaseRequest request;
    request.medium = medium;
    ASSIGN_OR_RETURN(std::vector<MediumLease> leases,
                     library_->AcquireAndWait({request}));
    return std::move(leases[0]);
  }
  DeviceFaults& faults() { return *controls_->faults(); }
  static Bytes Filled(int value, size_t sectors = 1) {
    return Bytes(sectors * kSectorSize, static_cast<std::byte>(value));
  }

  TempDir dir_;
  const std::string directory_ = dir_.Sub("library");
  std::shared_ptr<VirtualControls> controls_;
  std::unique_ptr<Library> library_;
};

TEST_F(DeviceFaultsTest, H6_SectorsOfALoadedMediumFail) {
  ASSERT_OK_AND_ASSIGN(MediumLease lease, Take("V00001"));
  Bytes data = Filled(1, 4);
  ASSERT_OK(lease.medium().Write(8, data));
  faults().FailSectors("V00001", DeviceFaults::Access::kRead, {10, 1});
  EXPECT_THAT(lease.medium().Read(8, data), HasErrc(Errc::kDeviceError));
  EXPECT_OK(lease.medium().Write(8, data));
  EXPECT_OK(lease.medium().Read(8, ByteSpan(data).first(2 * kSectorSize)));
  ASSERT_EQ(faults().List().size(), 1u);
  EXPECT_EQ(faults().List()[0].kind, "medium-error");
  faults().Clear();
  EXPECT_OK(lease.medium().Read(8, data));
  EXPECT_TRUE(faults().List().empty());
}

TEST_F(DeviceFaultsTest, H6_TransfersAreShortAsOftenAsAsked) {
  ASSERT_OK_AND_ASSIGN(MediumLease lease, Take("V00001"));
  faults().ShortenTransfers("V00001", DeviceFaults::Access::kBoth, 1);
  ASSERT_EQ(faults().List().size(), 1u);
  EXPECT_EQ(faults().List()[0].kind, "short-transfer");
  EXPECT_EQ(faults().List()[0].detail, "1 reads and 1 writes");
  Bytes data = Filled(1, 4);
  EXPECT_THAT(lease.medium().Write(8, data), MessageHas("short transfer"));
  EXPECT_OK(lease.medium().Write(8, data));
  EXPECT_THAT(lease.medium().Read(8, data), MessageHas("short transfer"));
  EXPECT_OK(lease.medium().Read(8, data));
  EXPECT_TRUE(faults().List().empty());
}

TEST_F(DeviceFaultsTest, H6_LoadsFailAsOftenAsAsked) {
  faults().FailLoads("V00001", 2);
  EXPECT_THAT(Take("V00001").status(), HasErrc(Errc::kNotReady));
  EXPECT_OK(Take("V00002"));
  EXPECT_THAT(Take("V00001").status(), HasErrc(Errc::kNotReady));
  EXPECT_OK(Take("V00001"));
}

TEST_F(DeviceFaultsTest, H6_ALoadIsSlow) {
  faults().SlowLoad("V00001", std::chrono::milliseconds(50));
  const auto begun = std::chrono::steady_clock::now();
  ASSERT_OK(Take("V00001"));
  EXPECT_GE(std::chrono::steady_clock::now() - begun,
            std::chrono::milliseconds(50));
}

TEST_F(DeviceFaultsTest, H6_AStuckTransportMovesNothing) {
  faults().StickTransport();
  const auto taken = Take("V00001");
  ASSERT_THAT(taken.status(), HasErrc(Errc::kDeviceError));
  EXPECT_THAT(taken.error().message, HasSubstr("the transport is stuck"));
  EXPECT_EQ(library_->FindMedium("V00001")->element.value, 1024);
  faults().Clear();
  EXPECT_OK(Take("V00001"));
}

TEST_F(DeviceFaultsTest, H6_AUnitAttentionRefusesOneMove) {
  faults().RaiseAttention();
  EXPECT_THAT(Take("V00001").status(), HasErrc(Errc::kNotReady));
  EXPECT_OK(Take("V00001"));
}

TEST_F(DeviceFaultsTest, H6_ADriveThatIsGoneTakesItsMediumWithIt) {
  ASSERT_OK_AND_ASSIGN(MediumLease lease, Take("V00001"));
  const ElementAddress drive = lease.drive();
  faults().LoseDrive(drive);
  Bytes data = Filled(0);
  EXPECT_THAT(lease.medium().Read(0, data), HasErrc(Errc::kNoMedium));
  lease.Release();
  // The other drive serves on.
  ASSERT_OK_AND_ASSIGN(MediumLease other, Take("V00002"));
  EXPECT_NE(other.drive(), drive);
  EXPECT_OK(other.medium().Read(0, data));
}

TEST_F(DeviceFaultsTest, H6_ALostBarCodeIsNotReported) {
  faults().HideTag("V00001");
  ASSERT_OK(library_->RefreshElements());
  EXPECT_FALSE(library_->FindMedium("V00001").ok());
  ASSERT_OK_AND_ASSIGN(const MediumPlace place, library_->MediumAt({1024}));
  EXPECT_EQ(place.id, "@1024");
  EXPECT_OK(Take("@1024"));  // it can be used by its slot
}

TEST_F(DeviceFaultsTest, H6_SwappedMediaAreWhereTheOtherWas) {
  ASSERT_OK(controls_->Swap("V00001", "V00003"));
  ASSERT_OK(library_->RefreshElements());
  EXPECT_EQ(library_->FindMedium("V00001")->element.value, 1026);
  EXPECT_EQ(library_->FindMedium("V00003")->element.value, 1024);
  ASSERT_OK_AND_ASSIGN(const MediumLease lease, Take("V00001"));
  EXPECT_THAT(controls_->Swap("V00001", "V00002"), HasErrc(Errc::kBusy));
  EXPECT_THAT(controls_->Swap("V00009", "V00002"), HasErrc(Errc::kNotFound));
}

TEST_F(DeviceFaultsTest, H6_APowerCutDropsWhatWasNotFlushed) {
  EXPECT_THAT(faults().CutPower(false, 1).status(), HasErrc(Errc::kNotReady));
  faults().ArmPowerCut();
  {
    ASSERT_OK_AND_ASSIGN(MediumLease lease, Take("V00001"));
    ASSERT_OK(lease.medium().Write(0, Filled(1, 2)));
    ASSERT_OK(lease.medium().Flush());
    ASSERT_OK(lease.medium().Write(1, Filled(2, 2)));
    ASSERT_OK_AND_ASSIGN(const uint64_t sectors, faults().CutPower(false, 1));
    EXPECT_EQ(sectors, 2u);
    Bytes data = Filled(0);
    EXPECT_THAT(lease.medium().Read(0, data), HasErrc(Errc::kNoMedium));
    EXPECT_THAT(lease.medium().Write(0, data), HasErrc(Errc::kNoMedium));
    EXPECT_THAT(lease.medium().Flush(), HasErrc(Errc::kNoMedium));
  }
  OpenLibrary();
  ASSERT_OK_AND_ASSIGN(MediumLease lease, Take("V00001"));
  Bytes data = Filled(9, 3);
  ASSERT_OK(lease.medium().Read(0, data));
  EXPECT_EQ(data[0], std::byte{1});
  EXPECT_EQ(data[kSectorSize], std::byte{1});      // was 2, not flushed
  EXPECT_EQ(data[2 * kSectorSize], std::byte{0});  // was never there
}

TEST_F(DeviceFaultsTest, H6_APowerCutTearsSectors) {
  faults().ArmPowerCut();
  {
    ASSERT_OK_AND_ASSIGN(MediumLease lease, Take("V00001"));
    ASSERT_OK(lease.medium().Write(0, Filled(7, 64)));
    ASSERT_OK(faults().CutPower(true, 42));
  }
  OpenLibrary();
  ASSERT_OK_AND_ASSIGN(MediumLease lease, Take("V00001"));
  Bytes data = Filled(0, 64);
  ASSERT_OK(lease.medium().Read(0, data));
  size_t kept = 0;
  for (size_t at = 0; at < data.size(); at += 512) {
    kept += data[at] == std::byte{7} ? 1 : 0;
    // Units of 512 bytes are whole.
    EXPECT_EQ(data[at], data[at + 511]);
  }
  EXPECT_GT(kept, 0u);
  EXPECT_LT(kept, data.size() / 512);
}

TEST_F(DeviceFaultsTest, H3_MediaComeAndGoThroughTheDoor) {
  NewVirtualMedium fresh;
  fresh.tag = "NEW001";
  ASSERT_OK_AND_ASSIGN(const auto made, controls_->PutNew(fresh));
  EXPECT_EQ(made.second.value, 768);
  ASSERT_OK(library_->RefreshElements());
  EXPECT_OK(Take("NEW001"));
  EXPECT_THAT(controls_->PutNew(fresh).status(), HasErrc(Errc::kExists));
  ASSERT_OK(library_->SendHome("NEW001"));
  ASSERT_OK_AND_ASSIGN(const VolumeTag out, controls_->TakeOut({768}));
  EXPECT_EQ(out, "NEW001");
  ASSERT_OK(library_->RefreshElements());
  EXPECT_FALSE(library_->FindMedium("NEW001").ok());
  ASSERT_OK_AND_ASSIGN(const std::vector<VolumeTag> outside,
                       controls_->Outside());
  EXPECT_THAT(outside, ElementsAre("NEW001"));
  // It outlives a restart, and comes back.
  OpenLibrary();
  EXPECT_FALSE(library_->FindMedium("NEW001").ok());
  ASSERT_OK_AND_ASSIGN(const ElementAddress in,
                       controls_->PutIn("NEW001", ElementAddress{769}));
  EXPECT_EQ(in.value, 769);
  ASSERT_OK(library_->RefreshElements());
  EXPECT_TRUE(library_->FindMedium("NEW001")->in_import_export);
}

TEST_F(DeviceFaultsTest, H3_TheDoorSaysWhatIsWrong) {
  EXPECT_THAT(controls_->PutIn("V00001", {}).status(), HasErrc(Errc::kExists));
  EXPECT_THAT(controls_->PutIn("V00009", {}).status(),
              HasErrc(Errc::kNotFound));
  EXPECT_THAT(controls_->TakeOut({768}).status(), HasErrc(Errc::kNoMedium));
  EXPECT_THAT(controls_->TakeOut({1024}).status(),
              HasErrc(Errc::kInvalidArgument));
  EXPECT_OK(controls_->PutNew({}));
  EXPECT_OK(controls_->PutNew({}));
  EXPECT_THAT(controls_->PutNew({}).status(), HasErrc(Errc::kNoSpace));
  NewVirtualMedium medium;
  medium.element = ElementAddress{1024};
  EXPECT_THAT(controls_->PutNew(medium).status(),
              HasErrc(Errc::kInvalidArgument));
}

}  // namespace
}  // namespace vellum
