# SPDX-License-Identifier: Apache-2.0
"""What one writer did in its folder, step by step.

A volume that a crash hit must be what it was behind one of the steps: not
before the last step that an fsync made durable, and not a mixture. A copy must
be what the volume was behind one of the steps between the request and the end
of the copy. So every state since the last durable one is kept; contents are
tuples of blocks, which the states share.
"""

import os
import time

XATTR = "user.test"
BLOCK = 16384
SPARE = 200  # older states that are kept, to tell what a wrong one is


def to_blocks(data):
    return tuple(data[i:i + BLOCK] for i in range(0, len(data), BLOCK))


class Meta:
    """Mode, owner, modification time and an extended attribute of a file. A
    time that the system chose (None) is equal to any."""

    __slots__ = ("mode", "uid", "gid", "mtime", "xattr")

    def __init__(self, mode=0o644, uid=0, gid=0, mtime=None, xattr=None):
        self.mode, self.uid, self.gid = mode, uid, gid
        self.mtime, self.xattr = mtime, xattr

    @staticmethod
    def of(path):
        st = os.lstat(path)
        try:
            xattr = os.getxattr(path, XATTR)
        except OSError:
            xattr = None  # it has none, which the comparison shows
        return Meta(st.st_mode & 0o7777, st.st_uid, st.st_gid, st.st_mtime_ns,
                    xattr)

    def but(self, **changed):
        new = Meta(self.mode, self.uid, self.gid, self.mtime, self.xattr)
        for name, value in changed.items():
            setattr(new, name, value)
        return new

    def __eq__(self, other):
        return ((self.mode, self.uid, self.gid, self.xattr) ==
                (other.mode, other.uid, other.gid, other.xattr)
                and (None in (self.mtime, other.mtime)
                     or self.mtime == other.mtime))

    def __str__(self):
        return (f"{self.mode:o} {self.uid}:{self.gid} at {self.mtime} "
                f"{self.xattr}")


class Content:
    """The immutable content of a file, with its metadata."""

    __slots__ = ("blocks", "size", "meta")

    def __init__(self, blocks=(), size=0, meta=None):
        self.blocks, self.size, self.meta = blocks, size, meta or Meta()

    @staticmethod
    def of(data, meta):
        return Content(to_blocks(data), len(data), meta)

    def with_meta(self, **changed):
        return Content(self.blocks, self.size, self.meta.but(**changed))

    def truncate(self, size):
        if size == self.size:
            return self.with_meta(mtime=None)
        if size > self.size:
            return self.write(self.size, bytes(size - self.size))
        full, rest = divmod(size, BLOCK)
        blocks = self.blocks[:full]
        if rest:
            blocks += (self.blocks[full][:rest],)
        return Content(blocks, size, self.meta.but(mtime=None))

    def write(self, offset, data):
        if offset > self.size:
            return self.truncate(offset).write(offset, data)
        if not data:
            return self
        first = offset // BLOCK
        last = (offset + len(data) - 1) // BLOCK
        old = b"".join(self.blocks[first:last + 1])
        begin = offset - first * BLOCK
        new = old[:begin] + bytes(data) + old[begin + len(data):]
        return Content(
            self.blocks[:first] + to_blocks(new) + self.blocks[last + 1:],
            max(self.size, offset + len(data)), self.meta.but(mtime=None))

    def __eq__(self, other):
        return (self.size == other.size and self.blocks == other.blocks
                and self.meta == other.meta)


class State:
    """Names of a folder: path -> file number, file number -> content."""

    __slots__ = ("names", "files")

    def __init__(self, names=None, files=None):
        self.names, self.files = names or {}, files or {}

    def copy(self):
        return State(dict(self.names), dict(self.files))

    def groups(self):
        """Path -> all names of the same file."""
        by_file = {}
        for path, number in self.names.items():
            by_file.setdefault(number, []).append(path)
        return {p: sorted(by_file[n]) for p, n in self.names.items()}

    def difference(self, other):
        """Empty when both are the same; else what is not."""
        if self.names.keys() != other.names.keys():
            return (f"names: {sorted(self.names.keys() - other.names.keys())} "
                    f"and {sorted(other.names.keys() - self.names.keys())}")
        for path, number in self.names.items():
            a, b = self.files[number], other.files[other.names[path]]
            if a != b:
                if a.size != b.size:
                    return f"{path}: {a.size} and {b.size} bytes"
                if a.blocks == b.blocks:
                    return f"{path}: {a.meta} and {b.meta}"
                at = next(i for i, (x, y) in enumerate(
                    zip(a.blocks, b.blocks)) if x != y)
                return f"{path}: the {BLOCK} bytes at {at * BLOCK}"
        if self.groups() != other.groups():
            return "hard links"
        return ""


def scan(root):
    """The state of a folder as it is now."""
    state = State()
    for folder, _, files in os.walk(root):
        for name in files:
            path = os.path.join(folder, name)
            number = os.lstat(path).st_ino
            state.names[os.path.relpath(path, root)] = number
            if number not in state.files:
                with open(path, "rb") as file:
                    state.files[number] = Content.of(file.read(),
                                                     Meta.of(path))
    return state


class OpLog:
    """States by step. `confirmed`: the last step whose call has returned;
    `durable`: the last one that an fsync has returned for."""

    def __init__(self, state=None):
        self.states = {0: state or State()}
        self.touched = {}  # what -> last step that changed it
        self.issued = self.confirmed = self.durable = 0
        self.keep = None  # the oldest step that somebody still asks for
        self.next_file = 1
        self.began, self.ended = {0: 0.0}, {}  # step -> when it could be seen

    @property
    def now(self):
        return self.states[self.issued]

    def issue(self, state, *touched):
        self.issued += 1
        self.states[self.issued] = state
        self.began[self.issued] = time.monotonic()
        self.ended.pop(self.issued, None)
        for what in touched:
            self.touched[what] = self.issued

    def confirm(self):
        now = time.monotonic()
        for step in range(self.confirmed, self.issued):
            self.ended.setdefault(step, now)
        self.confirmed = self.issued

    def made_durable(self, step):
        if step <= self.durable:
            return
        self.durable = step
        self.forget()

    def forget(self):
        oldest = self.durable - SPARE
        if self.keep is not None:
            oldest = min(oldest, self.keep)
        for step in list(self.states):
            if step >= oldest:
                break  # steps are in order
            del self.states[step]
            self.began.pop(step, None)
            self.ended.pop(step, None)

    def sharing(self, state):
        """`state` with the last step's own blocks where it has the same ones:
        comparing these costs nothing."""
        known = {block: block for content in self.now.files.values()
                 for block in content.blocks}
        for content in state.files.values():
            content.blocks = tuple(known.get(b, b) for b in content.blocks)
        return state

    def seen(self, state, first, last):
        """When each of these steps that led to `state` could be seen."""
        return [(self.began[step], self.ended.get(step, float("inf")))
                for step in range(first, last + 1)
                if not self.states[step].difference(state)]

    def find(self, state, first, last):
        """The last of these steps that led to `state`."""
        for step in range(last, first - 1, -1):
            if not self.states[step].difference(state):
                return step
        return None

    def recovered(self, state):
        """The folder is `state` behind a crash: that becomes the last step.
        Answers an error, or an empty string."""
        self.sharing(state)
        step = self.find(state, self.durable, self.issued)
        if step is None:
            older = self.find(state, next(iter(self.states)), self.durable)
            if older is not None:
                return (f"step {older}, but {self.durable} was durable: "
                        f"{self.states[self.durable].difference(state)}")
            return (f"no step from {self.durable} (durable) to {self.issued}: "
                    f"durable differs in "
                    f"{self.states[self.durable].difference(state)}; last in "
                    f"{self.now.difference(state)}")
        for later in range(step + 1, self.issued + 1):
            del self.states[later]
        self.ended.pop(step, None)
        self.issued = self.confirmed = step
        self.touched = {k: min(v, step) for k, v in self.touched.items()}
        if self.keep is not None:
            self.keep = min(self.keep, step)
        # What a start has found is on the medium.
        self.made_durable(step)
        return ""
