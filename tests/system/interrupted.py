#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Backups survive every interruption, from the mount to the medium.

Copies of each mode (image with one drive, streaming, incremental) to a new
medium and onto an old backup; the daemon is killed at a random moment of each.
Right then, with no daemon, what was a backup is, by its medium alone, the old or
the new generation; incomplete only if the job's log had announced that there was
no room for an atomic commit. A medium that was none may say incomplete. After
the restart the job ends by itself, the backup is exactly the new generation, and
all media are at home at the end; no medium of the pool is lost to a copy that
did not end well. Every fourth copy leaves the choice of the medium to the pool.
At the end a sector of neither generation, a backup made incomplete without a
word, and a medium missing from the pool must be noticed.
VELLUM_ROUNDS (12) copies, and more until every mode was interrupted twice;
VELLUM_SEED repeats the choices, not the moments.
"""

import json
import mmap
import os
import random
import sys
import time

from harness import (Failure, Library, ReadOnlyMount, expect, must_fail,
                     seed_and_rounds)
from oplog import BLOCK, scan
from writer import Writer

MODES = ("image", "streaming", "incremental")
MEDIA = 7
INTERRUPTED = 2  # copies of each mode, at least
ANNOUNCED = "without an atomic commit"


class Counts:
    copies = kills = old = new = incomplete = announced = blank = 0
    resumed = 0

    def __init__(self):
        self.interrupted = dict.fromkeys(MODES, 0)  # kills while it ran


class Test:
    def __init__(self, library, seed):
        self.library = library
        self.rng = random.Random(seed)
        self.counts = Counts()
        self.writer = Writer(library.path("VOL", "w"), seed, files=12,
                             size=2_000_000, piece=200_000)
        self.job = None  # of the last copy
        self.backups = {}  # medium -> (volume id, state that it holds)
        self.delay = dict.fromkeys(MODES, 0.2)  # before a kill, at most
        self.homes = library.places()

    def prepare(self):
        self.library.start()
        self.library.tell("format V00001 name=VOL")
        self.writer.make_folders()
        for _ in range(14):
            self.writer.create(sorted(self.writer.log.now.names))
        for path in sorted(self.writer.log.now.names):
            self.writer.write(path, 0, self.writer.random.randbytes(1_200_000))

    def wanted(self):
        """A mode that was not interrupted often enough yet, or None."""
        return next((mode for mode, count in self.counts.interrupted.items()
                     if count < INTERRUPTED), None)

    def change(self):
        for _ in range(self.rng.randrange(5, 40)):
            self.writer.step()
        self.library.tell("sync VOL")
        self.writer.log.made_durable(self.writer.log.confirmed)

    # --- One copy

    def look_at_medium(self, medium, now):
        """With no daemon: what the copy left there. Answers whether a backup
        was given up, which must have been announced."""
        image = self.library.image(medium)
        info = self.library.call("info", "--image", image, "--json",
                                 codes=(0, 1))
        if info.returncode != 0:
            expect(medium not in self.backups,
                   f"{medium} was a backup, now: {info.stdout}")
            self.counts.blank += 1
            return False
        state = json.loads(info.stdout)["state"]
        if state == "incomplete":
            self.counts.incomplete += 1
            return medium in self.backups
        expect(state in ("complete", "in-use"), f"{medium}: {info.stdout}")
        with ReadOnlyMount(self.library, image=image) as side:
            seen = scan(os.path.join(side, "w"))
        old = self.backups.get(medium)
        if not now.difference(seen):
            self.counts.new += 1
        elif old is not None and not old[1].difference(seen):
            self.counts.old += 1
        else:
            raise Failure(f"{medium} is complete, but neither the old "
                          f"({old and old[1].difference(seen)}) nor the new "
                          f"generation ({now.difference(seen)})")
        return False

    def expect_announced(self, job, media):
        if not media:
            return
        with open(self.library.control("jobs", str(job), "log"),
                  encoding="utf-8") as file:
            log = file.read()
        expect(ANNOUNCED in log, f"{media} given up without a word: {log}")
        self.counts.announced += 1

    def kill(self, job, media, now):
        """Answers whether the job had not ended yet."""
        self.library.kill()
        self.counts.kills += 1
        given_up = [m for m in media if self.look_at_medium(m, now)]
        self.library.unmount()
        self.library.start()
        self.expect_announced(job, given_up)
        error = self.writer.log.recovered(scan(self.writer.root))
        if error:
            raise Failure(f"the primary: {error}")
        expect(not self.writer.log.now.difference(now), "the primary changed")
        return self.library.took_up_again(job)

    def copy(self, mode, medium):
        """`medium` None: the pool chooses."""
        now = self.writer.log.now
        target = f" to={medium}" if medium else ""
        job = self.library.tell(f"copy VOL mode={mode}{target}")["job"]
        self.job = job
        media = [medium] if medium else sorted(set(self.homes) - {"V00001"})
        running, killed = True, False
        while running and self.rng.random() < 0.85:
            time.sleep(self.rng.uniform(0, self.delay[mode]))
            running = self.kill(job, media, now)
            # So that most kills hit the copy, at its end, too.
            self.delay[mode] *= 1.2 if running else 0.7
            self.counts.interrupted[mode] += running
            killed = killed or running
        row = self.library.wait_job(job)
        expect(row["state"] == "done", f"job: {row}")
        self.counts.copies += 1
        self.counts.resumed += killed
        expect(medium in (None, row["medium"]), f"{medium} was wanted: {row}")
        self.check_backup(row["medium"], row["target"], now)

    def check_backup(self, medium, backup, now):
        with ReadOnlyMount(self.library, volume=backup) as side:
            difference = now.difference(scan(os.path.join(side, "w")))
        expect(not difference, f"backup {backup}: {difference}")
        row = self.library.wait_job(
            self.library.tell(f"compare VOL {backup}")["job"])
        expect(row["state"] == "done", f"compare: {row}")
        self.library.fsck(backup)
        self.backups[medium] = (backup, now)

    # --- What must hold between copies

    def check_media(self):
        """Every medium is a primary, a backup that we know, or unused."""
        unused = [row["medium"] for row in self.library.table("copies")
                  if row["label"] == "--UNUSED--"]
        known = {"V00001", *self.backups}
        expect(sorted(unused) == sorted(set(self.homes) - known),
               f"unused {unused}, in use {sorted(known)}")
        for row in self.library.table("media"):
            expect(row["home"] == self.homes[row["medium"]], f"home: {row}")

    def negative_control(self):
        """What is neither generation, and a lost medium, are noticed."""
        counts, self.counts = self.counts, Counts()  # not of the claim
        medium = min(self.backups)
        self.change()
        self.copy("incremental", medium)
        must_fail("a backup given up without a word",
                  lambda: self.expect_announced(self.job, [medium]),
                  f"['{medium}'] given up without a word")
        now = self.backups[medium][1]
        path = max(now.names, key=lambda p: os.path.getsize(
            os.path.join(self.writer.root, p)))
        with open(os.path.join(self.writer.root, path), "rb") as file:
            content = file.read()
        first = next(at for at in range(0, len(content), 2048)
                     if any(content[at:at + 2048]))
        sector = content[first:first + 2048]
        self.library.unmount()
        self.look_at_medium(medium, now)
        with open(self.library.image(medium), "r+b") as file, \
                mmap.mmap(file.fileno(), 0) as image:
            places = [at for at in range(0, len(image), 2048)
                      if image[at:at + 2048] == sector]
            expect(places, f"{path} is not on {medium}")
            for at in places:
                image[at + 1000] ^= 1
        must_fail("a sector of neither generation",
                  lambda: self.look_at_medium(medium, now),
                  f"{medium} is complete, but neither",
                  f"the {BLOCK} bytes at {first // BLOCK * BLOCK})")
        self.library.start()
        lost = max(self.backups)
        del self.backups[lost]
        unused = sorted(set(self.homes) - {"V00001", lost, *self.backups})
        must_fail("a medium that the pool lost", self.check_media,
                  f"unused {unused}, in use")
        self.counts = counts

    def check_homes(self):
        self.library.unmount()
        expect(self.library.places() == self.homes,
               f"not at home: {self.library.places()}")
        self.library.start()


def main():
    seed, rounds = seed_and_rounds("interrupted", 12)
    with Library(media=MEDIA, slots=MEDIA + 1) as library:
        test = Test(library, seed)
        test.prepare()
        number = -1
        while number + 1 < rounds or test.wanted():
            number += 1
            expect(number < 3 * rounds, f"interrupted: {test.counts.interrupted}")
            # Every mode to new media first, then onto what is there.
            mode = (MODES[number % len(MODES)] if number < rounds
                    else test.wanted())
            media = sorted(set(test.homes) - {"V00001"})
            medium = media[number % len(media)] if number % 4 != 2 else None
            try:
                test.change()
                test.copy(mode, medium)
                test.check_media()
                if number % 4 == 3:
                    test.check_homes()
            except Failure as failure:
                raise Failure(f"round {number}, {mode} to {medium}: "
                              f"{failure}") from failure
        test.check_homes()
        test.negative_control()
        library.unmount()
    c = test.counts
    running = ", ".join(f"{mode} {n}" for mode, n in c.interrupted.items())
    print(f"interrupted: {c.copies} copies done, {c.resumed} of them killed at "
          f"least once; {c.kills} kills, while the job was running: {running}; "
          f"media were then: the old generation {c.old}, the new one {c.new}, "
          f"incomplete {c.incomplete} ({c.announced} of them backups, as "
          f"announced), blank {c.blank} times")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as found:
        print(f"interrupted: FAILED: {found}", file=sys.stderr)
        sys.exit(1)
