// SPDX-License-Identifier: Apache-2.0
#include "copy/inventory_progress.h"

#include <string>
#include <string_view>
#include <utility>

namespace vellum {
namespace {

constexpr std::string_view kTable = "inventory";
constexpr std::string_view kRun = "run";  // "reset" or "all"
constexpr std::string_view kReadPrefix = "read ";

std::string ReadKey(const MediumId& medium) {
  return std::string(kReadPrefix) + medium;
}

Status DeleteRows(const Catalog& catalog, CatalogBatch* batch) {
  return catalog.ForEachRow(kTable,
                            [batch](std::string_view key, std::string_view) {
                              batch->DeleteRow(kTable, key);
                              return true;
                            });
}

}  // namespace

Status BeginInventory(Catalog* catalog, bool reset) {
  CatalogBatch batch;
  RETURN_IF_ERROR(DeleteRows(*catalog, &batch));
  batch.PutRow(kTable, kRun, reset ? "reset" : "all");
  return catalog->Write(batch, Sync::kYes);
}

Status NoteMediumRead(Catalog* catalog, const MediumId& medium) {
  ASSIGN_OR_RETURN(const std::optional<bool> under_way,
                   UnfinishedInventory(*catalog));
  if (!under_way) return Status::Ok();
  CatalogBatch batch;
  batch.PutRow(kTable, ReadKey(medium), "");
  return catalog->Write(batch, Sync::kYes);
}

Status EndInventory(Catalog* catalog) {
  CatalogBatch batch;
  RETURN_IF_ERROR(DeleteRows(*catalog, &batch));
  return catalog->Write(batch, Sync::kYes);
}

Result<std::optional<bool>> UnfinishedInventory(const Catalog& catalog) {
  const Result<std::string> row = catalog.GetRow(kTable, kRun);
  if (row.ok()) return std::optional(*row == "reset");
  if (row.error().code == Errc::kNotFound) return std::optional<bool>();
  return row.status();
}

Result<std::set<MediumId>> MediaReadAlready(const Catalog& catalog) {
  std::set<MediumId> media;
  RETURN_IF_ERROR(catalog.ForEachRow(
      kTable, [&media](std::string_view key, std::string_view) {
        if (key.substr(0, kReadPrefix.size()) == kReadPrefix) {
          media.emplace(key.substr(kReadPrefix.size()));
        }
        return true;
      }));
  return media;
}

}  // namespace vellum
