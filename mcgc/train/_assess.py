"""The results of a run on a table: scores beside baselines, calibration and coverage, for the run file."""

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mcgc.arrays import Array, to_device, to_host
from mcgc.autodiff import flatten, tree_map
from mcgc.tables import SeriesTable
from mcgc.train import _baselines as baselines
from mcgc.train._known import known_of_model
from mcgc.train._scores import LEVEL, Predicted, beats, calibrate, class_scores, coverage, scores
from mcgc.train._segments import filled, pieces_of
from mcgc.train._windows import take_rows

if TYPE_CHECKING:
    from mcgc.train._task import Task


class Part(NamedTuple):
    """Examples of a part, and which members' predictions of them count: (members, examples)."""

    examples: Any
    counts: np.ndarray


def assess_series(task: "Task", theta: Array) -> Mapping[str, Any]:
    """Return the results of a run on the series of a table (`mcgc.train._dynamics`)."""
    names, parts = task.problem.model["states"], _parts(task)
    found = {name: _series_predicted(task, theta, part) for name, part in parts.items()}
    results = _of_numbers(task, found, names)
    results["counts"] = {
        name: {"series": len(part.examples.times), "observed": int(to_host(part.examples.seen)[:, 1:].sum())}
        for name, part in parts.items()
    }
    scored = _scored(parts)
    results["baselines"] = {
        name: scores(found[scored].truth, base_of(parts[scored].examples), names)
        for name, base_of in _series_baselines(task).items()
    }
    results["missing"] = task.data.missing
    pieces = pieces_of(task.data, task.settings)
    results["groups"] = {
        name: list(dict.fromkeys(task.data.groups[series] for series, *_, part in pieces if part == number))
        for number, name in enumerate(("train", "validation", "test"))
    }
    results["beats"] = _beats(results, scored)
    known = known_of_model(task.problem.model)
    if known is not None:
        results["parameters"] = known.fitted(to_host(theta))
    if not task.data.varying:
        results["starts"] = _starts(task.data)
    return results


def _starts(table: SeriesTable) -> dict[str, Any]:
    """Return where each group starts: its time, states and constant inputs.

    A group without one of its states is left out.
    """
    columns, first = table.columns, table.bounds[:-1]
    states = np.stack(
        [filled(table.times[a:b], table.states[a:b])[0] for a, b in pairwise(table.bounds.tolist())], axis=0
    )
    known = ~np.isnan(states).any(axis=1)
    named = lambda names, x: {name: x[known, i].tolist() for i, name in enumerate(names)}
    return {
        "groups": [group for group, there in zip(table.groups, known, strict=True) if there],
        "time": table.times[first][known].tolist(),
        "states": named(columns.states, states),
        "inputs": named(columns.inputs, table.inputs[first]),
    }


def assess_rows(task: "Task", theta: Array) -> Mapping[str, Any]:
    """Return the results of a run on the rows of a table (`mcgc.train._supervised`)."""
    parts = _parts(task)
    of = _classes if task.problem.model["kind"] == "classification" else _numbers
    counts = {name: {"rows": len(part.examples.features)} for name, part in parts.items()}
    results = of(task, theta, parts)
    return {**results, "beats": _beats(results, _scored(parts)), "counts": counts, "missing": task.data.missing}


def _classes(task: "Task", theta: Array, parts: Mapping[str, Part]) -> dict[str, Any]:
    labels = {name: to_host(part.examples.labels) for name, part in parts.items()}
    chances = {name: _averaged(softmax(_outputs(task, theta, part)), part) for name, part in parts.items()}
    scored, classes = _scored(parts), len(task.problem.model["classes"])
    features = {name: to_host(parts[name].examples.features).astype(np.float64) for name in ("train", scored)}
    frequent = int(np.bincount(labels["train"]).argmax())
    line = baselines.linear(features["train"], np.eye(classes)[labels["train"]])
    named = baselines.apply_linear(line, features[scored]).argmax(axis=1)
    confusion = np.zeros((classes, classes), int)
    np.add.at(confusion, (labels[scored], chances[scored].argmax(axis=1)), 1)
    return {
        "scores": {name: class_scores(labels[name], chances[name]) for name in parts},
        "baselines": {
            "most frequent class": {"accuracy": float((labels[scored] == frequent).mean())},
            "linear model": {"accuracy": float((labels[scored] == named).mean())},
        },
        "confusion": confusion.tolist(),
    }


def _numbers(task: "Task", theta: Array, parts: Mapping[str, Part]) -> dict[str, Any]:
    names, scored = task.problem.model["targets"], _scored(parts)
    found = {name: _rows_predicted(task, theta, part) for name, part in parts.items()}
    features = {name: to_host(parts[name].examples.features).astype(np.float64) for name in ("train", scored)}
    truth = found["train"].truth
    lines = [
        baselines.linear(features["train"][there], truth[there, i]) for i, there in enumerate(np.isfinite(truth).T)
    ]
    line = np.stack([baselines.apply_linear(each, features[scored]) for each in lines], axis=1)
    mean = np.nanmean(truth, axis=0) + np.zeros_like(line)
    return _of_numbers(task, found, names) | {
        "baselines": {
            "mean": scores(found[scored].truth, mean, names),
            "linear model": scores(found[scored].truth, line, names),
        }
    }


def _of_numbers(task: "Task", found: Mapping[str, Predicted], names: list[str]) -> dict[str, Any]:
    """Return the scores of all parts, the calibration, and the coverage of the bands on parts that it has not seen."""
    chosen = "validation" if "validation" in found else "train"
    spread = task.settings.members > 1 and bool(task.settings.bootstrap or task.folds)
    calibration = calibrate(found[chosen], spread)
    return {
        "scores": {name: scores(part.truth, part.mean, names) for name, part in found.items()},
        "calibration": {
            "part": chosen,
            "level": LEVEL,
            "noise": _or_none(calibration.noise),
            "factors": _or_none(calibration.factors),
            "spread": spread,
        },
        "coverage": {name: coverage(part, calibration, names) for name, part in found.items() if name != chosen},
    }


def _or_none(values: np.ndarray) -> list[float | None]:
    """Return numbers as JSON has them."""
    return [float(value) if np.isfinite(value) else None for value in values]


def _parts(task: "Task") -> dict[str, Part]:
    """Return the parts of the data, and which members count in each: for the validation those that did not train on it.

    Where each member has a validation set of its own, the training and the validation set are both all that is not the
    test, less what no member was validated by.
    """
    members = task.settings.members
    every = lambda part: Part(part, np.ones((members, len(flatten(part)[0][0]))))
    found = {"train": every(task.train)}
    if task.folds:
        assert task.problem.divide is not None
        divided, parts = task.problem.divide(task.data, task.settings)
        examples = task.problem.examples(divided, task.settings.dtype, task.device)
        if task.scaling is not None and task.problem.scaled is not None:
            examples = task.problem.scaled(examples, task.scaling)
        for number, name in enumerate(("train", "validation")):
            rows = np.flatnonzero((parts == number).any(axis=0))
            at = to_device(rows, task.device)
            chosen = tree_map(lambda x, at=at: take_rows(x, at), examples)
            found[name] = Part(chosen, (parts[:, rows] == number).astype(float))
    elif task.validation is not None:
        found["validation"] = every(task.validation)
    return found | ({} if task.test is None else {"test": every(task.test)})


def _beats(results: Mapping[str, Any], scored: str) -> dict[str, bool]:
    """Return which baselines the run is better than."""
    return {name: beats(results["scores"][scored], found) for name, found in results["baselines"].items()}


def _scored(parts: Mapping[str, Part]) -> str:
    """Return the part that baselines are compared on."""
    return next(name for name in ("test", "validation", "train") if name in parts)


def _outputs(task: "Task", theta: Array, part: Part) -> np.ndarray:
    """Return what each member predicts, in scaled units, (members, examples, ...)."""
    assert task.problem.predict is not None
    of = task.problem.predict(task.settings)
    return np.stack([to_host(of(each, part.examples)).astype(np.float64) for each in theta])


def _averaged(ys: np.ndarray, part: Part) -> np.ndarray:
    """Return the mean of what the members predict, over those that count."""
    weights = part.counts.reshape(*part.counts.shape, *(1,) * (ys.ndim - 2))
    return (ys * weights).sum(axis=0) / weights.sum(axis=0)


def _variance(ys: np.ndarray) -> np.ndarray:
    """Return the variance of all members, (members, ...): 0 for one."""
    return ys.var(axis=0, ddof=1) if len(ys) > 1 else np.zeros_like(ys[0])


def _units(task: "Task", which: str) -> tuple[Any, Any]:
    """Return the standard deviations and means that states or targets were scaled by, named as in the scaling."""
    if task.scaling is None:
        return 1.0, 0.0
    prefix = "targets_" if which == "targets" else ""
    sd, mean = (to_host(getattr(task.scaling, f"{prefix}{name}")).astype(np.float64) for name in ("sd", "mean"))
    return sd, mean


def _series_predicted(task: "Task", theta: Array, part: Part) -> Predicted:
    """Return the predictions for all times but the first of the series in a part, one row a time."""
    sd, mean = _units(task, "states")
    ys = _outputs(task, theta, part)[:, :, 1:] * sd + mean
    seen = to_host(part.examples.seen)[:, 1:] > 0
    truth = np.where(seen, to_host(part.examples.states)[:, 1:].astype(np.float64) * sd + mean, np.nan)
    flat = lambda x: x.reshape(-1, x.shape[-1])
    return Predicted(flat(truth), flat(_averaged(ys, part)), flat(_variance(ys)))


def _rows_predicted(task: "Task", theta: Array, part: Part) -> Predicted:
    """Return the predictions for the rows of a part of a regression."""
    sd, mean = _units(task, "targets")
    ys = _outputs(task, theta, part) * sd + mean
    examples = part.examples
    truth = np.where(to_host(examples.seen) > 0, to_host(examples.targets).astype(np.float64) * sd + mean, np.nan)
    return Predicted(truth, _averaged(ys, part), _variance(ys))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of the classes, along the last axis."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def _series_baselines(task: "Task") -> dict[str, Any]:
    """Return functions of a part that predict all times but the first of its series, one row a time."""
    train = _arrays(task.train)
    counts = to_host(task.train.counts)
    sd, mean = _units(task, "states")
    own = [_series(train, i, int(n)) for i, n in enumerate(counts)]
    matrices = baselines.linear_dynamics(*zip(*own, strict=True))
    seen = np.where(train[2] > 0, train[1], np.nan)
    average = np.nanmean(seen.reshape(-1, seen.shape[-1]), axis=0)

    def rows(part: Any, course: Any) -> np.ndarray:
        arrays, lengths = _arrays(part), to_host(part.counts)
        found = np.zeros_like(arrays[1])
        for i, n in enumerate(lengths):
            found[i, :n] = course(*_series(arrays, i, int(n)))
        return (found[:, 1:] * sd + mean).reshape(-1, found.shape[-1])

    return {
        "mean": lambda part: rows(part, lambda t, y, u: np.broadcast_to(average, y.shape)),
        "last value": lambda part: rows(part, lambda t, y, u: np.broadcast_to(y[0], y.shape)),
        "linear model": lambda part: rows(part, lambda t, y, u: baselines.linear_course(*matrices, t, y[0], u)),
    }


def _arrays(part: Any) -> list[np.ndarray]:
    """Return times, states, what was seen, and inputs."""
    return [to_host(x).astype(np.float64) for x in (part.times, part.states, part.seen, part.inputs)]


def _series(arrays: list[np.ndarray], i: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return times, states and inputs at each time, of series i with n times."""
    times, states, _, inputs = arrays
    fed = (
        inputs[i, :n, : inputs.shape[2] // 2] if inputs.ndim == 3 else np.broadcast_to(inputs[i], (n, inputs.shape[-1]))
    )
    return times[i, :n], states[i, :n], fed
