// SPDX-License-Identifier: Apache-2.0
#include "tools/client.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include "media/file_util.h"

namespace vellum {

namespace {

bool DaemonIsGone(int err) {
  return err == ENOENT || err == ENOTCONN || err == ECONNABORTED ||
         err == ENOTDIR;
}

Error ControlError(const std::string& path, int err) {
  if (DaemonIsGone(err)) {
    return Error{Errc::kOffline,
                 fmt::format("no daemon answers at {}: {}", path,
                             ErrnoError("open", err).message)};
  }
  return ErrnoError(path, err);
}

Result<std::string> ReadAll(int fd, const std::string& path) {
  std::string text;
  char buffer[65536];
  while (true) {
    const ssize_t n = ::read(fd, buffer, sizeof(buffer));
    if (n == 0) return text;
    if (n < 0) {
      if (errno == EINTR) continue;
      return ControlError(path, errno);
    }
    text.append(buffer, static_cast<size_t>(n));
  }
}

// What must get through while another command waits for a medium.
bool IsUrgent(const std::string& command) {
  for (const char* verb : {"confirm ", "refuse ", "cancel ", "shutdown"}) {
    if (command.starts_with(verb)) return true;
  }
  return false;
}

// One write is one command. When it fails the answer still says why; the errno
// alone is reported only when there is no answer.
Result<std::string> ExchangeByFile(const std::string& path,
                                   const std::string& command) {
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (fd.get() < 0) return ControlError(path, errno);
  const ssize_t written = ::write(fd.get(), command.data(), command.size());
  const int write_error = written < 0 ? errno : 0;
  if (write_error != 0 && DaemonIsGone(write_error) && write_error != ENOENT &&
      write_error != ENOTDIR) {
    return ControlError(path, write_error);
  }
  Result<std::string> answer = ReadAll(fd.get(), path);
  if (write_error != 0 && (!answer.ok() || answer->empty())) {
    return ErrnoError(path, write_error);
  }
  return answer;
}

// The code of that name; kInternal for one that this program does not know.
Errc ErrcFromName(const std::string& name) {
  const int last = static_cast<int>(Errc::kInternal);
  for (int code = 0; code < last; ++code) {
    if (name == ErrcName(static_cast<Errc>(code))) {
      return static_cast<Errc>(code);
    }
  }
  return Errc::kInternal;
}

std::string UnescapeMount(std::string_view field) {
  std::string out;
  for (size_t i = 0; i < field.size(); ++i) {
    const bool octal = field[i] == '\\' && i + 3 < field.size() &&
                       field[i + 1] >= '0' && field[i + 1] <= '3';
    if (!octal) {
      out += field[i];
      continue;
    }
    out += static_cast<char>((field[i + 1] - '0') * 64 +
                             (field[i + 2] - '0') * 8 + (field[i + 3] - '0'));
    i += 3;
  }
  return out;
}

Result<std::string> MountOfLibrary(const std::string& library) {
  const std::string path = library + "/state/mount";
  std::ifstream file(path);
  std::string mount;
  if (!file || !std::getline(file, mount) || mount.empty()) {
    return Error{Errc::kOffline,
                 fmt::format("library {} is not mounted ({} names no mount "
                             "point)",
                             library, path)};
  }
  return mount;
}

// `text`, in quotes if it is empty or holds any of `special`.
std::string Quoted(const std::string& text, const char* special) {
  if (!text.empty() && text.find_first_of(special) == std::string::npos) {
    return text;
  }
  std::string word = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') word += '\\';
    word += c;
  }
  return word + "\"";
}

// Whether a daemon's control tree is below the mount point.
Status CheckControl(const std::string& mount) {
  const std::string path = mount + "/.vellum/command";
  if (::access(path.c_str(), F_OK) == 0) return Status::Ok();
  return ControlError(path, errno);
}

// Two ways to write the path of one directory.
bool SamePlace(const std::string& a, const std::string& b) {
  std::error_code unknown;
  return std::filesystem::equivalent(a, b, unknown) && !unknown;
}

Result<std::string> OnlyMount(const std::string& mounts_file) {
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(mounts_file));
  std::vector<std::string> libraries;
  for (const VellumMount& mount : VellumMounts(text)) {
    // A backup or an image file mounted at a place of its own has no control
    // tree.
    const Status control = CheckControl(mount.target);
    if (!control.Is(Errc::kOffline)) libraries.push_back(mount.target);
  }
  if (libraries.size() == 1) return libraries.front();
  if (libraries.empty()) {
    return Error{Errc::kOffline,
                 "no library is mounted (start one with `vellum mount DIR "
                 "MOUNT`)"};
  }
  std::string known;
  for (const std::string& library : libraries) known += " " + library;
  return Error{Errc::kOffline,
               fmt::format("{} libraries are mounted: name one with --mount:{}",
                           libraries.size(), known)};
}

}  // namespace

std::string Argument(const std::string& text) {
  return Quoted(text, " \t\r\n\"\\=");
}

std::string Option(const std::string& key, const std::string& value) {
  return key + "=" + Quoted(value, " \t\r\n\"\\");
}

std::string CommandText(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) {
    if (!line.empty()) line += ' ';
    line += word;
  }
  return line;
}

Result<Json> ParseAnswer(const std::string& text) {
  const Json answer = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object() || !answer.contains("ok") ||
      !answer["ok"].is_boolean()) {
    return Error{Errc::kInternal,
                 fmt::format("the daemon's answer is not understood: {}",
                             text.substr(0, 200))};
  }
  if (answer["ok"].get<bool>()) {
    return answer.contains("result") ? Json(answer["result"]) : Json::object();
  }
  const Json error = answer.value("error", Json::object());
  return Error{ErrcFromName(error.value("code", "")),
               error.value("message", "the daemon gave no message")};
}

std::vector<VellumMount> VellumMounts(const std::string& mounts) {
  std::vector<VellumMount> found;
  std::istringstream lines(mounts);
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string source, target, type;
    if (fields >> source >> target >> type && type == "fuse.vellum") {
      found.push_back({UnescapeMount(source), UnescapeMount(target)});
    }
  }
  return found;
}

Result<std::string> FindMount(const DaemonAddress& address) {
  std::string mount = address.mount;
  std::string library = address.library;
  if (!mount.empty() && !library.empty()) {
    ASSIGN_OR_RETURN(const std::string place, MountOfLibrary(library));
    if (!SamePlace(mount, place)) {
      return Error{Errc::kInvalidArgument,
                   fmt::format("--mount {} and --library {} disagree: this "
                               "library is mounted at {}",
                               mount, library, place)};
    }
  }
  if (mount.empty() && library.empty()) {
    mount = address.mount_default;
    library = address.library_default;
  }
  if (mount.empty() && !library.empty()) {
    ASSIGN_OR_RETURN(mount, MountOfLibrary(library));
  }
  if (mount.empty()) {
    ASSIGN_OR_RETURN(mount, OnlyMount(address.mounts_file));
  }
  RETURN_IF_ERROR(CheckControl(mount));
  return mount;
}

Client::Client(std::string mount) : mount_(std::move(mount)) {
  exchange_ = [path = ControlPath("command"),
               urgent = ControlPath("operator")](const std::string& command) {
    return ExchangeByFile(IsUrgent(command) ? urgent : path, command);
  };
}

Client::Client(std::string mount, Exchange exchange)
    : mount_(std::move(mount)), exchange_(std::move(exchange)) {}

std::string Client::ControlPath(const std::string& name) const {
  return mount_ + "/.vellum/" + name;
}

Result<Json> Client::Send(const std::vector<std::string>& words) const {
  ASSIGN_OR_RETURN(const std::string answer, exchange_(CommandText(words)));
  return ParseAnswer(answer);
}

Result<std::string> Client::ReadControl(const std::string& name) const {
  const std::string path = ControlPath(name);
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) {
    // A missing file of a tree that is there is not a missing daemon.
    if (errno == ENOENT && ::access(ControlPath("").c_str(), F_OK) == 0) {
      return Error{Errc::kNotFound, path + ": no such entry"};
    }
    return ControlError(path, errno);
  }
  return ReadAll(fd.get(), path);
}

Result<Json> Client::ReadJson(const std::string& name) const {
  ASSIGN_OR_RETURN(const std::string text, ReadControl(name));
  Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) {
    return Error{Errc::kInternal, ControlPath(name) + ": not JSON"};
  }
  return value;
}

}  // namespace vellum
