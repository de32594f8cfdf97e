// SPDX-License-Identifier: Apache-2.0
// The private implementation use volume descriptor: the identity of a volume
// that never changes. Its bytes are drawn in media/udf/FORMAT.md. Private to
// media/udf.
#pragma once

#include "media/error.h"
#include "media/types.h"
#include "media/udf/codec.h"
#include "media/udf/format.h"

namespace vellum::udf {

// Fills in everything but the tag and the sequence number.
void EncodePrivateVolume(const VolumeDescription& description, ByteSpan sector);

// Sets geometry and format_uuid. kIncompatible: a newer format version;
// kCorruption: checksum, or a geometry that cannot be.
Status DecodePrivateVolume(const Sector& sector,
                           VolumeDescription* description);

}  // namespace vellum::udf
