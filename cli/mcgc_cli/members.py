"""A table of the members of a run in progress, for a terminal."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

MOST = 16  # rows; a terminal has few lines
LOSSES = {"train_loss": "train", "validation_loss": "validation", "test_loss": "test", "test_accuracy": "accuracy"}


def members_table(record: Any, best: Sequence[Any] = ()) -> "Table":
    """Return a table with a row for each member of a record; `best` are the records of the best epochs, if known."""
    from rich import box
    from rich.table import Table

    fields = [field for field in LOSSES if any(value is not None for value in getattr(record, field))]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    lam = any(value is not None for value in record.log_lam)
    head = ["member", *(LOSSES[field] for field in fields), *(["lambda"] if lam else [])]
    for title in [*head, *(["best epoch", "best"] if best else [])]:
        table.add_column(title, justify="right", no_wrap=True)
    count = len(record.steps)
    for member in range(min(count, MOST)):
        cells = [str(member), *(_number(field, getattr(record, field)[member]) for field in fields)]
        cells += [_lam(record.log_lam[member])] if lam else []
        if best:
            by = "train_loss" if best[member].validation_loss[member] is None else "validation_loss"
            cells += [str(best[member].epoch), _number(by, getattr(best[member], by)[member])]
        table.add_row(*cells)
    if count > MOST:
        table.add_row("…", *("" for _ in table.columns[1:]))
        table.caption, table.caption_justify = f"{count - MOST} more members", "left"
    return table


def _number(field: str, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.2%}" if field == "test_accuracy" else f"{value:.4g}"


def _lam(log_lam: float | None) -> str:
    return "-" if log_lam is None else f"{math.exp(log_lam):.2e}"
