# SPDX-License-Identifier: Apache-2.0
"""A virtual library of its own with its daemon, for the Python tests here.

The program is named by the environment variable VELLUM. Everything is in one
temporary folder, which is gone at the end, and no daemon outlives the test.
"""

import errno
import fcntl
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

VELLUM = os.path.abspath(os.environ.get("VELLUM", "build/vellum"))


class Failure(Exception):
    """What the test found wrong."""


class CommandError(Exception):
    """A command of the control tree that failed; `code` as documented."""

    def __init__(self, command, answer):
        error = answer.get("error", {})
        super().__init__(f"{command}: {error.get('message', answer)}")
        self.code = error.get("code", "")


def expect(condition, text):
    if not condition:
        raise Failure(text)


def must_fail(what, call, *said):
    """`call` must fail, and say all of `said`: anything else that goes wrong
    does not show that it notices `what`."""
    try:
        call()
    except Failure as failure:
        for text in said:
            expect(text in str(failure),
                   f"{what}: instead of '{text}' it said: {failure}")
        return
    raise Failure(f"{what} was not noticed")


def await_true(condition, text, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"{text} did not happen in {seconds} s")
        time.sleep(0.005)


def seed_and_rounds(name, rounds):
    """The seed (VELLUM_SEED) and how many rounds (VELLUM_ROUNDS)."""
    seed = int(os.environ.get("VELLUM_SEED", random.SystemRandom()
                              .randrange(1 << 32)))
    rounds = int(os.environ.get("VELLUM_ROUNDS", rounds))
    print(f"{name}: VELLUM_SEED={seed} VELLUM_ROUNDS={rounds}", flush=True)
    return seed, rounds


class Library:
    """Context manager: a library below `self.work`, served at `self.mount`."""

    def __init__(self, media=4, slots=6, drives=2, capacity="64M",
                 checkpoint_ms=50):
        self.work = tempfile.mkdtemp(prefix="vellum-test.")
        self.dir = os.path.join(self.work, "library")
        self.mount = os.path.join(self.work, "mount")
        self.side = os.path.join(self.work, "side")
        os.mkdir(self.mount)
        os.mkdir(self.side)
        self.pid = None
        self.env = {}  # of the daemon, beside our own
        self.make(slots, media, drives, capacity)
        # Many commits: that is where a kill is interesting.
        path = os.path.join(self.dir, "library.toml")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        text = re.sub(r"(?m)^checkpoint_interval_ms = .*$",
                      f"checkpoint_interval_ms = {checkpoint_ms}", text)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def make(self, slots, media, drives, capacity):
        self.call("init", self.dir, "--slots", str(slots), "--media",
                  str(media), "--drives", str(drives), "--capacity", capacity)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            log = os.path.join(self.dir, "state", "daemon.log")
            if os.path.exists(log):
                with open(log, encoding="utf-8", errors="replace") as file:
                    sys.stderr.write("daemon.log:\n" +
                                     "".join(file.readlines()[-60:]))
        if self.pid is not None:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for target in reversed(self.mounts()):
            subprocess.run(["umount", "-l", target], check=False)
        self.await_free()
        shutil.rmtree(self.work, ignore_errors=True)

    def mounts(self):
        with open("/proc/self/mounts", encoding="utf-8") as file:
            points = [line.split()[1] for line in file]
        return [p for p in points if p.startswith(self.work + "/")]

    def call(self, *words, codes=(0,), env=None):
        """Runs the program; its exit code must be one of `codes`."""
        # No pipes: what a daemon starts before it leaves its terminal may keep
        # them open.
        with tempfile.TemporaryFile("w+") as out, \
             tempfile.TemporaryFile("w+") as err:
            done = subprocess.run([VELLUM, *words], stdout=out, stderr=err,
                                  check=False, timeout=240,
                                  env={**os.environ, **(env or {})})
            for name, file in (("stdout", out), ("stderr", err)):
                file.seek(0)
                setattr(done, name, file.read())
        if done.returncode not in codes:
            raise Failure(f"vellum {' '.join(words)}: exit code "
                          f"{done.returncode}: {done.stdout}{done.stderr}")
        return done

    def path(self, *names):
        return os.path.join(self.mount, *names)

    def image(self, medium):
        return os.path.join(self.dir, "media", medium + ".img")

    # --- The daemon

    def start(self):
        self.call("mount", self.dir, self.mount, env=self.env)
        self.pid = self.table("status")["pid"]

    def await_free(self):
        """Until no process has the library."""
        lock = os.path.join(self.dir, "state", "lock")
        if not os.path.exists(lock):
            return

        def free():
            with open(lock, "r+", encoding="utf-8") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
            return True

        await_true(free, "the end of the daemon")

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        self.await_free()
        self.pid = None

    def unmount(self):
        """Ends the daemon, or takes away the mount of a killed one."""
        self.call("unmount", self.mount)
        self.await_free()
        self.pid = None

    # --- The control tree

    def control(self, *names):
        return self.path(".vellum", *names)

    def tell(self, command, file="command"):
        fd = os.open(self.control(file), os.O_RDWR | os.O_CLOEXEC)
        try:
            try:
                os.write(fd, command.encode())
            except OSError as error:
                if error.errno in (errno.ENOTCONN, errno.ECONNABORTED):
                    raise  # the daemon is gone
            answer = b""
            while chunk := os.read(fd, 1 << 16):
                answer += chunk
        finally:
            os.close(fd)
        answer = json.loads(answer)
        if not answer["ok"]:
            raise CommandError(command, answer)
        return answer.get("result")

    def table(self, name):
        with open(self.control(name + ".json"), encoding="utf-8") as file:
            return json.load(file)

    def job(self, number):
        return next(j for j in self.table("jobs") if j["id"] == number)

    def wait_job(self, number, seconds=120):
        """Its row when it has ended."""
        row = {}

        def ended():
            row.update(self.job(number))
            return row["state"] in ("done", "failed", "cancelled")

        try:
            await_true(ended, f"the end of job {number}", seconds)
        except Failure as failure:
            raise Failure(f"{failure}: {row}") from None
        return row

    def took_up_again(self, number):
        """Whether this daemon found the job unfinished."""
        with open(os.path.join(self.dir, "state", "daemon.log"),
                  encoding="utf-8") as file:
            text = file.read()
        # What is said before this start is served, and since.
        ends = [m.end() for m in re.finditer("is served at", text)]
        begin = ends[-2] if len(ends) > 1 else 0
        return f"job {number}: taken up again" in text[begin:]

    # --- Checks

    def fsck(self, volume):
        report = self.tell(f"fsck {volume} data=yes")
        expect(report["clean"], f"fsck of {volume}: {report}")

    def places(self):
        """Which medium is in which element, from the library's own file."""
        with open(os.path.join(self.dir, "state", "elements.json"),
                  encoding="utf-8") as file:
            return {e["volume_tag"]: e["address"]
                    for e in json.load(file)["elements"]}


class ReadOnlyMount:
    """Context manager: an image file alone, or a volume, at `library.side`.

    Of an image a copy is shown: a daemon may have it in a drive.
    """

    def __init__(self, library, image=None, volume=None):
        self.library = library
        self.image = image
        self.copy = library.side + ".img"
        self.how = ["--image", self.copy] if image else ["--volume", volume]

    def __enter__(self):
        if self.image:
            subprocess.run(["cp", "--sparse=always", self.image, self.copy],
                           check=True)
        words = [] if self.how[0] == "--image" else ["--mount",
                                                     self.library.mount]
        self.library.call(*words, "mount", *self.how, self.library.side)
        return self.library.side

    def __exit__(self, *_):
        self.library.call("unmount", self.library.side)
        if self.image:
            os.unlink(self.copy)


def describe_tree(root):
    """Everything that a reader sees of a tree, by path."""
    seen = {}

    def add(path):
        st = os.lstat(path)
        row = [st.st_mode, st.st_uid, st.st_gid, st.st_nlink, st.st_size,
               st.st_mtime_ns, st.st_ctime_ns]
        if os.path.islink(path):
            row.append(os.readlink(path))
        elif os.path.isfile(path):
            with open(path, "rb") as file:
                row.append(file.read())
        seen[os.path.relpath(path, root)] = row

    add(root)
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            add(os.path.join(folder, name))
    return seen


def expect_same_trees(a, b):
    left, right = describe_tree(a), describe_tree(b)
    for path in sorted(left.keys() | right.keys()):
        if left.get(path) != right.get(path):
            raise Failure(f"{path} is not the same below {a} and {b}: "
                          f"{str(left.get(path))[:200]} and "
                          f"{str(right.get(path))[:200]}")
    return len(left)
