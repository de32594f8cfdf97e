// SPDX-License-Identifier: Apache-2.0
// Writes images of volumes that ended in the middle of a commit: its record is
// durable, and of the sectors that it changes in place a part has reached the
// medium: in keptN.img those that were written first (a process was killed), in
// cutN.img any (power went), there from the end of the commit before on, while
// the blocks of the next generation are written. All files are stamped
// (stamps.h).
//
// usage: crash_images DIRECTORY COUNT SEED [reuse]
//
// reuse: as a control, blocks are reused as soon as they are freed, and each
// image is cut where some file shows another one's content.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include "media/udf/reader.h"
#include "tests/index/volume_fixture.h"
#include "tests/readers/stamps.h"
#include "tests/support/crash_medium.h"

namespace vellum {
namespace {

// Prints what went wrong and ends: there is nothing to clean up.
void Must(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "crash_images: %s\n", status.ToString().c_str());
  std::exit(1);
}

// The events of one commit behind its record, up to the last write in place.
struct Window {
  size_t first = 0;
  size_t last = 0;
};

class Writer {
 public:
  Writer(uint64_t seed, bool reuse) : random_(seed) {
    udf::FormatOptions format;
    format.volume_id = "CRASHED";
    Must(udf::FormatVolume(medium_, format).status());
    VolumeOptions options;
    options.break_reuse = reuse;
    options.on_commit_step = [this](CommitStep step) {
      if (step == CommitStep::kRecordFlushed) {
        windows_.push_back({medium_.EventCount(), 0});
      } else if (step == CommitStep::kInPlaceWritten) {
        windows_.back().last = medium_.EventCount();
      }
      return Status::Ok();
    };
    const auto slot = udf::ReadControlSlot(medium_);
    Must(slot.status());
    VolumeRecord record =
        RecordFor(medium_, *slot, *catalog_->NewVolumeIndex());
    CatalogBatch batch;
    batch.PutVolume(record);
    Must(catalog_->Write(batch, Sync::kYes));
    volume_ =
        std::make_unique<Volume>(catalog_.get(), record, std::move(options));
    Must(volume_->Attach(&medium_));
    folders_.push_back(volume_->root());
  }
  ~Writer() { Must(volume_->Detach()); }

  void Work(int commits) {
    for (int commit = 0; commit < commits; ++commit) {
      for (int i = 0; i < 12; ++i) Operate();
      Must(volume_->Sync());
    }
  }

  // Some commit in the second half, cut at some event of it. `kept`: what was
  // written until then is on the medium, as when only the process dies.
  std::unique_ptr<MemoryMedium> Cut(bool kept) {
    const size_t half = windows_.size() / 2;
    const size_t number = half + Below(half);
    Window window = windows_[number];
    if (!kept) window.first = windows_[number - 1].last;
    CrashOptions options;
    options.unflushed = kept ? Unflushed::kKept : Unflushed::kReordered;
    options.seed = random_();
    return medium_.ContentAfterCrash(
        window.first + Below(window.last - window.first + 1), options);
  }

 private:
  struct File {
    InodeNumber folder = 0;
    std::string name;
    InodeNumber ino = 0;
    uint64_t id = 0;
  };

  uint64_t Below(uint64_t n) { return random_() % n; }

  void Write(const File& file, uint64_t first, uint64_t count) {
    std::string data;
    for (uint64_t record = first; record < first + count; ++record) {
      std::string text = fmt::format("file {} at {}", file.id, record * 64);
      text.resize(64);
      data += text;
    }
    Must(volume_
             ->Write(
                 file.ino, first * 64,
                 {reinterpret_cast<const std::byte*>(data.data()), data.size()})
             .status());
  }

  void Operate() {
    const uint64_t what = files_.size() < 20 ? 0 : Below(10);
    if (what < 4) {
      File file{folders_[Below(folders_.size())], "", 0, ++last_id_};
      file.name = fmt::format("{}-new", file.id);
      const Result<Attr> attr = volume_->Create(file.folder, file.name, {});
      Must(attr.status());
      file.ino = attr->ino;
      Write(file, 0, 1 + Below(Below(2) == 0 ? 20 : 400));
      files_.push_back(file);
      return;
    }
    const size_t at = Below(files_.size());
    File& file = files_[at];
    if (what < 6) {
      Write(file, Below(500), 1 + Below(200));
    } else if (what < 7) {
      const InodeNumber folder = folders_[Below(folders_.size())];
      const std::string name = fmt::format("{}-{}", file.id, Below(1000));
      Must(volume_->Rename(file.folder, file.name, folder, name,
                           RenameMode::kReplace));
      file.folder = folder;
      file.name = name;
    } else if (what < 9 || folders_.size() >= 20) {
      Must(volume_->Unlink(file.folder, file.name));
      files_.erase(files_.begin() + static_cast<std::ptrdiff_t>(at));
    } else {
      NewInode inode;
      inode.type = udf::FileType::kDirectory;
      inode.mode = 0755;
      const Result<Attr> attr =
          volume_->Create(folders_[Below(folders_.size())],
                          fmt::format("folder {}", folders_.size()), inode);
      Must(attr.status());
      folders_.push_back(attr->ino);
    }
  }

  std::mt19937_64 random_;
  CrashMedium medium_;
  std::unique_ptr<Catalog> catalog_ = MemoryCatalog();
  std::vector<Window> windows_;
  std::unique_ptr<Volume> volume_;
  std::vector<InodeNumber> folders_;
  std::vector<File> files_;
  uint64_t last_id_ = 0;
};

void WriteImage(MemoryMedium& medium, const std::string& path) {
  std::ofstream out(path, std::ios::binary);
  Bytes data(64 * kSectorSize);
  for (uint64_t lba = 0; lba < medium.Info().sectors; lba += 64) {
    Must(medium.Read(lba, data));
    out.write(reinterpret_cast<const char*>(data.data()),
              static_cast<std::streamsize>(data.size()));
  }
  out.close();
  if (!out) Must(Status(Errc::kDeviceError, path + " cannot be written"));
}

// Whether some file below the directory shows what is not its own.
bool ShowsForeignContent(const udf::Reader& reader, uint32_t directory,
                         std::set<uint32_t>* seen) {
  if (!seen->insert(directory).second) return false;
  const Result<udf::FileEntry> entry = reader.ReadEntry(directory);
  if (!entry.ok()) return false;
  const Result<std::vector<udf::DirEntry>> names = reader.ReadDirectory(*entry);
  if (!names.ok()) return false;
  for (const udf::DirEntry& name : *names) {
    const Result<udf::FileEntry> child = reader.ReadEntry(name.fid.icb_block);
    if (!child.ok()) continue;
    if (child->attr.type == udf::FileType::kDirectory) {
      if (ShowsForeignContent(reader, name.fid.icb_block, seen)) return true;
      continue;
    }
    Bytes content(child->attr.size);
    const Result<size_t> got = reader.ReadFile(*child, 0, content);
    if (!got.ok() || *got != content.size()) continue;
    StampCheck stamps(name.fid.name);
    stamps.Update(reinterpret_cast<const unsigned char*>(content.data()),
                  content.size());
    if (!stamps.ok()) return true;
  }
  return false;
}

bool ShowsForeignContent(MemoryMedium& medium) {
  const Result<std::unique_ptr<udf::Reader>> reader =
      udf::Reader::Open(&medium);
  if (!reader.ok()) return false;
  std::set<uint32_t> seen;
  return ShowsForeignContent(**reader, (*reader)->root_block(), &seen);
}

// A cut that shows it; the writer goes on until there is one.
std::unique_ptr<MemoryMedium> CutThatShows(Writer* writer, bool kept) {
  constexpr int kLengths = 20, kTries = 100;
  for (int length = 0; length < kLengths; ++length) {
    for (int i = 0; i < kTries; ++i) {
      std::unique_ptr<MemoryMedium> image = writer->Cut(kept);
      if (ShowsForeignContent(*image)) return image;
    }
    writer->Work(40);
  }
  Must(Status(Errc::kInternal, "reused blocks show nothing"));
  return nullptr;
}

}  // namespace
}  // namespace vellum

int main(int argc, char** argv) {
  const bool reuse = argc == 5 && std::strcmp(argv[4], "reuse") == 0;
  if (argc != 4 && !reuse) {
    std::fprintf(stderr, "usage: crash_images DIRECTORY COUNT SEED [reuse]\n");
    return 2;
  }
  const int count = std::atoi(argv[2]);
  for (int number = 1; number <= count; ++number) {
    vellum::Writer writer(
        std::strtoull(argv[3], nullptr, 10) + static_cast<uint64_t>(number),
        reuse);
    writer.Work(40);
    for (const bool kept : {true, false}) {
      vellum::WriteImage(
          reuse ? *vellum::CutThatShows(&writer, kept) : *writer.Cut(kept),
          fmt::format("{}/{}{}.img", argv[1], kept ? "kept" : "cut", number));
    }
  }
}
