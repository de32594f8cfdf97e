# SPDX-License-Identifier: Apache-2.0
"""Threads that change files at random and remember every step."""

import errno
import mmap
import os
import random
import threading

from oplog import BLOCK, XATTR, Content, OpLog

FOLDERS = ("d0", "d1")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Writer:
    """One folder of a volume, changed by one thread at a time."""

    def __init__(self, root, seed, files=16, size=160_000, piece=40_000,
                 large=0):
        self.root = root  # below the mount
        # That many files besides, which keep their names and their size.
        self.large = [f"large/f{i}" for i in range(large)]
        self.random = random.Random(seed)
        self.files, self.size, self.piece = files, size, piece
        self.log = OpLog()
        self.fsyncs = 0
        self.write_kinds = dict.fromkeys(("direct", "mapped", "allocated"), 0)
        self.thread = None
        self.stopping = threading.Event()
        self.error = None  # an error of a call; expected when a kill was

    def make_folders(self):
        for folder in FOLDERS:
            os.makedirs(os.path.join(self.root, folder))

    def a_file(self):
        """The first of its files; makes one where it has none."""
        if not self.log.now.names:
            self.create([])
        return min(self.log.now.names)

    def make_large(self, size):
        os.makedirs(os.path.join(self.root, "large"))
        for path in self.large:
            self.make(path)
            self.fill(path, size)

    def fill(self, path, size):
        # In pieces: each page of a write makes a step that has the whole write.
        for offset in range(0, size, BLOCK):
            self.write(path, offset,
                       self.random.randbytes(min(BLOCK, size - offset)))

    # --- The thread

    def start(self):
        self.stopping.clear()
        self.error = None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def stop(self):
        self.stopping.set()
        self.thread.join()

    def run(self):
        try:
            while not self.stopping.is_set():
                self.step()
        except OSError as error:
            self.error = error

    # --- Steps

    def step(self):
        steps = [(self.overwrite, 10), (self.append, 6), (self.create, 6),
                 (self.truncate, 3), (self.rename, 4), (self.link, 2),
                 (self.unlink, 3), (self.fsync, 4), (self.fsync_folder, 1),
                 (self.write_direct, 3), (self.write_mapped, 3),
                 (self.allocate, 1), (self.set_mode, 2), (self.set_owner, 1),
                 (self.set_time, 2), (self.set_xattr, 2)]
        if self.large:
            steps.append((self.overwrite_large, 1))
        names = sorted(self.log.now.names.keys() - set(self.large))
        if not names:
            return self.create(names)
        run = self.random.choices([s for s, _ in steps],
                                  [w for _, w in steps])[0]
        return run(names)

    def at(self, path):
        return os.path.join(self.root, path)

    def new_path(self):
        return (f"{self.random.choice(FOLDERS)}/"
                f"f{self.random.randrange(4 * self.files)}")

    def data(self, limit):
        return self.random.randbytes(
            self.random.choice((1, 17, 2048, limit)) if self.random.random() <
            0.5 else self.random.randrange(1, limit))

    def try_call(self, call):
        try:
            call()
        except OSError as error:
            # The kernel says so of mapped and direct writes when the daemon is
            # gone, too: then this call tells.
            if error.errno == errno.EIO:
                os.statvfs(self.root)
            raise

    def change(self, call, state, *touched):
        self.log.issue(state, *touched)
        self.try_call(call)
        self.log.confirm()

    def with_content(self, path, content):
        state = self.log.now.copy()
        state.files[state.names[path]] = content
        return state

    def create(self, names):
        path = self.new_path()
        if len(names) >= self.files or path in self.log.now.names:
            return self.overwrite(names)
        self.make(path)
        return self.write(path, 0, self.data(self.piece))

    def make(self, path):
        state = self.log.now.copy()
        number = self.log.next_file
        self.log.next_file += 1
        state.names[path], state.files[number] = number, Content()
        self.change(
            lambda: os.close(os.open(self.at(path), os.O_CREAT | os.O_EXCL |
                                     os.O_WRONLY | os.O_CLOEXEC, 0o644)),
            state, number, os.path.dirname(path))

    def write(self, path, offset, data, flags=0):
        number = self.log.now.names[path]
        before = self.log.now.files[number]
        # The kernel cuts a write at pages that it has not cached, so what is
        # up to each page is a step of its own.
        for end in range(PAGE - offset % PAGE, len(data), PAGE):
            part = before.write(offset, data[:end])
            self.log.issue(self.with_content(path, part), number)
        content = before.write(offset, data)

        def call():
            fd = os.open(self.at(path), os.O_WRONLY | os.O_CLOEXEC | flags)
            try:
                count = os.pwrite(fd, data, offset)
                if count != len(data):
                    raise OSError(f"{path}: {count} of {len(data)} written")
            finally:
                os.close(fd)

        self.change(call, self.with_content(path, content), number)

    def content(self, path):
        return self.log.now.files[self.log.now.names[path]]

    def overwrite(self, names):
        path = self.random.choice(names)
        size = self.content(path).size
        offset = self.random.randrange(size + 1) if size else 0
        limit = min(self.piece, self.size - offset)
        if limit > 1:
            self.write(path, offset, self.data(limit))

    def overwrite_large(self, _):
        path = self.random.choice(self.large)
        offset = self.random.randrange(self.content(path).size)
        limit = min(self.piece, self.content(path).size - offset)
        self.write(path, offset, self.data(limit + 1)[:limit])

    def append(self, names):
        path = self.random.choice(names)
        size = self.content(path).size
        if size + self.piece < self.size:
            self.write(path, size, self.data(self.piece))

    def write_direct(self, names):
        """Whole pages past the kernel's cache, in place or at the end."""
        path = self.random.choice(names)
        pages = self.random.randrange(1, 1 + max(1, self.piece // PAGE))
        offset = PAGE * self.random.randrange(
            1 + self.content(path).size // PAGE)
        if offset + pages * PAGE > self.size:
            return
        with mmap.mmap(-1, pages * PAGE) as data:  # aligned
            data.write(self.random.randbytes(len(data)))
            self.write_kinds["direct"] += 1
            self.write(path, offset, data, os.O_DIRECT)

    def write_mapped(self, names):
        """A store through a shared mapping, within one page, and msync."""
        path = self.random.choice(names)
        size = self.content(path).size
        if size == 0:
            return
        page = PAGE * self.random.randrange(-(-size // PAGE))
        begin = self.random.randrange(page, min(size, page + PAGE))
        data = self.random.randbytes(
            self.random.randrange(1, 1 + min(size, page + PAGE) - begin))
        number = self.log.now.names[path]
        state = self.with_content(path, self.content(path).write(begin, data))

        def call():
            fd = os.open(self.at(path), os.O_RDWR | os.O_CLOEXEC)
            try:
                # Into the cache: a store into a page that nobody can read any
                # more is SIGBUS.
                os.pread(fd, PAGE, page)
                with mmap.mmap(fd, size) as mapped:
                    mapped[begin:begin + len(data)] = data
                    mapped.flush()
            finally:
                os.close(fd)

        self.write_kinds["mapped"] += 1
        self.change(call, state, number)
        self.fsyncs += 1
        self.log.made_durable(self.log.issued)

    def allocate(self, names):
        """fallocate(2) makes the file longer."""
        path = self.random.choice(names)
        size = self.content(path).size + self.random.randrange(1, self.piece)
        if size > self.size:
            return

        def call():
            fd = os.open(self.at(path), os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.posix_fallocate(fd, 0, size)
            finally:
                os.close(fd)

        self.write_kinds["allocated"] += 1
        self.change(call, self.with_content(
            path, self.content(path).truncate(size)), self.log.now.names[path])

    def truncate(self, names):
        path = self.random.choice(names)
        size = self.random.randrange(self.size // 2)
        self.change(lambda: os.truncate(self.at(path), size),
                    self.with_content(path, self.content(path).truncate(size)),
                    self.log.now.names[path])

    # --- Metadata

    def change_meta(self, path, call, **changed):
        self.change(lambda: call(self.at(path)), self.with_content(
            path, self.content(path).with_meta(**changed)),
                    self.log.now.names[path])

    def set_mode(self, names):
        mode = 0o600 | self.random.randrange(0o1000)
        self.change_meta(self.random.choice(names),
                         lambda path: os.chmod(path, mode), mode=mode)

    def set_owner(self, names):
        uid, gid = (self.random.randrange(1, 60000) for _ in range(2))
        self.change_meta(self.random.choice(names),
                         lambda path: os.chown(path, uid, gid), uid=uid,
                         gid=gid)

    def set_time(self, names):
        when = self.random.randrange(10**15, 4 * 10**18)
        self.change_meta(self.random.choice(names),
                         lambda path: os.utime(path, ns=(when, when)),
                         mtime=when)

    def set_xattr(self, names):
        value = self.random.randbytes(self.random.randrange(1, 200))
        self.change_meta(self.random.choice(names),
                         lambda path: os.setxattr(path, XATTR, value),
                         xattr=value)

    def remove_name(self, state, path):
        number = state.names.pop(path)
        if number not in state.names.values():
            del state.files[number]

    def rename(self, names):
        old, new = self.random.choice(names), self.new_path()
        if self.log.now.names.get(new) == self.log.now.names[old]:
            return  # links of one file: rename(2) does nothing
        state = self.log.now.copy()
        if new in state.names:
            self.remove_name(state, new)
        state.names[new] = state.names.pop(old)
        self.change(lambda: os.rename(self.at(old), self.at(new)), state,
                    os.path.dirname(old), os.path.dirname(new))

    def link(self, names):
        old, new = self.random.choice(names), self.new_path()
        if new in self.log.now.names or len(names) >= self.files:
            return
        state = self.log.now.copy()
        state.names[new] = state.names[old]
        self.change(lambda: os.link(self.at(old), self.at(new)), state,
                    state.names[old], os.path.dirname(new))

    def unlink(self, names):
        path = self.random.choice(names)
        state = self.log.now.copy()
        self.remove_name(state, path)
        self.change(lambda: os.unlink(self.at(path)), state,
                    os.path.dirname(path))

    def fsync_path(self, path, what):
        # Steps of one thread: none can come in between.
        step = self.log.touched.get(what, 0)

        def call():
            fd = os.open(self.at(path), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

        self.try_call(call)
        self.fsyncs += 1
        self.log.made_durable(step)

    def fsync(self, names):
        path = self.random.choice(names)
        self.fsync_path(path, self.log.now.names[path])

    def fsync_folder(self, _):
        folder = self.random.choice(FOLDERS)
        self.fsync_path(folder, folder)
