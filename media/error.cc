// SPDX-License-Identifier: Apache-2.0
#include "media/error.h"

#include <cerrno>
#include <system_error>

namespace vellum {

const char* ErrcName(Errc code) {
  switch (code) {
    case Errc::kNotFound:
      return "NOT_FOUND";
    case Errc::kExists:
      return "EXISTS";
    case Errc::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case Errc::kNotDirectory:
      return "NOT_DIRECTORY";
    case Errc::kIsDirectory:
      return "IS_DIRECTORY";
    case Errc::kNotEmpty:
      return "NOT_EMPTY";
    case Errc::kReadOnly:
      return "READ_ONLY";
    case Errc::kWriteProtected:
      return "WRITE_PROTECTED";
    case Errc::kAccessDenied:
      return "ACCESS_DENIED";
    case Errc::kNotPermitted:
      return "NOT_PERMITTED";
    case Errc::kNoSpace:
      return "NO_SPACE";
    case Errc::kNoMedium:
      return "NO_MEDIUM";
    case Errc::kNotReady:
      return "NOT_READY";
    case Errc::kOffline:
      return "OFFLINE";
    case Errc::kBusy:
      return "BUSY";
    case Errc::kCrossVolume:
      return "CROSS_VOLUME";
    case Errc::kNameTooLong:
      return "NAME_TOO_LONG";
    case Errc::kTooManyLinks:
      return "TOO_MANY_LINKS";
    case Errc::kTooLarge:
      return "TOO_LARGE";
    case Errc::kNoAttribute:
      return "NO_ATTRIBUTE";
    case Errc::kOutOfRange:
      return "OUT_OF_RANGE";
    case Errc::kStale:
      return "STALE";
    case Errc::kIncompatible:
      return "INCOMPATIBLE";
    case Errc::kCorruption:
      return "CORRUPTION";
    case Errc::kDeviceError:
      return "DEVICE_ERROR";
    case Errc::kTimedOut:
      return "TIMED_OUT";
    case Errc::kInterrupted:
      return "INTERRUPTED";
    case Errc::kAborted:
      return "ABORTED";
    case Errc::kNotSupported:
      return "NOT_SUPPORTED";
    case Errc::kInternal:
      return "INTERNAL";
  }
  return "UNKNOWN";
}

std::string Error::ToString() const {
  return std::string(ErrcName(code)) + ": " + message;
}

Status Status::WithContext(const std::string& context) const {
  if (ok()) return *this;
  return Status(error_->code, context + ": " + error_->message);
}

Error ErrnoError(const std::string& context, int err) {
  Errc code = Errc::kDeviceError;
  switch (err) {
    case ENOENT:
      code = Errc::kNotFound;
      break;
    case EEXIST:
      code = Errc::kExists;
      break;
    case EINVAL:
      code = Errc::kInvalidArgument;
      break;
    case ENOTDIR:
      code = Errc::kNotDirectory;
      break;
    case EISDIR:
      code = Errc::kIsDirectory;
      break;
    case ENOTEMPTY:
      code = Errc::kNotEmpty;
      break;
    case EROFS:
      code = Errc::kWriteProtected;
      break;
    case EACCES:
      code = Errc::kAccessDenied;
      break;
    case EPERM:
      code = Errc::kNotPermitted;
      break;
    case ENOSPC:
    case EDQUOT:
      code = Errc::kNoSpace;
      break;
    case ENOMEDIUM:
      code = Errc::kNoMedium;
      break;
    case EBUSY:
    case EWOULDBLOCK:
      code = Errc::kBusy;
      break;
    case ENAMETOOLONG:
      code = Errc::kNameTooLong;
      break;
    case EFBIG:
      code = Errc::kTooLarge;
      break;
    case ETIMEDOUT:
      code = Errc::kTimedOut;
      break;
    case EINTR:
      code = Errc::kInterrupted;
      break;
    case EOPNOTSUPP:
      code = Errc::kNotSupported;
      break;
    default:
      break;
  }
  return Error{code, context + ": " + std::generic_category().message(err)};
}

void CheckFailed(const char* expr, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: invariant broken: %s\n", file, line, expr);
  std::abort();
}

}  // namespace vellum
