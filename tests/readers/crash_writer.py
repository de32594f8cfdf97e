#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Works on stamped files (stamps.h) until the file system goes away.

usage: crash_writer.py DIR FIRST_ID SEED    files FIRST_ID, FIRST_ID + 1, ...
"""

import os
import random
import sys


def stamped(number, first, count):
    return b"".join((b"file %d at %d" % (number, record * 64))
                    .ljust(64, b"\0") for record in range(first, first + count))


def work(top, number, rng):
    files = {}  # path -> id
    folders = [top]
    while True:
        what = rng.random()
        if what < 0.40 or len(files) < 20:
            number += 1
            path = os.path.join(rng.choice(folders), f"{number}-new")
            size = rng.choice([1, 20, 40, 300, 2000])
            with open(path, "wb") as file:
                file.write(stamped(number, 0, size))
            files[path] = number
        elif what < 0.55:  # in the middle, or far behind the end
            path = rng.choice(list(files))
            first = rng.randrange(3000)
            with open(path, "r+b") as file:
                file.seek(first * 64)
                file.write(stamped(files[path], first, rng.randrange(1, 400)))
        elif what < 0.65:
            path = rng.choice(list(files))
            new = os.path.join(rng.choice(folders),
                               f"{files[path]}-{rng.randrange(1000)}")
            os.rename(path, new)
            files[new] = files.pop(path)
        elif what < 0.80:
            path = rng.choice(list(files))
            os.unlink(path)
            del files[path]
        elif what < 0.82 and len(folders) < 30:
            folders.append(os.path.join(rng.choice(folders),
                                        f"folder {len(folders)} of {number}"))
            os.mkdir(folders[-1])
        else:
            path = rng.choice(list(files))
            file = os.open(path, os.O_RDWR)
            os.fsync(file)
            os.close(file)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        work(sys.argv[1], int(sys.argv[2]), random.Random(int(sys.argv[3])))
    except OSError as error:
        print(f"the end: {error}")


if __name__ == "__main__":
    main()
