// SPDX-License-Identifier: Apache-2.0
#include "tests/contract/devices_contract.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "tests/support/status_matchers.h"

namespace vellum {

void DevicesContract::SetUp() {
  harness_ = GetParam()();
  ASSERT_NE(harness_, nullptr);
  ASSERT_FALSE(harness_->drives().empty());
  ASSERT_OK_AND_ASSIGN(const auto statuses, changer().ReadElementStatus());
  const std::optional<ElementAddress> wanted = harness_->Writable();
  std::vector<ElementAddress> empty;
  bool found = false;
  for (const ElementStatus& status : statuses) {
    if (status.type != ElementType::kStorage) continue;
    if (!status.full) empty.push_back(status.address);
    if (status.full && !found && (!wanted || status.address == *wanted)) {
      found = true;
      full_ = status.address;
      tag_ = status.volume_tag;
    }
  }
  ASSERT_TRUE(found);
  ASSERT_GE(empty.size(), 2u);
  empty_ = empty[0];
  empty2_ = empty[1];
}

ElementStatus DevicesContract::At(ElementAddress address) {
  const auto statuses = changer().ReadElementStatus();
  EXPECT_OK(statuses);
  if (statuses.ok()) {
    for (const ElementStatus& status : *statuses) {
      if (status.address == address) return status;
    }
  }
  ADD_FAILURE() << "no element " << address.value;
  return {};
}

namespace {

TEST_P(ChangerContract, H8_TellsWhatItIs) {
  ASSERT_OK_AND_ASSIGN(const ChangerIdentity identity, changer().Identify());
  EXPECT_FALSE(identity.vendor.empty());
  EXPECT_FALSE(identity.product.empty());
  EXPECT_FALSE(identity.device.empty());
}

TEST_P(ChangerContract, StatusCoversEveryElementOnceInOrder) {
  ASSERT_OK_AND_ASSIGN(const ElementMap map, changer().Elements());
  ASSERT_OK_AND_ASSIGN(const auto statuses, changer().ReadElementStatus());
  std::vector<std::pair<ElementType, ElementAddress>> seen;
  std::set<uint16_t> addresses;
  for (const ElementStatus& status : statuses) {
    seen.emplace_back(status.type, status.address);
    addresses.insert(status.address.value);
    const ElementRange range =
        status.type == ElementType::kTransport      ? map.transport
        : status.type == ElementType::kStorage      ? map.storage
        : status.type == ElementType::kImportExport ? map.import_export
                                                    : map.data_transfer;
    EXPECT_TRUE(range.Contains(status.address)) << status.address.value;
  }
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(addresses.size(), statuses.size());
  EXPECT_EQ(statuses.size(), size_t{map.transport.count} + map.storage.count +
                                 map.import_export.count +
                                 map.data_transfer.count);
}

TEST_P(ChangerContract, MovesAMediumAndRemembersItsSource) {
  const ElementAddress drive_address = drive().Address();
  ASSERT_OK(changer().MoveMedium(full_, drive_address));
  EXPECT_FALSE(At(full_).full);
  EXPECT_TRUE(At(drive_address).full);
  EXPECT_EQ(At(drive_address).volume_tag, tag_);
  EXPECT_EQ(At(drive_address).source, full_);
  ASSERT_OK(changer().MoveMedium(drive_address, empty_));
  EXPECT_FALSE(At(drive_address).full);
  EXPECT_EQ(At(empty_).volume_tag, tag_);
}

TEST_P(ChangerContract, MovesIntoImportExport) {
  ASSERT_OK_AND_ASSIGN(const ElementMap map, changer().Elements());
  if (map.import_export.count == 0) return;  // the device has none
  ASSERT_OK(changer().MoveMedium(full_, map.import_export.first));
  const ElementStatus status = At(map.import_export.first);
  EXPECT_EQ(status.volume_tag, tag_);
  EXPECT_FALSE(status.imported);  // the robot put it there, no operator
  ASSERT_OK(changer().MoveMedium(map.import_export.first, full_));
}

TEST_P(ChangerContract, O14_ImpossibleMovesFailAndLoseNothing) {
  ASSERT_OK_AND_ASSIGN(const ElementMap map, changer().Elements());
  const ElementAddress unknown{
      static_cast<uint16_t>(map.storage.first.value + map.storage.count)};
  EXPECT_THAT(changer().MoveMedium(empty_, empty2_), HasErrc(Errc::kNoMedium));
  EXPECT_THAT(changer().MoveMedium(full_, full_), HasErrc(Errc::kExists));
  EXPECT_THAT(changer().MoveMedium(full_, unknown), HasErrc(Errc::kNotFound));
  EXPECT_THAT(changer().MoveMedium(unknown, empty_), HasErrc(Errc::kNotFound));
  EXPECT_EQ(At(full_).volume_tag, tag_);
  EXPECT_FALSE(At(empty_).full);
}

TEST_P(ChangerContract, ErrorsNameBothElementsAndTheVolumeTag) {
  ASSERT_OK(changer().MoveMedium(full_, empty_));
  const Status status = changer().MoveMedium(full_, empty_);
  EXPECT_THAT(status, HasErrc(Errc::kNoMedium));
  EXPECT_THAT(status, MessageHas(ToString(full_)));
  EXPECT_THAT(status, MessageHas(ToString(empty_)));
  EXPECT_THAT(changer().MoveMedium(empty_, empty_), MessageHas(tag_));
}

TEST_P(ChangerContract, InitializeKeepsEveryMediumWhereItIs) {
  ASSERT_OK(changer().MoveMedium(full_, empty_));
  ASSERT_OK(changer().InitializeElementStatus());
  EXPECT_EQ(At(empty_).volume_tag, tag_);
  EXPECT_FALSE(At(full_).full);
}

TEST_P(DriveContract, TellsWhatItIs) {
  ASSERT_OK_AND_ASSIGN(const DriveIdentity identity, drive().Identify());
  EXPECT_FALSE(identity.vendor.empty());
  EXPECT_FALSE(identity.product.empty());
  EXPECT_FALSE(identity.device.empty());
  ASSERT_OK_AND_ASSIGN(const ElementMap map, changer().Elements());
  EXPECT_TRUE(map.data_transfer.Contains(drive().Address()));
}

TEST_P(DriveContract, AnEmptyDriveHasNoMedium) {
  EXPECT_THAT(drive().Open(), HasErrc(Errc::kNoMedium));
  EXPECT_THAT(drive().Open(), MessageHas(ToString(drive().Address())));
}

TEST_P(DriveContract, OpensTheMediumThatWasMovedIn) {
  ASSERT_OK(changer().MoveMedium(full_, drive().Address()));
  ASSERT_OK_AND_ASSIGN(auto medium, drive().Open());
  EXPECT_THAT(medium->Info().name, testing::HasSubstr(tag_));
  EXPECT_GT(medium->Info().sectors, 0u);
  medium.reset();
  ASSERT_OK(drive().Close());
}

TEST_P(DriveContract, AMediumKeepsItsContentThroughUnloadAndLoad) {
  Bytes data(2 * kSectorSize, std::byte{42});
  ASSERT_OK(changer().MoveMedium(full_, drive().Address()));
  ASSERT_OK_AND_ASSIGN(auto medium, drive().Open());
  const bool once = medium->Info().medium_class == MediumClass::kWriteOnce;
  const uint64_t place = once ? 0 : 17;
  ASSERT_OK(medium->Write(place, data));
  ASSERT_OK(once ? medium->Finalize() : medium->Flush());
  medium.reset();
  ASSERT_OK(drive().Close());
  ASSERT_OK(changer().MoveMedium(drive().Address(), empty_));
  ASSERT_OK(changer().MoveMedium(empty_, drive().Address()));
  ASSERT_OK_AND_ASSIGN(medium, drive().Open());
  Bytes back(data.size());
  ASSERT_OK(medium->Read(place, back));
  EXPECT_EQ(back, data);
  medium.reset();
  ASSERT_OK(drive().Close());
}

TEST_P(DriveContract, AnOpenMediumCannotBeRemoved) {
  ASSERT_OK(changer().MoveMedium(full_, drive().Address()));
  ASSERT_OK_AND_ASSIGN(auto medium, drive().Open());
  EXPECT_THAT(changer().MoveMedium(drive().Address(), empty_),
              HasErrc(Errc::kBusy));
  EXPECT_TRUE(At(drive().Address()).full);
  medium.reset();
  ASSERT_OK(drive().Close());
  EXPECT_OK(changer().MoveMedium(drive().Address(), empty_));
}

TEST_P(DriveContract, CloseOfAnUnusedDriveIsHarmless) {
  EXPECT_OK(drive().Close());
  ASSERT_OK(changer().MoveMedium(full_, drive().Address()));
  EXPECT_OK(drive().Close());
  EXPECT_OK(changer().MoveMedium(drive().Address(), full_));
}

}  // namespace
}  // namespace vellum
