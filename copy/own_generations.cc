// SPDX-License-Identifier: Apache-2.0
#include "copy/own_generations.h"

#include <fmt/format.h>

#include <charconv>

namespace vellum {
namespace {

constexpr std::string_view kGenerationsTable = "generations";

}  // namespace

Result<std::optional<uint32_t>> OwnGenerations(const Catalog& catalog,
                                               const VolumeRecord& primary) {
  const Result<std::string> row =
      catalog.GetRow(kGenerationsTable, primary.medium_uuid);
  if (!row.ok()) {
    if (row.error().code == Errc::kNotFound) return std::optional<uint32_t>();
    return row.status();
  }
  uint32_t number = 0;
  const char* const end = row->data() + row->size();
  const auto parsed = std::from_chars(row->data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end || number < 1 ||
      number > kMaxGenerations) {
    return Error{Errc::kCorruption,
                 fmt::format("volume {}: \"{}\" is no number of generations",
                             primary.id, *row)};
  }
  return std::optional<uint32_t>(number);
}

Status SetOwnGenerations(Catalog* catalog, const VolumeRecord& primary,
                         std::optional<uint32_t> generations) {
  CatalogBatch batch;
  if (generations) {
    batch.PutRow(kGenerationsTable, primary.medium_uuid,
                 std::to_string(*generations));
  } else {
    batch.DeleteRow(kGenerationsTable, primary.medium_uuid);
  }
  return catalog->Write(batch, Sync::kYes);
}

Result<uint32_t> KeptGenerations(const Catalog& catalog,
                                 const VolumeRecord& primary,
                                 uint32_t library_default) {
  ASSIGN_OR_RETURN(const std::optional<uint32_t> own,
                   OwnGenerations(catalog, primary));
  return own.value_or(library_default);
}

}  // namespace vellum
