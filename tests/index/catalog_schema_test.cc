// SPDX-License-Identifier: Apache-2.0
// What Catalog::Open makes of databases that are not quite its own.
#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <rocksdb/options.h>

#include <memory>
#include <string>
#include <vector>

#include "index/catalog.h"
#include "index/keys.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace vellum {
namespace {

class CatalogSchemaTest : public testing::Test {
 protected:
  std::string path() const { return dir_.Sub("catalog"); }

  // Opens what is at path() with RocksDB itself, all families, and runs
  // change(db, handle of the default family).
  template <typename Change>
  void WithDatabase(const Change& change) {
    rocksdb::Options options;
    options.create_if_missing = true;
    std::vector<std::string> names;
    if (!rocksdb::DB::ListColumnFamilies(options, path(), &names).ok()) {
      names = {"default"};
    }
    std::vector<rocksdb::ColumnFamilyDescriptor> families;
    for (const std::string& name : names) families.emplace_back(name, options);
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* raw = nullptr;
    ASSERT_TRUE(
        rocksdb::DB::Open(options, path(), families, &handles, &raw).ok());
    const std::unique_ptr<rocksdb::DB> db(raw);
    change(db.get());
    for (auto* handle : handles) {
      ASSERT_TRUE(db->DestroyColumnFamilyHandle(handle).ok());
    }
  }
  void SetVersion(const std::string& value) {
    WithDatabase([&](rocksdb::DB* db) {
      ASSERT_TRUE(
          db->Put({}, std::string_view(SchemaVersionKey()), value).ok());
    });
  }

  TempDir dir_;
};

TEST_F(CatalogSchemaTest, ItsOwnIsOpened) {
  ASSERT_OK(Catalog::Open(path(), {}));
  SetVersion("\x01");
  EXPECT_OK(Catalog::Open(path(), {}));
}

TEST_F(CatalogSchemaTest, NewerVersionIsIncompatible) {
  ASSERT_OK(Catalog::Open(path(), {}));
  SetVersion("\x02");
  const auto catalog = Catalog::Open(path(), {});
  EXPECT_THAT(catalog, HasErrc(Errc::kIncompatible));
  EXPECT_THAT(catalog, MessageHas("schema version 2"));
}

TEST_F(CatalogSchemaTest, MalformedVersionIsCorruption) {
  ASSERT_OK(Catalog::Open(path(), {}));
  SetVersion("");
  EXPECT_THAT(Catalog::Open(path(), {}), HasErrc(Errc::kCorruption));
  SetVersion(std::string(1, '\0'));
  EXPECT_THAT(Catalog::Open(path(), {}), HasErrc(Errc::kCorruption));
}

TEST_F(CatalogSchemaTest, UnknownColumnFamilyIsIncompatible) {
  ASSERT_OK(Catalog::Open(path(), {}));
  WithDatabase([&](rocksdb::DB* db) {
    rocksdb::ColumnFamilyHandle* handle = nullptr;
    ASSERT_TRUE(db->CreateColumnFamily({}, "holograms", &handle).ok());
    ASSERT_TRUE(db->DestroyColumnFamilyHandle(handle).ok());
  });
  const auto catalog = Catalog::Open(path(), {});
  EXPECT_THAT(catalog, HasErrc(Errc::kIncompatible));
  EXPECT_THAT(catalog, MessageHas("holograms"));
}

TEST_F(CatalogSchemaTest, DatabaseOfSomethingElseIsIncompatible) {
  WithDatabase(
      [&](rocksdb::DB* db) { ASSERT_TRUE(db->Put({}, "balance", "12").ok()); });
  EXPECT_THAT(Catalog::Open(path(), {}), HasErrc(Errc::kIncompatible));
  // It was left alone.
  WithDatabase([&](rocksdb::DB* db) {
    std::string value;
    EXPECT_TRUE(db->Get({}, "balance", &value).ok());
  });
}

TEST_F(CatalogSchemaTest, DamagedTablesAreCorruption) {
  WriteFileOrDie(dir_.Sub("CURRENT"), "MANIFEST-000001\n");
  WriteFileOrDie(dir_.Sub("MANIFEST-000001"), std::string(200, 'x'));
  EXPECT_THAT(Catalog::Open(dir_.path(), {}), HasErrc(Errc::kCorruption));
}

TEST_F(CatalogSchemaTest, RowsThatDoNotDecodeNameTheirKey) {
  ASSERT_OK(Catalog::Open(path(), {}));
  WithDatabase([&](rocksdb::DB* db) {
    ASSERT_TRUE(db->Put({}, std::string_view(VolumeKey(5)), "\xFF").ok());
  });
  ASSERT_OK_AND_ASSIGN(const auto catalog, Catalog::Open(path(), {}));
  EXPECT_THAT(catalog->GetVolume(5), HasErrc(Errc::kCorruption));
  EXPECT_THAT(catalog->GetVolume(5), MessageHas("volume index 5"));
  EXPECT_THAT(catalog->Volumes(), HasErrc(Errc::kCorruption));
}

}  // namespace
}  // namespace vellum
