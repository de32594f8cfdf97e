# SPDX-License-Identifier: Apache-2.0
"""How costs grow: one panel for each row that is measured at several sizes, on
logarithmic axes. Cost is relative to Vellum's cheapest in the panel."""

import html
import math

from .rounds import slope

WIDTH, HEIGHT = 380, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 30, 62
COLUMNS = 2
COLOURS = {"vellum": "#c0392b", "passthrough": "#2471a3", "disk": "#7d8b8f",
           "fuse2fs": "#1e8449", "dd": "#9a7d0a"}
OTHERS = ("#76448a", "#117a65", "#a04000", "#5d6d7e")


class Panel:
    def __init__(self, title, series, ours):
        """series: {label: (contender, [(size, seconds)])}; ours: contenders
        that are Vellum."""
        self.title = title
        self.series = series
        self.unit = min(cost for contender, points in series.values()
                        if contender in ours for _, cost in points)
        sizes = [size for _, points in series.values() for size, _ in points]
        costs = [cost / self.unit for _, points in series.values()
                 for _, cost in points]
        self.x = (math.log10(min(sizes)), math.log10(max(sizes)))
        self.y = (math.floor(math.log10(min(costs))),
                  max(math.ceil(math.log10(max(costs))),
                      math.floor(math.log10(min(costs))) + 1))

    def at(self, size, cost):
        across = (math.log10(size) - self.x[0]) / (self.x[1] - self.x[0])
        up = (math.log10(cost / self.unit) - self.y[0]) / (self.y[1] -
                                                           self.y[0])
        return (LEFT + across * (WIDTH - LEFT - RIGHT),
                HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM))

    def svg(self):
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        out = [f'<text x="{LEFT}" y="18" font-weight="bold">'
               f"{html.escape(self.title)}</text>",
               f'<rect x="{LEFT}" y="{TOP}" width="{right - LEFT}" '
               f'height="{bottom - TOP}" fill="none" stroke="#999"/>']
        for power in range(self.y[0], self.y[1] + 1):
            y = self.at(10 ** self.x[0], self.unit * 10 ** power)[1]
            out.append(f'<line x1="{LEFT}" x2="{right}" y1="{y:.1f}" '
                       f'y2="{y:.1f}" stroke="#ddd"/>')
            out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" '
                       f'text-anchor="end">{10 ** power:g}</text>')
        sizes = sorted({size for _, points in self.series.values()
                        for size, _ in points})
        for size in sizes:
            x = self.at(size, self.unit)[0]
            out.append(f'<text x="{x:.1f}" y="{bottom + 14}" '
                       f'text-anchor="middle">{size:,}</text>')
        left = LEFT
        others = iter(OTHERS * 8)
        for i, (label, (contender, points)) in enumerate(self.series.items()):
            colour = COLOURS.get(contender) or next(others)
            # Several measures of one contender differ by their dashes.
            same = [k for k, (c, _) in self.series.items() if c == contender]
            dash = ("", "5,3", "2,2", "8,3,2,3")[same.index(label) % 4]
            places = [self.at(*point) for point in points]
            out.append('<polyline fill="none" stroke-width="1.6" '
                       f'stroke="{colour}" stroke-dasharray="{dash}" points="' +
                       " ".join(f"{x:.1f},{y:.1f}" for x, y in places) + '"/>')
            out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4" '
                    f'fill="{colour}"/>' for x, y in places]
            out.append(f'<text x="{left + 160 * (i % 2)}" '
                       f'y="{bottom + 28 + 11 * (i // 2)}" font-size="9" '
                       f'fill="{colour}">{html.escape(label)}: slope '
                       f"{slope(points):.2f}</text>")
        return "\n".join(out)


def panels_of(measured):
    """Of each metric of Vellum, with what its peers have to show for it."""
    by_metric = {}
    for (contender, metric), points in measured.growth().items():
        if len(points) > 1:
            by_metric.setdefault(metric, {})[contender] = points
    shared = {m: s for m, s in by_metric.items() if len(s) > 1}
    groups = [(f"{measured.row.name}: {m}", {m: by_metric[m]}) for m in shared]
    rest = {m: s for m, s in by_metric.items() if m not in shared}
    if rest:
        groups.append((measured.row.name, rest))
    for title, metrics in groups:
        series = {f"{contender}, {metric}": (contender, points)
                  for metric, contenders in metrics.items()
                  for contender, points in contenders.items()}
        ours = measured.row.ours
        if any(contender in ours for contender, _ in series.values()):
            yield Panel(title, series, ours)


def svg(results):
    panels = [panel for measured in results for panel in panels_of(measured)]
    rows = (len(panels) + COLUMNS - 1) // COLUMNS
    out = ['<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" '
           f'font-size="11" width="{COLUMNS * WIDTH}" '
           f'height="{rows * HEIGHT + 20}">',
           '<rect width="100%" height="100%" fill="white"/>']
    for i, panel in enumerate(panels):
        out.append(f'<g transform="translate({i % COLUMNS * WIDTH},'
                   f'{i // COLUMNS * HEIGHT})">\n{panel.svg()}\n</g>')
    out.append(f'<text x="8" y="{rows * HEIGHT + 12}">across: size of the row; '
               "up: cost by the least of Vellum in the panel; slope 1 is "
               "linear (of one operation: 0)</text>\n</svg>")
    return "\n".join(out) + "\n"
