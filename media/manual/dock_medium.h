// SPDX-License-Identifier: Apache-2.0
// A medium in a dock, which somebody can pull at any time.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "media/forwarding_medium.h"
#include "media/image_medium.h"
#include "media/manual/dock.h"

namespace vellum {

struct DockMediumOptions {
  std::string path;         // of the medium, as the dock found it
  std::string fingerprint;  // of the medium that is meant
  std::string name;         // for messages
  uint32_t atomic_sectors = 1;
  // Called, with no lock held, after a flush that made another label durable:
  // the medium UUID of the volume that is on the medium now, or "".
  std::function<void(const std::string& medium_uuid)> on_label;
};

// Every operation makes sure first that the medium is still in the dock. Once
// it was not, everything fails with kNoMedium, until the dock is opened anew:
// what another medium in the dock holds is neither read nor written, and no
// flush claims that writes to a medium that is gone are durable. (The
// descriptor belongs to the medium that was opened, so what is under way when
// it is pulled cannot reach another one.)
//
// Thread-safety: as Medium says.
class DockMedium : public ForwardingMedium {
 public:
  // As ImageMedium::Open, and kNoMedium when another medium is there.
  static Result<std::unique_ptr<DockMedium>> Open(
      const DockMediumOptions& options);

  Status Read(uint64_t lba, ByteSpan out) override;
  Status Flush() override;
  Status Discard(uint64_t lba, uint64_t count) override;
  Result<SectorRange> NextAllocated(SectorRange from) override;
  // It would go around the checks.
  int DirectFd() const override { return -1; }

 private:
  DockMedium(DockMediumOptions options, std::unique_ptr<ImageMedium> base)
      : ForwardingMedium(std::move(base)), options_(std::move(options)) {}
  Status WriteBy(Writer write, uint64_t lba, ConstByteSpan data) override;
  Status CheckThere(const char* operation);
  void NoteWrite(uint64_t lba, uint64_t sectors);
  void TellLabel();

  const DockMediumOptions options_;
  std::atomic<bool> gone_{false};
  std::atomic<bool> label_written_{false};
};

}  // namespace vellum
