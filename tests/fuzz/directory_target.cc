// SPDX-License-Identifier: Apache-2.0
// The content of a directory: reading it, and changing it as a commit does.
#include "index/directory_image.h"
#include "media/udf/bytes.h"
#include "media/udf/codec.h"
#include "tests/fuzz/patches.h"
#include "tests/fuzz/targets.h"

namespace vellum::fuzz {
namespace {

constexpr uint32_t kBlock = 100;

void ExpectParses(const DirectoryImage& image, uint32_t first_block) {
  const Result<DirectoryImage> again =
      DirectoryImage::Parse(image.content(), first_block);
  if (!again.ok()) {
    std::fprintf(stderr, "%s\n", again.error().ToString().c_str());
  }
  VELLUM_CHECK(again.ok() && again->names() == image.names());
}

void Change(const Bytes& content, const std::vector<uint32_t>& names,
            uint8_t which) {
  std::vector<NameRemoval> removals;
  for (size_t i = 0; i < names.size(); ++i) {
    if ((which >> i % 8 & 1) != 0) removals.push_back({names[i]});
  }
  NameAddition addition;
  addition.fid.name = "added";
  addition.fid.icb_block = 7;
  std::vector<NameAddition> additions = {addition};

  DirectoryImage edited = *DirectoryImage::Parse(content, kBlock);
  const Result<bool> done = edited.Edit(removals, &additions, kBlock);
  CheckReported(done.status());
  if (done.ok()) ExpectParses(edited, kBlock);

  DirectoryImage rewritten = *DirectoryImage::Parse(content, kBlock);
  const Status rewrite = rewritten.Rewrite(removals, &additions, 2 * kBlock,
                                           [](uint32_t, uint32_t) {});
  CheckReported(rewrite);
  // Whatever could be read can be written, entries that another system deleted
  // included.
  VELLUM_CHECK(!rewrite.Is(Errc::kInvalidArgument));
  if (rewrite.ok()) ExpectParses(rewritten, 2 * kBlock);

  DirectoryImage moved = *DirectoryImage::Parse(content, kBlock);
  const Status parent = moved.SetParent(3, 4, kBlock);
  CheckReported(parent);
  if (parent.ok()) ExpectParses(moved, kBlock);
}

}  // namespace

void RunDirectory(ConstByteSpan data) {
  Input input(data);
  const bool seal = (input.Byte() & 1) != 0;
  const uint8_t which = input.Byte();
  const ConstByteSpan rest = input.Rest();
  Bytes content(rest.begin(), rest.end());
  if (seal) SealFids(content);
  std::vector<uint32_t> names;
  const Status status = udf::ForEachFid(
      content, kBlock, [&](size_t offset, const udf::DecodedFid& decoded) {
        VELLUM_CHECK(offset + decoded.length <= content.size());
        VELLUM_CHECK(decoded.needed <= decoded.length);
        VELLUM_CHECK(decoded.fid.name.find('/') == std::string::npos);
        if (offset > 0) names.push_back(static_cast<uint32_t>(offset));
        return Status::Ok();
      });
  CheckReported(status);
  const Result<DirectoryImage> image = DirectoryImage::Parse(content, kBlock);
  CheckReported(image.status());
  if (image.ok()) Change(content, names, which);
}

std::vector<Bytes> DirectorySeeds() {
  std::vector<Bytes> seeds;
  for (uint8_t which : {uint8_t{0}, uint8_t{1}, uint8_t{2}, uint8_t{0xFF}}) {
    Bytes seed = {std::byte{1}, std::byte{which}};
    Bytes content;
    udf::Fid parent;
    parent.parent = parent.directory = true;
    parent.icb_block = 5;
    VELLUM_CHECK(udf::EncodeFid(parent, kBlock, 0, &content).ok());
    for (const std::string& name :
         {std::string("short"), std::string("\xE6\x97\xA5"),
          std::string("b\xFF"), std::string(which == 0 ? 255 : 60, 'x')}) {
      udf::Fid fid;
      fid.name = name;
      fid.icb_block = 6;
      fid.unique_id = 17;
      fid.deleted = which == 1 && name == "short";
      VELLUM_CHECK(
          udf::EncodeFid(fid, kBlock, which == 2 ? 40 : 0, &content).ok());
    }
    seed.insert(seed.end(), content.begin(), content.end());
    seeds.push_back(seed);
  }
  return seeds;
}

}  // namespace vellum::fuzz
