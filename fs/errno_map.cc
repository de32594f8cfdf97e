// SPDX-License-Identifier: Apache-2.0
#include "fs/errno_map.h"

#include <cerrno>

namespace vellum {

// No default label: a code that is added without an errno does not compile.
int ErrnoOf(Errc code) {
  switch (code) {
    case Errc::kNotFound:
      return ENOENT;
    case Errc::kExists:
      return EEXIST;
    case Errc::kInvalidArgument:
      return EINVAL;
    case Errc::kNotDirectory:
      return ENOTDIR;
    case Errc::kIsDirectory:
      return EISDIR;
    case Errc::kNotEmpty:
      return ENOTEMPTY;
    case Errc::kReadOnly:
    case Errc::kWriteProtected:
      return EROFS;
    case Errc::kAccessDenied:
      return EACCES;
    case Errc::kNotPermitted:
      return EPERM;
    case Errc::kNoSpace:
      return ENOSPC;
    case Errc::kNoMedium:
      return ENOMEDIUM;
    case Errc::kNotReady:
    case Errc::kOffline:
      return EAGAIN;
    case Errc::kBusy:
      return EBUSY;
    case Errc::kCrossVolume:
      return EXDEV;
    case Errc::kNameTooLong:
      return ENAMETOOLONG;
    case Errc::kTooManyLinks:
      return EMLINK;
    case Errc::kTooLarge:
      return EFBIG;
    case Errc::kNoAttribute:
      return ENODATA;
    case Errc::kOutOfRange:
      return ERANGE;
    case Errc::kStale:
      return ESTALE;
    case Errc::kIncompatible:
      return EMEDIUMTYPE;
    case Errc::kCorruption:
      return EUCLEAN;
    case Errc::kDeviceError:
    case Errc::kInternal:
      return EIO;
    case Errc::kTimedOut:
      return ETIMEDOUT;
    case Errc::kInterrupted:
      return EINTR;
    case Errc::kAborted:
      return ECANCELED;
    case Errc::kNotSupported:
      return EOPNOTSUPP;
  }
  return EIO;
}

int CommandErrnoOf(Errc code) {
  return code == Errc::kTooLarge ? E2BIG : ErrnoOf(code);
}

const char* ErrnoName(int err) {
  switch (err) {
    case E2BIG:
      return "E2BIG";
    case ENOENT:
      return "ENOENT";
    case EEXIST:
      return "EEXIST";
    case EINVAL:
      return "EINVAL";
    case ENOTDIR:
      return "ENOTDIR";
    case EISDIR:
      return "EISDIR";
    case ENOTEMPTY:
      return "ENOTEMPTY";
    case EROFS:
      return "EROFS";
    case EACCES:
      return "EACCES";
    case EPERM:
      return "EPERM";
    case ENOSPC:
      return "ENOSPC";
    case ENOMEDIUM:
      return "ENOMEDIUM";
    case EAGAIN:
      return "EAGAIN";
    case EBUSY:
      return "EBUSY";
    case EXDEV:
      return "EXDEV";
    case ENAMETOOLONG:
      return "ENAMETOOLONG";
    case EMLINK:
      return "EMLINK";
    case EFBIG:
      return "EFBIG";
    case ENODATA:
      return "ENODATA";
    case ERANGE:
      return "ERANGE";
    case ESTALE:
      return "ESTALE";
    case EMEDIUMTYPE:
      return "EMEDIUMTYPE";
    case EUCLEAN:
      return "EUCLEAN";
    case ETIMEDOUT:
      return "ETIMEDOUT";
    case EINTR:
      return "EINTR";
    case ECANCELED:
      return "ECANCELED";
    case EOPNOTSUPP:
      return "EOPNOTSUPP";
    default:
      return "EIO";
  }
}

}  // namespace vellum
