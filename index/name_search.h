// SPDX-License-Identifier: Apache-2.0
// Searching the names of all volumes, loaded or not, page by page: no medium
// moves, and no more is held in memory than one page and one path (X4).
//
// Thread-safety: a function; volumes may change while a search goes on. What
// stays where it is is found once; what comes or goes meanwhile may be missed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "index/volume.h"
#include "index/volumes.h"
#include "media/error.h"

namespace vellum {

struct NameQuery {
  // With one of *?[ a glob that must match the whole name, else a part of the
  // name. With a slash it is matched with VOLUME/PATH instead, where * also
  // stands for slashes.
  std::string pattern;
  bool ignore_case = false;
  std::optional<udf::Role> role;
  std::string volume;  // volume id; empty: all
};

struct FoundName {
  std::shared_ptr<Volume> volume;
  std::string path;  // within the volume, "a/b"
  Attr attr;
};

struct NamePage {
  std::vector<FoundName> found;
  std::string next;  // where the search goes on; empty: it is at its end
};

// `after`: `next` of the page before, empty for the first. A page ends with
// `max_found` names, or when `max_seen` were looked at: it may be empty and not
// be the last. kInvalidArgument: `after` is none of ours; kInterrupted; what
// reading the catalog says.
Result<NamePage> SearchNames(const Volumes& volumes, const NameQuery& query,
                             const std::string& after, size_t max_found,
                             size_t max_seen, std::stop_token stop = {});

}  // namespace vellum
