// SPDX-License-Identifier: Apache-2.0
// fill_volume LIBRARY VOLUME DIRECTORIES FILES [TOPS]: makes empty files on a
// volume of a library that is not mounted, as evenly in the directories as it
// goes; the directories in so many others, or all in the volume's. The catalog
// and the medium are what a mount would make of it; the calls do not go through
// FUSE, so ten million take minutes instead of an hour.
#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fs/service.h"
#include "index/volume.h"
#include "index/volumes.h"
#include "media/error.h"
#include "media/library_config.h"
#include "media/library_directory.h"

namespace vellum {
namespace {

uint64_t Number(std::string_view text) {
  uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

Status Fill(Volume* volume, uint64_t directories, uint64_t files,
            uint64_t tops) {
  NewInode directory;
  directory.type = udf::FileType::kDirectory;
  directory.mode = 0755;
  std::vector<InodeNumber> above;
  for (uint64_t t = 0; t < tops; ++t) {
    ASSIGN_OR_RETURN(
        const Attr top,
        volume->Create(volume->root(), fmt::format("top{}", t), directory));
    above.push_back(top.ino);
  }
  if (tops == 0) above.push_back(volume->root());
  uint64_t done = 0;
  for (uint64_t d = 0; d < directories; ++d) {
    ASSIGN_OR_RETURN(const Attr folder,
                     volume->Create(above[d % above.size()],
                                    fmt::format("dir{:05}", d), directory));
    for (const uint64_t last = files * (d + 1) / directories; done < last;
         ++done) {
      ASSIGN_OR_RETURN(
          [[maybe_unused]] const Attr file,
          volume->Create(folder.ino, fmt::format("file{:08}", done), {}));
    }
  }
  return volume->Sync();
}

Status Main(const std::string& library, const std::string& id,
            uint64_t directories, uint64_t files, uint64_t tops) {
  ServiceOptions options;
  ASSIGN_OR_RETURN(options.config, ReadLibraryConfig(library));
  ASSIGN_OR_RETURN(LibraryLock lock, LibraryLock::Take(library));
  ASSIGN_OR_RETURN(const std::unique_ptr<Service> service,
                   Service::Open(options, std::move(lock)));
  const std::shared_ptr<Volume> volume = service->volumes().Find(id);
  if (volume == nullptr) {
    return Status(Errc::kNotFound, fmt::format("there is no volume {}", id));
  }
  ASSIGN_OR_RETURN(VolumeUse use, service->volumes().Use(volume));
  const Status status = Fill(&*use, directories, files, tops);
  use.Release();
  service->StopWork();
  service->StopVolumes();
  return status;
}

}  // namespace
}  // namespace vellum

int main(int argc, char** argv) {
  if (argc < 5 || argc > 6 || vellum::Number(argv[3]) == 0) {
    std::fputs("usage: fill_volume LIBRARY VOLUME DIRECTORIES FILES [TOPS]\n",
               stderr);
    return 2;
  }
  const vellum::Status status = vellum::Main(
      argv[1], argv[2], vellum::Number(argv[3]), vellum::Number(argv[4]),
      argc == 6 ? vellum::Number(argv[5]) : 0);
  if (!status.ok()) {
    fmt::print(stderr, "fill_volume: {}\n", status.error().message);
    return 1;
  }
}
