"""`mcgc check`: compare training steps with HIPS autograd."""

import time
from typing import Any

import click

from mcgc_cli.errors import FAILURE, Stopped
from mcgc_cli.options import json_option
from mcgc_cli.summary import as_json
from mcgc_cli.values import FILE, PROBLEM, choice

LIMIT = 1e-8
COLUMNS = {
    "loss": "loss",
    "grad_theta": "theta-gradient",
    "grad_log_lam": "lambda-gradient",
    "theta": "theta",
    "log_lam": "log lambda",
}


@click.command()
@click.option("--problem", type=PROBLEM, help="Problem to check.  [default: all whose data need no download]")
@click.option("--dataset", metavar="FILE", type=FILE, help="HDF5 file of the data of one problem.")
@click.option("--steps", type=click.IntRange(1), default=3, show_default=True, help="Training steps.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
@click.option(
    "--estimator",
    type=choice("estimator"),
    default="score",
    show_default=True,
    help="Estimator of the gradient of log lambda.",
)
@json_option
def check(problem: str | None, dataset: str | None, steps: int, seed: int, estimator: str, json: bool) -> None:
    """Compare mcgc with HIPS autograd on the first training steps, in float64 and without a warm-up.

    The table shows the largest differences, relative to the largest element of autograd's arrays, with the gradient
    layer by layer. The exit status is 1 if one of them is above 1e-8.
    """
    # imported here, so that help and mistakes of spelling are fast
    from mcgc_datasets import load, problem_of

    from mcgc.train import problems, validate

    files = {}
    if dataset is not None:
        files = {(problem_of(dataset) if problem is None else problem): dataset}
    tasks = []
    for name in [problem] if problem is not None else _available(files):
        each = problems.get(name)
        settings = each.recipe._replace(seed=seed, estimator=estimator, warmup_epochs=0)
        tasks.append((each, validate(settings, each.options), load(each, files.get(name))))

    from mcgc.checks.engine import compare

    rows: list[dict[str, Any]] = []
    for each, settings, data in tasks:
        began = time.perf_counter()
        found = [difference._asdict() for difference in compare(each, settings, data, steps)]
        largest = {name: _largest([difference[name] for difference in found]) for name in COLUMNS}
        rows.append({"problem": each.name, "steps": steps, **largest, "seconds": time.perf_counter() - began})
    apart = [f"{COLUMNS[name]} of {row['problem']}" for row in rows for name in COLUMNS if not row[name] <= LIMIT]
    if json:
        click.echo(as_json({"agrees": not apart, "limit": LIMIT, "estimator": estimator, "problems": rows}))
    else:
        click.echo(_table(rows))
    if apart:
        raise Stopped(f"mcgc and autograd differ by more than {LIMIT:.0e} in {', '.join(apart)}", FAILURE)


def _available(files: dict[str, str]) -> list[str]:
    """Return the problems whose data need no download."""
    from mcgc_datasets.registry import cached

    from mcgc.train import problems

    return [name for name in problems.names() if name != "mnist" or name in files or cached(name).exists()]


def _largest(values: list[float]) -> float:
    return next((value for value in values if value != value), max(values))  # NaN is larger than any


def _table(rows: list[dict[str, Any]]) -> str:
    titles = ["problem", "steps", *COLUMNS.values(), "seconds"]
    cells = [
        [row["problem"], str(row["steps"]), *(f"{row[name]:.1e}" for name in COLUMNS), f"{row['seconds']:.1f}"]
        for row in rows
    ]
    return "\n".join(
        f"{name:<15}"
        + "".join(f"  {cell:>{max(len(title), 7)}}" for title, cell in zip(titles[1:], others, strict=True))
        for name, *others in (titles, *cells)
    )
