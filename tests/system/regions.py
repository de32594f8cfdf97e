#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Changed regions are never missed, with the daemon killed at any moment.

Writers change a primary at random while incremental copies of it run; the
daemon is killed now and then. After every copy the backup is compared in full,
twice: by `compare`, and by reading every file of the mounted backup with its
mode, owner, time and extended attribute. That must be what each writer's folder
was, by the writer's own log, behind one step between the request of the copy and
its end; the primary, which has changed since, is not read for that. Where no kill
came in between, there must be one instant at which all writers were there: the
one of the snapshot. Then the writers stop, and behind one more incremental copy
backup and primary are of one generation: `compare`, which holds a snapshot of it
to its end, compares every region of it. What was missed since the round before
would differ still, descriptors and directories included. At the end a missed
region and a missed chmod are made by hand, and steps of two instants put
together: all must be noticed.
VELLUM_ROUNDS (20) rounds; VELLUM_SEED repeats the choices, not the moments.
"""

import json
import mmap
import os
import random
import sys
import time

from harness import (CommandError, Failure, Library, ReadOnlyMount, expect,
                     seed_and_rounds)
from oplog import scan
from writer import Writer

REGION = 65536
LARGE = 5_000_000  # bytes of each large file


class Counts:
    copies = incremental = kills = interrupted = copied = misses = 0
    instants = 0  # copies that were compared with one instant
    at_rest = regions = 0  # copies at rest, and their regions,
    copied_at_rest = read_at_rest = 0  # and what they wrote and read, bytes


class Test:
    def __init__(self, library, seed):
        self.library = library
        self.rng = random.Random(seed)
        self.counts = Counts()
        # Small changes, most of them in files that grow and shrink; most regions
        # belong to files that are changed now and then: a change of them that
        # was missed is not made good by the next one.
        self.writers = [
            Writer(library.path("VOL", f"w{i}"), f"{seed}/{i}", files=6,
                   size=1_500_000, piece=9_000, large=2) for i in range(2)]
        self.backup = None
        self.delay = 0.05  # before a kill, at most

    def prepare(self):
        self.library.start()
        self.library.tell("format V00001 name=VOL")
        for writer in self.writers:
            writer.make_folders()
            for _ in range(8):
                writer.create(sorted(writer.log.now.names))
            for path in sorted(writer.log.now.names):
                writer.fill(path, 800_000)
            writer.make_large(LARGE)
        self.library.tell("sync VOL")
        for writer in self.writers:
            writer.log.made_durable(writer.log.confirmed)
        row = self.library.wait_job(
            self.library.tell("copy VOL mode=streaming to=V00002")["job"])
        expect(row["state"] == "done", f"the first copy: {row}")
        self.backup = row["target"]

    def start_writers(self):
        for writer in self.writers:
            writer.start()

    def stop_writers(self, killed=False):
        for writer in self.writers:
            writer.stop()
            expect(killed or writer.error is None, f"writer: {writer.error}")

    def kill_and_restart(self, job):
        """Answers whether the copy had not ended yet."""
        self.library.kill()
        self.stop_writers(killed=True)
        self.library.unmount()
        self.library.start()
        self.counts.kills += 1
        running = self.library.took_up_again(job)
        for writer in self.writers:
            error = writer.log.recovered(scan(writer.root))
            if error:
                raise Failure(f"{writer.root}: {error}")
        self.start_writers()
        return running

    def copy(self):
        """One copy with its kills; the writers' steps that it may show."""
        for writer in self.writers:
            writer.log.keep = writer.log.confirmed
        job = self.library.tell(
            f"copy VOL mode=incremental to={self.backup}")["job"]
        running = True
        while running and self.rng.random() < 0.7:
            time.sleep(self.rng.uniform(0, self.delay))
            running = self.kill_and_restart(job)
            # So that most kills hit the copy, at its end, too.
            self.delay *= 1.2 if running else 0.7
            self.counts.interrupted += running
        row = self.library.wait_job(job)
        # Steps issued until now.
        last = [writer.log.issued for writer in self.writers]
        expect(row["state"] == "done", f"copy: {row}")
        self.counts.copies += 1
        self.counts.incremental += row["method"] == "incremental"
        self.counts.copied += row["bytes_copied"]
        return last

    @staticmethod
    def one_instant(seen):
        """Whether some moment is in a stretch of each list."""
        return any(all(any(begin <= at <= end for begin, end in stretches)
                       for stretches in seen)
                   for at in (begin for stretches in seen
                              for begin, _ in stretches))

    def compare(self, last, in_peace=False):
        """What is wrong with the backup, in two opinions. `in_peace`: no kill
        came between."""
        wrong, seen = [], []
        row = self.library.wait_job(
            self.library.tell(f"compare VOL {self.backup}")["job"])
        if row["state"] != "done":
            expect("differ" in row["message"], f"compare: {row}")
            wrong.append(f"compare: {row['message']}")
        with ReadOnlyMount(self.library, volume=self.backup) as side:
            for writer, step in zip(self.writers, last):
                state = writer.log.sharing(
                    scan(os.path.join(side, os.path.basename(writer.root))))
                first = writer.log.keep
                seen.append(writer.log.seen(state, first, step))
                if writer.log.find(state, first, step) is None:
                    wrong.append(
                        f"{writer.root}: not what it was behind a step from "
                        f"{first} to {step}; the last one differs in "
                        f"{writer.log.states[step].difference(state)}")
        if in_peace and not wrong:
            self.counts.instants += 1
            if not self.one_instant(seen):
                wrong.append(f"the writers' folders are of different instants: "
                             f"{seen}")
        return wrong

    def compare_at_rest(self):
        """What is wrong with the backup behind one more copy, now that nobody
        writes: region by region, all of them."""
        row = {}
        for _ in range(5):
            self.copy_in_peace()
            row = self.library.wait_job(
                self.library.tell(f"compare VOL {self.backup}")["job"])
            if not row["regions_changed"]:
                break
        self.counts.at_rest += 1
        if row["state"] != "done":
            expect("differ" in row["message"], f"compare: {row}")
            return [f"compare at rest: {row['message']}"]
        expect(row["regions_changed"] == 0 and row["regions_compared"] > 0,
               f"not all was compared: {row}")
        self.counts.regions += row["regions_compared"]
        return []

    def round(self, number):
        self.start_writers()
        time.sleep(self.rng.uniform(0, 0.2))
        kills = self.counts.kills
        last = self.copy()
        # The writers go on until the comparison has ended.
        wrong = self.compare(last, self.counts.kills == kills)
        self.stop_writers()
        wrong += self.compare_at_rest()
        for writer in self.writers:
            writer.log.keep = None
            writer.log.forget()
        if wrong:
            self.counts.misses += 1
            print(f"round {number}: {'; '.join(wrong)}", file=sys.stderr)

    def negative_control(self):
        """One region of the backup as it was before the copy that wrote it."""
        counts, self.counts = self.counts, Counts()  # not of the claim
        writer = self.writers[0]
        path = max(writer.log.now.names, key=lambda p: writer.content(p).size)
        before = bytearray(writer.random.randbytes(4 * REGION))
        writer.write(path, 0, bytes(before))
        self.copy_in_peace()
        image = self.library.image("V00002")
        with open(image, "rb") as file:
            old = file.read()
        after = bytearray(writer.random.randbytes(4 * REGION))
        writer.write(path, 0, bytes(after))
        self.copy_in_peace()
        # One more copy, of something else: the journal of the backup would
        # write its last record again.
        other = self.writers[1]
        other.write(min(other.log.now.names), 0, other.random.randbytes(5000))
        last = self.copy_in_peace()
        expect(not self.compare(last, True), "the backup was wrong already")
        self.library.unmount()
        with open(self.library.image("V00001"), "rb") as file:
            primary = file.read()
        with open(image, "r+b") as file, mmap.mmap(file.fileno(), 0) as new:
            # Data of the file, where the primary has it, too: not in the ring,
            # where both may hold the same records of fsyncs.
            regions = [
                at for at in range(self.first_data(image), len(new), REGION)
                if new[at:at + REGION] != old[at:at + REGION]
                and primary[at:at + REGION] == new[at:at + REGION]
                and any(new[sector:sector + 2048] in after
                        for sector in range(at, at + REGION, 2048))]
            expect(regions, "no region holds new data of the file")
            region = regions[0]
            new[region:region + REGION] = old[region:region + REGION]
        self.library.start()
        expect(self.compare_at_rest(),
               "a missed region was not noticed at rest")
        found = self.compare(last)
        expect(len(found) == 2, f"a missed region was not noticed: {found}")
        last = self.copy_in_peace(mode="streaming", more="overwrite-last=yes")
        expect(not self.compare(last, True), "the new backup is wrong")
        mode = writer.content(path).meta.mode ^ 0o111
        writer.change_meta(path, lambda at: os.chmod(at, mode), mode=mode)
        for w in self.writers:
            w.log.keep = w.log.confirmed
        found = self.compare([w.log.issued for w in self.writers])
        expect(len(found) == 1, f"a missed chmod was not noticed: {found}")
        expect(not self.one_instant([[(1.0, 2.0)], [(2.5, 3.0), (0.0, 0.5)]]),
               "two instants were taken for one")
        self.counts = counts

    def first_data(self, image):
        """Where, in bytes, the files and directories of a volume begin."""
        info = self.library.call("info", "--image", image, "--json")
        first = json.loads(info.stdout)["partition_first"] * 2048
        expect(first % REGION == 0, "the partition begins inside of a region")
        return first

    def bytes_read(self):
        """What the drives have read of the primary so far."""
        return next(row["bytes_read"] for row in self.library.table("usage")
                    if row["medium"] == "V00001")

    def copy_in_peace(self, mode="incremental", more=""):
        for writer in self.writers:
            writer.log.keep = writer.log.confirmed
        before = self.bytes_read()
        row = self.library.wait_job(self.library.tell(
            f"copy VOL mode={mode} to={self.backup} {more}")["job"])
        expect(row["state"] == "done" and (mode != "incremental"
                                           or row["method"] == mode),
               f"copy: {row}")
        self.counts.copied_at_rest += row["bytes_copied"]
        self.counts.read_at_rest += self.bytes_read() - before
        return [writer.log.issued for writer in self.writers]


def main():
    seed, rounds = seed_and_rounds("regions", 20)
    with Library(media=3) as library:
        test = Test(library, seed)
        test.prepare()
        for number in range(rounds):
            try:
                test.round(number)
            except (Failure, CommandError) as failure:
                raise Failure(f"round {number}: {failure}") from failure
        test.negative_control()
        counts = test.counts
        library.unmount()
    # Full ones, and kills between copies, prove nothing of the change map.
    expect(counts.incremental >= 0.9 * counts.copies,
           f"{counts.incremental} of {counts.copies} were incremental")
    expect(counts.interrupted > 0 or rounds < 10, "no copy was killed")
    expect(counts.at_rest == rounds, f"{counts.at_rest} copies at rest")
    # Reading all of the primary would find every change without a map.
    copied, used = counts.copied_at_rest >> 10, counts.regions * REGION >> 10
    read = counts.read_at_rest >> 10
    expect(0 < read < used / 2,
           f"{read} KiB of {used} KiB were read, {copied} KiB copied")
    print(f"regions: {counts.copies} copies, {counts.incremental} incremental "
          f"({counts.copied >> 10} KiB), {counts.kills} kills, "
          f"{counts.interrupted} of them while the copy ran; copies with a "
          f"missed region: {counts.misses}; metadata included; "
          f"{counts.instants} were compared with one instant of all writers; "
          f"{counts.at_rest} more copies at rest, all {counts.regions} regions "
          f"of which were compared with their generation, {read} of {used} KiB "
          f"read, {copied} KiB copied; a region and a chmod missed by hand were "
          "noticed")
    return 1 if counts.misses else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as found:
        print(f"regions: FAILED: {found}", file=sys.stderr)
        sys.exit(1)
