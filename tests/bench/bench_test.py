#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""That the measurements work: every row yields its ratios from right results,
wrong results are noticed, and nothing is left behind. No number is judged.

  VELLUM_BUILD=build tests/bench/bench_test.py"""

import importlib.machinery
import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
import xml.etree.ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

from lib import (plot, report, rounds, rows_copy, rows_data,  # noqa: E402
                 rows_files, rows_recall)
from lib.host import BenchError, Host, mounts_below, unmount  # noqa: E402

BUILD = os.path.abspath(os.environ.get("VELLUM_BUILD", "build"))
ROWS = ["write", "read", "random", "create", "directory", "find", "fsync",
        "start", "copy", "incremental", "tracking", "together", "rescan", "recall",
        "capacity"]


def processes_with(text):
    found = []
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                if entry.isdigit() and text.encode() in file.read():
                    found.append(entry)
        except OSError:
            pass  # no process, or it has ended
    return [pid for pid in found if int(pid) != os.getpid()]


class BenchTest(unittest.TestCase):
    def setUp(self):
        # Not in memory: the measurements ask which file system it is.
        self.folder = tempfile.TemporaryDirectory(prefix="vellum-benchtest.",
                                                  dir="/var/tmp")
        self.addCleanup(self.folder.cleanup)
        self.work = os.path.join(self.folder.name, "work")
        os.mkdir(self.work)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def command(self, *words):
        return [sys.executable, "-B", os.path.join(HERE, "run"), "--dir",
                self.work, "--build", BUILD, "--json", self.path("out.json"),
                "--svg", self.path("out.svg"), *words]

    def expect_nothing_left(self):
        self.assertEqual(mounts_below(self.work), [])
        self.assertEqual(processes_with(self.work), [])
        self.assertEqual(os.listdir(self.work), [])

    def test_every_row_yields_its_ratios(self):
        done = subprocess.run(
            self.command("--rounds", "1", "--grow", "0.5,1", "--quiet"),
            capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with open(self.path("out.json"), encoding="utf-8") as file:
            result = json.load(file)
        self.assertEqual([row["name"] for row in result["rows"]], ROWS)
        for row in result["rows"]:
            ratios = [line for line in row["lines"] if "least" in line]
            self.assertTrue(ratios, row["name"])
            for line in ratios:
                self.assertTrue(math.isfinite(line["value"]) and
                                line["value"] > 0, f"{row['name']}: {line}")
            self.assertIn(row["name"], done.stdout)
        # What is counted does not depend on the machine.
        facts = {line["what"]: line for row in result["rows"]
                 for line in row["lines"]}
        self.assertEqual(
            facts["flushes more with backups than without"]["value"], 0)
        panels = xml.etree.ElementTree.parse(self.path("out.svg")).getroot()
        self.assertGreater(len(list(panels.iter(
            "{http://www.w3.org/2000/svg}polyline"))), 20)
        self.expect_nothing_left()

    def test_an_interrupted_run_leaves_nothing(self):
        child = subprocess.Popen(
            self.command("--rows", "write", "--size", "16", "--rounds", "999",
                         "--grow", "1"), stderr=subprocess.PIPE, text=True)
        with child.stderr as lines:
            for line in lines:
                if "round 2" in line:
                    break
            self.assertEqual(len(mounts_below(self.work)), 3)
            child.send_signal(signal.SIGINT)
            lines.read()
        self.assertEqual(child.wait(120), 128 + signal.SIGINT)
        self.expect_nothing_left()


class FakeRow(rounds.Row):
    """Leaves a file and a mount behind; the third round fails."""

    name = "fake"

    def set_up(self, stack, host, size):
        folder = host.folder("left")
        with open(os.path.join(folder, "file"), "wb") as file:
            file.write(b"left")
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", host.folder("mount")],
                       check=True)

        def work(turn):
            if turn == 2:
                raise BenchError("the third round")
            return {"work": 1.0}

        self.size = size
        return {"vellum": work}

    def finish(self):
        return [rounds.Fact("size", self.size)]


class HostTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="vellum-benchtest.",
                                             dir="/var/tmp")
        self.addCleanup(folder.cleanup)
        self.host = Host(folder.name, BUILD)
        self.addCleanup(self.host.clear)

    def measure(self, count, seconds):
        return rounds.measure(FakeRow(), self.host, "small", count, [1],
                              lambda text: None, seconds)

    def expect_empty(self):
        self.assertEqual(mounts_below(self.host.work), [])
        self.assertEqual([item.name for item in os.scandir(self.host.work)
                          if item.is_dir()], [])

    def test_a_row_leaves_nothing_to_the_next(self):
        self.measure(2, math.inf)
        self.expect_empty()

    def test_a_failed_row_leaves_nothing_to_the_next(self):
        with self.assertRaises(BenchError):
            self.measure(3, math.inf)
        self.expect_empty()

    def test_no_round_begins_when_time_is_up(self):
        times = self.measure(3, 0).seconds[1]
        self.assertEqual(times, {"vellum": {"work": [1.0]}})

    def test_facts_of_each_size_are_kept(self):
        row = FakeRow()
        row.grows = True
        row.sizes = {"small": 10}
        measured = rounds.measure(row, self.host, "small", 1, [0.1, 1],
                                  lambda text: None)
        out = report.as_json([measured], "small", {})["rows"][0]
        self.assertEqual(out["facts"],
                         [{"size": size, "what": "size", "value": size}
                          for size in (1, 10)])
        self.assertEqual([line["value"] for line in out["lines"]
                          if line["what"] == "size"], [10])

    def test_a_busy_mount_is_tried_again_and_its_user_named(self):
        point = self.host.folder("mount")
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", point], check=True)
        user = subprocess.Popen(["sleep", "600"], cwd=point)
        try:
            with self.assertRaisesRegex(BenchError, f"sleep .{user.pid}."):
                unmount(point, seconds=0)
            end = threading.Timer(0.3, user.kill)
            end.start()
            unmount(point)
            end.join()
        finally:
            user.kill()
            user.wait()
        self.assertEqual(mounts_below(self.host.work), [])


class OrderTest(unittest.TestCase):
    def test_everybody_is_first_and_has_another_before(self):
        names = ["a", "b", "c", "d"]
        orders = [rounds.order_of(names, turn) for turn in range(8)]
        for order in orders:
            self.assertEqual(sorted(order), names)
        self.assertEqual({order[0] for order in orders}, set(names))
        self.assertGreater(len({order[order.index("b") - 1]
                                for order in orders if order[0] != "b"}), 1)

    def test_copies_lie_next_to_what_they_are_compared_with(self):
        pairs = [("vellum", "dd"), ("vellum", "dd, direct"),
                 ("vellum, verified", "dd")]
        images = [("vellum image", "dd, spool"),
                  ("vellum image, verified", "dd, spool")]
        names = list(rows_copy.FullCopy.order)
        for turn in range(5):
            order = rounds.order_of(names, turn)
            for one, other in pairs + (images if turn < 3 else []):
                self.assertEqual(abs(order.index(one) - order.index(other)), 1,
                                 f"round {turn}: {one}, {other}")


class PlotTest(unittest.TestCase):
    def test_every_row_that_grows_has_a_panel(self):
        loader = importlib.machinery.SourceFileLoader(
            "bench_run", os.path.join(HERE, "run"))
        rows = importlib.util.module_from_spec(
            importlib.util.spec_from_loader("bench_run", loader))
        loader.exec_module(rows)
        self.assertEqual([kind.name for kind in rows.ROWS], ROWS)
        for kind in filter(lambda kind: kind.grows, rows.ROWS):
            measured = rounds.Measured(kind())
            for size in (10, 100):
                times = measured.seconds.setdefault(size, {})
                for target in kind.targets:
                    for contender, metric in (target.of, target.by):
                        times.setdefault(contender, {})[metric] = [size / 10]
            titles = [panel.title for panel in plot.panels_of(measured)]
            self.assertTrue(titles, f"{kind.name} has no panel")
            for title in titles:
                self.assertEqual(title.partition(":")[0], kind.name)


    def test_what_is_too_short_to_be_counted_is_left_out(self):
        measured = rounds.Measured(rows_recall.Recall())
        for size, seconds in ((1, 0.0), (10, 0.5), (100, 5.0)):
            measured.seconds[size] = {"vellum": {"reading": [seconds]}}
        self.assertEqual(measured.growth(),
                         {("vellum", "reading"): [(10, 0.5), (100, 5.0)]})
        self.assertEqual(len(list(plot.panels_of(measured))), 1)


class ProgramTest(unittest.TestCase):
    def program_of(self, text):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "CMakeCache.txt"), "w",
                      encoding="utf-8") as file:
                file.write(text)
            return report.program(folder)

    def test_a_build_for_finding_faults_is_refused(self):
        good = "CMAKE_BUILD_TYPE:STRING=RelWithDebInfo\n"
        self.assertEqual(self.program_of(good)["build_type"], "RelWithDebInfo")
        for text in (good + "VELLUM_SANITIZE:STRING=address\n",
                     "CMAKE_BUILD_TYPE:STRING=Debug\n"):
            with self.assertRaises(BenchError):
                self.program_of(text)


class ChecksTest(unittest.TestCase):
    def test_a_wrong_file_is_noticed(self):
        with tempfile.TemporaryDirectory() as folder:
            rows_files.make_files(folder, 2, 10, True)
            rows_files.check_files(folder, 10)
            with open(os.path.join(folder, "dir00001", "file00000007"), "r+b",
                      buffering=0) as file:
                file.write(b"x")
            with self.assertRaises(BenchError):
                rows_files.check_files(folder, 10)

    def test_a_missing_file_is_noticed(self):
        with tempfile.TemporaryDirectory() as folder:
            rows_files.make_files(folder, 2, 10, True)
            os.unlink(os.path.join(folder, "dir00000", "file00000003"))
            with self.assertRaises(BenchError):
                rows_files.check_files(folder, 10)

    def test_random_access_is_told_of_one_operation(self):
        # Ten times the size is not ten times as many operations.
        for metric, slope in (("one read", 0), ("one overwrite", 0),
                              ("read back", 1)):
            points = [(size, rows_data.RandomAccess.seconds_of(
                count * 2.0, count * 3.0, size, count)[metric])
                      for size, count in ((100, 640), (1000, 8192))]
            self.assertAlmostEqual(rounds.slope(points), slope)

    def test_the_slope_of_a_square_is_two(self):
        self.assertAlmostEqual(
            rounds.slope([(n, n * n * 3.0) for n in (10, 100, 1000)]), 2)


if __name__ == "__main__":
    unittest.main()
