# SPDX-License-Identifier: Apache-2.0
"""The same work on volumes of very different size."""

import os

from .host import Clock, expect
from .rounds import Row, Target
from .rows_files import make_files
from .rows_fsync import BLOCK
from .systems import Vellum

FILES = 1000
APPENDS = 200
STEPS = ("start", "create", "append", "fsck")


class Capacity(Row):
    """Size: GiB that the larger volume has; the other one has a hundredth."""

    name = "capacity"
    title = "the same work on a large volume and on one of a hundredth"
    sizes = {"small": 2, "full": 1000}
    grows = True
    targets = tuple(Target(f"{step}, large by small", ("vellum", step),
                           ("small", step)) for step in STEPS)

    def set_up(self, stack, host, size):
        libraries = {}
        for name, capacity in (("small", size / 100), ("vellum", size)):
            library = Vellum(host, capacity=round(capacity * (1 << 30)))
            stack.callback(library.close)
            libraries[name] = library

        def once(library, turn):
            seconds = {}
            library.unmount()
            library.forget_all()
            with Clock() as clock:
                library.mount()
                os.listdir(library.root)
            seconds["start"] = clock.seconds
            root = os.path.join(library.root, f"round{turn}")
            os.mkdir(root)
            with Clock() as clock:
                make_files(root, 1, FILES, True)
                library.durable()
            seconds["create"] = clock.seconds
            with open(os.path.join(root, "log"), "wb", buffering=0) as file:
                with Clock() as clock:
                    for _ in range(APPENDS):
                        file.write(BLOCK)
                        os.fsync(file.fileno())
            seconds["append"] = clock.seconds
            with Clock() as clock:
                library.check()
            seconds["fsck"] = clock.seconds
            expect(len(os.listdir(os.path.join(root, "dir00000"))) == FILES,
                   "files are missing")
            return seconds

        return {name: lambda turn, l=library: once(l, turn)
                for name, library in libraries.items()}
