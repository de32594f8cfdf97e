# SPDX-License-Identifier: Apache-2.0
"""Rounds: everybody measures once a round, in turn, so that what the machine
does beside it hits all alike; then ratios of the same round, and their median.
"""

import math
import os
import statistics
import time
from contextlib import ExitStack

from .host import BenchError


class Target:
    """A ratio that counts: seconds of `of` by seconds of `by`, both
    (contender, metric). With `at_least` more is better, with `at_most` less;
    with neither it is only told."""

    def __init__(self, text, of, by, at_least=None, at_most=None):
        self.text = text
        self.of = of
        self.by = by
        self.at_least = at_least
        self.at_most = at_most


class Fact:
    """What is counted, not timed."""

    def __init__(self, text, value, at_most=None):
        self.text = text
        self.value = value
        self.at_most = at_most

    @property
    def holds(self):
        return None if self.at_most is None else self.value <= self.at_most


class Row:
    """A row of the table. Subclasses say `name`, `title`, `sizes` (one number
    for each scale; the unit is the row's), `grows` (whether it is measured at
    a hundredth and a tenth of the size as well) and `targets`, and make the
    contenders. `ours` are those that are Vellum where none has that name: the
    plot has panels of what they have a part in."""

    name = ""
    title = ""
    sizes = {"small": 1, "full": 1}
    smallest = 1
    grows = False
    targets = ()
    ours = ("vellum",)

    def set_up(self, stack, host, size):
        """{contender: callable(round) -> {metric: seconds}}; what must be
        closed goes on the stack."""
        raise NotImplementedError

    def finish(self):
        """Checks of the results when all rounds are over; a list of Facts."""
        return []


def slope(points):
    """Of cost over size on logarithmic axes: 1 is linear."""
    if len(points) < 2:
        return None
    x = [math.log(size) for size, _ in points]
    y = [math.log(cost) for _, cost in points]
    return statistics.linear_regression(x, y).slope


class Measured:
    """What came out of one row."""

    def __init__(self, row):
        self.row = row
        # Of the machine, when each size was begun.
        self.load = []
        # size -> contender -> metric -> [seconds of each round]
        self.seconds = {}
        # size -> [Fact]
        self.facts = {}

    @property
    def size(self):
        return max(self.seconds)

    def ratios(self, target):
        """Of each round."""
        times = self.seconds[self.size]
        of = times[target.of[0]][target.of[1]]
        by = times[target.by[0]][target.by[1]]
        return [a / b for a, b in zip(of, by)]

    def growth(self):
        """(contender, metric) -> [(size, median seconds)]; what was too short
        to be counted has no place on logarithmic axes."""
        out = {}
        for size in sorted(self.seconds):
            for contender, metrics in self.seconds[size].items():
                for metric, values in metrics.items():
                    median = statistics.median(values)
                    if median > 0:
                        out.setdefault((contender, metric), []).append(
                            (size, median))
        return out


def sizes_of(row, scale, parts):
    full = row.sizes[scale]
    if not row.grows:
        return [full]
    return sorted({max(row.smallest, round(full * part)) for part in parts})


def measure(row, host, scale, rounds, parts, say, seconds=math.inf):
    """As many rounds of each size; none begins later than `seconds` after the
    first one. Leaves nothing in the host's folder."""
    result = Measured(row)
    for size in sizes_of(row, scale, parts):
        try:
            result.load.append(os.getloadavg()[0])
            result.seconds[size], result.facts[size] = measure_size(
                row, host, size, rounds, say, seconds)
        finally:
            host.clear()
    for target in row.targets:
        for contender, metric in (target.of, target.by):
            if not result.seconds[result.size].get(contender, {}).get(metric):
                raise BenchError(f"{row.name}: {contender} has no {metric}")
    return result


def order_of(names, turn):
    """Nobody is always the first, and nobody always comes after the same."""
    step = 1 if turn % 2 == 0 else -1
    return [names[(turn + step * i) % len(names)] for i in range(len(names))]


def measure_size(row, host, size, rounds, say, seconds):
    times = {}
    with ExitStack() as stack:
        contenders = row.set_up(stack, host, size)
        names = list(contenders)
        begin = time.monotonic()
        for turn in range(rounds):
            if turn > 0 and time.monotonic() - begin > seconds:
                break
            for name in order_of(names, turn):
                # What the one before has left to write or to discard.
                os.sync()
                say(f"{row.name}: size {size}, round {turn + 1}, {name}")
                for metric, value in contenders[name](turn).items():
                    times.setdefault(name, {}).setdefault(
                        metric, []).append(value)
        return times, row.finish()
