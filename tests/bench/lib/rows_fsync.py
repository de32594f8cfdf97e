# SPDX-License-Identifier: Apache-2.0
"""Small appends, each made durable."""

import os
import random

from .host import Clock, expect
from .rounds import Row, Target
from .systems import KINDS

BLOCK = random.Random(4).randbytes(4096)


class Appends(Row):
    """Size: appends of 4 KiB."""

    name = "fsync"
    title = "append 4 KiB, fsync"
    sizes = {"small": 20, "full": 2000}
    grows = True
    targets = (
        Target("disk", ("disk", "append"), ("vellum", "append"),
               at_least=0.5),
        Target("passthrough", ("passthrough", "append"),
               ("vellum", "append")),
    )

    def set_up(self, stack, host, size):
        systems = [KINDS[name](host)
                   for name in ("vellum", "disk", "passthrough")]
        for system in systems:
            stack.callback(system.close)
        self.vellum = systems[0]
        self.size = size

        def once(system, turn):
            path = os.path.join(system.root, f"log{turn}")
            fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
            with Clock() as clock:
                for _ in range(size):
                    os.write(fd, BLOCK)
                    os.fsync(fd)
            os.close(fd)
            self.last = f"log{turn}"
            return {"append": clock.seconds}

        return {s.name: lambda turn, s=s: once(s, turn) for s in systems}

    def finish(self):
        self.vellum.remount()
        with open(os.path.join(self.vellum.root, self.last), "rb") as file:
            expect(file.read() == BLOCK * self.size, "the log reads otherwise")
        self.vellum.check()
        return []
