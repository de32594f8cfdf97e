// SPDX-License-Identifier: Apache-2.0
// What a catalog said of one volume at some moment, kept for later.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "index/catalog.h"

namespace vellum {

class CatalogCopy {
 public:
  // Adds a testing failure when the catalog cannot be read.
  CatalogCopy(const Catalog& catalog, VolumeIndex index);
  // A new catalog in memory that says the same.
  std::unique_ptr<Catalog> Open() const;

 private:
  VolumeIndex index_;
  CatalogBatch batch_;
  std::optional<PendingBatch> pending_;
};

}  // namespace vellum
