"""The lines of `bench/drives.py` as tables: the score at the end, and log λ halfway and at the end.

python bench/drives_table.py drives.jsonl
"""

import argparse
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

Rows = dict[tuple[str, str], dict[str, list[dict[str, Any]]]]


def rows_of(lines: Iterable[dict[str, Any]]) -> Rows:
    """Return the runs by row, what is varied and β, and by column, the learning rate of φ or the fall of log λ."""
    rows: Rows = defaultdict(lambda: defaultdict(list))
    for line in lines:
        plain, fall = line["estimator"] == "none", line.get("fall")
        loss = ", cross-entropy of logits" if line["loss"] == "cross-entropy" else ""
        what = "without continuation" if plain else line["estimator"] if fall is None else line["schedule"]
        beta = "" if plain or fall is not None else f"{line['beta']:g}"
        column = "" if plain else f"{line['learning_rate_lam']:g}" if fall is None else f"−{fall:g}"
        rows[what + loss, beta][column].append(line)
    return rows


def entry(runs: Sequence[dict[str, Any]]) -> str:
    """Return the mean of the runs' scores, and of log λ halfway and at the end."""
    accurate = runs[0]["path"][-1]["test_accuracy"] is not None
    name = "test_accuracy" if accurate else "test_loss"
    score = statistics.fmean(run["late"][name] for run in runs)
    shown = f"{100 * score:.1f} %" if accurate else f"{score:.1f}"
    if runs[0]["path"][-1]["log_lam"] is None:
        return shown
    half, end = (
        statistics.fmean(run["path"][math.ceil(len(run["path"]) * part) - 1]["log_lam"] for run in runs)
        for part in (0.5, 1)
    )
    return f"{shown} ({half:.1f}, {end:.1f})".replace("-", "−")


def table(lines: Iterable[dict[str, Any]]) -> str:
    """Return a table in Markdown for every set of columns: rates of φ, falls of log λ, and neither."""
    tables: dict[tuple[str, ...], list[str]] = {}
    for (what, beta), columns in rows_of(lines).items():
        head = tuple(sorted(columns, key=lambda text: float(text.lstrip("−") or 0)))
        if head not in tables:
            tables[head] = ["| " + " | ".join(["", "β", *head]) + " |", "|---" * (2 + len(head)) + "|"]
        tables[head].append("| " + " | ".join([what, beta, *(entry(columns[column]) for column in head)]) + " |")
    return "\n\n".join("\n".join(rows) for rows in tables.values())


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        prog="python bench/drives_table.py", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("files", nargs="+", type=Path)
    given = parser.parse_args(arguments)
    print(table(json.loads(line) for file in given.files for line in file.read_text(encoding="utf-8").splitlines()))


if __name__ == "__main__":
    main()
