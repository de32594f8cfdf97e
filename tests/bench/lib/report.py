# SPDX-License-Identifier: Apache-2.0
"""The table and the JSON of a run. The table has ratios and counts only:
seconds of one machine say nothing about another one."""

import os
import platform
import statistics
import subprocess
import time

from .host import BenchError
from .rounds import slope

# Steeper than this is worse than linear; the rest is noise of small sizes.
STEEPEST = 1.15


def judge(target, value):
    if target.at_least is not None:
        return value >= target.at_least
    if target.at_most is not None:
        return value <= target.at_most
    return None


def goal_of(target):
    if target.at_least is not None:
        return f">= {target.at_least:g}"
    if target.at_most is not None:
        return f"<= {target.at_most:g}"
    return ""


def lines_of(measured):
    """Rows of the table: what, value, spread, goal, verdict."""
    row = measured.row
    for target in row.targets:
        ratios = measured.ratios(target)
        value = statistics.median(ratios)
        yield {"what": target.text, "value": value, "least": min(ratios),
               "most": max(ratios), "rounds": len(ratios),
               "goal": goal_of(target), "holds": judge(target, value)}
    for fact in measured.facts[measured.size]:
        yield {"what": fact.text, "value": fact.value,
               "goal": "" if fact.at_most is None else f"<= {fact.at_most:g}",
               "holds": fact.holds}
    for (contender, metric), points in measured.growth().items():
        steepness = slope(points)
        if steepness is None:
            continue
        bound = contender == "vellum" and metric in getattr(row, "linear", ())
        yield {"what": f"slope of {metric}, {contender}", "value": steepness,
               "goal": f"<= {STEEPEST}" if bound else "",
               "holds": steepness <= STEEPEST if bound else None}


def number(value):
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(results):
    """Text: a ratio above 1 says that Vellum is faster than its peer."""
    head = ("row", "size", "measure (peer's seconds by Vellum's)", "median",
            "spread", "rounds", "at least", "")
    rows = [head]
    for measured in results:
        first = True
        for line in lines_of(measured):
            spread = ""
            if line.get("rounds", 0) > 1:
                spread = f"{number(line['least'])}..{number(line['most'])}"
            verdict = {True: "yes", False: "NO", None: ""}[line["holds"]]
            rows.append((measured.row.name if first else "",
                         f"{measured.size:,}" if first else "", line["what"],
                         number(line["value"]), spread,
                         str(line.get("rounds", "")), line["goal"], verdict))
            first = False
    widths = [max(len(r[i]) for r in rows) for i in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in
                               zip(r, widths)).rstrip() for r in rows)


def machine(folder):
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        kinds = {line.split()[4]: line.split(" - ")[1].split()[0]
                 for line in file}
    at = os.path.realpath(folder)
    while at not in kinds:
        at = os.path.dirname(at)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpus": os.cpu_count(), "memory_mib": memory >> 20,
            "kernel": platform.release(), "file_system": kinds[at],
            "load_before": os.getloadavg()[0],
            "date": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())}


def program(build):
    """What is measured. A build for finding faults is refused: it is slow."""
    cache = {}
    with open(os.path.join(build, "CMakeCache.txt"), encoding="utf-8") as file:
        for line in file:
            name, _, value = line.strip().partition("=")
            cache[name.partition(":")[0]] = value
    kind = cache.get("CMAKE_BUILD_TYPE", "")
    if cache.get("VELLUM_SANITIZE") or kind not in ("Release",
                                                    "RelWithDebInfo"):
        raise BenchError(f"{build} is a build of type '{kind}' with "
                         f"sanitizers '{cache.get('VELLUM_SANITIZE', '')}'")
    source = cache.get("CMAKE_HOME_DIRECTORY", ".")
    commit = subprocess.run(["git", "-C", source, "describe", "--always",
                             "--dirty"], capture_output=True, text=True,
                            check=False)
    return {"build_type": kind, "commit": commit.stdout.strip()}


def as_json(results, scale, where):
    out = {"scale": scale, "machine": where, "rows": []}
    for measured in results:
        out["rows"].append({
            "name": measured.row.name, "title": measured.row.title,
            "size": measured.size, "load": measured.load,
            "lines": list(lines_of(measured)),
            "facts": [{"size": size, "what": fact.text, "value": fact.value}
                      for size, facts in sorted(measured.facts.items())
                      for fact in facts],
            "seconds": [{"size": size, "contender": contender,
                         "metric": metric, "rounds": values}
                        for size, times in sorted(measured.seconds.items())
                        for contender, metrics in times.items()
                        for metric, values in metrics.items()]})
    return out
