"""What a run came to: one JSON object, or a short table."""

import json
import math
from collections.abc import Sequence
from typing import Any

import click


def as_json(result: dict[str, Any], indent: int | None = None) -> str:
    """Return `result` as strict JSON in ASCII, on one line if not indented; a number that is not finite is null."""
    return json.dumps(_strict(result), indent=indent)


def as_table(head: Sequence[str], rows: Sequence[Sequence[str]], names: int = 1) -> str:
    """Return a table of words, of which the first `names` columns stand to the left and the others to the right."""
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
    # wider than any table, and names of files are no markup
    Console(file=text, width=2**20, markup=False, emoji=False, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines() if line.strip())


SPREAD = ("mean", "sd", "min", "max")


def spread_rows(summary: dict[str, Any]) -> list[list[str]]:
    """Return a row for each final and best quantity of a run's `summary`: when, which, and its spread."""
    return [
        [quantity.replace("_", " "), when, *(number(quantity, found[name]) for name in SPREAD)]
        for quantity in summary["final"]
        for when, found in (("final", summary["final"][quantity]), ("best", summary["best"][quantity]))
    ]


def number(quantity: str, value: float) -> str:
    """Return a number of a quantity for a reader: accuracies in percent, and a dash for none."""
    if not math.isfinite(value):
        return "-"
    return f"{value:.2%}" if quantity == "test_accuracy" else f"{value:.4g}"


def as_text(result: dict[str, Any]) -> str:
    """Return `result` for a reader: what was trained, the best epoch of each member, the last one, and the file."""
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


WORSE = 2.0  # times the best loss: a last epoch above it deserves a warning


def warn(result: dict[str, Any]) -> None:
    """Say on stderr, in one line, which members ended with a loss of more than twice their best."""
    by = "validation_loss" if result["validation_loss"] else "train_loss"
    pairs = zip(result[by], result["last"][by], result["best_epoch"], strict=True)
    ended = [
        f"member {member} ended with a {by.replace('_', ' ')} of {last:.4g}, where epoch {epoch} had {best:.4g}"
        for member, (best, last, epoch) in enumerate(pairs)
        if None not in (best, last) and not (last == best or last - best <= (WORSE - 1) * abs(best))
    ]
    if ended:
        click.echo(f"mcgc: {'; '.join(ended)}: the result is that of the best epoch", err=True)


def result_of(run: Any) -> dict[str, Any]:
    """Return what the command reports of a run: lists have one entry a member, and are those of its best epoch."""
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
    }


def _or_none(values: list) -> list | None:
    """Return the values, or None if no member has one."""
    return None if all(value is None for value in values) else values


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strict(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
