"""The tables of a report: scores beside baselines, members, data, model, settings."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

from mcgc.train.run_file import RunFile
from mcgc_cli.pictures import named
from mcgc_cli.report._findings import best_epochs, scored

Rows = Iterable[Sequence[Any]]
LOSSES = {"train_loss": "train", "validation_loss": "validation", "test_loss": "test", "test_accuracy": "accuracy"}


def table(head: Sequence[str], rows: Rows, caption: str = "", names: int = 1) -> str:
    """Return a table as HTML, which scrolls where it is too wide. All but the first `names` columns are numbers."""
    cells = lambda tag, row: "".join(
        f"<{tag}{'' if i < names else ' class=number'}>{escape(str(cell))}</{tag}>" for i, cell in enumerate(row)
    )
    top = f"<thead><tr>{cells('th', head)}</tr></thead>" if head else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="scroll"><table>{title}{top}<tbody>{body}</tbody></table></div>'


def shown(value: float | None, percent: bool = False) -> str:
    """Return a number in four digits, a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.1%}" if percent else f"{value:.4g}"


def scores(run: RunFile) -> str:
    """Return the scores of the test set beside the baselines, and those of the other parts. "" where there are none."""
    results = run.results
    if not results:
        return ""
    part = scored(results)
    if "accuracy" in results["scores"][part]:
        return _of_classes(results, part)
    own, bases = results["scores"][part], results["baselines"]
    columns = [name for name in own["rmse"] if name != "all"]
    label = lambda name: named(run.model, name)
    beside = [
        [label(name), shown(own["rmse"][name]), *(shown(base["rmse"][name]) for base in bases.values())]
        for name in columns
    ]
    r2 = ["R², mean" if len(columns) > 1 else "R²", shown(own["r2"]["all"])]
    beside.append([*r2, *(shown(base["r2"]["all"]) for base in bases.values())])
    first = table(
        ["RMSE", "this run", *bases], beside, f"On the {part} set, beside what needs no net. In the units of the data."
    )
    each = [_of_part(run, name, columns) for name in results["scores"]]
    return f'{first}<div class="tables">{"".join(each)}</div>'


def _of_part(run: RunFile, part: str, columns: Sequence[str]) -> str:
    """Return the scores of a part by column, and how much of it lies in the bands."""
    own, covered = run.results["scores"][part], run.results["coverage"].get(part)
    head = ["", "RMSE", "MAE", "R²"] + ([f"in {run.results['calibration']['level']:.0%} band"] if covered else [])
    rows = []
    for name in columns if len(columns) == 1 else [*columns, "all"]:
        row = ["all" if name == "all" else named(run.model, name), *(shown(own[kind][name]) for kind in own)]
        rows.append(row + ([shown(covered[name], percent=True)] if covered else []))
    calibrated = run.results["calibration"]["part"] == part
    return table(head, rows, f"{part} set, which the bands are calibrated on" if calibrated else f"{part} set")


def _of_classes(results: Mapping[str, Any], part: str) -> str:
    beside = [["this run", *_class_scores(results["scores"][part])]]
    beside += [[name, *_class_scores(base)] for name, base in results["baselines"].items()]
    each = [[name, *_class_scores(found)] for name, found in results["scores"].items()]
    head = ["", "accuracy", "log loss"]
    return table(head, beside, f"On the {part} set, beside what needs no net") + table(head, each, "On each part")


def _class_scores(found: Mapping[str, float | None]) -> list[str]:
    return [shown(found.get("accuracy"), percent=True), shown(found.get("log_loss"))]


def members(run: RunFile) -> str:
    """Return the best epoch of each member, and its losses and λ there."""
    at, epochs = best_epochs(run) - 1, run.epochs
    known = {
        field: name for field, name in LOSSES.items() if field in epochs and (epochs[field] == epochs[field]).any()
    }
    rows = []
    for member, epoch in enumerate(at.tolist()):
        losses = [shown(epochs[field][epoch, member], field == "test_accuracy") for field in known]
        log_lam = epochs["log_lam"][epoch, member]
        rows.append([member, epoch + 1, *losses, f"{math.exp(log_lam):.2e}" if math.isfinite(log_lam) else "–"])
    return table(["member", "best epoch", *known.values(), "λ"], rows, "Losses and λ at the best epoch of each member")


def data(run: RunFile) -> str:
    """Return where the data came from, their columns, and how many there are."""
    model, results = run.model, run.results
    rows: list[Sequence[Any]] = [
        ("source", run.dataset.get("source", "–")),
        ("SHA-256", run.dataset.get("sha256", "–")),
    ]
    lists = {"states": "states", "inputs": "inputs", "parameters": "parameters", "targets": "targets"}
    lists |= {"features": "features", "classes": "classes"}
    for key, name in lists.items():
        values = model.get(key)
        if isinstance(values, list | tuple) and values:
            rows.append((name, ", ".join(named(model, str(value)) for value in values)))
    rows += [(key, named(model, model[key])) for key in ("time", "group") if model.get(key)]
    found = table([], rows, names=2)
    if "counts" in results:
        kinds = list(next(iter(results["counts"].values())))
        words = {"observed": "observed values"}
        counts = [[part, *(each[kind] for kind in kinds)] for part, each in results["counts"].items()]
        found += table(["part", *(words.get(kind, kind) for kind in kinds)], counts, _parts_of(run))
    missing = results.get("missing")
    if missing:
        found += table(["column", "missing values"], [(named(model, name), n) for name, n in missing.items()])
    return found


def _parts_of(run: RunFile) -> str:
    rotated = run.settings.get("rotate") and run.settings.get("members", 1) > 1
    return "Each member has a validation set of its own, which trains the others" if rotated else "Parts of the data"


def equations(run: RunFile) -> str:
    """Return the equations of a run with their parameters, one value or the range of the members. "" without any."""
    known, found = run.model.get("known"), run.results.get("parameters", {})
    if known is None:
        return ""
    rows = []
    for name, one in known["parameters"].items():
        values = found.get(name, [])
        spread = [shown(min(values)), shown(max(values))] if values else ["–", "–"]
        mean = shown(sum(values) / len(values)) if values else "–"
        held = "fixed" if one["fixed"] else ""
        rows.append([name, mean, *spread, *(shown(one[key]) for key in ("value", "min", "max")), held])
    head = ["parameter", "mean", "smallest", "largest", "start", "lower bound", "upper bound", ""]
    source = f'<div class="scroll"><pre>{escape(known["source"])}</pre></div>' if known["source"] else ""
    added = "added to" if run.model["sizes"] else "not added to"
    said = f"Parameters of {known['name']}, over the members. A net is {added} the equations."
    return f"<h2>Equations</h2>{table(head, rows, said) if rows else ''}{source}"


def settings(run: RunFile) -> str:
    """Return the model, the settings, and the versions."""
    model = {
        "net": _net(run.model.get("sizes", [])) or "none",
        **{
            key: run.model[key]
            for key in ("activation", "skip", "loss", "interpolation")
            if run.model.get(key) is not None
        },
        "parameters": run.theta.shape[-1],
        "members": len(run.theta),
        "device": run.device,
    }
    model |= {f"{name}, replaced by": value for name, value in run.model.get("replaced", {}).items()}
    own = [(name, _word(value)) for name, value in run.settings.items() if value is not None]
    changes = table([], [(change,) for change in run.changes], "Changed while it went") if run.changes else ""
    return (
        table([], [(name, _word(value)) for name, value in model.items()], "Model", names=2)
        + table([], own, "Settings", names=2)
        + table([], run.versions.items(), "Versions", names=2)
        + changes
    )


def _net(sizes: Sequence[int]) -> str:
    """Return the widths of a net, such as "784 → 50 (30 times) → 10"."""
    runs = [(width, len(list(each))) for width, each in groupby(sizes)]
    return " → ".join(
        f"{width} ({count} times)" if count > 2 else " → ".join([str(width)] * count) for width, count in runs
    )


def _word(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
