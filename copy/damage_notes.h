// SPDX-License-Identifier: Apache-2.0
// What comparisons and checks found wrong with a volume, in the catalog's table
// "damage", until one finds nothing or a full copy has written it anew. By the
// medium uuid, which stays with a volume wherever its medium is. Such a backup
// counts as none where a good one is looked for, whatever its medium says; who
// names it gets it.
//
// Thread-safety: functions; the catalog's rules.
#pragma once

#include <string>

#include "index/catalog.h"
#include "media/error.h"

namespace vellum {

enum class DamageFinder { kCompare, kFsck };

// Everything that is known, as one text; "": nothing.
Result<std::string> ReadDamage(const Catalog& catalog,
                               const std::string& medium_uuid);
// Also true when it cannot be told.
bool IsDamaged(const Catalog& catalog, const std::string& medium_uuid);
// `text` "": the finder found nothing (any more).
Status NoteDamage(Catalog* catalog, const std::string& medium_uuid,
                  DamageFinder finder, const std::string& text);
// The volume was written anew, as a whole.
Status ForgetDamage(Catalog* catalog, const std::string& medium_uuid);

}  // namespace vellum
