#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks tests/rows.md, the table of rows and the tests that prove them.

rows.py TREE: prints what is wrong with the table, and exits 1 if anything is;
else prints how many rows are open. `rows.py TREE ID` prints the tests that carry
the id of a row.
"""

import os
import re
import sys

TABLE = "tests/rows.md"

# The rows that there must be; of group X any number may be there.
GROUPS = {
    "O": [n for n in range(1, 22) if n != 20],
    "I": range(1, 16),
    "V": range(1, 9),
    "A": range(1, 10),
    "H": range(1, 9),
    "D": range(1, 7),
}

ROW_ID = r"[OIVAHDX][1-9][0-9]*"
GTEST = re.compile(r"^(?:TYPED_)?TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\s*\)",
                   re.MULTILINE)
CARRIED = re.compile(rf"^((?:{ROW_ID}_)+)")
TEST_NAME = re.compile(r"`([^`]+)`")
SCRIPTS = (".sh", ".py")
# Scripts that are not named after their ctest.
SCRIPT_OF = {"lint_tree": "tests/lint/lint.py"}


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


class Sources:
    """What the tests of a tree are called."""

    def __init__(self, tree):
        self.gtests = {}  # "Suite.Name" -> ids that it carries
        self.scripts = {}  # path -> text
        self.cmake = ""
        for folder, folders, names in os.walk(os.path.join(tree, "tests")):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                if name == "CMakeLists.txt":
                    self.cmake += read(path)
                elif name.endswith((".cc", ".h")):
                    self.add_gtests(read(path))
                elif name.endswith(SCRIPTS):
                    self.scripts[os.path.relpath(path, tree)] = read(path)

    def add_gtests(self, text):
        for suite, name in GTEST.findall(text):
            carried = CARRIED.match(name)
            self.gtests[f"{suite}.{name}"] = (
                carried.group(1).rstrip("_").split("_") if carried else [])

    def carrying(self, row):
        return sorted(t for t, ids in self.gtests.items() if row in ids)

    def script_of(self, ctest):
        """What the scripts of a ctest say: those that it is named after,
        FOLDER_STEM, or that of SCRIPT_OF. None when there is no such ctest."""
        folder, _, stem = ctest.partition("_")
        if not any(re.search(rf"\b{re.escape(name)}\b", self.cmake)
                   for name in (ctest, stem)):
            return None
        if ctest in SCRIPT_OF:
            return self.scripts.get(SCRIPT_OF[ctest], "")
        return "".join(
            text for path, text in self.scripts.items()
            if os.path.splitext(path)[0] == f"tests/{folder}/{stem}")


def parse(text):
    """(line number, [id, behaviour, state, tests]) of each row."""
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(rf"^\| {ROW_ID} \|", line):
            cells = [cell.strip() for cell in line.strip().strip("|")
                     .split("|")]
            yield number, cells


def check_tests(row, names, sources):
    """What is wrong with the tests of a row that is not open."""
    if not names:
        yield f"{row} has no test"
        return
    found = False
    for name in names:
        if "." in name:
            if name not in sources.gtests:
                yield f"{row}: there is no test {name}"
            elif row in sources.gtests[name]:
                found = True
            continue
        script = sources.script_of(name)
        if script is None:
            yield f"{row}: there is no ctest {name}"
        elif re.search(rf"\b{row}\b", script):
            found = True
        else:
            yield f"{row}: the script of {name} does not mention it"
    if not found:
        yield f"{row}: none of its tests carries its id"


def check(tree):
    """([(line, what is wrong)], ids of open rows, ids of rows in part)."""
    sources = Sources(tree)
    findings, rows, still_open, in_part = [], {}, [], []
    for number, cells in parse(read(os.path.join(tree, TABLE))):
        if len(cells) != 4:
            findings.append((number, f"{cells[0]}: {len(cells)} cells, not 4"))
            continue
        row, behaviour, state, tests = cells
        names = TEST_NAME.findall(tests)
        if row in rows:
            findings.append((number, f"{row} is there twice"))
        rows[row] = number
        if not behaviour:
            findings.append((number, f"{row}: no behaviour"))
        if state == "open":
            still_open.append(row)
            found = names + sources.carrying(row)
            if found:
                findings.append(
                    (number, f"{row} is open, but has tests: "
                     + " ".join(found)))
            continue
        if state.startswith("part: "):
            in_part.append(row)
        elif state != "works":
            findings.append((number, f"{row}: what is \"{state}\"?"))
        findings += [(number, text)
                     for text in check_tests(row, names, sources)]
    for group, numbers in GROUPS.items():
        findings += [(1, f"{group}{n} is missing") for n in numbers
                     if f"{group}{n}" not in rows]
    for name, ids in sorted(sources.gtests.items()):
        findings += [(1, f"{name} carries {i}, which is no row")
                     for i in ids if i not in rows]
    return findings, still_open, in_part


def main():
    if len(sys.argv) not in (2, 3) or not os.path.isdir(sys.argv[1]):
        print("usage: rows.py TREE [ID]", file=sys.stderr)
        return 2
    if len(sys.argv) == 3:
        print("\n".join(Sources(sys.argv[1]).carrying(sys.argv[2])))
        return 0
    findings, still_open, in_part = check(sys.argv[1])
    for number, text in findings:
        print(f"{TABLE}:{number}: {text}")
    print(f"{len(still_open)} rows are open: {' '.join(still_open)}")
    print(f"{len(in_part)} rows work in part: {' '.join(in_part)}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
