#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the trees that the readers are tried with. Needs root (owners).

usage: corpus.py make DIR COUNT [--all]    a new tree, COUNT small files in it
       corpus.py again FILE PIECES         rewrites every other 4 KiB in place,
                                           with the bytes that it has
       corpus.py scatter FILE PIECES       the same behind a hole: twice as many
                                           extents, and no holes in the end
       corpus.py extents <CATALOG          prints and checks in how many pieces
                                           files are, by `vellum dump-catalog`
       corpus.py part TREE COPY NAME...    copies these folders of the tree;
       corpus.py without TREE COPY NAME... all but these

Without --all there is only what 7-Zip can read: no symbolic links, special or
sparse files. Everything depends on nothing but the arguments.
"""

import ctypes
import json
import os
import random
import socket
import stat
import subprocess
import sys

NS = 10**9
# 1902, before 1970, the epoch, 1999, now and here, beyond 2038, beyond 2106;
# all of them with nanoseconds that a microsecond does not hold.
TIMES = [-2145916800 * NS + 987654321, -1, 0, 1, 946684799 * NS + 123456789,
         1700000000 * NS + 999999999, 2148595200 * NS + 1001,
         4300000000 * NS + 500000999, 9000000000 * NS + 7]
OWNERS = [(0, 0), (1, 2), (1234, 5678), (65534, 65534), (65536, 2**31),
          (2**32 - 2, 2**32 - 2)]

NAMES = [
    b"name with spaces", b" leading", b"trailing ", b"trailing.dot.",
    b"trailing..", b"...", b"..dots", b".hidden", b"UPPER", b"upper", b"Upper",
    b"tab\there", b"newline\nhere", b"quotes\"'`", b"back\\slash",
    b"colon:star*question?<>|", b"CON", b"nul.txt", b"aux", b"-rf", b"a;1",
    b"#", b"%41", b"~", b"$HOME", b"\x01\x02", b"\x7f", b"n" * 254,
    b"m" * 255, b"bad\xffbyte", b"\xc3", b"twin~0123456789abcdef",
] + [name.encode() for name in [
    "Größe", "gro\u00dfe", "GRÖSSE", "\u00e9 composed", "e\u0301 combining",
    "\u6f22\u5b57", "\u65e5" * 84, "\u65e5" * 85, "\u00e9" * 127, "\U0001f642",
    "\U0001f642" * 63, "\U00010000\U0010fffd", "\u202eright to left",
    "y" * 200 + "\u65e5", "byte order \ufeff", "not a character \uffff",
    "\u0627\u0644\u0639", "\u2028", "\u00a0", "\u00ff", "\u0100"]]

TARGETS = [b"plain", b"../up", b"../../", b".", b"..", b"./a", b"/", b"/etc/x",
           b"a//b", b"//a", b"a/", b"a/./b/../c", b"t" * 254, b"t" * 255,
           b"/".join([b"c" * 99] * 19), b"/".join([b"c" * 99] * 20), "Größe/漢字/🙂".encode(), b"bad\xff",
           b"with space", b"new\nline", b"..." * 20, b"\x01"]


class Corpus:
    def __init__(self, root, count):
        self.root = os.fsencode(root)
        self.count = count
        self.random = random.Random(20)
        self.number = 0
        self.times = []  # (path, access, modification), set at the end

    def path(self, *names):
        return os.path.join(self.root, *names)

    def stamp(self, path, time=None):
        """A time of its own for everything."""
        if time is None:
            time = self.random.randrange(2**31) * NS + self.random.randrange(NS)
        self.times.append((path, time, time + 86400 * NS + 1))

    def directory(self, *names, mode=0o755):
        path = self.path(*names)
        os.mkdir(path)
        os.chmod(path, mode)
        self.stamp(path)
        return path

    def file(self, path, size, time=None):
        self.number += 1
        with open(path, "wb") as file:
            file.write(self.random.randbytes(size))
        self.stamp(path, time)

    def plain(self):
        os.mkdir(self.root)
        self.stamp(self.root)
        self.directory(b"names")
        self.directory(b"names of directories")
        for name in NAMES:
            self.file(self.path(b"names", name), self.random.randrange(5000))
            self.file(os.path.join(
                self.directory(b"names of directories", name), b"content"), 99)

        self.directory(b"sizes")
        for size in [0, 1, 1743, 1744, 1745, 1832, 2047, 2048, 2049, 4096,
                     65535, 65536, 65537, 2**20 + 1, 2**23 - 1, 2**24]:
            self.file(self.path(b"sizes", b"%d" % size), size)

        self.file(self.path(b"written again"), 1300 * 8192)

        at = [b"deep"]
        self.directory(*at)
        for level in range(100):
            at.append(b"level %d of a deep tree" % level)
            self.directory(*at)
            self.file(self.path(*at, b"file"), level * 40)

        self.directory(b"modes")
        for mode in list(range(0o1000)) + [m << 9 | 0o751 for m in range(8)]:
            path = self.path(b"modes", b"%04o" % mode)
            self.file(path, 10)
            os.chmod(path, mode)
        for mode in [0o000, 0o700, 0o1777, 0o2775, 0o4711, 0o7777]:
            self.directory(b"directory %04o" % mode, mode=mode)

        self.directory(b"owners")
        for uid, gid in OWNERS:
            path = self.path(b"owners", b"%d:%d" % (uid, gid))
            self.file(path, 10)
            os.chown(path, uid, gid)
            os.chown(self.directory(b"owners", b"d%d" % uid), uid, gid)

        self.directory(b"times")
        for time in TIMES:
            self.file(self.path(b"times", b"%d" % time), 10, time)

        self.directory(b"links")
        for inode in range(20):
            first = self.path(b"links", b"%d" % inode)
            self.file(first, inode * 1000)
            for link in range(inode):
                os.link(first, self.path(
                    b"links" if link % 2 else b"deep",
                    b"%d is also %d" % (inode, link)))

        self.directory(b"attributes")
        for number in range(10):
            path = self.path(b"attributes", b"%d" % number)
            self.file(path, number * 300)
            os.setxattr(path, b"user.note", b"a note " * (number * 10))

        self.file(self.path(b"scattered"), 100 * 8192)
        self.many()

    def many(self):
        """Up to 5,000 in one directory, the others in hundreds. (For each name
        Linux looks through the whole directory.)"""
        wide = self.directory(b"wide")
        together = min(self.count // 2, 5000)
        for number in range(together):
            self.file(os.path.join(wide, b"file number %d" % number),
                      self.random.randrange(64))
        self.directory(b"many")
        for number in range(self.count - together):
            if number % 100 == 0:
                directory = self.directory(b"many", b"%d" % (number // 100))
            size = self.random.choice([0, 20, 300, 1800, 3000, 9000])
            self.file(os.path.join(directory, b"%d.data" % number), size)

    def special(self):
        self.directory(b"symbolic links")
        for number, target in enumerate(TARGETS):
            path = self.path(b"symbolic links", b"%d" % number)
            os.symlink(target, path)
            os.chown(path, number, number, follow_symlinks=False)
            self.stamp(path)

        self.directory(b"special")
        for name, kind, device in [
                (b"fifo", stat.S_IFIFO, 0),
                (b"block", stat.S_IFBLK, os.makedev(8, 17)),
                (b"character", stat.S_IFCHR, os.makedev(1, 3)),
                (b"large numbers", stat.S_IFCHR, os.makedev(4095, 1048575))]:
            path = self.path(b"special", name)
            os.mknod(path, kind | 0o640, device)
            os.chown(path, 5, 6)
            self.stamp(path)
        path = self.path(b"special", b"socket")
        here = os.getcwd()
        os.chdir(self.path(b"special"))  # a socket's path is short
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(b"socket")
        os.chdir(here)
        self.stamp(path)

        path = self.path(b"sparse 5 GiB")
        with open(path, "wb") as file:
            file.truncate(5 * 2**30 + 12345)
            for offset in [0, 2**20 - 1, 2**30, 2**31 - 3, 2**32 - 5,
                           2**32 + 70000, 5 * 2**30 + 12345 - 100]:
                file.seek(offset)
                file.write(self.random.randbytes(100))
        self.stamp(path)
        # Islands: as many extents as holes.
        path = self.path(b"islands")
        with open(path, "wb") as file:
            for island in range(1500):
                file.seek(island * 65536)
                file.write(self.random.randbytes(3000))
        self.stamp(path)

    def set_times(self):
        for path, access, modification in reversed(self.times):
            os.utime(path, ns=(access, modification), follow_symlinks=False)


def punch(file, offset, length):
    function = ctypes.CDLL(None, use_errno=True).fallocate64
    function.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64,
                         ctypes.c_int64]
    # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
    if function(file, 3, offset, length) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def write_again(path, pieces, holes):
    """A small piece of a committed file that is written again keeps its blocks. One
    that was a hole meanwhile gets others: the old ones are not free before the
    next commit."""
    status = os.stat(path)
    file = os.open(path, os.O_RDWR)
    for piece in range(pieces):
        data = os.pread(file, 4096, piece * 8192)
        if holes:
            punch(file, piece * 8192, 4096)
        os.pwrite(file, data, piece * 8192)
    os.fsync(file)
    os.close(file)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


# Volume and path -> fewest and most extents, whether it has no holes. (7-Zip reads
# what has no chain of allocation extent descriptors.)
PIECES = {("PLAIN", "/scattered"): (150, 218, True),
          ("ALL", "/scattered"): (150, 218, True),
          ("PLAIN", "/written again"): (1, 218, True),
          ("ALL", "/written again"): (2000, 10000, True),
          ("ALL", "/islands"): (1000, 10000, False)}


def check_extents(lines):
    seen = {}
    for entry in map(json.loads, lines):
        # (A name that is no UTF-8 is an object.)
        file = (entry.get("volume"), str(entry.get("path")))
        if file not in PIECES:
            continue
        extents = entry["extents"]
        dense = sum(count for _, _, count, *_ in extents) * 2048 >= entry["size"]
        chained = "chained" if "aed_blocks" in entry else "in its entry"
        seen[file] = (len(extents), dense, "aed_blocks" in entry)
        print(f"{':'.join(file)}: {len(extents)} extents, {chained}, "
              f"{'without' if dense else 'with'} holes")
    for file, (fewest, most, whole) in PIECES.items():
        count, dense, chained = seen.get(file, (0, False, False))
        if not fewest <= count <= most or dense != whole or \
                chained != (fewest > 229):
            sys.exit(f"corpus.py: {':'.join(file)} has {count} extents")


def copy_part(tree, copy, names, without):
    """These folders of the tree, or what there is without them; and what the
    root of the tree has for attributes. The tree is read once only: that changes
    access times."""
    status = os.stat(tree)
    wanted = [name for name in os.listdir(tree) if (name in names) != without]
    subprocess.run(["cp", "-a", *(os.path.join(tree, name) for name in wanted),
                    copy], check=True)
    for path in (tree, copy):
        os.chown(path, status.st_uid, status.st_gid)
        os.chmod(path, stat.S_IMODE(status.st_mode))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def main():
    if sys.argv[1:2] in (["part"], ["without"]) and len(sys.argv) > 4:
        copy_part(sys.argv[2], sys.argv[3], sys.argv[4:],
                  sys.argv[1] == "without")
        return
    if sys.argv[1:] == ["extents"]:
        check_extents(sys.stdin)
        return
    arguments = [a for a in sys.argv[1:] if a != "--all"]
    if len(arguments) != 3 or arguments[0] not in ("make", "again", "scatter"):
        sys.exit(__doc__)
    if arguments[0] != "make":
        write_again(arguments[1], int(arguments[2]), arguments[0] == "scatter")
        return
    os.umask(0)
    corpus = Corpus(arguments[1], int(arguments[2]))
    corpus.plain()
    if "--all" in sys.argv:
        corpus.special()
    corpus.set_times()


if __name__ == "__main__":
    main()
