# SPDX-License-Identifier: Apache-2.0
"""Recall from many volumes in drives as slow as real ones."""

import os
import random
import re
import time

from .host import BenchError, expect
from .rounds import Fact, Row, Target
from .systems import Vellum

VOLUMES = 20
DRIVES = 2
FILE = 256 << 10
# Of the profile, as library.toml(5) has it: bytes per second.
READ_RATE = 18_000_000


class Jukebox(Vellum):
    """VOLUMES volumes with files; then its devices become slow."""

    def __init__(self, host, files):
        self.files = files
        # How much faster than the model time passes: what Vellum itself takes
        # counts this many times. Small sizes only show that it works.
        self.speed = 10 if files >= 100 else 100
        each = -(-files // VOLUMES)
        super().__init__(host, capacity=each * FILE * 3 // 2 + (64 << 20),
                         media=VOLUMES, drives=DRIVES)
        for i in range(2, VOLUMES + 1):
            self.call("format", f"V{i:05}", "--name", f"R{i:02}")
        names = ["A"] + [f"R{i:02}" for i in range(2, VOLUMES + 1)]
        data = random.Random(1).randbytes(FILE)
        self.paths = []
        for n in range(files):
            path = f"{names[n // each]}/file{n % each:05}"
            with open(os.path.join(self.mount_point, path), "wb") as file:
                file.write(data)
            self.paths.append(path)
        self.durable()
        self.unmount()
        path = os.path.join(self.dir, "library.toml")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        text, count = re.subn(
            r'(?m)^profile = ""$', 'profile = "bluray-jukebox"', text)
        expect(count == 1, "library.toml has no profile")
        text = re.sub(r"(?m)^scale = 1$", f"scale = {self.speed}", text)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        self.mount()

    def loads(self):
        return sum(drive["loads"] for drive in self.table("drives"))

    def recall(self, turn):
        """One stage of all files, shuffled; its row when it is over."""
        self.remount()
        expect(self.loads() == 0, "media were loaded before")
        paths = list(self.paths)
        random.Random(turn).shuffle(paths)
        listing = os.path.join(os.path.dirname(self.dir), "list")
        with open(listing, "w", encoding="utf-8") as file:
            file.writelines(path + "\n" for path in paths)
        answer = self.json("stage", "-f", listing)["result"]
        number = answer["stage"]
        deadline = time.monotonic() + 600
        while True:
            row = [r for r in self.table("stages") if r["id"] == number][0]
            if row["state"] != "running":
                break
            if time.monotonic() > deadline:
                raise BenchError(f"the stage does not end: {row}")
            time.sleep(0.05)
        expect(row["state"] == "done" and row["files_failed"] == 0 and
               row["bytes_done"] == self.files * FILE,
               f"not everything was read: {row}")
        return row


class Recall(Row):
    """Seconds are those of the model: what a jukebox would take."""

    name = "recall"
    title = "recall of shuffled files from 20 volumes, 2 drives"
    sizes = {"small": 40, "full": 10_000}
    smallest = VOLUMES
    grows = True
    targets = (
        Target("share of the drives' streaming rate, while media are in them",
               ("drives", "streaming"), ("vellum", "reading"), at_least=0.8),
        Target("share of it, robot and loads included",
               ("drives", "streaming"), ("vellum", "all")),
    )

    def set_up(self, stack, host, size):
        library = Jukebox(host, size)
        stack.callback(library.close)
        self.loads = []

        def by_vellum(turn):
            row = library.recall(turn)
            self.loads.append(library.loads())
            # The daemon counts in milliseconds: what is less takes one.
            reading = max(row["reading_seconds"], 0.001)
            return {"reading": reading * library.speed,
                    # Of every drive, as the streaming is.
                    "all": row["elapsed_seconds"] * library.speed *
                           DRIVES}

        def by_drives(_):
            return {"streaming": size * FILE / READ_RATE}

        return {"vellum": by_vellum, "drives": by_drives}

    def finish(self):
        return [Fact(f"loads for {VOLUMES} volumes", max(self.loads),
                     at_most=VOLUMES)]
