// SPDX-License-Identifier: Apache-2.0
// Opens the catalog of a library, also one that is damaged: what can be read of
// it goes on in a new one, and the volumes are read from their media.
//
// Thread-safety: functions; the catalog's rules.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "index/catalog.h"
#include "media/error.h"

namespace vellum {

// Catalog::Open, but that a catalog which cannot be read (kCorruption) is
// replaced as index/catalog_salvage.h says. Of what was taken over nothing that
// could do harm counts: jobs that had not ended are failed, no backup is said
// to have been read back or to be given up, no inventory is under way. Logged,
// and noted until ForgetSalvage.
// REQUIRES: `path` is on a disk; nothing else has the catalog.
Result<std::unique_ptr<Catalog>> OpenLibraryCatalog(
    const std::string& path, const Catalog::Options& options);

// What a person should know of the last salvage; nullopt: nothing, or every
// medium has been read since.
Result<std::optional<std::string>> SalvageNote(const Catalog& catalog);
// All media have been read anew.
Status ForgetSalvage(Catalog* catalog);

}  // namespace vellum
