"""The problems of predicting a column of a table from others: regression and classification."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from mcgc import losses, nets
from mcgc.arrays import HOST, Array, Device, device_of, namespace_of, to_device, to_host
from mcgc.errors import InputError, unknown
from mcgc.random import Key, fold_in, permutation
from mcgc.tables import RowsTable
from mcgc.train._assess import assess_rows
from mcgc.train._masked import masked_mean
from mcgc.train._problem import Problem, init_of
from mcgc.train._segments import TRAIN, dealt, num_divisions
from mcgc.train.settings import NET, PARTS, Settings, parse_hidden

OPTIONS = ("loss", "standardize", *NET, *PARTS)
REGRESSION_LOSSES = ("mse", "mae", "huber")
CLASSIFICATION_LOSSES: Mapping[str, Callable[..., Array]] = {
    "cross-entropy": losses.cross_entropy,
    "softmax-cross-entropy": losses.cross_entropy_of_softmax,
}

REGRESSION = Settings(
    "regression",
    beta=0.01,
    log_lam0=-12.0,
    learning_rate=5e-3,
    learning_rate_lam=0.01,
    epochs=200,
    batch_size=32,
    estimator="pathwise",
    optimizer="adamw",
    weight_decay=1.0,
    rate_schedule="cosine",
    validation=0.15,
    patience=50,
    loss="mse",
    standardize=True,
    hidden="64,64",
    activation="relu",
    init="he-normal",
    skip=False,
    split="random",
    test=0.2,
    rotate=True,
)
CLASSIFICATION = REGRESSION._replace(problem="classification", loss="cross-entropy")


def recipe_of(table: RowsTable) -> Settings:
    """Return the settings to begin with."""
    return CLASSIFICATION if table.columns.classes else REGRESSION


class Cases(NamedTuple):
    """Rows as examples: `features` (batch, numbers), and `targets` and `seen` (batch, targets)."""

    features: Array
    targets: Array
    seen: Array


class Labelled(NamedTuple):
    """Rows as examples: `features` (batch, numbers), and `labels` (batch,), int64."""

    features: Array
    labels: Array


class RowsScaling(NamedTuple):
    """Means and standard deviations of the features, and of the targets of a regression, over the training set.

    The standard deviation of what does not vary counts as 1.
    """

    mean: Array
    sd: Array
    targets_mean: Array
    targets_sd: Array


def model_of_rows(table: RowsTable, settings: Settings) -> dict[str, Any]:
    """Return what the run file says of the model."""
    columns = table.columns
    out = len(columns.classes) or len(columns.targets)
    return {
        "kind": "classification" if columns.classes else "regression",
        "sizes": [table.features.shape[1], *parse_hidden(settings.hidden or ""), out],
        **{name: getattr(settings, name) for name in ("activation", "skip", "loss")},
        "targets": list(columns.targets),
        "features": list(columns.features),
        "categories": {name: list(found) for name, found in columns.categories.items()},
        "classes": list(columns.classes),
        "group": columns.group,
        "time": columns.time,
        "units": dict(table.units),
    }


def divide_rows(table: RowsTable, settings: Settings) -> tuple[RowsTable, np.ndarray]:
    """Return the rows that have a target, and the part that each belongs to.

    The parts have shape (rows,), or (members, rows) where each member has its own. Raises `InputError` as `parts_of`
    does.
    """
    of_members = [parts_of(table, settings, member) for member in range(num_divisions(settings))]
    kept, parts = of_members[0][0], np.stack([parts for _, parts in of_members])
    of = lambda x: None if x is None else x[kept]
    features, targets = table.features[kept], table.targets[kept]
    never = np.isnan(targets[parts[0] == TRAIN]).all(axis=0)
    if never.any():
        name = table.columns.targets[int(never.argmax())]
        raise InputError(f"target {name!r} has no value in the training set: leave it out, or add values")
    own = table._replace(features=features, targets=targets, groups=of(table.groups), times=of(table.times))
    return own, parts[0] if len(parts) == 1 else parts


def parts_of(table: RowsTable, settings: Settings, member: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows have a target, and the part that each of them belongs to, for a member.

    With the split "random" rows are dealt out at random, with "group" whole groups, and with "time" the last rows are
    for the test and those before them for the validation; rows of one time stay together.

    Raises `InputError` if a part would be empty, or the table has no column for the split.
    """
    kept = np.flatnonzero(~np.isnan(table.targets).all(axis=1))
    if len(kept) == 0:
        raise InputError(f"target {table.columns.targets[0]!r} has no value: there is nothing to train on")
    what, units = "rows", np.arange(len(kept))
    by = {"group": ("groups", table.groups), "time": ("times", table.times)}
    if settings.split in by:
        what, column = by[settings.split]
        if column is None:
            raise InputError(f"the split by {settings.split} needs a column of {what}: name it")
        _, units = np.unique(column[kept], return_inverse=True)
    total = int(units.max()) + 1
    order = np.arange(total)[::-1]  # the last times come first
    if settings.split != "time":
        order = to_host(permutation(fold_in(Key(settings.seed), 0), total, HOST))
    return kept, dealt(order, (settings.validation, settings.test or 0.0), what, member)[units]


def scaling_of_rows(examples: Cases | Labelled) -> RowsScaling:
    """Return the means and standard deviations of a training set."""
    features = to_host(examples.features).astype(np.float64)
    targets, seen = np.zeros((1, 0)), np.ones((1, 0))
    if isinstance(examples, Cases):
        targets, seen = to_host(examples.targets).astype(np.float64), to_host(examples.seen)
    there = np.where(seen > 0, targets, np.nan)
    xp, like = namespace_of(examples.features), examples.features
    on = lambda x: xp.asarray(x.tolist(), dtype=like.dtype, device=device_of(like))
    positive = lambda sd: np.where(sd > 0, sd, 1.0)
    return RowsScaling(
        on(features.mean(axis=0)),
        on(positive(features.std(axis=0))),
        on(np.nanmean(there, axis=0)),
        on(positive(np.nanstd(there, axis=0))),
    )


def scaled_rows(examples: Any, scaling: RowsScaling) -> Any:
    """Return examples in the units of the scaling."""
    scaled = examples._replace(features=(examples.features - scaling.mean) / scaling.sd)
    if isinstance(scaled, Labelled):
        return scaled
    return scaled._replace(targets=(examples.targets - scaling.targets_mean) / scaling.targets_sd)


def supervised(model: Mapping[str, Any], recipe: Settings) -> Problem:
    """Return the problem of predicting the targets of a table from its features: net(features).

    Features, and the targets of a regression, are scaled by the training set (`RowsScaling`). The losses of a
    regression are in these units.

    Parameters
    ----------
    model : mapping
        What `model_of_rows` returns, or the `model` of a run file.
    recipe : Settings
        The settings.

    Returns
    -------
    Problem
        The problem. Its data are a `mcgc.tables.RowsTable`.
    """
    sizes, activation, skip = tuple(model["sizes"]), model["activation"], bool(model["skip"])
    kind, loss_name = model["kind"], model["loss"]
    known = CLASSIFICATION_LOSSES if kind == "classification" else REGRESSION_LOSSES
    if loss_name not in known:
        raise InputError(unknown(f"loss of {kind}", loss_name, known))

    def examples(data: RowsTable, dtype: str, device: Device) -> Cases | Labelled:
        features = to_device(data.features, device, dtype)
        if kind == "classification":
            return Labelled(features, to_device(data.targets[:, 0].astype(np.int64), device))
        seen = ~np.isnan(data.targets)
        targets, seen = (to_device(x, device, dtype) for x in (np.where(seen, data.targets, 0.0), seen))
        return Cases(features, targets, seen)

    def output(theta: Array, batch: Any) -> Array:
        return nets.apply(theta, batch.features, sizes, activation, skip)

    def objective(settings: Settings) -> Callable[[Array, Any], tuple[Array, Any]]:
        def loss(theta: Array, batch: Any) -> tuple[Array, None]:
            found, members = output(theta, batch), theta.ndim - 1
            if kind == "classification":
                return CLASSIFICATION_LOSSES[loss_name](found, batch.labels, members), None
            return masked_mean(found - batch.targets, batch.seen, loss_name, members), None

        return loss

    def predict(settings: Settings, scaling: RowsScaling | None = None) -> Callable[[Array, Any], Array]:
        def of(theta: Array, batch: Any) -> Array:
            if scaling is None:
                return output(theta, batch)
            found = output(theta, scaled_rows(batch, scaling))
            return found if kind == "classification" else found * scaling.targets_sd + scaling.targets_mean

        return of

    def accuracy(theta: Array, batch: Labelled) -> Array:
        return losses.accuracy(output(theta, batch), batch.labels, theta.ndim - 1)

    def confusion(theta: Array, batch: Labelled) -> Array:
        return losses.confusion(output(theta, batch), batch.labels)

    of_classes = kind == "classification"
    return Problem(
        kind,
        f"{kind} of a column of a table",
        recipe,
        examples,
        init_of(sizes, recipe.init or "he-normal"),
        objective,
        options=OPTIONS,
        shuffled=True,
        stacked=True,
        model=model,
        scaling=scaling_of_rows,
        scaled=scaled_rows,
        predict=predict,
        divide=divide_rows,
        assess=assess_rows,
        accuracy=accuracy if of_classes else None,
        confusion=confusion if of_classes else None,
    )
