// SPDX-License-Identifier: Apache-2.0
// How many generations of a volume are kept (A8).
#include <gtest/gtest.h>

#include <string>

#include "tests/fs/service_fixture.h"

namespace vellum {
namespace {

class GenerationCommandsTest : public ServiceFixture {};

TEST_F(GenerationCommandsTest, A8_GenerationsOfOneVolume) {
  Run("format V00001 name=VOL-A");
  Run("format V00002 name=COPY role=backup");
  EXPECT_TRUE(Run("generations VOL-A")["generations"].is_null());
  EXPECT_EQ(Run("generations VOL-A 3")["generations"], 3);
  EXPECT_EQ(Run("generations VOL-A")["generations"], 3);
  EXPECT_TRUE(Run("generations VOL-A default")["generations"].is_null());
  for (const char* wrong : {"0", "1001", "many", "-1"}) {
    EXPECT_THAT(service_->Execute(std::string("generations VOL-A ") + wrong),
                HasErrc(Errc::kInvalidArgument))
        << wrong;
  }
  EXPECT_THAT(service_->Execute("generations COPY 2"),
              HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(service_->Execute("generations NONE"), HasErrc(Errc::kNotFound));
}

TEST_F(GenerationCommandsTest, A8_ALowerNumberGivesUpTheOldestAtOnce) {
  Run("format V00001 name=VOL-A");
  EXPECT_EQ(Run("generations VOL-A 3")["released"], Json::array());
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK(service_->jobs().Wait(Run("copy VOL-A")["job"]));
  }
  EXPECT_FALSE(Run("generations VOL-A").contains("released"));
  const Json two = Run("generations VOL-A 2");
  EXPECT_EQ(two["generations"], 2);
  EXPECT_EQ(two["released"], Json::parse(R"([{"volume":"V00002",
                                              "medium":"V00002"}])"))
      << two;
  EXPECT_EQ(two["in_use"], Json::array());
  // The library's number is 1.
  const Json one = Run("generations VOL-A default");
  EXPECT_EQ(one["released"][0]["medium"], "V00003") << one;
  for (const char* medium : {"V00002", "V00003"}) {
    EXPECT_EQ(RowOf(CatJson("pool.json"), "medium", medium)["state"], "unused");
  }
  EXPECT_EQ(RowOf(CatJson("copies.json"), "medium", "V00004")["label"],
            "VOL-A");
}

TEST_F(GenerationCommandsTest, A8_ANumberThatCannotBeMetIsNotSet) {
  Run("format V00001 name=VOL-A");
  Run("generations VOL-A 3");
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK(service_->jobs().Wait(Run("copy VOL-A")["job"]));
  }
  Catalog* const catalog = service_->archive().catalog;
  ASSERT_OK_AND_ASSIGN(const std::string note,
                       catalog->GetRow("medium", "V00002"));
  const auto set_note = [&](const std::string& text) {
    CatalogBatch batch;
    batch.PutRow("medium", "V00002", text);
    ASSERT_OK(catalog->Write(batch, Sync::kYes));
  };
  set_note("damaged");
  for (const char* number : {"1", "default"}) {
    EXPECT_THAT(service_->Execute(std::string("generations VOL-A ") + number),
                HasErrc(Errc::kCorruption));
    EXPECT_EQ(Run("generations VOL-A")["generations"], 3) << number;
  }
  set_note(note);
  EXPECT_EQ(Run("generations VOL-A 1")["released"][0]["medium"], "V00002");
}

TEST_F(GenerationCommandsTest, A8_WhereNobodyAskedForOneOnlyNothingIsGivenUp) {
  Run("format V00001 name=VOL-A");
  for (const char* medium : {"V00002", "V00003"}) {
    ASSERT_OK(service_->jobs().Wait(
        Run(std::string("copy VOL-A to=") + medium)["job"]));
  }
  // It keeps the library's number already, which is 1.
  EXPECT_EQ(Run("generations VOL-A default")["released"], Json::array());
  EXPECT_EQ(RowOf(CatJson("copies.json"), "medium", "V00002")["label"],
            "VOL-A");
}

}  // namespace
}  // namespace vellum
