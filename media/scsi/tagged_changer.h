// SPDX-License-Identifier: Apache-2.0
// Tells the drives which volume tag the robot has put into them: a drive
// itself cannot read it.
#pragma once

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "media/changer.h"
#include "media/mutex.h"

namespace vellum::scsi {

// The volume tags as the changer told them last. Thread-safety: all methods may
// be called concurrently.
class TagBook {
 public:
  void Replace(const std::vector<ElementStatus>& statuses);
  void Move(ElementAddress from, ElementAddress to);
  void Exchange(ElementAddress from, ElementAddress to, ElementAddress rest);
  // Empty: not known, or none.
  VolumeTag At(ElementAddress element) const;

 private:
  mutable Mutex mu_;  // a leaf
  std::map<ElementAddress, VolumeTag> tags_ GUARDED_BY(mu_);
};

// The changer below, and everything that it tells about volume tags goes into
// the book. Contract and errors are those of the changer below.
class TaggedChanger : public Changer {
 public:
  TaggedChanger(std::unique_ptr<Changer> changer, std::shared_ptr<TagBook> book)
      : changer_(std::move(changer)), book_(std::move(book)) {}

  Result<ChangerIdentity> Identify() override { return changer_->Identify(); }
  Result<ElementMap> Elements() override { return changer_->Elements(); }
  Result<std::vector<ElementStatus>> ReadElementStatus() override;
  Status MoveMedium(ElementAddress from, ElementAddress to) override;
  Status MoveMediumTurned(ElementAddress from, ElementAddress to) override;
  Status ExchangeMedium(ElementAddress from, ElementAddress to,
                        ElementAddress rest) override;
  Result<bool> ElementsChanged() override {
    return changer_->ElementsChanged();
  }
  Status InitializeElementStatus() override {
    return changer_->InitializeElementStatus();
  }

 private:
  const std::unique_ptr<Changer> changer_;
  const std::shared_ptr<TagBook> book_;
};

}  // namespace vellum::scsi
