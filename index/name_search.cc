// SPDX-License-Identifier: Apache-2.0
#include "index/name_search.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace vellum {
namespace {

// A directory on the way down, and the last of its names that was looked at.
struct Level {
  InodeNumber dir = 0;
  uint64_t cookie = 0;
  size_t path_size = 0;  // of the path that leads to the directory
};

// Where a search is: "VOLUME/cookie/cookie/…". Cookies stay with their names
// for life, so it holds over changes and restarts.
struct SearchPlace {
  std::string volume;
  std::vector<uint64_t> cookies;
};

std::string Encode(const SearchPlace& place) {
  std::string text = place.volume;
  for (const uint64_t cookie : place.cookies) {
    text += fmt::format("/{:x}", cookie);
  }
  return text;
}

Result<SearchPlace> Decode(const std::string& text) {
  const Error bad{Errc::kInvalidArgument,
                  fmt::format("\"{}\" is no place in a search", text)};
  SearchPlace place;
  size_t end = text.find('/');
  place.volume = text.substr(0, end);
  while (end != std::string::npos) {
    const size_t begin = end + 1;
    end = text.find('/', begin);
    const size_t stop = end == std::string::npos ? text.size() : end;
    uint64_t cookie = 0;
    const auto [last, error] =
        std::from_chars(text.data() + begin, text.data() + stop, cookie, 16);
    if (error != std::errc() || last != text.data() + stop || cookie == 0) {
      return bad;
    }
    place.cookies.push_back(cookie);
  }
  if (place.volume.empty() || place.cookies.empty()) return bad;
  return place;
}

class Matcher {
 public:
  explicit Matcher(const NameQuery& query)
      : pattern_(query.pattern),
        whole_path_(pattern_.find('/') != std::string::npos),
        flags_(query.ignore_case ? FNM_CASEFOLD : 0) {
    if (pattern_.find_first_of("*?[") == std::string::npos) {
      std::string part = "*";
      for (const char c : pattern_) {
        if (c == '\\') part += '\\';
        part += c;
      }
      pattern_ = part + "*";
    }
  }

  bool Matches(const std::string& volume, const std::string& path,
               const std::string& name) const {
    const std::string& text = whole_path_ ? volume + "/" + path : name;
    return fnmatch(pattern_.c_str(), text.c_str(), flags_) == 0;
  }

 private:
  std::string pattern_;
  const bool whole_path_;
  const int flags_;
};

class Walk {
 public:
  Walk(std::shared_ptr<Volume> volume, const Matcher& matcher)
      : volume_(std::move(volume)), id_(volume_->id()), matcher_(matcher) {
    levels_.push_back({volume_->root(), 0, 0});
  }

  // Goes down to where an earlier page ended; as far as it is still there.
  Status Resume(const std::vector<uint64_t>& cookies) {
    for (size_t i = 0; i < cookies.size(); ++i) {
      levels_.back().cookie = cookies[i];
      if (i + 1 == cookies.size()) break;
      std::optional<DirItem> way;
      RETURN_IF_ERROR(volume_->ReadDir(levels_.back().dir, cookies[i] - 1,
                                       [&](const DirItem& item) {
                                         if (item.cookie == cookies[i])
                                           way = item;
                                         return false;
                                       }));
      if (!way || way->type != udf::FileType::kDirectory) break;
      Enter(*way);
    }
    return Status::Ok();
  }

  // False: the volume is at its end.
  Result<bool> Page(size_t max_found, size_t* seen_left,
                    const std::stop_token& stop,
                    std::vector<FoundName>* found) {
    while (!levels_.empty()) {
      if (found->size() >= max_found || *seen_left == 0) return true;
      if (stop.stop_requested()) {
        return Error{Errc::kInterrupted, "the search was given up"};
      }
      const size_t room = std::min(kBatch, *seen_left);
      std::vector<DirItem> items;
      // Up to a directory, which is gone into before what stands behind it.
      const Status read = volume_->ReadDir(
          levels_.back().dir, levels_.back().cookie, [&](const DirItem& item) {
            items.push_back(item);
            return items.size() < room &&
                   item.type != udf::FileType::kDirectory;
          });
      if (!read.ok() && read.code() != Errc::kNotFound) return read;
      if (items.empty()) {
        levels_.pop_back();
        if (!levels_.empty()) path_.resize(levels_.back().path_size);
        continue;
      }
      RETURN_IF_ERROR(Look(items, max_found, seen_left, found));
    }
    return false;
  }

  SearchPlace place() const {
    SearchPlace place{id_, {}};
    for (const Level& level : levels_) place.cookies.push_back(level.cookie);
    if (!place.cookies.empty() && place.cookies.back() == 0) {
      // A directory just entered: nothing of it was looked at.
      place.cookies.back() = 1;
    }
    return place;
  }

 private:
  static constexpr size_t kBatch = 256;

  void Enter(const DirItem& item) {
    path_ += (path_.empty() ? "" : "/") + item.name;
    levels_.push_back({item.ino, 0, path_.size()});
  }

  Status Look(const std::vector<DirItem>& items, size_t max_found,
              size_t* seen_left, std::vector<FoundName>* found) {
    for (const DirItem& item : items) {
      if (found->size() >= max_found) return Status::Ok();
      levels_.back().cookie = item.cookie;
      --*seen_left;
      const std::string path =
          path_.empty() ? item.name : path_ + "/" + item.name;
      if (matcher_.Matches(id_, path, item.name)) {
        Result<Attr> attr = volume_->GetAttr(item.ino);
        if (attr.ok()) {
          found->push_back({volume_, path, std::move(*attr)});
        } else if (attr.error().code != Errc::kNotFound) {
          return attr.status();
        }
      }
      if (item.type == udf::FileType::kDirectory) Enter(item);
    }
    return Status::Ok();
  }

  const std::shared_ptr<Volume> volume_;
  const std::string id_;
  const Matcher& matcher_;
  std::vector<Level> levels_;
  std::string path_;  // to the directory of the last level
};

bool Wanted(const NameQuery& query, const VolumeRecord& record) {
  if (record.tree != TreeState::kValid) return false;
  if (query.role && record.role != *query.role) return false;
  return query.volume.empty() || record.id == query.volume;
}

}  // namespace

Result<NamePage> SearchNames(const Volumes& volumes, const NameQuery& query,
                             const std::string& after, size_t max_found,
                             size_t max_seen, std::stop_token stop) {
  std::optional<SearchPlace> from;
  if (!after.empty()) {
    ASSIGN_OR_RETURN(from, Decode(after));
  }
  const Matcher matcher(query);
  NamePage page;
  for (const std::shared_ptr<Volume>& volume : volumes.List()) {
    const VolumeRecord record = volume->record();
    if (from && record.id < from->volume) continue;
    if (!Wanted(query, record)) continue;
    Walk walk(volume, matcher);
    if (from && record.id == from->volume) {
      RETURN_IF_ERROR(walk.Resume(from->cookies));
    }
    ASSIGN_OR_RETURN(const bool more,
                     walk.Page(max_found, &max_seen, stop, &page.found));
    if (more) {
      page.next = Encode(walk.place());
      return page;
    }
  }
  return page;
}

}  // namespace vellum
