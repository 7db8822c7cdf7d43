"""The result of a run: one JSON object, or a short table."""

import json
import math
from collections.abc import Sequence
from typing import Any

import click


def as_json(result: dict[str, Any], indent: int | None = None) -> str:
    """Return `result` as strict JSON in ASCII, on one line if not indented. A number that is not finite is null."""
    return json.dumps(_strict(result), indent=indent)


def as_table(head: Sequence[str], rows: Sequence[Sequence[str]], names: int = 1) -> str:
    """Return a table as text. The first `names` columns are left-aligned, the others right-aligned."""
    from io import StringIO

    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for i, title in enumerate(head):
        table.add_column(title, justify="left" if i < names else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    text = StringIO()
    # wider than any table; markup is off, because file names may contain it
    Console(file=text, width=2**20, markup=False, emoji=False, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines() if line.strip())


SPREAD = ("mean", "sd", "min", "max")


def spread_rows(summary: dict[str, Any]) -> list[list[str]]:
    """Return a row for each final and best quantity of a run's `summary`, with its spread."""
    return [
        [quantity.replace("_", " "), when, *(number(quantity, found[name]) for name in SPREAD)]
        for quantity in summary["final"]
        for when, found in (("final", summary["final"][quantity]), ("best", summary["best"][quantity]))
    ]


def number(quantity: str, value: float) -> str:
    """Return the text of a number: an accuracy in percent, and a dash for NaN or infinity."""
    if not math.isfinite(value):
        return "-"
    return f"{value:.2%}" if quantity == "test_accuracy" else f"{value:.4g}"


def as_text(result: dict[str, Any]) -> str:
    """Return `result` as text: the run, the best and the last epoch of each member, and the file."""
    method = f"continuation ({result['estimator']})" if result["continuation"] else "no continuation"
    effort = f"{result['epochs']} epochs, {result['seconds']:.1f} s"
    last = result["last"]
    columns = {
        "best epoch": [str(epoch) for epoch in result["best_epoch"]],
        "train loss": _shown(result["train_loss"]),
        "validation": _shown(result["validation_loss"]),
        "test loss": _shown(result["test_loss"]),
        "accuracy": [f"{fraction:.2%}" for fraction in result["test_accuracy"] or []],
        "lambda": ["-" if log_lam is None else f"{math.exp(log_lam):.3e}" for log_lam in result["log_lam"]],
        "last train": _shown(last["train_loss"]),
        "last test": _shown(last["test_loss"]),
    }
    shown = {title: cells for title, cells in columns.items() if cells}
    rows = [("member", *shown), *((str(member), *row) for member, row in enumerate(zip(*shown.values(), strict=True)))]
    table = [f"{member:>6}" + "".join(f"  {cell:>12}" for cell in cells) for member, *cells in rows]
    head = f"{result['problem']}: {method}, seed {result['seed']}, {effort}"
    return "\n".join([head, *table, f"saved to {result['output']}"])


def _shown(losses: Sequence[float | None] | None) -> list[str]:
    return ["-" if loss is None else f"{loss:.6g}" for loss in losses or []]


WORSE = 2.0  # a last loss of more than this times the best loss gives a warning


def warn(result: dict[str, Any]) -> None:
    """Print a line on stderr with the members whose last loss is more than twice their best loss."""
    by = "validation_loss" if result["validation_loss"] else "train_loss"
    pairs = zip(result[by], result["last"][by], result["best_epoch"], strict=True)
    ended = [
        f"member {member} ended with a {by.replace('_', ' ')} of {last:.4g}, but epoch {epoch} had {best:.4g}"
        for member, (best, last, epoch) in enumerate(pairs)
        if None not in (best, last) and not (last == best or last - best <= (WORSE - 1) * abs(best))
    ]
    if ended:
        click.echo(f"mcgc: {'; '.join(ended)}: the result is the best epoch", err=True)


def result_of(run: Any) -> dict[str, Any]:
    """Return the result of a run. Lists have one entry for each member, from its best epoch."""
    from mcgc.paper.comparison import best_records

    settings, records = run.task.settings, run.records
    chosen, last = best_records(records), records[-1]
    evaluations = [count for record in records for count in record.function_evaluations]

    def at_best(field: str) -> list | None:
        return _or_none([getattr(record, field)[member] for member, record in enumerate(chosen)])

    scores = ("train_loss", "validation_loss", "test_loss", "test_accuracy")
    return {
        "problem": settings.problem,
        "members": settings.members,
        "epochs": len(records),
        "steps": last.steps[0],
        "continuation": settings.continuation,
        "estimator": settings.estimator,
        "seed": settings.seed,
        "dtype": settings.dtype,
        "device": run.task.device.name,
        "best_epoch": [record.epoch for record in chosen],
        **{field: at_best(field) for field in scores},
        "log_lam": [record.log_lam[member] for member, record in enumerate(chosen)],
        "last": {field: _or_none(list(getattr(last, field))) for field in scores},
        "function_evaluations": None if None in evaluations else sum(evaluations),
        "seconds": sum(record.seconds for record in records),
        "output": run.path,
        **({"results": _without_starts(run.header.results)} if run.header.results else {}),
    }


def _without_starts(results: Any) -> dict[str, Any]:
    """Return the results of a run on a table without what only the run file needs."""
    return {key: value for key, value in results.items() if key != "starts"}


def _or_none(values: list) -> list | None:
    """Return the values, or None if no member has one."""
    return None if all(value is None for value in values) else values


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strict(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
