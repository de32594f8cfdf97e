#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The daemon under kill -9, in a loop, while files are changed on two primaries.

After each kill: what is left of the mount is taken away, the daemon is started
again; both volumes are what they were behind one step of each writer, not
before its last fsync; fsck finds nothing; and what the catalog shows is what
another process reads from the image alone. At the end an image from before an
fsync, and a changed byte, must be noticed.
VELLUM_ROUNDS (10) rounds; VELLUM_SEED repeats the choices, not the moments.
"""

import errno
import mmap
import random
import shutil
import sys
import time

from harness import (Failure, Library, ReadOnlyMount, expect,
                     expect_same_trees, must_fail, seed_and_rounds)
from oplog import scan
from writer import Writer

VOLUMES = {"ONE": "V00001", "TWO": "V00002"}


class Counts:
    kills = steps = checked_files = compared = lost_steps = 0


def kill_at_random(library, writers, rng, counts):
    for writer in writers:
        writer.start()
    time.sleep(rng.uniform(0.02, 0.5))
    library.kill()
    for writer in writers:
        writer.stop()
        # It may have been between two steps, or between two parts of a write,
        # which is then short and has no errno.
        error = writer.error
        expect(error is None or error.errno in (None, errno.ENOTCONN,
                                                errno.ECONNABORTED),
               f"a writer's call ended with {error}")
    library.unmount()
    counts.kills += 1
    while rng.random() < 0.3:  # while it recovers
        library.start()
        time.sleep(rng.uniform(0, 0.05))
        library.kill()
        library.unmount()
        counts.kills += 1


def check_writers(writers, counts):
    for writer in writers:
        counts.steps += writer.log.confirmed
        before = writer.log.confirmed
        state = scan(writer.root)
        error = writer.log.recovered(state)
        if error:
            raise Failure(f"{writer.root}: {error}")
        counts.lost_steps += max(0, before - writer.log.issued)
        counts.checked_files += len(state.names)


def check_media(library, counts):
    for volume, medium in VOLUMES.items():
        library.fsck(volume)
        library.tell(f"sync {volume}")
        with ReadOnlyMount(library, image=library.image(medium)) as side:
            counts.compared += expect_same_trees(library.path(volume), side)


def controls(library, writer, counts):
    """The same checks find what is wrong."""
    volume, medium = "ONE", VOLUMES["ONE"]
    image, spare = library.image(medium), library.image(medium) + ".spare"
    library.start()
    path = writer.a_file()
    library.tell(f"sync {volume}")
    library.kill()
    library.unmount()
    shutil.copy(image, spare)
    library.start()
    marked = writer.random.randbytes(5000)
    writer.write(path, 0, marked)
    writer.fsync_path(path, writer.log.now.names[path])
    library.kill()
    library.unmount()
    # An fsync is answered before all is in place; then a changed byte would make
    # its record void, and take the whole step away.
    library.start()
    library.fsck(volume)
    library.unmount()
    shutil.copy(image, spare + ".good")

    def check():
        library.start()
        try:
            check_writers([writer], counts)
        finally:
            library.kill()
            library.unmount()

    # The medium as it was before the fsync.
    shutil.copy(spare, image)
    must_fail("a lost fsync", check, f"but {writer.log.durable} was durable: ",
              " bytes")
    shutil.copy(spare + ".good", image)
    with open(image, "r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        at = content.find(marked[:2048])
        expect(at >= 0, f"{path} is not on {medium}")
        while at >= 0:  # in place, and where a record of the journal has it
            content[at + 1000] ^= 1
            at = content.find(marked[:2048], at + 1)
        content.flush()
    must_fail("a changed byte", check,
              f"no step from {writer.log.durable} (durable)", "bytes at 0")
    library.start()


def main():
    seed, rounds = seed_and_rounds("kills", 10)
    rng = random.Random(seed)
    counts = Counts()
    with Library(media=2) as library:
        library.start()
        writers = []
        for volume, medium in VOLUMES.items():
            library.tell(f"format {medium} name={volume}")
            for i in range(2):
                writers.append(Writer(library.path(volume, f"w{i}"),
                                      f"{seed}/{volume}/{i}"))
                writers[-1].make_folders()
            library.tell(f"sync {volume}")
        for number in range(rounds):
            try:
                kill_at_random(library, writers, rng, counts)
                library.start()
                check_writers(writers, counts)
                check_media(library, counts)
            except Failure as failure:
                raise Failure(f"round {number}: {failure}") from failure
        library.unmount()
        expect(set(library.places().values()) == {1024, 1025},
               f"media are not at home: {library.places()}")
        controls(library, writers[0], Counts())
        library.unmount()
    fsyncs = sum(w.fsyncs for w in writers)
    print(f"kills: {counts.kills} kills survived; {counts.steps} steps, "
          f"{fsyncs} fsyncs, {counts.checked_files} files checked, "
          f"{counts.compared} compared with the medium; {counts.lost_steps} "
          "steps were not durable yet, 0 durable ones lost; "
          + ", ".join(f"{sum(w.write_kinds[kind] for w in writers)} {kind}"
                      for kind in writers[0].write_kinds)
          + " writes; a lost fsync and a changed byte made by hand were noticed")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as found:
        print(f"kills: FAILED: {found}", file=sys.stderr)
        sys.exit(1)
