// SPDX-License-Identifier: Apache-2.0
// What changers of several makes answer to READ ELEMENT STATUS, byte by byte.
// The data of tgt is as it answered; the others are made by hand from what is
// known of them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>
#include <sstream>

#include "media/scsi/element_status.h"
#include "tests/support/status_matchers.h"

namespace vellum::scsi {
namespace {

using Raw = std::vector<uint8_t>;

Raw operator+(Raw a, const Raw& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Raw Hex(const std::string& digits) {
  std::istringstream in(digits);
  Raw raw;
  for (unsigned byte = 0; in >> std::hex >> byte;) {
    raw.push_back(static_cast<uint8_t>(byte));
  }
  return raw;
}

Raw Text(std::string text, size_t size, char pad = ' ') {
  text.resize(size, pad);
  return Raw(text.begin(), text.end());
}

// A volume tag field: 32 characters, 2 reserved, a sequence number of 2.
Raw Tag(const std::string& text, char pad = ' ') {
  return Text(text, 32, pad) + Raw(4);
}

std::string Print(const ElementRecord& r) {
  constexpr const char* kNames[] = {"", "robot", "slot", "port", "drive"};
  std::string text =
      fmt::format("{} {}", kNames[static_cast<int>(r.type)], r.address.value);
  const auto add = [&](bool condition, const std::string& word) {
    if (condition) text += " " + word;
  };
  add(r.full, "full");
  add(r.access, "access");
  add(r.imported, "imported");
  add(r.can_export, "export");
  add(r.can_import, "import");
  add(r.exception, fmt::format("exception={:02X}/{:02X}", r.asc, r.ascq));
  add(r.disabled, "disabled");
  add(r.inverted, "inverted");
  add(r.medium_type != 0, fmt::format("type={}", r.medium_type));
  if (r.source) text += fmt::format(" from={}", r.source->value);
  add(!r.volume_tag.empty(), "tag=" + r.volume_tag);
  add(!r.alternate_tag.empty(), "other=" + r.alternate_tag);
  if (r.identifier) {
    text += r.identifier->vendor.empty()
                ? " id=" + r.identifier->text
                : fmt::format(" id={},{},{}", r.identifier->vendor,
                              r.identifier->product, r.identifier->serial);
  }
  add(r.cut, "cut");
  return text;
}

std::vector<std::string> Parsed(const Raw& data) {
  // A copy that ends where the data ends, for the sanitizer.
  const std::unique_ptr<uint8_t[]> exact(new uint8_t[data.size()]);
  std::copy(data.begin(), data.end(), exact.get());
  const auto report = ParseElementStatus({exact.get(), data.size()});
  if (!report.ok()) return {report.error().message};
  std::vector<std::string> lines;
  for (const ElementRecord& record : report->records) {
    lines.push_back(Print(record));
  }
  return lines;
}

using Lines = std::vector<std::string>;

// Drives with VOLTAG and DVCID: the transfer ends 8 bytes early, and empty
// elements have a tag of spaces.
TEST(ElementStatusTest, TgtDrives) {
  EXPECT_EQ(
      Parsed(Hex("01 00 00 02 00 00 00 b4") + Hex("04 80 00 56 00 00 00 ac") +
             Hex("01 00 00 00 00 00 00 00 00 00 00 00") + Tag("") +
             Hex("02 00 00 22") + Text("VELLUM", 8) + Text("DRIVE", 16) +
             Text("DRIVE0000", 10, '\0') +
             Hex("01 01 01 00 00 00 00 00 00 80 04 00") + Tag("D00002L1") +
             Hex("02 00 00 22") + Text("VELLUM", 8) + Text("DRIVE", 16) +
             Text("DR", 2)),
      (Lines{"drive 256 id=VELLUM  DRIVE           DRIVE0000",
             "drive 257 full from=1024 tag=D00002L1 "
             "id=VELLUM  DRIVE           DR cut"}));
}

// Without VOLTAG what is missing are the last element's source bytes.
TEST(ElementStatusTest, TgtSlotsWithoutTags) {
  EXPECT_EQ(
      Parsed(Hex("04 00 00 02 00 00 00 28") + Hex("02 00 00 10 00 00 00 20") +
             Hex("04 00 01 00 00 00 00 00 00 80 04 01 00 00 00 00") +
             Hex("04 01 01 00 00 00 00 00")),
      (Lines{"slot 1024 full from=1025", "slot 1025 full cut"}));
}

// All types at once: each page is 8 bytes short, and the next one begins there.
TEST(ElementStatusTest, TgtAllTypesIsGarbageThatEnds) {
  EXPECT_EQ(
      Parsed(Hex("01 00 00 03 00 00 00 ac") + Hex("01 80 00 34 00 00 00 34") +
             Hex("00 01 00 00 00 00 00 00 00 00 00 00") + Text("", 32) +
             Hex("02 80 00 34 00 00 00 68") +
             Hex("04 00 01 00 00 00 00 00 00 00 00 00") + Tag("D00000L1") +
             Raw(4) + Hex("04 01 01 00 00 00 00 00 00 00 00 00") +
             Text("D00001L1", 32)),
      (Lines{"robot 1"}));
}

// As mhvtl and QuadStor answer: by the standard.
TEST(ElementStatusTest, VirtualTapeLibrary) {
  EXPECT_EQ(
      Parsed(
          // header
          Hex("00 00 00 06 00 00 01 8c") +
          // picker
          Hex("01 80 00 34 00 00 00 34") +
          Hex("00 00 00 00 00 00 00 00 00 00 00 00") + Tag("") + Raw(4) +
          // slots
          Hex("02 80 00 34 00 00 00 68") +
          Hex("03 e8 09 00 00 00 00 00 00 81 01 f4") + Tag("E01001L8") +
          Raw(4) + Hex("03 e9 08 00 00 00 00 00 00 00 00 00") + Tag("") +
          Raw(4) +
          // import/export
          Hex("03 80 00 34 00 00 00 68") +
          Hex("03 20 3b 00 00 00 00 00 00 01 00 00") + Tag("E01002L8") +
          Raw(4) + Hex("03 21 38 00 00 00 00 00 00 00 00 00") + Tag("") +
          Raw(4) +
          // drives, with DVCID
          Hex("04 80 00 56 00 00 00 56") +
          Hex("01 f4 09 00 00 00 00 00 00 82 03 ea") + Tag("CLN101L8") +
          Hex("02 01 00 22") + Text("IBM", 8) + Text("ULT3580-TD8", 16) +
          Text("XYZZY_A1", 10)),
      (Lines{"robot 0", "slot 1000 full access type=1 from=500 tag=E01001L8",
             "slot 1001 access",
             "port 800 full access imported export import type=1 tag=E01002L8",
             "port 801 access export import",
             "drive 500 full access type=2 from=1002 tag=CLN101L8 "
             "id=IBM,ULT3580-TD8,XYZZY_A1"}));
}

// HP MSL: tags padded with NUL, an unlabelled medium as an exception.
TEST(ElementStatusTest, HpMsl) {
  EXPECT_EQ(
      Parsed(Hex("03 e9 00 03 00 00 00 a4") + Hex("02 80 00 34 00 00 00 9c") +
             Hex("03 e9 09 00 00 00 00 00 00 81 03 e9") +
             Tag("ABC123L5", '\0') + Raw(4) +
             Hex("03 ea 0d 00 83 00 00 00 00 00 00 00") + Tag("", '\0') +
             Raw(4) + Hex("03 eb 08 00 00 00 00 00 00 00 00 00") +
             Tag("", '\0') + Raw(4)),
      (Lines{"slot 1001 full access type=1 from=1001 tag=ABC123L5",
             "slot 1002 full access exception=83/00", "slot 1003 access"}));
}

// An optical jukebox (DISC, Plasmon, HP SureStore): no tags at all, media with
// two sides; the drive's SCSI address is in its descriptor.
TEST(ElementStatusTest, OpticalJukebox) {
  EXPECT_EQ(
      Parsed(Hex("00 01 00 04 00 00 00 58") + Hex("01 00 00 10 00 00 00 10") +
             Hex("00 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00") +
             Hex("02 00 00 10 00 00 00 20") +
             Hex("00 0b 09 00 00 00 00 00 00 c0 00 0b 00 00 00 00") +
             Hex("00 0c 08 00 00 00 00 00 00 00 00 00 00 00 00 00") +
             Hex("04 00 00 10 00 00 00 10") +
             Hex("00 02 09 00 00 00 20 04 00 c0 00 0c 00 00 00 00")),
      (Lines{"robot 1", "slot 11 full access inverted from=11",
             "slot 12 access", "drive 2 full access inverted from=12"}));
}

// ADIC: a page whose descriptors have no length, where a type is absent;
// elements of a segment that is switched off.
TEST(ElementStatusTest, AdicScalar) {
  EXPECT_EQ(
      Parsed(Hex("00 01 00 03 00 00 00 80") + Hex("03 80 00 00 00 00 00 00") +
             Hex("02 80 00 34 00 00 00 68") +
             Hex("10 00 09 00 00 00 00 00 00 80 10 00") + Tag("000123") +
             Raw(4) + Hex("10 01 0c 00 3b 12 00 00 00 08 00 00") + Tag("") +
             Raw(4)),
      (Lines{"slot 4096 full access from=4096 tag=000123",
             "slot 4097 access exception=3B/12 disabled"}));
  // The same with a byte count behind the length of 0.
  EXPECT_EQ(
      Parsed(Hex("00 01 00 01 00 00 00 30") + Hex("03 80 00 00 00 00 00 10") +
             Raw(16) + Hex("02 00 00 10 00 00 00 10") +
             Hex("10 00 09 00 00 00 00 00 00 00 00 00 00 00 00 00")),
      (Lines{"slot 4096 full access"}));
}

// The first changers (SCSI-2): descriptors of 12 bytes, nothing behind them.
TEST(ElementStatusTest, Scsi2Autoloader) {
  EXPECT_EQ(
      Parsed(Hex("00 00 00 02 00 00 00 20") + Hex("02 00 00 0c 00 00 00 18") +
             Hex("00 01 09 00 00 00 00 00 00 80 00 01") +
             Hex("00 02 08 00 00 00 00 00 00 00 00 00")),
      (Lines{"slot 1 full access from=1", "slot 2 access"}));
}

TEST(ElementStatusTest, AlternateTagsAndUnreadableLabels) {
  EXPECT_EQ(
      Parsed(Hex("00 01 00 02 00 00 00 b8") + Hex("02 c0 00 58 00 00 00 b0") +
             Hex("00 0b 09 00 00 00 00 00 00 00 00 00") + Tag("SIDE-A") +
             Tag("SIDE-B") + Raw(4) +
             Hex("00 0c 0d 00 83 00 00 00 00 00 00 00") + Raw(36, 0xFF) +
             Tag("") + Raw(4)),
      (Lines{"slot 11 full access tag=SIDE-A other=SIDE-B",
             "slot 12 full access exception=83/00"}));
}

// A pass-through without residual: the buffer goes on behind the data, here
// with what was in it before.
TEST(ElementStatusTest, WhatLiesBehindTheCountIsNotRead) {
  EXPECT_EQ(
      Parsed(Hex("00 00 00 02 00 00 00 18") + Hex("02 00 00 10 00 00 00 10") +
             Hex("00 01 09 00 00 00 00 00 00 00 00 00 00 00 00 00") +
             Hex("02 00 00 10 00 00 00 10") +
             Hex("00 02 09 00 00 00 00 00 00 00 00 00 00 00 00 00")),
      (Lines{"slot 1 full access"}));
}

TEST(ElementStatusTest, TheNumberOfElementsIsABoundToo) {
  EXPECT_EQ(
      Parsed(Hex("00 00 00 01 00 00 00 28") + Hex("02 00 00 10 00 00 00 20") +
             Hex("00 01 09 00 00 00 00 00 00 00 00 00 00 00 00 00") +
             Hex("00 02 09 00 00 00 00 00 00 00 00 00 00 00 00 00")),
      (Lines{"slot 1 full access"}));
}

TEST(ElementStatusTest, TellsHowMuchThereIsToRead) {
  const Raw header = Hex("00 0a 00 05 00 01 02 03");
  ASSERT_OK_AND_ASSIGN(const ElementReport report, ParseElementStatus(header));
  EXPECT_EQ(report.first, 10);
  EXPECT_EQ(report.count, 5);
  EXPECT_EQ(report.available, 8u + 0x010203);
  EXPECT_TRUE(report.records.empty());
}

TEST(ElementStatusTest, DataWithoutHeaderIsAnError) {
  EXPECT_THAT(ParseElementStatus(Raw(7)), HasErrc(Errc::kDeviceError));
  EXPECT_THAT(ParseElementStatus({}), HasErrc(Errc::kDeviceError));
}

TEST(ElementStatusTest, UnknownTypesAndCountsBeyondTheEndAreHarmless) {
  EXPECT_EQ(
      Parsed(Hex("00 00 ff ff 00 ff ff ff") + Hex("07 00 00 10 00 00 00 10") +
             Raw(16) + Hex("00 00 00 10 00 00 00 10") + Raw(16) +
             Hex("02 00 00 02 00 00 00 04") + Raw(4) +
             Hex("02 80 ff ff 00 ff ff ff") + Hex("00 01 09")),
      (Lines{"slot 1 full access cut"}));
}

TEST(ElementStatusTest, VolumeTagsLoseTheirPadding) {
  const auto tag = [](const Raw& field) { return ParseVolumeTag(field); };
  EXPECT_EQ(tag(Tag("V00001L1")), "V00001L1");
  EXPECT_EQ(tag(Tag("V00001L1", '\0')), "V00001L1");
  EXPECT_EQ(tag(Text("  V1  x", 32)), "V1  x");
  EXPECT_EQ(tag(Tag("V1") + Text("behind", 6)), "V1");
  EXPECT_EQ(tag(Raw(36)), "");
  EXPECT_EQ(tag(Tag("")), "");
  EXPECT_EQ(tag(Raw(36, 0xFF)), "");
  EXPECT_EQ(tag(Hex("56 31 07 20")), "");
  EXPECT_EQ(tag(Text("V1", 2)), "V1");
  EXPECT_EQ(tag({}), "");
}

TEST(ElementStatusTest, IdentifiersOfEveryForm) {
  const auto drive = [](const Raw& identifier) {
    const Lines lines =
        Parsed(Hex("00 02 00 01 00 00 00 ff") + Hex("04 00 00 40 00 00 00 40") +
               Hex("00 02 08 00 00 00 00 00 00 00 00 00") + identifier +
               Raw(52 - identifier.size()));
    return lines.front();
  };
  EXPECT_EQ(drive({}), "drive 2 access");
  EXPECT_EQ(drive(Hex("02 00 00 0a") + Text("1210073642", 10)),
            "drive 2 access id=1210073642");
  EXPECT_EQ(drive(Hex("02 01 00 20") + Text("HP", 8) +
                  Text("Ultrium 5-SCSI", 16) + Text("HU1234", 8)),
            "drive 2 access id=HP,Ultrium 5-SCSI,HU1234");
  EXPECT_EQ(drive(Hex("01 03 00 08 50 01 10 a0 00 15 ef 01")),
            "drive 2 access id=500110a00015ef01");
  EXPECT_EQ(drive(Hex("02 00 00 08") + Text("", 8)), "drive 2 access");
  EXPECT_EQ(drive(Hex("02 01 00 ff") + Text("HP", 8)),
            "drive 2 access id=HP,,");
}

// The sanitizers watch this one.
TEST(ElementStatusTest, NeverReadsOutsideAndEnds) {
  std::mt19937 random(3);
  constexpr uint8_t kOften[] = {0, 1, 2, 4, 0x0C, 0x10, 0x34, 0x80, 0xC0, 0xFF};
  for (int round = 0; round < 20'000; ++round) {
    Raw raw(random() % 200);
    for (uint8_t& byte : raw) {
      byte = random() % 4 != 0 ? kOften[random() % std::size(kOften)]
                               : static_cast<uint8_t>(random());
    }
    Parsed(raw);
  }
}

}  // namespace
}  // namespace vellum::scsi
