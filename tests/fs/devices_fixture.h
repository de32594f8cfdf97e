// SPDX-License-Identifier: Apache-2.0
// A service with what tests of its drives and loads ask again and again.
#pragma once

#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/fs/service_fixture.h"

namespace vellum {

class DevicesFixture : public ServiceFixture {
 protected:
  Error Fail(const std::string& command) {
    const Result<Json> result = service_->Execute(command);
    EXPECT_FALSE(result.ok()) << command;
    return result.ok() ? Error{} : result.error();
  }
  Json RowOf(const std::string& table, const std::string& key,
             const Json& value) {
    return ServiceFixture::RowOf(CatJson(table + ".json"), key, value);
  }
  // A volume with files f0, f1, … of these contents.
  std::shared_ptr<Volume> MakeVolume(const std::string& id,
                                     const std::string& medium,
                                     const std::vector<size_t>& sizes) {
    Run(fmt::format("format {} name={}", medium, id));
    const std::shared_ptr<Volume> volume = service_->volumes().Find(id);
    Result<VolumeUse> use = service_->volumes().Use(volume);
    EXPECT_OK(use);
    for (size_t i = 0; i < sizes.size(); ++i) {
      const Result<Attr> attr =
          (*use)->Create((*use)->root(), fmt::format("f{}", i), NewInode());
      EXPECT_OK(attr);
      EXPECT_OK((*use)->Write(
          attr->ino, 0,
          Bytes(sizes[i], std::byte{static_cast<uint8_t>(i + 1)})));
    }
    EXPECT_OK((*use)->Sync());
    return volume;
  }
  void UnloadAll() {
    for (const Json& drive : CatJson("drives.json")) {
      if (drive["medium"].is_string()) {
        Run(fmt::format("unload {}", drive["medium"].get<std::string>()));
      }
    }
  }
  void Restart() {
    tree_.reset();
    control_.reset();
    service_.reset();
    Start();
  }
  uint64_t Loads() {
    uint64_t loads = 0;
    for (const Json& drive : CatJson("drives.json")) {
      loads += drive["loads"].get<uint64_t>();
    }
    return loads;
  }
};

}  // namespace vellum
