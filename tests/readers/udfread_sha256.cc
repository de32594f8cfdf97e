// SPDX-License-Identifier: Apache-2.0
// Reads a UDF image with libudfread, a reader that is independent of ours, and
// prints "<sha256>  <path>" for each file and "directory  <path>" for each
// directory, in the order in which they stand on the volume. As sha256sum does,
// a line begins with a backslash when the path has a line feed ("\n" then) or a
// backslash ("\\").
//
// usage: udfread_sha256 [--stamps] IMAGE
// With --stamps, contents are held against their names (stamps.h).
// Exit status: 0 all was read, 1 something was not (said on stderr), 2 usage.
#include <openssl/evp.h>
#include <udfread/udfread.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "tests/readers/stamps.h"

namespace {

bool Fail(const char* what, const std::string& path) {
  std::fprintf(stderr, "udfread_sha256: cannot %s %s\n", what, path.c_str());
  return false;
}

void PrintLine(const std::string& what, const std::string& path) {
  std::string shown;
  for (const char c : path) {
    if (c == '\\') {
      shown += "\\\\";
    } else if (c == '\n') {
      shown += "\\n";
    } else {
      shown += c;
    }
  }
  std::printf("%s%s  %s\n", shown == path ? "" : "\\", what.c_str(),
              shown.c_str());
}

// By directory and name: in a path, libudfread takes a backslash for a slash.
bool PrintFile(UDFDIR* directory, const char* name, const std::string& path,
               bool stamped) {
  UDFFILE* file = udfread_file_openat(directory, name);
  if (file == nullptr) return Fail("open", path);
  const int64_t size = udfread_file_size(file);
  EVP_MD_CTX* sha = EVP_MD_CTX_new();
  EVP_DigestInit_ex(sha, EVP_sha256(), nullptr);
  std::vector<unsigned char> buffer(1 << 20);
  vellum::StampCheck stamps(name);
  int64_t total = 0;
  ssize_t got = 0;
  while ((got = udfread_file_read(file, buffer.data(), buffer.size())) > 0) {
    EVP_DigestUpdate(sha, buffer.data(), static_cast<size_t>(got));
    if (stamped) stamps.Update(buffer.data(), static_cast<size_t>(got));
    total += got;
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  EVP_DigestFinal_ex(sha, digest, &length);
  EVP_MD_CTX_free(sha);
  udfread_file_close(file);
  if (got < 0 || total != size) return Fail("read", path);
  if (!stamps.ok()) return Fail("find its own content in", path);
  std::string hex;
  for (unsigned int i = 0; i < length; ++i) {
    char text[3];
    std::snprintf(text, sizeof(text), "%02x", digest[i]);
    hex += text;
  }
  PrintLine(hex, path);
  return true;
}

// Closes it.
bool PrintDirectory(UDFDIR* directory, const std::string& path, bool stamped) {
  if (directory == nullptr) return Fail("list", path);
  PrintLine("directory", path);
  bool ok = true;
  udfread_dirent entry;
  while (udfread_readdir(directory, &entry) != nullptr) {
    const std::string name = entry.d_name;
    if (name == "." || name == "..") continue;
    const std::string child = (path == "/" ? "" : path) + "/" + name;
    ok &= entry.d_type == UDF_DT_DIR
              ? PrintDirectory(udfread_opendir_at(directory, entry.d_name),
                               child, stamped)
              : PrintFile(directory, entry.d_name, child, stamped);
  }
  udfread_closedir(directory);
  return ok;
}

}  // namespace

int main(int argc, char** argv) {
  const bool stamped = argc == 3 && std::strcmp(argv[1], "--stamps") == 0;
  if (argc != 2 && !stamped) {
    std::fprintf(stderr, "usage: udfread_sha256 [--stamps] IMAGE\n");
    return 2;
  }
  const char* const image = argv[argc - 1];
  udfread* volume = udfread_init();
  if (volume == nullptr || udfread_open(volume, image) < 0) {
    Fail("open", image);
    return 1;
  }
  const bool ok = PrintDirectory(udfread_opendir(volume, "/"), "/", stamped);
  udfread_close(volume);
  return ok ? 0 : 1;
}
