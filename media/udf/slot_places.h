// SPDX-License-Identifier: Apache-2.0
// Can both places of the control slot be read? The slot that stands in one
// that cannot may be newer than the one that counts (media/udf/JOURNAL.md).
//
// Thread-safety: functions of the medium alone; one writer at a time.
#pragma once

#include <string>

#include "media/error.h"
#include "media/medium.h"
#include "media/udf/control.h"

namespace vellum::udf {

// kDeviceError: the device cannot read one of them, also not when asked again;
// names the sector and says which slot counts. Other errors: the medium is gone
// or not ready. Write-once media have one place only.
Status CheckSlotPlaces(Medium& medium);

// The same; a place that cannot be read is written anew with `slot`, the one
// that counts, and read back. Durable on return. `*repaired` says what was
// wrong; empty: nothing was. kDeviceError: it cannot be read still; the slot
// that counts is as it was, and no other can be written.
Status RepairSlotPlaces(Medium& medium, ControlSlot* slot,
                        std::string* repaired);

}  // namespace vellum::udf
