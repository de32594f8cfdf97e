// SPDX-License-Identifier: Apache-2.0
// A small virtual library with its service running, without a mount.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "fs/control_tree.h"
#include "fs/service.h"
#include "fs/tree.h"
#include "media/virtual_library.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace vellum {

class ServiceFixture : public testing::Test {
 protected:
  static constexpr uint64_t kCapacity = 16ull << 20;

  void SetUp() override {
    VirtualLibraryOptions options;
    options.slots = 6;
    options.media = 4;
    options.drives = 2;
    options.capacity = kCapacity;
    ASSERT_OK(InitVirtualLibrary(directory(), options));
    Start();
  }

  std::string directory() const { return dir_.Sub("library"); }

  Result<ServiceOptions> Options() const {
    ServiceOptions options;
    ASSIGN_OR_RETURN(options.config, ReadLibraryConfig(directory()));
    return options;
  }

  void Start() {
    const Result<ServiceOptions> options = Options();
    ASSERT_OK(options);
    Result<LibraryLock> lock = LibraryLock::Take(directory());
    ASSERT_OK(lock);
    Result<std::unique_ptr<Service>> service =
        Service::Open(*options, std::move(*lock));
    ASSERT_OK(service);
    service_ = std::move(*service);
    control_ = std::make_unique<ControlTree>(service_.get());
    tree_ = std::make_unique<Tree>(&service_->catalog(), &service_->library(),
                                   &service_->volumes());
  }

  // Of a command that works.
  Json Run(const std::string& command) {
    const Result<Json> result = service_->Execute(command);
    EXPECT_TRUE(result.ok()) << command << "\n"
                             << (result.ok() ? "" : result.error().ToString());
    return result.ok() ? *result : Json();
  }

  // The content of a control file, by its path below .vellum.
  Result<std::string> Cat(const std::string& path) {
    NodeId node = kControlRoot;
    size_t begin = 0;
    while (begin <= path.size()) {
      const size_t end = std::min(path.find('/', begin), path.size());
      ASSIGN_OR_RETURN(node,
                       control_->Lookup(node, path.substr(begin, end - begin)));
      begin = end + 1;
    }
    return control_->Read(node);
  }
  Json CatJson(const std::string& path) {
    const Result<std::string> text = Cat(path);
    EXPECT_TRUE(text.ok()) << path;
    return text.ok() ? Json::parse(*text) : Json();
  }

  // The row whose `key` has that value.
  static Json RowOf(const Json& rows, const std::string& key,
                    const Json& value) {
    for (const Json& row : rows) {
      if (row[key] == value) return row;
    }
    ADD_FAILURE() << "no row with " << key << " = " << value << " in\n"
                  << rows.dump(1);
    return Json::object();
  }

  TempDir dir_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<ControlTree> control_;
  std::unique_ptr<Tree> tree_;
};

}  // namespace vellum
