// SPDX-License-Identifier: Apache-2.0
#include "media/scsi/tagged_changer.h"

namespace vellum::scsi {

void TagBook::Replace(const std::vector<ElementStatus>& statuses) {
  MutexLock lock(&mu_);
  tags_.clear();
  for (const ElementStatus& status : statuses) {
    if (!status.volume_tag.empty()) tags_[status.address] = status.volume_tag;
  }
}

void TagBook::Move(ElementAddress from, ElementAddress to) {
  MutexLock lock(&mu_);
  auto node = tags_.extract(from);
  tags_.erase(to);
  if (node.empty()) return;
  node.key() = to;
  tags_.insert(std::move(node));
}

void TagBook::Exchange(ElementAddress from, ElementAddress to,
                       ElementAddress rest) {
  MutexLock lock(&mu_);
  auto in = tags_.extract(from);
  auto out = tags_.extract(to);
  if (!in.empty()) tags_[to] = std::move(in.mapped());
  if (!out.empty()) tags_[rest] = std::move(out.mapped());
}

VolumeTag TagBook::At(ElementAddress element) const {
  MutexLock lock(&mu_);
  const auto it = tags_.find(element);
  return it == tags_.end() ? VolumeTag() : it->second;
}

Result<std::vector<ElementStatus>> TaggedChanger::ReadElementStatus() {
  Result<std::vector<ElementStatus>> statuses = changer_->ReadElementStatus();
  if (statuses.ok()) book_->Replace(*statuses);
  return statuses;
}

Status TaggedChanger::MoveMedium(ElementAddress from, ElementAddress to) {
  const Status moved = changer_->MoveMedium(from, to);
  if (moved.ok()) book_->Move(from, to);
  return moved;
}

Status TaggedChanger::MoveMediumTurned(ElementAddress from, ElementAddress to) {
  const Status moved = changer_->MoveMediumTurned(from, to);
  if (moved.ok() && from != to) book_->Move(from, to);
  return moved;
}

Status TaggedChanger::ExchangeMedium(ElementAddress from, ElementAddress to,
                                     ElementAddress rest) {
  const Status moved = changer_->ExchangeMedium(from, to, rest);
  if (!moved.ok()) return moved;
  book_->Exchange(from, to, rest);
  return moved;
}

}  // namespace vellum::scsi
