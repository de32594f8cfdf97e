// SPDX-License-Identifier: Apache-2.0
#include "media/counted_medium.h"

namespace vellum {

using Access = AuxiliaryBook::Access;

CountedMedium::~CountedMedium() {
  DestroyBelow();
  book_->NoteUnload(id_);
}

Status CountedMedium::Tell(Access access, uint64_t bytes, Status status) {
  if (status.ok()) {
    book_->NoteTransfer(id_, access, bytes);
  } else if (status.Is(Errc::kDeviceError)) {
    book_->NoteFailure(id_, access, status.error());
  }
  return status;
}

Status CountedMedium::Read(uint64_t lba, ByteSpan out) {
  return Tell(Access::kRead, out.size(), below().Read(lba, out));
}

Status CountedMedium::WriteBy(Writer write, uint64_t lba, ConstByteSpan data) {
  return Tell(Access::kWrite, data.size(),
              ForwardingMedium::WriteBy(write, lba, data));
}

Status CountedMedium::Flush() {
  return Tell(Access::kWrite, 0, below().Flush());
}

Status CountedMedium::Discard(uint64_t lba, uint64_t count) {
  return Tell(Access::kWrite, 0, below().Discard(lba, count));
}

Status CountedMedium::Finalize() {
  return Tell(Access::kWrite, 0, below().Finalize());
}

}  // namespace vellum
