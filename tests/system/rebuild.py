#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""X8: the catalog is made again from the media after a kill.

A primary with backups of two generations and one that was broken off
(INCOMPLETE) is being changed when the daemon is killed. Of what it left, two
copies go on: one recovers with its catalog, the other's catalog is deleted and
made again by `reindex --reset`. Both dumps are equal, but for the number of the
primary's generation (each writes to its own medium when it closes what the kill
left open). Then the catalog is made again from the same media once more: that
dump is equal to the byte. Backups are what they were; the next copies work; a
dump of another state is not equal.
VELLUM_ROUNDS (5) kills; VELLUM_SEED repeats the choices, not the moments.
"""

import json
import os
import random
import shutil
import sys
import time

from harness import (Failure, Library, ReadOnlyMount, await_true,
                     describe_tree, expect, seed_and_rounds)
from oplog import scan
from writer import Writer


class Counts:
    lines = files = 0


def copy_library(source, target):
    shutil.rmtree(target, ignore_errors=True)
    os.makedirs(target)
    # --sparse: images are mostly holes.
    expect(os.system(f"cp -a --sparse=always '{source}/.' '{target}'") == 0,
           f"cp of {source}")


class Test:
    def __init__(self, library, seed):
        self.library = library
        self.rng = random.Random(seed)
        self.writer = Writer(library.path("VOL", "w"), seed, files=24,
                             size=600_000)
        self.killed = os.path.join(library.work, "killed")
        self.backups = {}  # name -> tree
        self.counts = Counts()

    def copy(self, medium, mode):
        self.library.tell("sync VOL")
        tree = describe_tree(self.library.path("VOL"))
        row = self.library.wait_job(self.library.tell(
            f"copy VOL mode={mode} to={medium}")["job"])
        expect(row["state"] == "done", f"copy: {row}")
        self.backups[row["target"]] = tree

    def prepare(self):
        library = self.library
        library.start()
        library.tell("format V00001 name=VOL threshold=90")
        self.writer.make_folders()
        with open(library.path("VOL", "large"), "wb") as file:
            file.write(self.rng.randbytes(60_000_000))
        for _ in range(60):
            self.writer.step()
        self.copy("V00002", "streaming")
        for _ in range(60):
            self.writer.step()
        self.copy("V00003", "streaming")
        job = library.tell("copy VOL mode=streaming to=V00004")["job"]
        await_true(lambda: library.job(job)["bytes_copied"] > 0, "the copy")
        library.tell(f"cancel {job}")
        row = library.wait_job(job)
        expect(row["state"] == "cancelled", f"it was not cancelled: {row}")
        self.expect_incomplete()

    def expect_incomplete(self):
        rows = [row for row in self.library.table("media")
                if row["medium"] == "V00004"]
        expect(rows and rows[0]["volume_state"] == "incomplete",
               f"V00004 is not incomplete: {rows}")

    def dump(self):
        """Of the library that no daemon serves."""
        return self.library.call("dump-catalog", self.library.dir).stdout

    def kill(self):
        self.writer.start()
        time.sleep(self.rng.uniform(0.02, 0.4))
        self.library.kill()
        self.writer.stop()
        self.library.unmount()
        copy_library(self.library.dir, self.killed)

    def load_and_dump(self):
        """Ends the daemon. What a kill left open is closed by loading it, which
        is a generation of its own; a catalog that is made anew has not done so
        yet. Reading would change access times."""
        os.close(os.open(self.library.path("VOL", "large"), os.O_WRONLY))
        self.library.unmount()
        return self.dump()

    def recover(self):
        """With its catalog. Answers the dump."""
        self.library.start()
        dump = self.load_and_dump()
        self.library.start()
        state = scan(self.writer.root)
        error = self.writer.log.recovered(state)
        expect(not error, f"after the kill: {error}")
        self.counts.files += len(state.names)
        self.library.unmount()
        return dump

    def reset(self):
        shutil.rmtree(os.path.join(self.library.dir, "catalog"))
        self.library.start()
        expect(not [row for row in self.library.table("media")
                    if row["volume"]], "volumes without a catalog")
        self.library.call("--mount", self.library.mount, "reindex", "--reset")

    def rebuild(self):
        """The same, without one."""
        copy_library(self.killed, self.library.dir)
        self.reset()
        dump = self.load_and_dump()
        self.library.start()
        self.expect_incomplete()
        state = scan(self.writer.root)
        expect(not self.writer.log.now.difference(state),
               f"another tree: {self.writer.log.now.difference(state)}")
        for name, tree in self.backups.items():
            with ReadOnlyMount(self.library, volume=name) as side:
                expect(describe_tree(side) == tree, f"{name} is another one")
        return dump

    def expect_equal(self, kept, made):
        if kept != made:
            pairs = [(a, b) for a, b in zip(kept.splitlines(),
                                            made.splitlines()) if a != b]
            raise Failure(f"{len(kept)} and {len(made)} bytes, {len(pairs)} "
                          f"lines, the last: {str(pairs[-1:])[:1500]}")
        self.counts.lines += kept.count("\n")

    @staticmethod
    def without_generation(dump):
        rows = [json.loads(line) for line in dump.splitlines()]
        for row in rows:
            if row.get("role") == "primary":
                del row["generation"]
        return "".join(json.dumps(row) + "\n" for row in rows)

    def round(self):
        self.kill()
        kept = self.recover()
        made = self.rebuild()
        self.expect_equal(self.without_generation(kept),
                          self.without_generation(made))
        self.library.unmount()
        kept = self.dump()
        self.reset()
        self.library.unmount()
        made = self.dump()
        self.expect_equal(kept, made)
        self.library.start()
        return made


def main():
    seed, rounds = seed_and_rounds("rebuild", 5)
    with Library(media=5, slots=6, capacity="128M") as library:
        test = Test(library, seed)
        test.prepare()
        for number in range(rounds):
            try:
                dump = test.round()
            except Failure as failure:
                raise Failure(f"round {number}: {failure}") from failure
        # Both generations take the next copy; so does the broken-off one.
        for medium in ("V00002", "V00003", "V00004"):
            test.copy(medium, "incremental")
        for name in test.backups:
            row = library.wait_job(library.tell(f"compare VOL {name}")["job"])
            expect(row["state"] == "done", f"compare: {row}")
        library.unmount()
        expect(test.dump() != dump, "dumps of two states are equal")
    print(f"rebuild: {rounds} kills, {test.counts.lines} lines of catalog equal, "
          f"the same media's to the byte, {test.counts.files} files, backups of two generations "
          "and an incomplete one each time; 0 differences")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as found:
        print(f"rebuild: FAILED: {found}", file=sys.stderr)
        sys.exit(1)
