#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""errno.py CALL ARGUMENT...: makes one system call, prints its errno or OK."""

import errno
import os
import sys


def write_whole(path, text):
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


CALLS = {
    "open": lambda p: os.close(os.open(p, os.O_RDONLY)),
    "open-write": lambda p: os.close(os.open(p, os.O_WRONLY)),
    "create": lambda p: os.close(os.open(p, os.O_CREAT | os.O_WRONLY)),
    "truncate": lambda p: os.truncate(p, 0),
    "unlink": os.unlink,
    "rename": os.rename,
    "rmdir": os.rmdir,
    "mkdir": os.mkdir,
    "link": os.link,
    "symlink": lambda p: os.symlink("target", p),
    "chmod": lambda p: os.chmod(p, 0o600),
    "chown": lambda p: os.chown(p, 1, 1),
    "utime": lambda p: os.utime(p, (1, 1)),
    "setxattr": lambda p: os.setxattr(p, "user.test", b"1"),
    "mknod": lambda p: os.mknod(p),
    "stat": os.stat,
    "write": write_whole,
}


def main():
    try:
        CALLS[sys.argv[1]](*sys.argv[2:])
        print("OK")
    except OSError as error:
        print(errno.errorcode[error.errno])


if __name__ == "__main__":
    main()
