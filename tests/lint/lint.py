#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rules of the tree that no compiler checks; see RULES at the end of the file.

lint.py TREE: prints `file:line: rule: what is wrong`, exits 1 if anything is.
"""

import os
import re
import subprocess
import sys

# A folder may include itself and what stands left of it.
LAYERS = ["media", "index", "copy", "fs", "tools"]

# Third-party headers: (pattern of the header, pattern of the files that may).
TESTS = r"^tests/"
THIRD_PARTY = [
    (r"^rocksdb/", r"^index/catalog[^/]*\.(cc|h)$|" + TESTS),
    (r"^fuse", r"^fs/(fuse_[^/]*|[^/]*session)\.(cc|h)$|^tests/bench/"),
    (r"^scsi/", r"^media/scsi/sg_transport\.cc$"),
    (r"^iscsi/", TESTS + r"support/iscsi_transport\.cc$"),
    (r"^CLI/", r"^tools/"),
    (r"^systemd/", r"^tools/"),
    (r"^toml\+\+/", r"^media/config_table\.cc$|" + TESTS),
    (r"^xxhash\.h$", r"^(media|index|copy)/.*\.cc$|" + TESTS),
    (r"^openssl/", r"^(media|index|copy)/.*\.cc$|" + TESTS),
    (r"^nlohmann/", r"^(media|index|copy)/.*\.cc$|^(fs|tools)/|" + TESTS),
    (r"^(gtest|gmock|benchmark)/", TESTS),
    (r"^udfread/", r"^tests/readers/"),
    (r"^(spdlog|fmt)/", r"."),
]
# Found and linked by some CMakeLists.txt.
LIBRARIES = ["fuse3", "RocksDB", "sgutils2", "CLI11", "GTest"]
# Folders of headers that belong to the system.
SYSTEM_FOLDERS = {"sys", "linux", "asm", "netinet", "arpa"}

# Its files are looked at, its folders are not.
THIRD_PARTY_FOLDER = os.path.join("tests", "third_party")

MACHINE_PATH = re.compile("|".join(
    ["/" + "work/", "/" + "home/[a-z]", "/" + "root/", "/" + "Users/",
     "/" + "mnt/[a-z]"]))

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')
BUILD_FOLDER = re.compile(r"^build(-.*)?$")


def files_of(tree):
    """Paths relative to the tree, without what is built or hidden."""
    for folder, folders, names in os.walk(tree):
        at_top = os.path.samefile(folder, tree)
        if os.path.relpath(folder, tree) == THIRD_PARTY_FOLDER:
            folders.clear()  # what others wrote has rules of its own
        folders[:] = sorted(
            d for d in folders
            if (not d.startswith(".") or d == ".ci") and d != "__pycache__"
            and not (at_top and BUILD_FOLDER.match(d)))
        for name in sorted(names):
            path = os.path.relpath(os.path.join(folder, name), tree)
            if os.path.isfile(os.path.join(tree, path)):
                yield path


def is_script(path, lines):
    return bool(lines) and lines[0].startswith("#!")


def is_cpp(path):
    return path.endswith((".cc", ".h"))


def is_source(path, lines):
    return (is_cpp(path) or path.endswith((".cmake", ".c", ".sh", ".py"))
            or os.path.basename(path) == "CMakeLists.txt"
            or is_script(path, lines))


def check_includes(path, lines):
    layer = path.split("/")[0]
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quoted, header = match.group(1) == '"', match.group(2)
        folder = header.split("/")[0]
        if quoted:
            if "/" not in header:
                yield number, "include", (
                    f'"{header}": write it from the top of the tree')
            elif layer in LAYERS:
                allowed = LAYERS[:LAYERS.index(layer) + 1]
                if folder not in allowed:
                    yield number, "include", (
                        f'{layer}/ must not include "{header}"')
                if (path.startswith("media/udf/")
                        and not header.startswith("media/")):
                    yield number, "include", (
                        f'media/udf/ must not include "{header}"')
            continue
        for pattern, users in THIRD_PARTY:
            if re.search(pattern, header):
                if not re.search(users, path):
                    yield number, "third-party", (
                        f"<{header}> is not allowed here")
                break
        else:
            if "/" in header and folder not in SYSTEM_FOLDERS:
                yield number, "third-party", (
                    f"<{header}> is not in the table of libraries")


def check_spdx(path, lines):
    head = lines[:2] if is_script(path, lines) else lines[:1]
    if not any("SPDX-License-Identifier: Apache-2.0" in line for line in head):
        yield 1, "spdx", "no SPDX-License-Identifier at the top"


def check_machine_paths(path, lines):
    for number, line in enumerate(lines, 1):
        if MACHINE_PATH.search(line):
            yield number, "machine-path", "a path of one machine"


def check_pragma_once(path, lines):
    if path.endswith(".h") and "#pragma once" not in lines:
        yield 1, "pragma-once", "header without #pragma once"


def check_unfinished(path, lines):
    word = re.compile(r"\b(" + "TO" + "DO|FIX" + r"ME)\b")
    for number, line in enumerate(lines, 1):
        if word.search(line):
            yield number, "unfinished", "unfinished work in the tree"


def check_shell(tree, path):
    result = subprocess.run(["bash", "-n", os.path.join(tree, path)],
                            capture_output=True, text=True, check=False)
    if result.returncode != 0:
        yield 1, "shell", result.stderr.strip()


def check_folders(tree, paths):
    """Every folder says what lives in it."""
    by_folder = {}
    for path in paths:
        by_folder.setdefault(os.path.dirname(path), []).append(path)
    for folder, members in sorted(by_folder.items()):
        names = {os.path.basename(m) for m in members}
        if "README.md" in names or len(names) == 1:
            continue  # a single file speaks for itself
        if folder.startswith("tests/fuzz/corpus/"):
            continue  # inputs alone; tests/fuzz/corpus/README.md lists them
        if "CMakeLists.txt" in names:
            with open(os.path.join(tree, folder, "CMakeLists.txt"),
                      encoding="utf-8") as file:
                lines = file.read().splitlines()
            if len(lines) > 1 and len(lines[1]) > 20 and lines[1][0] == "#":
                continue
        yield folder or ".", 1, "folder", "no README.md says what lives here"


def check_layout(tree, paths):
    """D6: what stands at the top, and what it is built with."""
    for name in ["CMakeLists.txt", "README.md"] + [
            f"{folder}/README.md" for folder in LAYERS + ["tests"]]:
        if name not in paths:
            yield name, 1, "layout", "is missing"
    build = ""
    for path in paths:
        if os.path.basename(path) == "CMakeLists.txt":
            with open(os.path.join(tree, path), encoding="utf-8") as file:
                build += file.read()
    for library in LIBRARIES:
        if not re.search(rf"\b{library}\b", build, re.IGNORECASE):
            yield "CMakeLists.txt", 1, "layout", f"{library} is not used"


# RULES
def lint(tree):
    findings = []
    paths = list(files_of(tree))
    for path in paths:
        try:
            with open(os.path.join(tree, path), encoding="utf-8") as file:
                lines = file.read().splitlines()
        except UnicodeDecodeError:
            continue  # not text
        checks = [check_machine_paths(path, lines)]
        if is_source(path, lines):
            checks += [check_spdx(path, lines), check_unfinished(path, lines)]
        if is_cpp(path):
            checks += [check_includes(path, lines),
                       check_pragma_once(path, lines)]
        if is_script(path, lines) and "bash" in lines[0]:
            checks.append(check_shell(tree, path))
        for check in checks:
            findings += [(path, *finding) for finding in check]
    findings += check_folders(tree, paths)
    findings += check_layout(tree, paths)
    return findings


def main():
    if len(sys.argv) != 2 or not os.path.isdir(sys.argv[1]):
        print("usage: lint.py TREE", file=sys.stderr)
        return 2
    findings = lint(sys.argv[1])
    for path, number, rule, text in findings:
        print(f"{path}:{number}: {rule}: {text}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
