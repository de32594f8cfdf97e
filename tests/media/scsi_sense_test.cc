// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "media/scsi/sense.h"

namespace vellum::scsi {
namespace {

using Raw = std::vector<uint8_t>;

Sense Of(uint8_t key, uint8_t asc, uint8_t ascq) {
  Sense sense;
  sense.valid = true;
  sense.key = key;
  sense.asc = asc;
  sense.ascq = ascq;
  return sense;
}

TEST(ScsiSenseTest, DecodesFixedFormat) {
  const Sense sense = DecodeSense(Raw{0xF0, 0, 0x03, 0, 0, 0x10, 0x00, 10, 0, 0,
                                      0, 0, 0x11, 0x02, 0, 0, 0, 0});
  EXPECT_TRUE(sense.Is(3, 0x11, 0x02));
  EXPECT_FALSE(sense.deferred);
  EXPECT_EQ(sense.information, 4096u);
  EXPECT_FALSE(sense.progress_percent);
}

TEST(ScsiSenseTest, DecodesDescriptorFormat) {
  const Sense sense =
      DecodeSense(Raw{0x72, 0x03, 0x11, 0x01, 0, 0, 0, 16,
                      // something else first
                      0x03, 2, 0, 0,
                      // information
                      0x00, 0x0A, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 2});
  EXPECT_TRUE(sense.Is(3, 0x11, 0x01));
  EXPECT_EQ(sense.information, 0x100000002u);
}

TEST(ScsiSenseTest, DecodesTheProgressOfALongOperation) {
  Raw fixed(18);
  fixed[0] = 0x70;
  fixed[2] = 0x02;
  fixed[7] = 10;
  fixed[12] = 0x04;
  fixed[13] = 0x04;
  fixed[15] = 0x80;
  fixed[16] = 0x40;  // a quarter of 65536
  EXPECT_EQ(DecodeSense(fixed).progress_percent, 25);
  fixed[2] = 0x05;  // the field means something else with this key
  EXPECT_FALSE(DecodeSense(fixed).progress_percent);
  const Raw descriptor = {0x72, 0x02, 0x04, 0x04, 0,    0,    0,    8,
                          0x02, 6,    0,    0,    0x80, 0x80, 0x00, 0};
  EXPECT_EQ(DecodeSense(descriptor).progress_percent, 50);
}

TEST(ScsiSenseTest, KnowsDeferredErrors) {
  EXPECT_TRUE(DecodeSense(Raw{0x71, 0, 3}).deferred);
  EXPECT_TRUE(DecodeSense(Raw{0x73, 3, 0x0C, 0}).deferred);
  EXPECT_FALSE(DecodeSense(Raw{0x72, 3, 0x0C, 0}).deferred);
}

TEST(ScsiSenseTest, OtherBytesAreNoSense) {
  EXPECT_FALSE(DecodeSense({}).valid);
  EXPECT_FALSE(DecodeSense(Raw(32)).valid);
  EXPECT_FALSE(DecodeSense(Raw{0x7F, 0, 3, 0}).valid);
  EXPECT_EQ(SenseCode(DecodeSense(Raw(18))), Errc::kDeviceError);
}

TEST(ScsiSenseTest, ALengthOfZeroInFixedFormatHidesNothing) {
  Raw raw(18);
  raw[0] = 0x70;
  raw[2] = 0x05;
  raw[12] = 0x3B;
  raw[13] = 0x0E;
  EXPECT_TRUE(DecodeSense(raw).Is(5, 0x3B, 0x0E));
  raw[7] = 4;  // ends before the code: what stands there is not sense
  EXPECT_TRUE(DecodeSense(raw).Is(5, 0, 0));
}

// The sanitizers watch this one: every length of hostile bytes.
TEST(ScsiSenseTest, NeverReadsOutside) {
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    Raw raw(random() % 40);
    for (uint8_t& byte : raw) byte = static_cast<uint8_t>(random());
    if (!raw.empty()) raw[0] = static_cast<uint8_t>(0x70 + random() % 4);
    raw.shrink_to_fit();
    const Sense sense = DecodeSense(raw);
    EXPECT_LE(sense.progress_percent.value_or(0), 100);
    EXPECT_FALSE(Describe(sense).empty());
  }
}

TEST(ScsiSenseTest, EachSenseHasItsCode) {
  const struct {
    Sense sense;
    Errc code;
  } kCases[] = {
      {Of(2, 0x04, 0x01), Errc::kNotReady},
      {Of(2, 0x04, 0x03), Errc::kNotReady},
      {Of(2, 0x05, 0x00), Errc::kOffline},
      {Of(2, 0x3A, 0x00), Errc::kNoMedium},
      {Of(2, 0x3A, 0x02), Errc::kNoMedium},
      {Of(2, 0x30, 0x00), Errc::kIncompatible},
      {Of(3, 0x11, 0x00), Errc::kDeviceError},
      {Of(3, 0x30, 0x01), Errc::kIncompatible},
      {Of(4, 0x15, 0x01), Errc::kNoMedium},
      {Of(4, 0x15, 0x00), Errc::kDeviceError},
      {Of(4, 0x44, 0x00), Errc::kDeviceError},
      {Of(5, 0x20, 0x00), Errc::kNotSupported},
      {Of(5, 0x24, 0x00), Errc::kNotSupported},
      {Of(5, 0x26, 0x00), Errc::kNotSupported},
      {Of(5, 0x21, 0x00), Errc::kInvalidArgument},
      {Of(5, 0x21, 0x01), Errc::kNotFound},
      {Of(5, 0x25, 0x00), Errc::kOffline},
      {Of(5, 0x30, 0x05), Errc::kIncompatible},
      {Of(5, 0x3B, 0x0D), Errc::kExists},
      {Of(5, 0x3B, 0x0E), Errc::kNoMedium},
      {Of(5, 0x3B, 0x12), Errc::kNoMedium},
      {Of(5, 0x53, 0x02), Errc::kBusy},
      {Of(5, 0x53, 0x00), Errc::kDeviceError},
      {Of(6, 0x28, 0x00), Errc::kAborted},
      {Of(6, 0x3A, 0x00), Errc::kAborted},
      {Of(7, 0x27, 0x00), Errc::kWriteProtected},
      {Of(7, 0x27, 0x07), Errc::kNoSpace},
      {Of(7, 0x30, 0x00), Errc::kIncompatible},
      {Of(8, 0x00, 0x00), Errc::kDeviceError},
      {Of(0xB, 0x4B, 0x00), Errc::kAborted},
      {Of(0xD, 0x00, 0x00), Errc::kNoSpace},
  };
  for (const auto& entry : kCases) {
    EXPECT_EQ(SenseCode(entry.sense), entry.code) << Describe(entry.sense);
  }
}

TEST(ScsiSenseTest, OnlyAPassingStateBecomesReady) {
  EXPECT_TRUE(BecomesReady(Of(2, 0x04, 0x00)));
  EXPECT_TRUE(BecomesReady(Of(2, 0x04, 0x01)));
  EXPECT_TRUE(BecomesReady(Of(2, 0x04, 0x07)));
  EXPECT_FALSE(BecomesReady(Of(2, 0x04, 0x02)));
  EXPECT_FALSE(BecomesReady(Of(2, 0x04, 0x03)));
  EXPECT_FALSE(BecomesReady(Of(2, 0x3A, 0x00)));
  EXPECT_FALSE(BecomesReady(Of(4, 0x04, 0x01)));
  EXPECT_FALSE(BecomesReady(Sense{}));
}

TEST(ScsiSenseTest, KnowsADriveThatKeepsItsMedium) {
  EXPECT_TRUE(KeptInDrive(Of(5, 0x53, 0x02)));
  EXPECT_TRUE(KeptInDrive(Of(5, 0x53, 0x00)));
  EXPECT_TRUE(KeptInDrive(Of(5, 0x3B, 0x90)));
  EXPECT_FALSE(KeptInDrive(Of(5, 0x3B, 0x87)));
  EXPECT_FALSE(KeptInDrive(Of(5, 0x3B, 0x0D)));
  EXPECT_FALSE(KeptInDrive(Of(5, 0x3B, 0x0E)));
  EXPECT_FALSE(KeptInDrive(Of(5, 0x24, 0x00)));
  // The robot has tried.
  EXPECT_FALSE(KeptInDrive(Of(3, 0x53, 0x00)));
  EXPECT_FALSE(KeptInDrive(Of(4, 0x53, 0x00)));
  EXPECT_FALSE(KeptInDrive(Sense{}));
}

TEST(ScsiSenseTest, KnowsADriveThatReadsNoOpenDisc) {
  for (const Sense& sense :
       {Of(5, 0x21, 0x00), Of(5, 0x64, 0x00), Of(5, 0x30, 0x02),
        Of(3, 0x30, 0x01), Of(2, 0x30, 0x00), Of(2, 0x04, 0x02),
        Of(8, 0x00, 0x00), Of(8, 0x11, 0x00)}) {
    EXPECT_TRUE(ReadsNoOpenDisc(sense)) << Describe(sense);
  }
  for (const Sense& sense :
       {Of(5, 0x21, 0x02), Of(5, 0x24, 0x00), Of(3, 0x11, 0x00),
        Of(2, 0x3A, 0x00), Of(4, 0x44, 0x00), Of(6, 0x28, 0x00), Sense{}}) {
    EXPECT_FALSE(ReadsNoOpenDisc(sense)) << Describe(sense);
  }
}

TEST(ScsiSenseTest, DescribesWhatItKnows) {
  Sense sense = Of(3, 0x11, 0x00);
  sense.information = 4096;
  EXPECT_EQ(Describe(sense),
            "sense 3/11/00 (unrecovered read error), information 4096");
  sense = Of(2, 0x04, 0x04);
  sense.progress_percent = 12;
  EXPECT_EQ(Describe(sense),
            "sense 2/04/04 (not ready, format in progress), 12 % done");
  sense = Of(9, 0x80, 0x01);
  sense.deferred = true;
  EXPECT_EQ(Describe(sense), "deferred sense 9/80/01 (vendor specific)");
  EXPECT_EQ(Describe(Sense{}), "no sense data");
}

}  // namespace
}  // namespace vellum::scsi
