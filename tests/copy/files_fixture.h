// SPDX-License-Identifier: Apache-2.0
// Copies by file: trees with everything in them, and what is on a medium as
// text that can be compared.
#pragma once

#include <fmt/format.h>

#include <map>
#include <string>
#include <vector>

#include "copy/file_results.h"
#include "copy/file_tree.h"
#include "copy/tracking.h"
#include "tests/copy/jobs_fixture.h"

namespace vellum {

class FilesTest : public JobsTest {
 protected:
  using Listing = std::map<std::string, std::string>;  // path -> all of it

  CopyRequest Files(const std::string& source, std::vector<std::string> paths,
                    const std::string& target = "") {
    CopyRequest request;
    request.source = source;
    request.mode = CopyMode::kFiles;
    request.files.paths = std::move(paths);
    request.target = target;
    return request;
  }
  CopyRequest AllFiles(const std::string& source,
                       const std::string& target = "") {
    CopyRequest request = Files(source, {"/"}, target);
    request.files.recursive = true;
    return request;
  }
  JobRecord RestoreFiles(const std::string& volume, const std::string& from,
                         FileSelection files) {
    const Result<JobId> id =
        jobs_->SubmitFileRestore(volume, from, std::move(files));
    EXPECT_OK(id);
    if (!id.ok()) return {};
    const Result<JobRecord> job = jobs_->Wait(*id);
    EXPECT_OK(job);
    return job.ok() ? *job : JobRecord();
  }

  // Runs with the volume and the directory of the path, whose last name is
  // `name`; directories that are missing are made.
  Status At(const std::string& volume, const std::string& path,
            const std::function<Status(Volume&, InodeNumber,
                                       const std::string& name)>& act) {
    ASSIGN_OR_RETURN(VolumeUse use, volumes_->Use(volumes_->Find(volume)));
    std::vector<std::string> names = PathNames(path);
    InodeNumber dir = use->root();
    for (size_t i = 0; i + 1 < names.size(); ++i) {
      Result<Attr> next = use->Lookup(dir, names[i]);
      if (!next.ok()) {
        NewInode inode;
        inode.type = udf::FileType::kDirectory;
        inode.mode = 0755;
        next = use->Create(dir, names[i], inode);
      }
      if (!next.ok()) return next.status();
      dir = next->ino;
    }
    return act(*use, dir, names.empty() ? "" : names.back());
  }
  Status Put(const std::string& volume, const std::string& path,
             const std::string& content) {
    return At(
        volume, path, [&](Volume& v, InodeNumber dir, const std::string& name) {
          Result<Attr> attr = v.Lookup(dir, name);
          if (!attr.ok()) attr = v.Create(dir, name, NewInode());
          if (!attr.ok()) return attr.status();
          AttrChange cut;
          cut.size = 0;
          RETURN_IF_ERROR(v.SetAttr(attr->ino, cut).status());
          return v
              .Write(attr->ino, 0,
                     std::as_bytes(std::span(content.data(), content.size())))
              .status();
        });
  }
  Status Make(const std::string& volume, const std::string& path,
              const NewInode& inode) {
    return At(volume, path,
              [&](Volume& v, InodeNumber dir, const std::string& name) {
                return v.Create(dir, name, inode).status();
              });
  }
  Status MakeLink(const std::string& volume, const std::string& path,
                  const std::string& further) {
    return At(
        volume, path,
        [&](Volume& v, InodeNumber dir, const std::string& name) -> Status {
          ASSIGN_OR_RETURN(const Attr attr, v.Lookup(dir, name));
          return At(volume, further,
                    [&](Volume&, InodeNumber other, const std::string& last) {
                      return v.Link(attr.ino, other, last).status();
                    });
        });
  }
  Status Change(const std::string& volume, const std::string& path,
                const AttrChange& change) {
    return At(
        volume, path,
        [&](Volume& v, InodeNumber dir, const std::string& name) -> Status {
          if (name.empty()) return v.SetAttr(dir, change).status();
          ASSIGN_OR_RETURN(const Attr attr, v.Lookup(dir, name));
          return v.SetAttr(attr.ino, change).status();
        });
  }
  Status Unlink(const std::string& volume, const std::string& path) {
    return At(volume, path,
              [&](Volume& v, InodeNumber dir, const std::string& name) {
                return v.Unlink(dir, name);
              });
  }

  // Files of every kind, two levels deep, with times of long ago.
  void FillTree(const std::string& volume) {
    ASSERT_OK(Put(volume, "/top", "at the top"));
    ASSERT_OK(Put(volume, "/photos/large", Bytes0(1, 300'000)));
    ASSERT_OK(Put(volume, "/photos/2024/small", "inline"));
    ASSERT_OK(Put(volume, "/photos/2024/empty", ""));
    ASSERT_OK(MakeLink(volume, "/photos/large", "/photos/2024/same"));
    NewInode inode;
    inode.type = udf::FileType::kSymlink;
    inode.symlink_target = "../large";
    ASSERT_OK(Make(volume, "/photos/2024/symlink", inode));
    inode = NewInode();
    inode.type = udf::FileType::kCharDevice;
    inode.major = 4;
    inode.minor = 64;
    ASSERT_OK(Make(volume, "/other/device", inode));
    inode = NewInode();
    inode.type = udf::FileType::kFifo;
    ASSERT_OK(Make(volume, "/other/fifo", inode));
    // 4 MB of which two sectors are there.
    ASSERT_OK(Put(volume, "/other/sparse", "begins"));
    AttrChange size;
    size.size = 4'000'000;
    ASSERT_OK(Change(volume, "/other/sparse", size));
    AttrChange change;
    change.mode = 04751;
    change.uid = 1001;
    change.gid = 1002;
    change.mtime = TimeSpec{1'000'000'000, 123'456'789};
    change.atime = TimeSpec{1'100'000'000, 1};
    change.xattrs["user.colour"] = "blue";
    ASSERT_OK(Change(volume, "/photos/large", change));
    ASSERT_OK(Change(volume, "/photos", change));
    ASSERT_OK(Change(volume, "/photos/2024", change));
  }

  // All that the medium holds, read from it alone. `exact`: with the times that
  // no program can set, and how much is allocated.
  Listing ListMedium(int medium, bool exact, const std::string& below = "/") {
    Listing listing;
    const auto reader = udf::Reader::Open(&Content(medium));
    EXPECT_OK(reader);
    if (!reader.ok()) return listing;
    std::map<uint32_t, std::string> first_names;
    ListEntry(**reader, (*reader)->root_block(), "/", exact, &first_names,
              &listing);
    if (below == "/") return listing;
    Listing part;
    for (const auto& [path, text] : listing) {
      if (path.rfind(below + "/", 0) == 0) {
        part[path.substr(below.size())] = text;
      }
    }
    return part;
  }
  void ListEntry(const udf::Reader& reader, uint32_t block,
                 const std::string& path, bool exact,
                 std::map<uint32_t, std::string>* first_names,
                 Listing* listing) {
    const auto entry = reader.ReadEntry(block);
    ASSERT_OK(entry);
    const udf::InodeAttr& a = entry->attr;
    std::string text = fmt::format(
        "type {} mode {:o} owner {}:{} device {}:{} mtime {}.{} link '{}'",
        static_cast<int>(a.type), a.mode, a.uid, a.gid, a.major, a.minor,
        a.mtime.sec, a.mtime.nsec, entry->symlink_target);
    for (const auto& [name, value] : a.xattrs) text += " " + name + "=" + value;
    if (exact) {
      text += fmt::format(" ctime {}.{} btime {}.{} atime {}.{}", a.ctime.sec,
                          a.ctime.nsec, a.btime.sec, a.btime.nsec, a.atime.sec,
                          a.atime.nsec);
    }
    if (a.type == udf::FileType::kDirectory) {
      (*listing)[path] = text;
      const auto entries = reader.ReadDirectory(*entry);
      ASSERT_OK(entries);
      std::map<std::string, uint32_t> children;  // whatever their order there
      for (const udf::DirEntry& child : *entries) {
        children[child.fid.name] = child.fid.icb_block;
      }
      for (const auto& [name, child] : children) {
        ListEntry(reader, child, JoinPath(path, name), exact, first_names,
                  listing);
      }
      return;
    }
    if (a.type == udf::FileType::kRegular) {
      std::string content(a.size, '\0');
      ASSERT_OK(reader.ReadFile(*entry, 0,
                                std::as_writable_bytes(std::span(content))));
      uint64_t sectors = 0;
      for (const udf::Extent& extent : entry->extents) sectors += extent.count;
      text += fmt::format(" size {} in {} sectors, hash {}", a.size, sectors,
                          std::hash<std::string>()(content));
    }
    if (a.links > 1) {
      const auto it = first_names->emplace(block, path).first;
      text += " as " + it->second;
    }
    (*listing)[path] = text;
  }
  void ExpectClean(int medium) {
    ASSERT_OK_AND_ASSIGN(const udf::FsckReport report,
                         udf::CheckVolume(Content(medium), {}));
    EXPECT_TRUE(report.clean()) << report.errors[0].text;
  }
  std::map<std::string, FileResult> Results(JobId job) {
    std::map<std::string, FileResult> results;
    EXPECT_OK(ForEachFileResult(*catalog_, job, [&](const FileResult& result) {
      results[result.path] = result;
      return true;
    }));
    return results;
  }
  // What the control log of the medium says, one line each.
  std::vector<std::string> ControlLog(int medium) {
    std::vector<std::string> lines;
    const auto description = udf::ReadDescription(Content(medium));
    EXPECT_OK(description);
    if (!description.ok()) return lines;
    const auto log =
        udf::ReadControlLog(Content(medium), description->geometry);
    EXPECT_OK(log);
    for (const udf::LogEntry& entry : *log) lines.push_back(entry.text);
    return lines;
  }
  udf::ControlSlot Slot(int medium) {
    const auto slot = udf::ReadControlSlot(Content(medium));
    EXPECT_OK(slot);
    return slot.ok() ? *slot : udf::ControlSlot();
  }
};

}  // namespace vellum
