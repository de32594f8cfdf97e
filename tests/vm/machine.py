# SPDX-License-Identifier: Apache-2.0
"""A virtual machine with Debian's kernel: what boot.py and guest.py share.

The newest kernel of /boot, an initial RAM disk of one static program and the
modules that it needs, and QEMU in software emulation with a watchdog. Needs
neither root nor /dev/kvm.
"""

import ctypes
import glob
import lzma
import os
import re
import shutil
import signal
import subprocess
import time

BOOT_SECONDS = 60  # until the guest says its first word
TRIES = 3
BEGINS = b"guest: begins"  # guest_base.cc
KERNEL_ARGUMENTS = (
    "console=ttyS0 quiet loglevel=4 panic=-1 nokaslr mitigations=off "
    "no_timer_check tsc=reliable audit=0 cryptomgr.notests "
    "8250.nr_uarts=1 rdinit=/init")
PR_SET_PDEATHSIG = 1


class MachineError(Exception):
    """What is missing here, or what went wrong with the machine itself."""


def newest_kernel(driver):
    """(image, directory of modules) of the newest kernel with this module, a
    path below kernel/ without .ko."""
    def version(path):
        return [int(n) for n in re.findall(r"\d+", os.path.basename(path))]

    for image in sorted(glob.glob("/boot/vmlinuz-*"), key=version,
                        reverse=True):
        modules = "/lib/modules/" + os.path.basename(image)[len("vmlinuz-"):]
        if glob.glob(f"{modules}/kernel/{driver}.ko*"):
            return image, modules
    raise MachineError(f"no kernel with {driver} in /boot (Debian: "
                       "linux-image-amd64)")


def uncompressed_kernel(image):
    """The ELF image inside, which starts faster; None if it is not there."""
    with open(image, "rb") as file:
        data = file.read()
    at = data.find(b"\xfd7zXZ\0")
    while at >= 0:
        try:
            kernel = lzma.LZMADecompressor().decompress(data[at:])
            if kernel.startswith(b"\x7fELF"):
                return kernel
        except lzma.LZMAError:
            pass
        at = data.find(b"\xfd7zXZ\0", at + 1)
    return None


def module_files(modules, names):
    """Files of these modules and of what they need, that first."""
    needs = {}
    with open(modules + "/modules.dep", encoding="ascii") as file:
        for line in file:
            name, _, others = line.partition(":")
            needs[name] = others.split()
    with open(modules + "/modules.builtin", encoding="ascii") as file:
        builtin = {module_name(line.strip()) for line in file}
    by_name = {module_name(path): path for path in needs}
    files = []
    for wanted in names:
        if wanted in builtin:
            continue
        if wanted not in by_name:
            raise MachineError(f"no module {wanted} in {modules}")
        path = by_name[wanted]
        # modules.dep lists what is needed directly and indirectly, nearest
        # first.
        for file in list(reversed(needs[path])) + [path]:
            if file not in files:
                files.append(file)
    return files


def module_name(path):
    return os.path.basename(path).split(".")[0].replace("-", "_")


def archive(entries):
    """A cpio archive (newc) of (name, mode, content)."""
    out = bytearray()
    for number, (name, mode, data) in enumerate(
            entries + [("TRAILER!!!", 0, b"")]):
        fields = [number, mode, 0, 0, 1, 0, len(data), 5, 1, 0, 0,
                  len(name) + 1, 0]
        out += b"070701" + b"".join(b"%08X" % field for field in fields)
        out += name.encode() + b"\0"
        out += bytes(-len(out) % 4)
        out += data
        out += bytes(-len(out) % 4)
    return bytes(out)


def initial_disk(init, modules, names):
    """The program `init`, and the modules `names` in the order to load them."""
    entries = [("dev", 0o40755, b""), ("modules", 0o40755, b"")]
    loaded = []
    for file in module_files(modules, names):
        with open(os.path.join(modules, file), "rb") as module:
            data = module.read()
        name = os.path.basename(file)
        if name.endswith(".xz"):
            name, data = name[:-3], lzma.decompress(data)
        loaded.append(name)
        entries.append(("modules/" + name, 0o100644, data))
    entries.append(("modules/list", 0o100644,
                    "".join(n + "\n" for n in loaded).encode()))
    with open(init, "rb") as file:
        entries.append(("init", 0o100755, file.read()))
    # /dev/console is in the archive that every kernel has inside.
    return archive(entries)


def dies_with_us():
    """For preexec_fn: the child is killed when this process ends, however it
    does."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Machine:
    """One virtual machine, in the folder `work`, which the caller removes.

    driver: the module that the kernel must have; modules: all that are loaded;
    arguments: QEMU's, beside what every machine gets.
    """

    def __init__(self, work, init, driver, modules, arguments, memory_mb=768):
        if shutil.which("qemu-system-x86_64") is None:
            raise MachineError("qemu-system-x86_64 is missing (Debian: "
                               "qemu-system-x86)")
        image, folder = newest_kernel(driver)
        kernel = uncompressed_kernel(image)
        if kernel is not None:
            image = work + "/kernel"
            with open(image, "wb") as file:
                file.write(kernel)
        with open(work + "/initrd", "wb") as file:
            file.write(initial_disk(init, folder, modules))
        self.log = work + "/serial.log"
        self.arguments = [
            "qemu-system-x86_64", "-M", "q35", "-accel", "tcg,tb-size=256",
            "-cpu", "qemu64", "-smp", "1", "-m", str(memory_mb), "-nodefaults",
            "-no-user-config", "-display", "none", "-no-reboot",
            "-kernel", image, "-initrd", work + "/initrd",
            "-serial", "file:" + self.log, "-append", KERNEL_ARGUMENTS,
            *arguments]

    def run(self, seconds, meanwhile=lambda: None):
        """Runs the guest until it ends the machine; whether it did in time.
        `meanwhile` is called many times a second. MachineError: it never got
        as far as its program, or QEMU failed."""
        # A virtual machine that never begins is rare, but seen (one of a
        # hundred); one that began and does not end is a failure.
        for _ in range(TRIES):
            ended = self._run_once(seconds, meanwhile)
            if ended is not None:
                return ended
        raise MachineError(f"the guest did not begin, {TRIES} times")

    def _run_once(self, seconds, meanwhile):
        if os.path.exists(self.log):
            os.unlink(self.log)
        start = time.monotonic()
        with subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL,
                              preexec_fn=dies_with_us) as guest:
            begun = False
            try:
                while guest.poll() is None:
                    passed = time.monotonic() - start
                    begun = begun or BEGINS in self.console().encode()
                    limit = seconds if begun else min(BOOT_SECONDS, seconds)
                    if passed > limit:
                        return False if begun else None
                    meanwhile()
                    time.sleep(0.05)
            finally:
                if guest.poll() is None:
                    guest.kill()
            if guest.returncode != 0:
                raise MachineError(f"QEMU ended with {guest.returncode}")
        return True

    def console(self):
        """What the guest's console has said so far."""
        try:
            with open(self.log, "rb") as file:
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
