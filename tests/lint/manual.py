#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The manual says what the program takes, all of it and nothing else (X9).

manual.py VELLUM TREE compares
- docs/vellum.1 with the --help of VELLUM and of each of its subcommands:
  subcommands, other names, options, both ways;
- the other names with the links that tools/ installs;
- the commands that README.md and docs/coming-from.md show with the same;
- docs/vellum-control.7 and docs/control.md with the commands and tables that
  fs/ serves;
- docs/library.toml.5 with the keys that media/ reads.
Prints what is wrong, and exits 1 if anything is.
"""

import os
import re
import subprocess
import sys

# What the parser offers by itself, everywhere.
ALWAYS = {"-h", "--help"}
FLAG = re.compile(r"(?<![\w/=-])(-{1,2}[A-Za-z0-9][\w-]*)")


def read(tree, path):
    with open(os.path.join(tree, path), encoding="utf-8") as file:
        return file.read()


class Command:
    def __init__(self):
        self.names = []  # the second one and on: other names
        self.options = []  # each a set of spellings
        self.children = []

    def spellings(self):
        return set().union(*self.options) if self.options else set()


def parse_help(text):
    """What one --help says."""
    command = Command()
    below = ""
    for line in text.splitlines():
        if re.match(r"^(\[|\S)", line):
            below = line.strip()
        words = line.split("  ")
        first = next((word for word in words if word), "")
        if below == "Subcommands:" and re.match(r"^  \S", line):
            command.children.append(first.strip().split(", "))
        elif re.match(r"^ +-", line):
            spelled = first.split(" ")[0].split(",")
            if not set(spelled) & ALWAYS:
                command.options.append(set(spelled))
    return command


def ask(vellum, words):
    return parse_help(subprocess.run(
        [vellum, *words, "--help"], capture_output=True, text=True,
        check=True).stdout)


def commands_of(vellum):
    """The global options, and every command by its name."""
    top = ask(vellum, [])
    commands = {}
    for names in top.children:
        command = ask(vellum, names[:1])
        command.names = names
        commands[names[0]] = command
        for below in command.children:
            child = ask(vellum, [names[0], below[0]])
            child.names = [f"{names[0]} {below[0]}"]
            commands[child.names[0]] = child
    return top, commands


def unescape(word):
    return word.replace("\\-", "-")


def flags_of(words):
    """The options in the words of a mdoc line; what follows a bar is another
    spelling."""
    flags, active = [], False
    for word in words:
        if word == "Fl":
            active = True
        elif active and word in ("|", ",", "(", ")"):
            continue
        elif active and not re.fullmatch(r"[A-Z][a-z]", word):
            flags.append("-" + unescape(word))
        else:
            active = False
    return flags


class Page:
    """The items of vellum.1: command -> [flags in its head, all its flags]."""

    def __init__(self, text, commands):
        self.commands = {}
        self.flags = set()
        self.names = set(re.findall(r"^\.Nm (\S+)", text, re.MULTILINE))
        current, in_head, block = [], False, False
        for line in text.splitlines():
            words = line.lstrip(".").split()
            if line.startswith(".It"):
                block = words[1:2] == ["Xo"]
                current = [] if block else self.begin(words[1:], commands)
                in_head = True
            elif line.startswith((".Sh", ".Ss")):
                current = []
            elif block and not current and line.startswith(".Cm"):
                current = self.begin(words, commands)
            flags = flags_of(words) if line.startswith(".") else []
            self.flags |= set(flags)
            for name in current:
                self.commands[name][1].update(flags)
                if in_head:
                    self.commands[name][0].update(flags)
            if line.startswith(".Xc"):
                block = False
            in_head = block

    def begin(self, words, commands):
        names = []
        while words[:1] == ["Cm"] and len(words) > 1:
            name, words = words[1], words[2:]
            if words[:1] == ["Cm"] and f"{name} {words[1]}" in commands:
                name, words = f"{name} {words[1]}", words[2:]
            names.append(name)
            if words[:2] != [",", "Cm"]:
                break
            words = words[1:]
        for name in names:
            self.commands.setdefault(name, (set(), set()))
        return names


def check_page(page, top, commands):
    for name, command in commands.items():
        if command.children:  # its children are the commands
            continue
        if name not in page.commands:
            yield f"vellum.1: there is no entry for {name}"
            continue
        head, flags = page.commands[name]
        for spelled in command.options:
            if not spelled & flags:
                yield f"vellum.1: {name}: {'/'.join(sorted(spelled))} is " \
                    "missing"
        known = command.spellings() | top.spellings()
        for flag in sorted(head - known):
            yield f"vellum.1: {name} has no option {flag}"
        for other in command.names[1:]:
            if other not in page.names:
                yield f"vellum.1: {name}: its other name {other} is missing"
    for name in sorted(set(page.commands) - set(commands)):
        yield f"vellum.1: there is no command {name}"
    for spelled in top.options:
        if not spelled & page.flags:
            yield f"vellum.1: {'/'.join(sorted(spelled))} is missing"
    others = {n for c in commands.values() for n in c.names[1:]}
    for name in sorted(page.names - others - {"vellum"}):
        yield f"vellum.1: there is no other name {name}"


def calls_in(text):
    """What stands behind `vellum ` in code, each call of its own."""
    code = re.findall(r"`([^`\n]+)`", text)
    block = False
    for line in text.splitlines():
        if line.startswith("```"):
            block = not block
        elif block or line.startswith("    "):
            code.append(line.split("#")[0])
    for piece in code:
        parts = re.split(r"(?<![\w/.@-])vellum ", piece)
        yield from (part.strip() for part in parts[1:])


def check_calls(path, text, top, commands):
    by_name = {n: c for c in commands.values() for n in c.names}
    seen = 0
    for call in calls_in(text):
        # Global options before the command, with their values.
        words = re.sub(r"^(--(mount|library) \S+ |--json )+", "", call)
        match = re.match(r"[a-z][a-z|-]*", words)
        if not match:
            continue
        seen += 1
        for name in match.group(0).split("|"):
            command = by_name.get(name)
            if command is None:
                yield f"{path}: vellum {call}: there is no command {name}"
                continue
            known = command.spellings() | top.spellings() | ALWAYS
            for child in command.children:
                known |= commands[f"{name} {child[0]}"].spellings()
            for flag in FLAG.findall(words):
                if flag not in known:
                    yield f"{path}: vellum {call}: {name} has no {flag}"
    if seen == 0:
        yield f"{path}: shows no command"


def check_links(tree, commands):
    """Each other name is a link that the installation makes, and the program
    knows itself by it."""
    others = {n for c in commands.values() for n in c.names[1:]}
    for path, shown in [
            ("tools/CMakeLists.txt", r"foreach\(name ([^)]*)\)"),
            ("tools/cli.cc", r"kProgramNames = \{([^}]*)\}")]:
        match = re.search(shown, read(tree, path))
        names = set(re.findall(r"\w+", match.group(1))) if match else set()
        for name in sorted(others ^ names):
            yield f"{path}: {name} is " + (
                "missing" if name in others else "no other name of a command")


def check_control(tree):
    verbs = set()
    for name in sorted(os.listdir(os.path.join(tree, "fs"))):
        if re.fullmatch(r"commands\w*\.cc", name):
            verbs |= set(re.findall(r'^ *\{"([a-z-]+)", [A-Z]\w+\}',
                                    read(tree, f"fs/{name}"), re.MULTILINE))
    tables = set(re.findall(r'"([a-z]+)"', re.search(
        r"kTableNames = \{(.*?)\}", read(tree, "fs/tables.h"),
        re.DOTALL).group(1)))
    if not verbs or not tables:
        yield "fs/: no commands or no tables were found"
    for path, shown in [
            ("docs/vellum-control.7", r"^\.It Li ([a-z-]+)"),
            ("docs/control.md", r"^\| `([a-z-]+)[ `]")]:
        text = read(tree, path)
        entries = set(re.findall(shown, text, re.MULTILINE))
        # A line of the table may show two forms of one command.
        for verb in sorted(verbs - entries):
            yield f"{path}: the command {verb} is missing"
        for verb in sorted(entries - verbs):
            yield f"{path}: there is no command {verb}"
        for table in sorted(tables):
            if not re.search(rf"\b{table}\b", text):
                yield f"{path}: the table {table} is missing"


def check_keys(tree):
    keys = set()
    for folder, _, names in os.walk(os.path.join(tree, "media")):
        for name in names:
            if name.endswith("config.cc"):
                keys |= set(re.findall(
                    r'(?:(?:->|\.)(?!Tables?\(|At\()[A-Z]\w+\(|'
                    r'ReadHook\(table, )\s*"(\w+)"',
                    read(folder, name)))
    if not keys:
        yield "media/: no keys were found"
    shown = set()
    for line in re.findall(r"^\.It Cm (.*)$", read(
            tree, "docs/library.toml.5"), re.MULTILINE):
        shown |= set(re.findall(r"\w+", line.replace("Cm", "")))
    for key in sorted(keys - shown):
        yield f"docs/library.toml.5: the key {key} is missing"
    for key in sorted(shown - keys):
        yield f"docs/library.toml.5: there is no key {key}"


def check(vellum, tree):
    top, commands = commands_of(vellum)
    page = Page(read(tree, "docs/vellum.1"), commands)
    yield from check_page(page, top, commands)
    for path in ("README.md", "docs/coming-from.md"):
        yield from check_calls(path, read(tree, path), top, commands)
    yield from check_links(tree, commands)
    yield from check_control(tree)
    yield from check_keys(tree)


def main():
    if len(sys.argv) != 3:
        print("usage: manual.py VELLUM TREE", file=sys.stderr)
        return 2
    findings = list(check(sys.argv[1], sys.argv[2]))
    print("\n".join(findings))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
