// SPDX-License-Identifier: Apache-2.0
// The extended attribute space of a file entry (ECMA-167 4/14.10, UDF 2.01
// 3.3.4): the standard device specification and our private attribute. Its
// bytes are drawn in media/udf/FORMAT.md. Private to media/udf.
#pragma once

#include <optional>
#include <string>

#include "media/error.h"
#include "media/types.h"
#include "media/udf/codec.h"

namespace vellum::udf {

// Length of the space that the attributes need, a multiple of 4. `true_target`:
// of a symlink whose path components do not say it exactly.
size_t ExtendedAttributesLength(const InodeAttr& attr,
                                const std::optional<std::string>& true_target);

// Appends them to `out`. REQUIRES: they fit a sector.
void EncodeExtendedAttributes(const InodeAttr& attr,
                              const std::optional<std::string>& true_target,
                              uint32_t block, Bytes* out);

// Fills in what the space holds: device numbers, xattrs, the part of the times
// that the timestamps in *attr (already decoded) do not hold. Attributes of
// other implementations are skipped. kCorruption.
Status DecodeExtendedAttributes(ConstByteSpan space, uint32_t block,
                                InodeAttr* attr,
                                std::optional<std::string>* true_target);

}  // namespace vellum::udf
