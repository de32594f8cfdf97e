// SPDX-License-Identifier: Apache-2.0
// Volumes that a format with clear wipes, or that are released. The catalog
// learns of it before the medium is touched: the volume is displaced
// (index/volumes.h) and the medium's note says which one it was. So a daemon
// that is killed in between leaves a catalog that promises no more than the
// medium holds.
//
// Thread-safety: functions; the caller has the medium exclusively.
#pragma once

#include <memory>
#include <string>

#include "copy/operations.h"
#include "index/catalog.h"
#include "index/volume.h"
#include "media/error.h"
#include "media/medium.h"
#include "media/udf/format.h"

namespace vellum {

// REQUIRES: the volume is excluded.
Status BeginClearing(const Archive& archive,
                     const std::shared_ptr<Volume>& volume);
// After the format, or when somebody reads the medium: the volume is known
// again if the medium still carries it, else forgotten. Nothing to do where no
// format had begun. After the error of a medium that could not be read nothing
// is changed: the next one who reads it decides.
Status EndClearing(const Archive& archive, const MediumId& id, Medium& medium);
// A load has found what the medium holds: no format is under way there.
Status NoteLoaded(Catalog* catalog, const MediumId& id,
                  udf::MediumContent content, const MediumInfo& info);
// Forgets the volume if it was displaced from that medium.
Status ForgetDisplaced(const Archive& archive, const std::string& volume_id,
                       const MediumId& id);

}  // namespace vellum
