# SPDX-License-Identifier: Apache-2.0
"""What a large catalog costs, and making it anew from the media."""

import hashlib
import os
import shutil

from .host import Clock, expect, resident_mib, run
from .rounds import Fact, Row, Target
from .rows_files import capacity_for, count_lines, make_files
from .systems import Fuse2fs, KINDS, Vellum


# Names that the first ls sees in each catalog: it is not what is compared.
TOPS = 10


class Start(Row):
    """Size: files in the larger catalog; the other has a thousandth."""

    name = "start"
    title = "start to first ls: a large catalog against one of a thousandth"
    ours = ("large", "small")
    sizes = {"small": 1000, "full": 10_000_000}
    grows = True
    targets = (
        Target("large by small", ("large", "start"), ("small", "start"),
               at_most=1.5),
    )

    def set_up(self, stack, host, size):
        self.resident = 0.0
        self.walked = 0.0
        self.host = host
        libraries = {}
        for name, files in (("small", max(size // 1000, 10)), ("large", size)):
            library = Vellum(host, capacity=capacity_for(files))
            stack.callback(library.close)
            library.fill(max(1, files // 1000), files, TOPS)
            libraries[name] = library

        def once(library):
            library.unmount()
            library.forget_all()
            with Clock() as clock:
                library.mount()
                names = os.listdir(library.root)
            expect(names, "the volume is empty")
            self.resident = max(self.resident, resident_mib(library.pid()))
            return {"start": clock.seconds}

        def last(turn, name):
            seconds = once(libraries[name])
            if name == "large" and turn == 0:
                files = count_lines(libraries[name].root)
                expect(files == size + max(1, size // 1000) + TOPS + 1,
                       f"{files} lines of {size} files")
                self.walked = resident_mib(libraries[name].pid())
            return seconds

        return {name: lambda turn, n=name: last(turn, n) for name in libraries}

    def finish(self):
        return [Fact("MiB resident after the first ls", round(self.resident, 1),
                     at_most=256),
                Fact("MiB resident after walking all files",
                     round(self.walked, 1), at_most=256)]


class Rescan(Row):
    """Size: files on the volume."""

    name = "rescan"
    title = "catalog deleted: inventory, against fuse2fs's find -ls"
    sizes = {"small": 300, "full": 1_000_000}
    smallest = 30
    grows = True
    targets = (
        Target("fuse2fs's find -ls", ("fuse2fs", "find"),
               ("vellum", "rescan"), at_least=5.0),
    )

    def set_up(self, stack, host, size):
        directories = max(1, size // 1000)
        vellum = Vellum(host, capacity=capacity_for(size))
        stack.callback(vellum.close)
        vellum.fill(directories, size)
        plain = KINDS["disk"](host)
        make_files(plain.root, directories, size, False)
        other = Fuse2fs(host, capacity=capacity_for(size), files=2 * size,
                        tree=plain.root)
        stack.callback(other.close)

        def tree():
            """Of all that the catalog says of inodes and names."""
            vellum.unmount()
            dump = run(host.vellum, "dump-catalog", vellum.dir)
            vellum.mount()
            lines = sorted(line for line in dump.splitlines()
                           if '"path"' in line)
            return hashlib.sha256("\n".join(lines).encode()).digest()

        before = tree()

        def rescan():
            vellum.unmount()
            shutil.rmtree(os.path.join(vellum.dir, "catalog"))
            vellum.forget_all()
            with Clock() as clock:
                vellum.mount()
                vellum.call("inventory")
            expect(tree() == before, "the catalog is another one")
            return {"rescan": clock.seconds}

        def find():
            other.remount()
            with Clock() as clock:
                count_lines(other.root)
            return {"find": clock.seconds}

        return {"vellum": lambda _: rescan(), "fuse2fs": lambda _: find()}
