#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads volumes with Linux's own UDF driver, in a virtual machine.

usage: boot.py --init GUEST_INIT --results FILE [--work DIR] NAME=IMAGE...

Boots the newest Debian kernel of /boot in QEMU (software emulation: no rights
and no /dev/kvm are needed) with an initial RAM disk that holds GUEST_INIT and
the modules it needs, and the images as read-only disks. What the guest writes
(guest_init.cc) becomes FILE. NAME=IMAGE:2048 shows the disk with sectors of
2048 bytes. Exit status: 0 the guest has done its work, 1 it has not.
"""

import argparse
import glob
import lzma
import os
import re
import subprocess
import sys
import tempfile
import time

MODULES = ["virtio_pci", "virtio_blk", "udf"]
RESULT_BYTES = 1 << 28  # a sparse file
BOOT_SECONDS = 60  # until the guest says its first word
TRIES = 3


def newest_kernel():
    """(image, directory of modules) of the newest kernel that has the driver."""
    def version(path):
        return [int(n) for n in re.findall(r"\d+", os.path.basename(path))]

    for image in sorted(glob.glob("/boot/vmlinuz-*"), key=version,
                        reverse=True):
        modules = "/lib/modules/" + os.path.basename(image)[len("vmlinuz-"):]
        if glob.glob(modules + "/kernel/fs/udf/udf.ko*"):
            return image, modules
    sys.exit("boot.py: no kernel with a UDF driver in /boot (Debian: "
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


def module_files(modules):
    """Files of MODULES and of what they need, that first."""
    needs = {}
    with open(modules + "/modules.dep", encoding="ascii") as file:
        for line in file:
            name, _, others = line.partition(":")
            needs[name] = others.split()
    with open(modules + "/modules.builtin", encoding="ascii") as file:
        builtin = {module_name(line.strip()) for line in file}
    files = []
    for wanted in MODULES:
        if wanted in builtin:
            continue
        path = next((p for p in needs if module_name(p) == wanted), None)
        if path is None:
            sys.exit(f"boot.py: no module {wanted} in {modules}")
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


def initial_disk(init, modules):
    entries = [("dev", 0o40755, b""), ("modules", 0o40755, b"")]
    names = []
    for file in module_files(modules):
        with open(os.path.join(modules, file), "rb") as module:
            data = module.read()
        name = os.path.basename(file)
        if name.endswith(".xz"):
            name, data = name[:-3], lzma.decompress(data)
        names.append(name)
        entries.append(("modules/" + name, 0o100644, data))
    entries.append(("modules/list", 0o100644,
                    "".join(n + "\n" for n in names).encode()))
    with open(init, "rb") as file:
        entries.append(("init", 0o100755, file.read()))
    # /dev/console is in the archive that every kernel has inside.
    return archive(entries)


def disk_arguments(number, serial, path, sector, readonly):
    # A comma ends a value in QEMU's options.
    path = path.replace(",", ",,")
    options = "readonly=on" if readonly else "cache=unsafe"
    return ["-drive", f"if=none,id=d{number},format=raw,file={path},{options}",
            "-device", f"virtio-blk-pci,drive=d{number},serial={serial},"
            f"logical_block_size={sector},physical_block_size={sector}"]


def run_guest(arguments, serial_log, seconds):
    """Runs QEMU until it ends. None: it never got as far as the program."""
    if os.path.exists(serial_log):
        os.unlink(serial_log)
    start = time.monotonic()
    with subprocess.Popen(arguments, stdin=subprocess.DEVNULL) as guest:
        begun = False
        try:
            while guest.poll() is None:
                passed = time.monotonic() - start
                if not begun and os.path.exists(serial_log):
                    with open(serial_log, "rb") as log:
                        begun = b"guest: begins" in log.read()
                if passed > (seconds if begun else min(BOOT_SECONDS, seconds)):
                    return False if begun else None
                time.sleep(0.05)
        finally:
            if guest.poll() is None:
                guest.kill()
        if guest.returncode != 0:
            sys.exit(f"boot.py: QEMU ended with {guest.returncode}")
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--init", required=True)
    parser.add_argument("--results", required=True)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--verbose", action="store_true",
                        help="what the guest's console says")
    parser.add_argument("images", nargs="+", metavar="NAME=IMAGE[:2048]")
    options = parser.parse_args()

    image, modules = newest_kernel()
    with tempfile.TemporaryDirectory(prefix="vellum-vm-") as work:
        kernel = uncompressed_kernel(image)
        if kernel is not None:
            image = work + "/kernel"
            with open(image, "wb") as file:
                file.write(kernel)
        with open(work + "/initrd", "wb") as file:
            file.write(initial_disk(options.init, modules))
        with open(options.results, "wb") as file:
            file.truncate(RESULT_BYTES)
        log = work + "/serial.log"
        arguments = [
            "qemu-system-x86_64", "-M", "q35", "-accel", "tcg,tb-size=256",
            "-cpu", "qemu64", "-smp", "1", "-m", "768", "-nodefaults",
            "-no-user-config", "-display", "none", "-no-reboot",
            "-kernel", image, "-initrd", work + "/initrd",
            "-serial", "file:" + log, "-append",
            "console=ttyS0 quiet loglevel=4 panic=-1 nokaslr mitigations=off "
            "no_timer_check tsc=reliable audit=0 cryptomgr.notests "
            "8250.nr_uarts=1 rdinit=/init"]
        disks = [("out", options.results, 512, False)]
        for text in options.images:
            name, _, path = text.partition("=")
            sector = 512
            if path.endswith(":2048"):
                path, sector = path[:-5], 2048
            disks.append(("udf-" + name, path, sector, True))
        for number, (serial, path, sector, readonly) in enumerate(disks):
            arguments += disk_arguments(number, serial, path, sector, readonly)

        # A virtual machine that never begins is rare, but seen (one of a
        # hundred); one that began and does not end is a failure.
        for _ in range(TRIES):
            ended = run_guest(arguments, log, options.seconds)
            if ended is not None:
                break
        if options.verbose:
            with open(log, "rb") as file:
                sys.stderr.write(file.read().decode(errors="replace"))
        with open(options.results, "rb+") as file:
            text = b""
            while not text.endswith(b"\0"):
                text += file.read(1 << 20)
            text = text.rstrip(b"\0")
            file.truncate(len(text))
        if not ended or not text.endswith(b"\ndone\n"):
            with open(log, "rb") as file:
                sys.stderr.write(file.read().decode(errors="replace")[-4000:])
            sys.exit("boot.py: the guest did not do its work")


if __name__ == "__main__":
    main()
