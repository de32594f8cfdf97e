#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills and power cuts inside convert, promote and restore.

The daemon dies before every write and flush that such a command makes to media,
catalog and spool, one after the other (deaths.py counts them), as a kill or as a
power cut: then 512-byte sectors of the media and the spool, and
the tail of the catalog's log, that were written and not flushed are lost, all of
them or at random.
Afterwards the volumes are what they were or what they were to be (a medium under
restore may be incomplete, and its job goes on by itself), the command can be
given again, and ends as if nothing had been: every tree with all its metadata is
where it should be, fsck is clean, media are at home. At the end of each command
it must be noticed when flushed writes are lost all the same.
VELLUM_ROUNDS (0: all) limits the places of each command, VELLUM_FAULT_STEP=N takes
every Nth; VELLUM_DEATHS=3 dies in all three ways each time, instead of in one in
turn; VELLUM_SEED repeats what is lost.
"""

import json
import os
import sys
import time

from deaths import DeathTest
from harness import (CommandError, Failure, Library, ReadOnlyMount,
                     describe_tree, expect, must_fail, seed_and_rounds)


class Counts:
    before = after = incomplete = resumed = 0


class Test(DeathTest):
    def __init__(self, library, seed):
        super().__init__(library, seed)
        self.trees = {}  # "new": of the primary, "old": of its backup
        self.counts = Counts()

    def prepare(self):
        library = self.library
        library.start()
        library.tell("format V00001 name=VOL")
        for name in ("a", "b", "c"):
            os.makedirs(library.path("VOL", "folder", name))
        for i in range(8):
            path = library.path("VOL", "folder", "abc"[i % 3], f"file{i}")
            with open(path, "wb") as file:
                file.write(self.rng.randbytes(20_000 * i))
            os.chmod(path, 0o600 + i)
            os.utime(path, ns=(10**18 + i, 10**18 + 12345 * i))
        os.symlink("a/file0", library.path("VOL", "folder", "link"))
        library.tell("sync VOL")
        self.trees["old"] = describe_tree(library.path("VOL"))
        row = library.wait_job(
            library.tell("copy VOL mode=streaming to=V00002")["job"])
        expect(row["state"] == "done", f"copy: {row}")
        for i in range(1, 8, 2):
            with open(library.path("VOL", "folder", "abc"[i % 3], f"file{i}"),
                      "r+b") as file:
                file.write(self.rng.randbytes(9_000))
        os.unlink(library.path("VOL", "folder", "a", "file6"))
        os.mkdir(library.path("VOL", "later"))
        library.tell("sync VOL")
        self.trees["new"] = describe_tree(library.path("VOL"))
        library.unmount()
        self.save("start")

    def begin(self):
        self.go_back("start")
        self.library.start()
        # Both media in drives, so that the command begins at once.
        self.library.tell("fsck V00002")
        self.library.tell("fsck VOL")

    # --- What there is

    def volumes(self):
        """name -> (role, medium)"""
        return {row["volume"]: (row["role"], row["medium"])
                for row in self.library.table("media") if row["volume"]}

    def tree(self, name, role):
        if role == "primary":
            return describe_tree(self.library.path(name))
        with ReadOnlyMount(self.library, volume=name) as side:
            return describe_tree(side)

    def has(self, name, role, medium, which):
        volumes = self.volumes()
        expect(volumes.get(name) == (role, medium),
               f"{name} should be a {role} on {medium}: {volumes}")
        seen, wanted = self.tree(name, role), self.trees[which]
        for path in sorted(seen.keys() | wanted.keys()):
            expect(seen.get(path) == wanted.get(path),
                   f"{name}: {path} is {str(seen.get(path))[:150]}, not "
                   f"{str(wanted.get(path))[:150]}")
        self.library.fsck(name)

    def finish(self, names):
        """Volumes that are written go on, and all media go home."""
        for name in names:
            path = self.library.path(name, "written-behind")
            with open(path, "wb") as file:
                file.write(b"behind")
            self.library.tell(f"sync {name}")
        self.library.unmount()
        expect(self.library.places() == self.homes,
               f"not at home: {self.library.places()}")

    def count(self, done):
        if done:
            self.counts.after += 1
        else:
            self.counts.before += 1

    def start(self):
        """Each volume is used once: a name or a role on its medium that the
        catalog has not heard of is taken over then."""
        self.library.start()
        for name, (role, _) in self.volumes().items():
            try:
                self.tree(name, role)
            except (CommandError, OSError) as error:
                expect(name not in self.volumes(), f"{name}: {error}")

    def check_convert(self):
        self.start()
        self.has("VOL", "primary", "V00001", "new")
        done = "NEW" in self.volumes()
        self.count(done)
        if not done:
            self.has("V00002", "backup", "V00002", "old")
            self.library.tell("convert V00002 name=NEW")
        self.has("NEW", "primary", "V00002", "old")
        self.finish(["VOL", "NEW"])

    def check_promote(self):
        self.start()
        volumes = self.volumes()
        done = volumes.get("VOL") == ("primary", "V00002")
        self.count(done)
        retired = next((name for name, (role, medium) in volumes.items()
                        if (role, medium) == ("primary", "V00001")), "none")
        expect(retired in ("VOL", "VOL-OLD1"), f"V00001 is lost: {volumes}")
        self.has(retired, "primary", "V00001", "new")
        if not done:
            self.has("V00002", "backup", "V00002", "old")
            self.library.tell("promote V00002")
        self.has("VOL", "primary", "V00002", "old")
        self.has("VOL-OLD1", "primary", "V00001", "new")
        self.finish(["VOL", "VOL-OLD1"])

    def check_restore(self):
        info = self.library.call("info", "--image",
                                 self.library.image("V00001"), "--json")
        incomplete = json.loads(info.stdout)["state"] == "incomplete"
        self.library.start()
        jobs = [row["id"] for row in self.library.table("jobs")
                if row["kind"] == "restore"]
        resumed = [j for j in jobs if self.library.took_up_again(j)]
        for job in resumed:
            row = self.library.wait_job(job)
            expect(row["state"] == "done", f"restore: {row}")
        self.counts.resumed += len(resumed)
        self.counts.incomplete += incomplete
        expect(resumed or not incomplete, "a restore was not taken up again")
        self.has("V00002", "backup", "V00002", "old")
        if not resumed and not jobs:
            self.count(False)
            self.has("VOL", "primary", "V00001", "new")
        else:
            self.count(True)
            self.has("VOL", "primary", "V00001", "old")
        row = self.library.wait_job(
            self.library.tell("restore VOL from=V00002 confirm=yes")["job"])
        expect(row["state"] == "done", f"restore again: {row}")
        self.has("VOL", "primary", "V00001", "old")
        self.finish(["VOL"])

    # --- All of one command

    def all_of(self, command, check, rounds):
        steps = self.everywhere(self.begin, command, check, rounds=rounds)
        # Control: all its writes lost, though they were flushed.
        self.die(self.begin, command, 0, "flushed")
        counts, self.counts = self.counts, Counts()
        lost = f"{command}: that all its writes were lost"
        try:
            if command.startswith("restore"):  # the job is done, it says
                must_fail(lost, check, "VOL: folder/", " is [", ", not [")
            else:
                check()
                expect(self.counts.before == 1, lost + " was not noticed")
        finally:
            self.counts = counts
        if os.path.ismount(self.library.mount):  # the check broke off
            self.library.unmount()
        return steps


def main():
    seed, rounds = seed_and_rounds("replacing", 0)
    with Library(media=3, checkpoint_ms=3600_000) as library:
        test = Test(library, seed)
        test.prepare()
        begin = time.monotonic()
        steps = {command: test.all_of(command, check, rounds)
                 for command, check in (
                     ("convert V00002 name=NEW", test.check_convert),
                     ("promote V00002", test.check_promote),
                     ("restore VOL from=V00002 confirm=yes",
                      test.check_restore))}
    c = test.counts
    said = ", ".join(f"{command.split()[0]} {n}"
                     for command, n in steps.items())
    print(f"replacing: deaths before each write and flush: {said} places; "
          f"{test.died} deaths, {test.cuts} of them power cuts ({test.lost} sectors "
          f"lost); afterwards the command had not happened "
          f"{c.before}, had happened {c.after} times ({c.resumed} restores went "
          f"on by themselves, {c.incomplete} of incomplete volumes); nothing "
          f"lost; {time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as found:
        print(f"replacing: FAILED: {found}", file=sys.stderr)
        sys.exit(1)
