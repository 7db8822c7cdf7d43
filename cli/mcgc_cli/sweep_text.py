"""The results of a sweep as text and as one JSON object, and the command that trains the best trial."""

import math
import os
import shlex
from collections.abc import Mapping
from typing import Any

from mcgc.errors import InputError
from mcgc.files import IN_MEMORY
from mcgc.sweeps import Results, Trial
from mcgc_cli.options import ROWS
from mcgc_cli.summary import as_table

FIRST, FAILURES = 10, 5  # that are shown where no other number is asked for
FLAGS = {row.field: row.flag for row in ROWS}


def named(field: str) -> str:
    """Return the name of a setting as the option of `mcgc fit` has it."""
    flag = FLAGS.get(field, field).partition("/")[0]
    return flag.removeprefix("--")


def shown(value: Any) -> str:
    """Return the text of a value of a setting."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "on", False: "off"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def result_of(results: Results, path: str, metric: str | None) -> dict[str, Any]:
    """Return the results as JSON has them. Trials come from the best on."""
    header, ranked = results.header, results.ranked(metric)
    status = [trial.status for trial in ranked]
    return {
        "output": path,
        "problem": header["problem"],
        "method": header["method"],
        "metric": metric or results.metric,
        "complete": header["finished"],
        **{name: status.count(name) for name in ("finished", "pruned", "failed")},
        "best": _as_dict(results, results.best(metric), metric) | {"command": _command(results, metric)}
        if _has_best(results, metric)
        else None,
        "importance": results.importance(metric),
        "trials": [_as_dict(results, trial, metric) for trial in ranked],
    }


def _as_dict(results: Results, trial: Trial, metric: str | None) -> dict[str, Any]:
    mean, low, high = results.interval(trial, metric)
    return {**trial._asdict(), "values": dict(trial.values), "mean": mean, "low": low, "high": high}


def _has_best(results: Results, metric: str | None) -> bool:
    try:
        results.best(metric)
    except InputError:
        return False
    return True


def text(results: Results, path: str, metric: str | None, top: int | None = None) -> str:
    """Return the best trial, the importance of each setting, and a table of the first trials."""
    header, ranked, loss = results.header, results.ranked(metric), metric or results.metric
    status = [trial.status for trial in ranked]
    counts = ", ".join(f"{status.count(name)} {name}" for name in ("finished", "pruned", "failed") if name in status)
    state = "" if header["finished"] else f", of {header['trials']} trials: it is not complete"
    parts = [f"{header['problem']}: {header['method']}, {counts}{state}"]
    first = ranked[: top or FIRST]
    names = [one.name for one in results.space]
    several = any(len(trial.best_epoch) > 1 for trial in first)
    rows = [
        [str(trial.number), *(shown(trial.values[name]) for name in names), *_scores(results, trial, metric, several)]
        for trial in first
    ]
    titles = [f"{loss} loss", *(["from", "to"] if several else []), "epochs", "seconds", ""]
    parts.append(as_table(["trial", *map(named, names), *titles], rows))
    if len(first) < len(ranked):
        parts.append(f"{len(ranked) - len(first)} more trials: mcgc sweep show {path} --top {len(ranked)}")
    failed = [trial for trial in ranked if trial.status == "failed"]
    parts += [f"trial {trial.number} failed: {trial.sentence}" for trial in failed[:FAILURES]]
    if len(failed) > FAILURES:
        parts.append(f"{len(failed) - FAILURES} more trials failed: --json has their sentences")
    if _has_best(results, metric):
        parts += _best(results, metric, loss)
    shares = results.importance(metric)
    if not all(map(math.isnan, shares.values())):
        listed = ", ".join(f"{named(name)} {_percent(share)}" for name, share in _sorted(shares))
        parts.append(f"differences that a setting explains alone: {listed}")
    if top is None:
        parts.append(f"saved to {path}")
    return "\n".join(parts)


def _best(results: Results, metric: str | None, loss: str) -> list[str]:
    best = results.best(metric)
    mean, low, high = results.interval(best, metric)
    members = len(best.losses(loss))
    around = f" ({low:.4g} to {high:.4g}, 95 % over {members} members)" if members > 1 else ""
    command = _command(results, metric)
    found = [f"best: trial {best.number}, {loss} loss {mean:.4g}{around}"]
    return found if command is None else [*found, f"train it: {command}"]


def _scores(results: Results, trial: Trial, metric: str | None, several: bool) -> list[str]:
    numbers = [_number(value) for value in results.interval(trial, metric)[: 3 if several else 1]]
    status = "" if trial.status == "finished" else trial.status
    return [*numbers, str(trial.epochs), f"{trial.seconds:.1f}", status]


def _sorted(shares: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(shares.items(), key=lambda item: -1.0 if math.isnan(item[1]) else item[1], reverse=True)


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.0%}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"


def _command(results: Results, metric: str | None) -> str | None:
    """Return the command that trains the best trial alone, or None if `mcgc fit` cannot be told all of it."""
    from mcgc_datasets import cached

    header, values = results.header, {**results.header["fixed"], **results.best(metric).values}
    source = header["dataset"]["source"]
    words = ["mcgc", "fit"]
    if header["problem"] in ("dynamics", "regression", "classification"):
        if source == IN_MEMORY or header["equations"] is not None:
            return None
        words += [source, "--task", header["problem"]]
    else:
        words += ["--problem", header["problem"]]
        if source not in (IN_MEMORY, os.path.abspath(cached(header["problem"]))):
            words += ["--dataset", source]
    if header["recipe"] is not None:
        words += ["--recipe", header["recipe"]]
    for name, column in header["columns"].items():
        words += [f"--{name}", column if isinstance(column, str) else ",".join(column)]
    for field, value in values.items():
        if value is None and header["settings"][field] is None:  # as in the recipe
            continue
        if value is None or field not in FLAGS:
            return None
        on, _, off = FLAGS[field].partition("/")
        if isinstance(value, bool):
            words.append(on if value else off)
        else:
            words += [on, str(value) if not isinstance(value, list) else ",".join(map(str, value))]
    return shlex.join(words)
