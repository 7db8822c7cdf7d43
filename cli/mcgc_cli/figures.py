"""The studies without training: a table of their computations, figures and tables."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from mcgc.errors import InputError
from mcgc.paper import studies
from mcgc.train import run_file
from mcgc_cli import contours
from mcgc_cli.summary import as_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = list[list[str]]


class Study(NamedTuple):
    """A study: `run(members)`, its figure, its numbers as plain values, and the head and the rows of its table."""

    run: Callable[[int], Any]
    draw: Callable[[Any], "Figure"]
    numbers: Callable[[Any], dict[str, Any]]
    head: tuple[str, ...]
    rows: Callable[[dict[str, Any]], Rows]


def _path_rows(numbers: dict[str, Any]) -> Rows:
    best = numbers["global_minimum"]
    path = [[f"minimum of g at lambda = {p['lam']:g}", f"{p['theta']:.6f}", f"{p['g']:.6f}"] for p in numbers["path"]]
    return [*path, ["global minimum of f", f"{best['theta']:.6f}", f"{best['f']:.6f}"]]


def _schemes(found: Any) -> dict[str, Any]:
    path, descent = found
    points = [{"lam": point.lam, "theta": float(point.theta[0]), "g": float(point.smoothed)} for point in path]
    return {"algorithm_1": points, "algorithm_2": {**descent.end(), "iterations": len(descent.lam) - 1}}


def _scheme_rows(numbers: dict[str, Any]) -> Rows:
    last, end = numbers["algorithm_1"][-1], numbers["algorithm_2"]
    return [
        ["Algorithm 1", f"{last['theta']:.6f}", f"{last['lam']:g}", f"{last['g']:.6f}"],
        ["Algorithm 2", f"{end['theta'][0]:.6f}", f"{end['lam']:g}", f"{end['f']:.6f}"],
    ]


def _saddles(found: Any) -> dict[str, Any]:
    return {
        "paths": [{"function": name, "beta": beta, **studies.escapes(path)} for (name, beta), path in found.items()]
    }


def _saddle_rows(numbers: dict[str, Any]) -> Rows:
    return [
        [it["function"], f"{it['beta']:g}", *(f"{it[name]}" for name in ("lam_small", "leaves")), f"{it['f']:.6f}"]
        for it in numbers["paths"]
    ]


def _tested_rows(numbers: dict[str, Any]) -> Rows:
    return [
        [
            name,
            group,
            f"{it['reached'][group]} of {len(ends)}",
            f"{max(end['distance'] for end in ends):.3g}",
            f"{max(end['f'] for end in ends):.6g}",
            f"{it['minimum']:.6g}",
        ]
        for name, it in numbers.items()
        for group, ends in it["paths"].items()
    ]


_CONTINUED = (contours.continued, lambda found: found.numbers(), ("point", "theta", "value"), _path_rows)
_STUDIES = {
    "figure-1": Study(lambda members: studies.figure_1(), *_CONTINUED),
    "figure-2": Study(lambda members: studies.figure_2(), *_CONTINUED),
    "figure-3": Study(
        lambda members: studies.figure_3(),
        contours.schemes,
        _schemes,
        ("end of", "theta", "lambda", "f"),
        _scheme_rows,
    ),
    "figure-4": Study(
        lambda members: studies.figure_4(),
        contours.saddles,
        _saddles,
        ("function", "beta", "lambda < 0.01 after", "origin left after", "f at the end"),
        _saddle_rows,
    ),
    "test-functions": Study(
        lambda members: [studies.appendix_d(name, members) for name in studies.FUNCTIONS],
        contours.tested,
        lambda found: {it.function.name: it.numbers() for it in found},
        ("function", "continuation", "reached", "largest distance", "largest f", "minimum"),
        _tested_rows,
    ),
}
SEEDS = 5  # for the test functions


def names() -> tuple[str, ...]:
    """Return the names of these studies."""
    return tuple(_STUDIES)


def count(name: str, given: Mapping[str, Any]) -> int:
    """Return the number of members of a study. Raises `InputError` for an option that the study does not have."""
    options = {field: value for field, value in given.items() if value is not None}
    members = options.pop("members", SEEDS) if name == "test-functions" else SEEDS
    if options:
        raise InputError(f"--{next(iter(options)).replace('_', '-')} does not apply to {name}: leave it out")
    if members < 1:
        raise InputError(f"--members must be a whole number of at least 1, got {members}")
    return members


def reproduce(name: str, members: int) -> tuple[dict[str, Any], "Figure"]:
    """Run a study, and return its results and its figure."""
    study, start = _STUDIES[name], time.perf_counter()
    found = study.run(members)
    seconds = time.perf_counter() - start
    return {
        "study": name,
        "seconds": seconds,
        "versions": run_file.versions(),
        "results": study.numbers(found),
    }, study.draw(found)


def as_text(results: dict[str, Any]) -> str:
    """Return the results of a study as a table."""
    study = _STUDIES[results["study"]]
    return as_table(study.head, study.rows(results["results"]))
