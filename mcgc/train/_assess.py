"""The results of a run on a table: scores beside baselines, calibration and coverage, for the run file."""

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mcgc.arrays import Array, to_host
from mcgc.tables import SeriesTable
from mcgc.train import _baselines as baselines
from mcgc.train._segments import filled, pieces_of
from mcgc.train._scores import LEVEL, Predicted, calibrate, class_scores, coverage, scores

if TYPE_CHECKING:
    from mcgc.train._task import Task


def assess_series(task: "Task", theta: Array) -> Mapping[str, Any]:
    """Return the results of a run on the series of a table (`mcgc.train._dynamics`)."""
    names, parts = task.problem.model["states"], _parts(task)
    found = {name: series_predicted(task, theta, part) for name, part in parts.items()}
    base = _series_baselines(task)
    results = _of_numbers(task, found, names)
    results["counts"] = {name: {"series": len(part.times), "observed": _observed(part)} for name, part in parts.items()}
    test = next(name for name in ("test", "validation", "train") if name in parts)
    results["baselines"] = {
        name: scores(found[test].truth, base_of(parts[test]), names) for name, base_of in base.items()
    }
    results["missing"] = task.data.missing
    pieces = pieces_of(task.data, task.settings)
    results["groups"] = {
        name: list(dict.fromkeys(task.data.groups[series] for series, *_, part in pieces if part == number))
        for number, name in enumerate(("train", "validation", "test"))
    }
    if not task.data.varying:
        results["starts"] = _starts(task.data)
    return results


def _starts(table: SeriesTable) -> dict[str, Any]:
    """Return where each group starts: its time, states and constant inputs. A group without one of its states is left out."""
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
    model, parts = task.problem.model, _parts(task)
    test = next(name for name in ("test", "validation", "train") if name in parts)
    counts = {name: {"rows": len(part.features)} for name, part in parts.items()}
    features = {name: to_host(part.features).astype(np.float64) for name, part in parts.items()}
    if model["kind"] == "classification":
        labels = {name: to_host(part.labels) for name, part in parts.items()}
        assert task.problem.predict is not None
        logits = task.problem.predict(task.settings)
        chances = {name: probabilities(logits, theta, part) for name, part in parts.items()}
        frequent = int(np.bincount(labels["train"]).argmax())
        one_hot = np.eye(len(model["classes"]))[labels["train"]]
        fitted = baselines.linear(features["train"], one_hot)
        named = baselines.apply_linear(fitted, features[test]).argmax(axis=1)
        confusion = np.zeros((len(model["classes"]),) * 2, int)
        np.add.at(confusion, (labels[test], chances[test].argmax(axis=1)), 1)
        return {
            "counts": counts,
            "scores": {name: class_scores(labels[name], chances[name]) for name in parts},
            "baselines": {
                "most frequent class": {"accuracy": float((labels[test] == frequent).mean())},
                "linear model": {"accuracy": float((labels[test] == named).mean())},
            },
            "confusion": confusion.tolist(),
        }
    found = {name: rows_predicted(task, theta, part) for name, part in parts.items()}
    results = _of_numbers(task, found, model["targets"])
    truth = found["train"].truth
    mean = np.nanmean(truth, axis=0)
    fitted = [
        baselines.linear(features["train"][there], truth[there, i]) for i, there in enumerate(np.isfinite(truth).T)
    ]
    line = np.stack([baselines.apply_linear(each, features[test]) for each in fitted], axis=1)
    results["counts"] = counts
    results["baselines"] = {
        "mean": scores(found[test].truth, mean + 0 * line, model["targets"]),
        "linear model": scores(found[test].truth, line, model["targets"]),
    }
    return results


def _of_numbers(task: "Task", found: Mapping[str, Predicted], names: list[str]) -> dict[str, Any]:
    """Return the scores of all parts, the calibration, and the coverage of the bands on parts that it has not seen."""
    chosen = "validation" if "validation" in found else "train"
    spread = bool(task.settings.bootstrap) and task.settings.members > 1
    calibration = calibrate(found[chosen], spread)
    return {
        "scores": {name: scores(part.truth, part.mean, names) for name, part in found.items()},
        "calibration": {
            "part": chosen,
            "level": LEVEL,
            "noise": calibration.noise.tolist(),
            "factors": calibration.factors.tolist(),
            "spread": spread,
        },
        "coverage": {name: coverage(part, calibration, names) for name, part in found.items() if name != chosen},
    }


def _parts(task: "Task") -> dict[str, Any]:
    found = {"train": task.train, "validation": task.validation, "test": task.test}
    return {name: part for name, part in found.items() if part is not None}


def _observed(part: Any) -> int:
    return int(to_host(part.seen)[:, 1:].sum())


def series_predicted(task: "Task", theta: Array, part: Any) -> Predicted:
    """Return the predictions for all times but the first of the series in a part, one row a time."""
    assert task.problem.predict is not None
    courses = task.problem.predict(task.settings)
    sd, mean = (1.0, 0.0) if task.scaling is None else (to_host(task.scaling.sd), to_host(task.scaling.mean))
    ys = np.stack([to_host(courses(each, part)).astype(np.float64) for each in theta])[:, :, 1:] * sd + mean
    seen = to_host(part.seen)[:, 1:] > 0
    truth = np.where(seen, to_host(part.states)[:, 1:].astype(np.float64) * sd + mean, np.nan)
    flat = lambda x: x.reshape(-1, x.shape[-1])
    return Predicted(flat(truth), flat(ys.mean(axis=0)), flat(_variance(ys)))


def rows_predicted(task: "Task", theta: Array, part: Any) -> Predicted:
    """Return the predictions for the rows of a part of a regression."""
    assert task.problem.predict is not None
    of = task.problem.predict(task.settings)
    sd, mean = (1.0, 0.0) if task.scaling is None else map(to_host, (task.scaling.targets_sd, task.scaling.targets_mean))
    ys = np.stack([to_host(of(each, part)).astype(np.float64) for each in theta]) * sd + mean
    truth = np.where(to_host(part.seen) > 0, to_host(part.targets).astype(np.float64) * sd + mean, np.nan)
    return Predicted(truth, ys.mean(axis=0), _variance(ys))


def _variance(ys: np.ndarray) -> np.ndarray:
    """Return the variance of members, (members, ...): 0 for one."""
    return ys.var(axis=0, ddof=1) if len(ys) > 1 else np.zeros_like(ys[0])


def probabilities(logits_of: Any, theta: Array, part: Any) -> np.ndarray:
    """Return the probabilities of the classes, (rows, classes), as the mean of the members'."""
    logits = np.stack([to_host(logits_of(each, part)).astype(np.float64) for each in theta])
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (raised / raised.sum(axis=-1, keepdims=True)).mean(axis=0)


def _series_baselines(task: "Task") -> dict[str, Any]:
    """Return functions of a part that predict all times but the first of its series, one row a time."""
    train = _arrays(task.train)
    counts = to_host(task.train.counts)
    sd, mean = (1.0, 0.0) if task.scaling is None else (to_host(task.scaling.sd), to_host(task.scaling.mean))
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
