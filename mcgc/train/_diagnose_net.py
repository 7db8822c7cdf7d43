"""What the net of a run makes of its training data: scales, layers, classes, gradients, and scores."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mcgc import losses, nets
from mcgc.arrays import HOST, to_device, to_host
from mcgc.autodiff import grad
from mcgc.errors import SolveError
from mcgc.train._assess import softmax
from mcgc.train._series import standardized
from mcgc.train._task import Task, count, rows_at

ROWS, OF_LAYERS, OF_GRADIENTS, SERIES = 10_000, 1000, 256, 8  # so many rows, and series for gradients, suffice
HARDEST = 0.1  # of the rows: those whose gradients by the logits are looked at
CONSTANT = 1e-6  # of the largest value of a layer: less is no change, for activations that are never 0

_LOSSES = {"cross-entropy": losses.cross_entropy, "softmax-cross-entropy": losses.cross_entropy_of_softmax}


class Seen(NamedTuple):
    """Rows as the net sees them: `inputs` (rows, n₀) and their `names`; `targets` (rows, columns), NaN where unknown,
    or `labels` (rows,); both None for series.
    """

    inputs: np.ndarray
    names: tuple[str, ...]
    targets: np.ndarray | None = None
    labels: np.ndarray | None = None


def net_of(task: Task, theta: np.ndarray) -> dict[str, Any]:
    """Return the numbers of a member's net; None where the problem has no such number."""
    seen, model = seen_of(task), task.problem.model
    sizes, activation, skip = task.problem.sizes, model["activation"], bool(model.get("skip"))
    found = {"depth": len(sizes) - 2, "skip": skip, "activation": activation, **_scales(seen)}
    few = seen.inputs[even(len(seen.inputs), OF_LAYERS)]
    found |= _layers(theta.astype(np.float64), few, sizes, activation, skip)
    found["gradients"] = _gradients(task, theta)
    found |= {"missing_classes": None, "classes": None, "gradient_of_logits": None, "score": None, "linear": None}
    if seen.labels is None and seen.targets is None:
        return found
    output = to_host(nets.apply(theta, seen.inputs.astype(theta.dtype), sizes, activation, skip)).astype(np.float64)
    if seen.labels is not None:
        return found | _of_classes(seen, output, str(task.settings.loss))
    assert seen.targets is not None
    return found | _of_numbers(seen, output)


def seen_of(task: Task) -> Seen:
    """Return the training set as rows, in the scale that the net sees."""
    kind, train, model = task.problem.model["kind"], task.train, task.problem.model
    if kind in ("dynamics", "neural-ode"):
        return _of_series(task)
    at = even(count(train), ROWS)
    chosen = rows_at(train, to_device(at, HOST))
    if kind == "classifier":
        names = tuple(f"pixel {i}" for i in range(chosen.pixels.shape[1]))
        return Seen(to_host(chosen.pixels) / 255, names, labels=to_host(chosen.labels).astype(int))
    inputs = to_host(getattr(chosen, "features", None) if hasattr(chosen, "features") else chosen.inputs)
    names = _names(model, inputs.shape[1])
    if kind == "classification":
        return Seen(inputs, names, labels=to_host(chosen.labels))
    targets = to_host(chosen.targets).astype(np.float64)
    return Seen(inputs, names, np.where(to_host(chosen.seen) > 0, targets, np.nan) if kind == "regression" else targets)


def _names(model: Mapping[str, Any], width: int) -> tuple[str, ...]:
    """Return the names of the numbers that the net of rows sees."""
    categories = model.get("categories", {})
    names = [
        f"{name}={each}" if each else name for name in model.get("features", ()) for each in categories.get(name, ("",))
    ]
    return tuple(names) if len(names) == width else tuple(f"input {i}" for i in range(width))


def _of_series(task: Task) -> Seen:
    """Return the states of the training set with their inputs or parameters, a row for each time."""
    train, model = task.train, task.problem.model
    if model["kind"] == "neural-ode":
        series = train if task.scaling is None else standardized(train, task.scaling)
        states, fed = to_host(series.states), to_host(series.parameters)[:, None, :]
        inside = np.ones(states.shape[:2], bool)
        others = model["parameters"]
    else:
        states, fed = to_host(train.states), to_host(train.inputs)
        fed = fed[:, :, : fed.shape[2] // 2] if fed.ndim == 3 else fed[:, None, :]
        inside = np.arange(states.shape[1]) < to_host(train.counts)[:, None]
        others = model["inputs"]
    fed = np.broadcast_to(fed, (*states.shape[:2], fed.shape[-1]))
    rows = np.concatenate([states, fed], axis=-1)[inside]
    names = (*model["states"], *others)
    names = names if len(names) == rows.shape[1] else tuple(f"input {i}" for i in range(rows.shape[1]))
    return Seen(rows[even(len(rows), ROWS)], names)


def even(total: int, most: int) -> np.ndarray:
    """Return at most so many indices at even distances."""
    return np.unique(np.linspace(0, total - 1, min(total, most)).round().astype(int))


def _scales(seen: Seen) -> dict[str, Any]:
    """Return the root mean square that is farthest from 1 on a logarithmic scale: that of the largest column.

    A column of targets is named "target".
    """
    columns = [*seen.inputs.astype(np.float64).T]
    names = [*seen.names]
    if seen.targets is not None:
        columns += [*seen.targets.T]
        names += ["target"] * seen.targets.shape[1]
    there = [column[np.isfinite(column)] for column in columns]
    sizes = [float(np.sqrt(np.mean(column**2))) if len(column) else 0.0 for column in there]
    worst = int(np.argmax(sizes))
    return {"scale": sizes[worst], "column": names[worst]}


def participation(values: np.ndarray) -> float:
    """Return the participation ratio (Σ s)² / Σ s² of the eigenvalues s of the covariance of rows.

    It is 1 if the rows lie on a line, n if they are spread evenly in n directions, and 0 if all are the same.
    """
    s = np.linalg.svd(values - values.mean(axis=0), compute_uv=False) ** 2
    return float(s.sum() ** 2 / (s**2).sum()) if s.any() else 0.0


def _layers(theta: np.ndarray, x: np.ndarray, sizes: Any, activation: str, skip: bool) -> dict[str, Any]:
    """Return the participation ratios of the input and after each hidden layer, and the shares of dead units."""
    x = x.astype(np.float64)
    ratios, dead, begin = [], [], participation(x)
    for w, b in nets.unpack(theta, sizes)[:-1]:
        h = to_host(nets.ACTIVATIONS[activation](x @ to_host(w) + to_host(b)))
        dead.append(_dead(h, activation))
        x = x + h if skip and w.shape[0] == w.shape[1] else h
        ratios.append(participation(x))
    middle = float(np.median(ratios)) if ratios else None
    worst = int(np.argmax(dead)) if dead else None
    return {
        "participation_of_inputs": begin,
        "participation": ratios,
        "median_participation": middle,
        "dead": dead,
        "most_dead": None if worst is None else dead[worst],
        "dead_layer": None if worst is None else worst + 1,
    }


def _dead(h: np.ndarray, activation: str) -> float:
    """Return the share of units that are 0 for all rows, or for activations that are never 0, do not change."""
    if activation == "relu":
        return float((h <= 0).all(axis=0).mean())
    return float((np.ptp(h, axis=0) <= CONSTANT * np.abs(h).max()).mean())


def _gradients(task: Task, theta: np.ndarray) -> list[float] | None:
    """Return the norm of the gradient of each layer, or None if the series cannot be solved."""
    most = SERIES if task.problem.intervals is not None else OF_GRADIENTS
    batch = rows_at(task.train, to_device(even(count(task.train), most), HOST))
    try:
        bar = to_host(grad(lambda theta: task.objective(theta, batch)[0])(theta)).astype(np.float64)
    except SolveError:
        return None
    return [
        float(np.sqrt(np.sum(to_host(w) ** 2) + np.sum(to_host(b) ** 2)))
        for w, b in nets.unpack(bar, task.problem.sizes)
    ]


def _of_classes(seen: Seen, logits: np.ndarray, loss: str) -> dict[str, Any]:
    labels = seen.labels
    assert labels is not None
    classes, named = logits.shape[1], logits.argmax(axis=1)
    there = np.unique(labels)
    chances = softmax(logits)
    of_label = chances[np.arange(len(labels)), labels]
    hardest = np.argsort(of_label, kind="stable")[: max(1, round(HARDEST * len(labels)))]
    norms = {}
    for name, function in _LOSSES.items():
        bars = to_host(grad(lambda z, function=function: function(z, labels[hardest]))(logits[hardest]))
        norms[name] = float(np.linalg.norm(bars, axis=1).mean())
    plain = norms["cross-entropy"]
    line = _left_out(seen.inputs, np.eye(classes)[labels])
    return {
        "classes": len(there),
        "missing_classes": len({*there.tolist()} - {*named.tolist()}),
        "gradient_of_logits": norms[loss] / plain if loss in norms and plain > 0 else None,
        "score": float((named == labels).mean()),
        "linear": float((line.argmax(axis=1) == labels).mean()),
    }


def _of_numbers(seen: Seen, output: np.ndarray) -> dict[str, Any]:
    assert seen.targets is not None
    own, linear = [], []
    for target, found in zip(seen.targets.T, output.T, strict=True):
        there = np.isfinite(target)
        if there.sum() > 1 and np.ptp(target[there]) > 0:
            line = _left_out(seen.inputs[there], target[there, None])[:, 0]
            own.append(r_squared(target[there], found[there]))
            linear.append(r_squared(target[there], line))
    return {"score": float(np.mean(own)), "linear": float(np.mean(linear))} if own else {}


def r_squared(truth: np.ndarray, found: np.ndarray) -> float:
    """Return 1 less the squared errors over those of the mean."""
    return float(1 - np.mean((truth - found) ** 2) / np.var(truth))


def _left_out(inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return what a linear model by least squares predicts of each row if it is fitted without that row."""
    x = np.column_stack([inputs, np.ones(len(inputs))]).astype(np.float64)
    size = np.sqrt(np.mean(x**2, axis=0))
    u, s, _ = np.linalg.svd(x / np.where(size > 0, size, 1.0), full_matrices=False)
    u = u[:, s > 1e-8 * s[0]]
    fitted, leverage = u @ (u.T @ targets), np.sum(u**2, axis=1)[:, None]
    return targets - (targets - fitted) / np.maximum(1 - leverage, 1e-6)
