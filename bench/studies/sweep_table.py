"""The lines of `bench.studies.sweep` as tables: the score at the end, and log λ halfway and at the end.

    python -m bench.studies.sweep_table sweep.jsonl --picture sweep.png

Then, of all runs with continuation and the recipe's loss, the mean score by each factor, whatever the others are, and
by where log λ is halfway: within 4 of its start, so that noise is still felt, or below. The picture has them by log λ
halfway, with the runs without continuation as lines, a panel for each problem.
"""

import argparse
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

LEAST = -40.0  # log λ in the picture: what is less is as good as none

Rows = dict[tuple[str, str], dict[str, list[dict[str, Any]]]]


def kind_of(run: dict[str, Any]) -> str:
    """Return the estimator of a run that learns λ, or its schedule."""
    return run["estimator"] if run["fall"] is None else run["schedule"]


def rows_of(lines: Iterable[dict[str, Any]]) -> Rows:
    """Return the runs by row, what is varied and β, and by column, the learning rate of φ or the fall of log λ."""
    rows: Rows = defaultdict(lambda: defaultdict(list))
    for line in lines:
        plain, fall = line["estimator"] == "none", line["fall"]
        loss = ", cross-entropy of logits" if line["loss"] == "cross-entropy" else ""
        what = "without continuation" if plain else kind_of(line)
        beta = "" if plain or fall is not None else f"{line['beta']:g}"
        column = "" if plain else f"{line['learning_rate_lam']:g}" if fall is None else f"−{fall:g}"
        rows[what + loss, beta][column].append(line)
    return rows


def score_of(run: dict[str, Any]) -> float:
    """Return the accuracy in percent after the last epoch, or the loss where there is none."""
    end = run["path"][-1]
    return end["test_loss"] if end["test_accuracy"] is None else 100 * end["test_accuracy"]


def log_lam_at(run: dict[str, Any], part: float) -> float:
    """Return log λ after such a part of the epochs."""
    return run["path"][math.ceil(len(run["path"]) * part) - 1]["log_lam"]


def entry(runs: Sequence[dict[str, Any]]) -> str:
    """Return the mean of the runs' scores, and of log λ halfway and at the end."""
    percent = "" if runs[0]["path"][-1]["test_accuracy"] is None else " %"
    shown = f"{statistics.fmean(map(score_of, runs)):.1f}{percent}"
    if runs[0]["path"][-1]["log_lam"] is None:
        return shown
    half, end = (statistics.fmean(log_lam_at(run, part) for run in runs) for part in (0.5, 1))
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


def pooled(lines: Iterable[dict[str, Any]]) -> str:
    """Return a table of mean, standard deviation and number of the scores of runs with continuation, by each factor."""
    from mcgc.train import problems

    groups: dict[tuple[int, str], list[float]] = defaultdict(list)
    for run in lines:
        recipe, learned = problems.get(run["problem"]).recipe, run["fall"] is None
        if run["estimator"] == "none" or run["loss"] != recipe.loss:
            continue
        felt = log_lam_at(run, 0.5) > recipe.log_lam0 - 4
        kinds = [
            (0, kind_of(run)),
            (3, f"noise {'felt' if felt else 'gone'} halfway"),
        ]
        kinds += [(1, f"rate {run['learning_rate_lam']:g}"), (2, f"β {run['beta']:g}")] if learned else []
        for kind in kinds:
            groups[kind].append(score_of(run))
    rows = [
        f"| {kind} | {statistics.fmean(scores):.1f} | {statistics.stdev(scores):.1f} | {len(scores)} |"
        for (_, kind), scores in sorted(groups.items(), key=lambda item: item[0][0])
        if len(scores) > 1
    ]
    return "\n".join(["| | mean | sd | runs |", "|---|---|---|---|", *rows])


def picture(lines: Sequence[dict[str, Any]]) -> Any:
    """Return the figure of all scores by log λ halfway."""
    from mcgc_cli import pictures

    from mcgc.train import problems

    names = list(dict.fromkeys(run["problem"] for run in lines))
    figure = pictures.new(1.6 + 4 * len(names), 3.6)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        runs = [run for run in lines if run["problem"] == name and run["loss"] == problems.get(name).recipe.loss]
        groups: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for run in runs:
            if run["estimator"] == "none":
                axes.axhline(score_of(run), color="black", linewidth=1)
            else:
                groups[kind_of(run)].append((max(LEAST, log_lam_at(run, 0.5)), score_of(run)))
        styles = zip((*pictures.COLOURS, "#999999"), "osD^vXP", strict=True)
        for (kind, points), (colour, marker) in zip(groups.items(), styles, strict=False):
            axes.scatter(*zip(*points, strict=True), s=18, color=colour, marker=marker, label=kind)
        accurate = runs[0]["path"][-1]["test_accuracy"] is not None
        axes.set(xlabel="log λ halfway", ylabel="accuracy, test set (%)" if accurate else "MSE, test set", title=name)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize="small")
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.studies.sweep_table", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--picture", help="PNG or SVG of all runs")
    given = parser.parse_args(arguments)
    lines = [json.loads(line) for file in given.files for line in file.read_text(encoding="utf-8").splitlines()]
    if given.picture:
        from mcgc_cli import pictures

        pictures.save(picture(lines), given.picture)
    print(f"{table(lines)}\n\n{pooled(lines)}")


if __name__ == "__main__":
    main()
