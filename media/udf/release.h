// SPDX-License-Identifier: Apache-2.0
// Hands a volume over to the systems that Vellum keeps from writing to it.
#pragma once

#include "media/error.h"
#include "media/medium.h"

namespace vellum::udf {

// Clears what makes other systems mount the volume read-only (partition access
// type and soft write protect of the domain, ECMA-167 3/10.5.7,
// UDF 2.01 2.1.5.3) in both descriptor sequences and the file set, then erases
// slots, ring and control log: to Vellum the medium is foreign afterwards. No
// file is touched. REQUIRES: nobody else uses the medium. kInvalidArgument: no
// volume of Vellum, or one that was not closed; kWriteProtected; kIncompatible:
// the class of the medium; kDeviceError. After an error, or a power cut, the
// volume is still Vellum's, or released already; both are whole, and the call
// can be repeated.
Status ReleaseVolume(Medium& medium);

}  // namespace vellum::udf
