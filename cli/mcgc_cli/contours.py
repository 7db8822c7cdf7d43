"""Figures of the studies without training: curves, contours, and the paths of θ and λ on them."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mcgc.arrays import HOST
from mcgc.paper import studies, test_functions
from mcgc_cli.pictures import COLOURS, new, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, RED, GREEN = COLOURS[:3]
POINTS = 201  # of a curve, and of each side of a contour plot
LAMBDAS = "viridis"


def continued(found: "studies.Continued") -> "Figure":
    """Draw f, and g with its minimum, at each λ of the path (figures 1 and 2)."""
    xp = HOST.namespace
    figure = new(3.0 * len(found.path), 3.4)
    x = xp.linspace(*found.domain, POINTS)
    for axes, point in zip(figure.subplots(1, len(found.path), sharey=True), found.path, strict=True):
        axes.plot(x, found.smoothed(x[:, None], 0.0), "--", color=RED, label="f(θ)")
        axes.plot(x, found.smoothed(x[:, None], point.lam), color=GREEN, linewidth=2, label="g(θ, λ)")
        axes.plot(
            *found.best.theta, found.best.smoothed, "*", color="black", markersize=14, label="global minimum of f"
        )
        axes.plot(
            *point.theta, point.smoothed, "o", color=BLUE, markersize=6, label="minimum of g, found from the last one"
        )
        axes.set_title(f"λ = {point.lam:g}", fontsize=10)
        plain(axes, "θ", "f, g" if point is found.path[0] else "")
    values = [float(point.smoothed) for point in found.path]
    axes.set_ylim(found.best.smoothed - 0.15, max(values) + 1.2)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False, fontsize=10)
    return figure


def schemes(found: tuple) -> "Figure":
    """Draw the paths of Algorithm 1 and of Algorithm 2 on g over θ and λ (figure 3)."""
    xp = HOST.namespace
    first, second = found
    corners = [(first[0].lam, test_functions.get("quartic").start[0])]
    for point in first:
        corners += [(point.lam, corners[-1][1]), (point.lam, float(point.theta[0]))]
    parts = [(i / 20, a, b) for a, b in pairwise(corners) for i in range(21)]
    stairs = [tuple((1 - t) * x + t * y for x, y in zip(a, b, strict=True)) for t, a, b in parts]
    paths = {
        "(a) Algorithm 1: λ in steps": list(zip(*stairs, strict=True)),
        "(b) Algorithm 2: λ as a variable": (second.lam, second.theta[:, 0]),
    }
    figure = new(10, 4.6)
    g: Any = test_functions.get("quartic").smoothed
    theta, lams = xp.linspace(-1.1, 1.5, 53), xp.linspace(0.0, 0.5, 26)
    heights = xp.stack([g(theta[:, None], float(lam)) for lam in lams])
    for number, (title, (lam, x)) in enumerate(paths.items(), start=1):
        axes: Any = figure.add_subplot(1, 2, number, projection="3d", computed_zorder=False)
        axes.plot_wireframe(
            *xp.meshgrid(theta, lams), heights, color="0.7", linewidth=0.6, rstride=2, cstride=2, zorder=1
        )
        z = [float(g(xp.asarray([a]), float(b))) for a, b in zip(x, lam, strict=True)]
        axes.plot(x, lam, z, color=BLUE, linewidth=2, zorder=3)
        axes.plot(x[-1:], lam[-1:], z[-1:], "o", color=RED, zorder=4)
        axes.set_title(title, fontsize=11)
        for name, label in (("x", "θ"), ("y", "λ"), ("z", "g")):
            getattr(axes, f"set_{name}label")(label, fontsize=11)
        axes.tick_params(labelsize=8)
        axes.view_init(elev=38, azim=-62)
    return figure


def saddles(found: Mapping) -> "Figure":
    """Draw the paths on both saddle functions, coloured by λ, and λ over the iterations (figure 4)."""
    figure = new(11, 6.4)
    panels = figure.subplots(2, 3)
    for name, row in zip(("bad-saddle", "good-saddle"), panels, strict=True):
        paths = {beta: path for (function, beta), path in found.items() if function == name}
        for axes, (beta, path) in zip(row, paths.items(), strict=False):
            contours(axes, test_functions.get(name), (-4.0, 4.0))
            shown = trace(axes, path)
            axes.set_title(f"{name.replace('-', ' ')}, β = {beta:g}", fontsize=10)
        figure.colorbar(shown, ax=row[1], label="λ")
        for (beta, path), colour, dash in zip(paths.items(), (BLUE, RED), ("-", "--"), strict=True):
            row[2].plot(path.lam, dash, color=colour, label=f"β = {beta:g}")
        row[2].set_xlim(studies.WARMUP - 50, studies.ITERATIONS)
        row[2].legend(frameon=False, fontsize=9)
        row[2].set_title("λ, constant in the warm-up", fontsize=10)
        plain(row[2], "iteration", "λ")
    return figure


def tested(found: Sequence["studies.Searches"]) -> "Figure":
    """Draw the paths on each test function with continuation, coloured by λ, and without (appendix D)."""
    figure = new(3.4 * len(found), 6.4)
    for top, bottom, it in zip(*figure.subplots(2, len(found)), found, strict=True):
        for axes, paths, what in ((top, it.continued, "with"), (bottom, [it.plain], "without")):
            contours(axes, it.function, (-5.0, 5.0))
            for path in paths:
                shown = trace(axes, path)
            for x, y in it.function.minimizers:
                axes.plot(x, y, "*", color="white", markeredgecolor="black", markersize=16, zorder=3)
            axes.set_title(f"{it.function.name}, {what} continuation", fontsize=10)
    figure.colorbar(shown, ax=figure.axes, label="λ (×: start, ●: end, ★: global minima)", shrink=0.6)
    return figure


def contours(axes: "Axes", function: Any, box: tuple[float, float]) -> None:
    """Draw f of two variables in a square box."""
    xp = HOST.namespace
    x, y = xp.meshgrid(*[xp.linspace(*box, POINTS)] * 2)
    axes.contourf(x, y, function.function(xp.stack([x, y], axis=-1)), 24, cmap="Greys_r", alpha=0.7, zorder=0)
    axes.set_rasterization_zorder(1)  # else an SVG has thousands of shapes
    axes.set_aspect("equal")
    plain(axes, "θ₁", "θ₂")


def trace(axes: "Axes", path: "studies.Path") -> Any:
    """Draw the path of θ, coloured by λ from 0 to 3, with a cross at its start and a circle at its end."""
    shown = axes.scatter(
        path.theta[:, 0], path.theta[:, 1], c=path.lam, s=5, cmap=LAMBDAS, vmin=0, vmax=3, zorder=2, rasterized=True
    )
    axes.plot(*path.theta[0, :], "x", color=RED, markersize=8, markeredgewidth=2, zorder=3)
    axes.plot(*path.theta[-1, :], "o", color=RED, markersize=5, zorder=4)
    return shown
