"""The picture of the architecture, as SVG: rows of boxes, and arrows that pass between them. Lengths are in pixels."""

from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from textwrap import wrap
from typing import NamedTuple

from architecture import LAYERS, PACKAGES, ROW_OF, drawn, files_of

COLUMN, MARGIN, GAP, LINE = 80, 40, 54, 17
RIGHT = MARGIN + 12 * COLUMN
INK, SOFT, PAPER = "#22313f", "#5d6d7e", "#fbfaf7"
FILLS = (
    "#f3e3d3",
    "#f3e3d3",
    "#efead2",
    "#e7ecd9",
    "#dcebdd",
    "#d6eae8",
    "#d7e6f2",
    "#dddff0",
    "#e2def0",
    "#e7dcec",
    "#e4e0d8",
)


class Box(NamedTuple):
    """A package as it is drawn: its corners, and the lines of its files."""

    left: float
    top: float
    right: float
    bottom: float
    lines: Sequence[str]


def boxes() -> dict[str, Box]:
    """Return where each package is drawn, row by row from the top."""
    found, top = {}, float(MARGIN)
    for i, row in enumerate(LAYERS):
        top += 26 if i == 2 else 0  # for the name of the frame
        lines = {}
        for package in row:
            width = (package.right - package.left) * COLUMN - 28
            lines[package.name] = wrap("  ".join(files_of(package.name)), int(width / 6.7), break_on_hyphens=False)
        height = 50 + LINE * max(map(len, lines.values()))
        for package in row:
            left, right = (MARGIN + column * COLUMN for column in (package.left, package.right))
            found[package.name] = Box(left, top, right, top + height, lines[package.name])
        top += height + GAP
    return found


def _ways(placed: dict[str, Box], pair: tuple[str, str]) -> list[float]:
    """Return where an arrow passes each row between its ends: through the gaps that make the shortest way."""
    source, target = (placed[name] for name in pair)
    routes = [(0.0, [(target.left + target.right) / 2])]
    for row in reversed(LAYERS[ROW_OF[pair[0]] + 1 : ROW_OF[pair[1]]]):
        walls = [
            MARGIN,
            *(x for package in row for x in (placed[package.name].left, placed[package.name].right)),
            RIGHT,
        ]
        routes = [
            (cost + abs(x - route[0]), [x, *route])
            for low, high in zip(walls[::2], walls[1::2], strict=True)
            for cost, route in routes
            if (x := min(max(route[0], low + 16), high - 16)) > low + 1
        ]
    return min(
        routes, key=lambda found: found[0] + abs(min(max(found[1][0], source.left), source.right) - found[1][0])
    )[1][:-1]


def _apart(wanted: dict[tuple[str, str], float], low: float, high: float) -> dict[tuple[str, str], float]:
    """Return positions on one side of a box: the wanted ones, moved until they are 24 apart and not at its corners."""
    order = sorted(wanted, key=lambda pair: (wanted[pair], pair))
    positions = [min(max(wanted[pair], low + 20), high - 20) for pair in order]
    for _ in range(200):
        for i in range(len(positions) - 1):
            lacking = 24 - (positions[i + 1] - positions[i])
            if lacking > 0:
                positions[i] = max(positions[i] - lacking / 2, low + 20)
                positions[i + 1] = min(positions[i + 1] + lacking / 2, high - 20)
    return dict(zip(order, positions, strict=True))


def _curves(placed: dict[str, Box], pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the curve of each arrow: from the foot of its box, past the rows between, to the top of the other."""
    pairs = list(pairs)
    ways = {pair: _ways(placed, pair) for pair in pairs}
    starts, ends = {}, {}
    for name, box in placed.items():
        centre = lambda pair: (placed[pair[1]].left + placed[pair[1]].right) / 2
        wanted = {pair: [*ways[pair], centre(pair)][0] for pair in pairs if pair[0] == name}
        starts |= _apart(wanted, box.left, box.right)
    for name, box in placed.items():
        wanted = {pair: [starts[pair], *ways[pair]][-1] for pair in pairs if pair[1] == name}
        ends |= _apart(wanted, box.left, box.right)
    curves = {}
    for pair in pairs:
        between = LAYERS[ROW_OF[pair[0]] + 1 : ROW_OF[pair[1]]]
        points = [(starts[pair], placed[pair[0]].bottom)]
        for x, row in zip(ways[pair], between, strict=True):
            points += [(x, placed[row[0].name].top), (x, placed[row[0].name].bottom)]
        points.append((ends[pair], placed[pair[1]].top - 7))
        curves[pair] = f"M{points[0][0]:.0f},{points[0][1]:.0f}" + "".join(
            f" C{a[0]:.0f},{(a[1] + b[1]) / 2:.0f} {b[0]:.0f},{(a[1] + b[1]) / 2:.0f} {b[0]:.0f},{b[1]:.0f}"
            for a, b in pairwise(points)
        )
    return curves


def _rectangle(left: float, top: float, right: float, bottom: float, look: str) -> str:
    return f'<rect x="{left:.0f}" y="{top:.0f}" width="{right - left:.0f}" height="{bottom - top:.0f}" {look}/>'


def _title(left: float, base: float, name: str, purpose: str) -> str:
    bold, plain = (escape(part) for part in (name, purpose))
    return (
        f'<text x="{left:.0f}" y="{base:.0f}" font-size="12.5" fill="{INK}">'
        f'<tspan font-size="16" font-weight="bold">{bold}</tspan><tspan dx="9" fill="{SOFT}">{plain}</tspan></text>'
    )


def _files(left: float, base: float, line: str) -> str:
    font = 'font-size="11" font-family="Menlo, Consolas, monospace" xml:space="preserve"'
    return f'<text x="{left:.0f}" y="{base:.0f}" fill="{INK}" {font}>{escape(line)}</text>'


def svg() -> str:
    """Return the picture."""
    placed, arrows = boxes(), drawn()
    bottom = max(box.bottom for box in placed.values())
    width, height, frame = RIGHT + MARGIN, bottom + MARGIN, placed[LAYERS[2][0].name].top - 40
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" '
        'font-family="Helvetica, Arial, sans-serif">',
        "<title>The packages of mcgc and their imports</title>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="2" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0,0.5 L8,4 L0,7.5 z" fill="{SOFT}"/></marker></defs>',
        _rectangle(0, 0, width, height, f'fill="{PAPER}"'),
        _rectangle(18, frame, width - 18, height - 18, 'rx="12" fill="none" stroke="#c9c3b6"'),
        _title(34, frame + 24, "mcgc", "imports each package on its first use"),
    ]
    for pair, curve in _curves(placed, arrows).items():
        dashes = ' stroke-dasharray="5 4"' if arrows[pair] else ""
        out.append(
            f'<path d="{curve}" fill="none" stroke="{SOFT}" stroke-width="1.6" marker-end="url(#head)"{dashes}/>'
        )
    for name, box in placed.items():
        out.append(_rectangle(*box[:4], f'rx="7" fill="{FILLS[ROW_OF[name]]}" stroke="{INK}" stroke-opacity="0.35"'))
        out.append(_title(box.left + 14, box.top + 25, name, PACKAGES[name].purpose))
        out += [_files(box.left + 14, box.top + 47 + LINE * i, line) for i, line in enumerate(box.lines)]
    return "\n".join([*out, "</svg>"]) + "\n"
