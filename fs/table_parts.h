// SPDX-License-Identifier: Apache-2.0
// What the files that build tables share. Private to fs/*tables.cc.
#pragma once

#include <map>
#include <string>

#include "fs/json.h"
#include "fs/text_table.h"
#include "index/records.h"
#include "media/error.h"
#include "media/library.h"

namespace vellum {

class Service;
struct MediumUsage;
struct StageRecord;

Json TextOrNull(const std::string& text);

// Volumes by the medium that carries them. Several may have been on one that
// carries something else now.
using RecordMap = std::multimap<MediumId, VolumeRecord>;
RecordMap RecordsByMedium(const Service& service);

// Why a medium that carries no volume of the catalog is no blank one, as far as
// anybody has looked; else "".
std::string Unusable(const Service& service, const MediumId& medium);

// copy_tables.cc
Result<Table> CopiesTable(const Service& service);
Result<Table> PoolTable(const Service& service);
Result<Table> DevicesTable(const Service& service);

// "A", "B"; null for a medium with one side.
Json SideJson(const MediumPlace& place);

// device_tables.cc
Result<Table> DoorTable(const Service& service);
Result<Table> FaultsTable(const Service& service);
Result<Table> HealthTable(const Service& service);
Result<Table> QueueTable(const Service& service);
Result<Table> StagesTable(const Service& service);
Result<Table> UsageTable(const Service& service);
Json StageJson(const StageRecord& stage);
Json UsageJson(const MediumUsage& usage);

}  // namespace vellum
