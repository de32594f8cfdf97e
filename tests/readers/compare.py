#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares what a reader shows of a volume with what was written to it.

usage: compare.py vellum EXPECTED SEEN           Vellum's own read-only mount
       compare.py linux EXPECTED RESULTS VOLUME  what tests/vm/boot.py gives
       compare.py seven EXPECTED SEEN            a tree that 7-Zip has made
       compare.py udfread EXPECTED SUMS TREE     what udfread_sha256 prints

EXPECTED and SEEN are manifests (manifest.h): EXPECTED of the tree that was
copied to the volume (TREE), never of the volume itself. Names are expected as
media/udf/FORMAT.md says that other readers see them; they are worked out here
from that page. Prints what was compared; exit status 1 and up to 20 differences
otherwise.
"""

import hashlib
import os
import re
import sys
from collections import defaultdict, namedtuple
from urllib.parse import unquote_to_bytes

Entry = namedtuple("Entry", "type mode uid gid links size device inode "
                   "access modification content")


def entry_of(line):
    path, kind, mode, uid, gid, links, size, device, inode, access, \
        modification, content = line.rstrip("\n").split("\t")
    return unquote_to_bytes(path), Entry(
        kind, mode, uid, gid, links, int(size), device, inode, int(access),
        int(modification), content)


def manifest(lines):
    entries = {}
    for line in lines:
        path, entry = entry_of(line)
        if path in entries:
            sys.exit(f"compare.py: {path} stands there twice")
        entries[path] = entry
    return entries


def read_manifest(path):
    with open(path, encoding="ascii") as file:
        return manifest(file)


def guest_results(path, volume):
    """(answer of mount, manifest) of a volume in the results of the guest."""
    lines = []
    answer = None
    inside = False
    with open(path, encoding="ascii") as file:
        for line in file:
            if line == f"volume {volume}\n":
                inside = True
            elif line == f"end {volume}\n":
                return answer, manifest(lines)
            elif inside and answer is None:
                answer = line.strip()
            elif inside:
                lines.append(line)
    sys.exit(f"compare.py: volume {volume} is not in {path}")


# --- Names as UDF has them (FORMAT.md, 6)

def xxh64(data):
    """XXH64 with seed 0, from its specification."""
    mask = 2**64 - 1
    p1, p2, p3, p4, p5 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F,
                          0x165667B19E3779F9, 0x85EBCA77C2B2AE63,
                          0x27D4EB2F165667C5)

    def rotate(value, count):
        return (value << count | value >> (64 - count)) & mask

    def turn(lane, value):
        return rotate((lane + value * p2) & mask, 31) * p1 & mask

    def word(at, size):
        return int.from_bytes(data[at:at + size], "little")

    at = 0
    if len(data) >= 32:
        lanes = [(p1 + p2) & mask, p2, 0, -p1 & mask]
        while at + 32 <= len(data):
            lanes = [turn(lane, word(at + 8 * i, 8))
                     for i, lane in enumerate(lanes)]
            at += 32
        h = sum(rotate(lane, count)
                for lane, count in zip(lanes, (1, 7, 12, 18))) & mask
        for lane in lanes:
            h = ((h ^ turn(0, lane)) * p1 + p4) & mask
    else:
        h = p5
    h = (h + len(data)) & mask
    while at + 8 <= len(data):
        h = (rotate(h ^ turn(0, word(at, 8)), 27) * p1 + p4) & mask
        at += 8
    if at + 4 <= len(data):
        h = (rotate(h ^ word(at, 4) * p1 & mask, 23) * p2 + p3) & mask
        at += 4
    for byte in data[at:]:
        h = rotate(h ^ byte * p5 & mask, 11) * p1 & mask
    h = (h ^ h >> 33) * p2 & mask
    h = (h ^ h >> 29) * p3 & mask
    return h ^ h >> 32


def units(text):
    return len(text.encode("utf-16-le")) // 2


def limit(text):
    """How many units of UTF-16 there may be beside such characters."""
    return 254 if all(ord(c) < 256 for c in text) else 127


def fits(text):
    return units(text) <= limit(text)


def stored_name(name):
    """The name that other readers see of a name on the volume."""
    digest = "%016x" % xxh64(name)
    tail = "~" + digest
    try:
        text = name.decode()
        if fits(text) and not re.search("[\ufeff\ufffe\uffff]", text) and not \
                re.search("~[0-9a-f]{16}$", text):
            return name
    except UnicodeDecodeError:
        text = name.decode(errors="surrogateescape")
    prefix = re.sub("[\udc80-\udcff\ufeff\ufffe\uffff]", lambda c: "_" * len(
        c.group().encode(errors="surrogateescape")), text)
    room = limit(prefix) - len(tail)
    while units(prefix) > room:
        prefix = prefix[:-1]
    return (prefix + tail).encode()


def stored_path(path):
    return b"/".join(stored_name(name) for name in path.split(b"/"))


# --- Comparing

class Comparison:
    def __init__(self, reader):
        self.reader = reader
        self.differences = []
        self.names = self.files = self.bytes = 0

    def differ(self, path, text):
        self.differences.append(f"{path!r}: {text}")

    def same(self, path, what, wanted, seen):
        if wanted != seen:
            self.differ(path, f"{what} is {seen!r}, not {wanted!r}")

    def sets(self, wanted, seen):
        for path in sorted(wanted - seen):
            self.differ(path, "is missing")
        for path in sorted(seen - wanted):
            self.differ(path, "was never written")

    def content(self, path, entry, seen):
        self.same(path, "content", entry.content, seen)
        if entry.type == "f":
            self.files += 1
            self.bytes += entry.size

    def end(self):
        for text in self.differences[:20]:
            print(f"{self.reader}: {text}", file=sys.stderr)
        print(f"{self.reader}: {self.names} names, {self.files} files, "
              f"{self.bytes} bytes compared, {len(self.differences)} differ")
        # Nothing compared is no success.
        sys.exit(1 if self.differences or self.files == 0 else 0)


def groups(entries):
    """Sets of names of one file."""
    found = defaultdict(set)
    for path, entry in entries.items():
        if entry.type != "d":
            found[entry.inode].add(path)
    return {frozenset(paths) for paths in found.values()}


def same_attributes(comparison, expected, seen, precision):
    comparison.sets(set(expected), set(seen))
    for path in sorted(set(expected) & set(seen)):
        want, got = expected[path], seen[path]
        comparison.names += 1
        for field in ("type", "mode", "uid", "gid", "links", "size", "device"):
            comparison.same(path, field, getattr(want, field),
                            getattr(got, field))
        for field in ("access", "modification"):
            if field == "access" and want.type == "l":
                continue  # readlink(2) changes it, there is no way around
            comparison.same(path, field + " time",
                            getattr(want, field) // precision,
                            getattr(got, field) // precision)
        comparison.content(path, want, got.content)
    links, shown = groups(expected), groups(seen)
    for paths in sorted(map(sorted, links ^ shown)):
        comparison.differ(paths[0], "has the wrong set of hard links")


def vellum(expected, seen):
    comparison = Comparison("Vellum")
    same_attributes(comparison, read_manifest(expected), read_manifest(seen), 1)
    comparison.end()


def linux_name(name, shown):
    """Linux cuts names of more than 254 bytes, distrusts those that begin with
    two dots and go on otherwise, and adds # and a checksum to both."""
    if name.startswith(b"..") and name.strip(b"."):
        for other in shown:
            if re.fullmatch(rb"\.#[0-9A-F]{4}" + re.escape(name[1:]), other):
                return other
    if len(name) <= 254:
        return name
    for other in shown:
        if re.fullmatch(rb".*#[0-9A-F]{4}", other, re.S) and \
                name.startswith(other[:-5]) and len(other) > 240:
            return other
    return name


def linux_target(target):
    """What the path components say where they are not exact."""
    exact = unquote_to_bytes(target)
    try:
        parts = [part.decode() for part in exact.split(b"/")]
    except UnicodeDecodeError:
        return None
    if not all(fits(part) for part in parts):
        return None
    return re.sub(rb"/+", b"/", exact).rstrip(b"/") or b"/"


def link_bytes(target):
    """Size of the path components of a target, rounded down."""
    parts = [p.decode(errors="replace") for p in target.split(b"/") if p]
    return sum(5 + units(p) * (1 if limit(p) == 254 else 2) for p in parts)


def linux(expected, results, volume):
    comparison = Comparison("Linux")
    answer, seen = guest_results(results, volume)
    if answer != "mount OK":
        sys.exit(f"compare.py: Linux does not mount {volume}: {answer}")
    shown = {name for path in seen for name in path.split(b"/")}
    wanted = {}
    for path, entry in read_manifest(expected).items():
        path = b"/".join(linux_name(stored_name(name), shown)
                         for name in path.split(b"/"))
        if entry.type == "l" and path in seen:
            if link_bytes(unquote_to_bytes(entry.content)) > 2048:
                # More than a block: Linux can say nothing of the link.
                comparison.same(path, "content", "error:36",
                                seen.pop(path).content)
                continue
            # The size of a link is what the reader makes of the components.
            target = linux_target(entry.content)
            got = unquote_to_bytes(seen[path].content)
            if target == got or target is None:
                entry = entry._replace(content=seen[path].content,
                                       size=len(got))
        wanted[path] = entry
    same_attributes(comparison, wanted, seen, 1000)
    comparison.end()


def seven(expected, seen):
    comparison = Comparison("7-Zip")
    wanted = {stored_path(path): entry
              for path, entry in read_manifest(expected).items()}
    shown = read_manifest(seen)
    comparison.sets(set(wanted), set(shown))
    for path in sorted(set(wanted) & set(shown)):
        want, got = wanted[path], shown[path]
        comparison.names += 1
        comparison.same(path, "type", want.type, got.type)
        comparison.same(path, "size", want.size, got.size)
        if want.type == "f":
            comparison.same(path, "modification time",
                            want.modification // 1000,
                            got.modification // 1000)
        comparison.content(path, want, got.content)
    comparison.end()


def udfread(expected, sums, tree):
    comparison = Comparison("libudfread")
    seen = {}
    with open(sums, "rb") as file:
        for line in file.read().split(b"\n")[:-1]:
            digest, _, path = line.removeprefix(b"\\").partition(b"  ")
            if line.startswith(b"\\"):
                path = path.replace(b"\\\\", b"\0").replace(
                    b"\\n", b"\n").replace(b"\0", b"\\")
            # Surrogate pairs come as two characters.
            path = path.decode("utf-8", "surrogatepass").encode(
                "utf-16-le", "surrogatepass").decode("utf-16-le").encode()
            seen[path[1:] or b"."] = digest.decode()
    wanted = {stored_path(path): (path, entry)
              for path, entry in read_manifest(expected).items()}
    comparison.sets(set(wanted), set(seen))
    for stored in sorted(set(wanted) & set(seen)):
        path, entry = wanted[stored]
        comparison.names += 1
        if entry.type == "d":
            comparison.same(stored, "type", "directory", seen[stored])
        elif entry.type == "f":
            if entry.content.startswith("blocks:"):
                entry = entry._replace(content=plain_sha256(
                    os.path.join(os.fsencode(tree), path)))
            comparison.content(stored, entry, seen[stored])
    comparison.end()


def plain_sha256(path):
    sha = hashlib.sha256()
    with open(path, "rb") as file:
        while data := file.read(1 << 20):
            sha.update(data)
    return sha.hexdigest()


def main():
    commands = {"vellum": (vellum, 2), "linux": (linux, 3),
                "seven": (seven, 2), "udfread": (udfread, 3)}
    if len(sys.argv) < 2 or sys.argv[1] not in commands or \
            len(sys.argv) != 2 + commands[sys.argv[1]][1]:
        sys.exit(__doc__)
    commands[sys.argv[1]][0](*sys.argv[2:])


if __name__ == "__main__":
    main()
