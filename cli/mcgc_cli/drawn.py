"""What pictures and reports draw of a run on a table, as numbers: courses of series, residuals, calibration."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from mcgc.tables import Table
    from mcgc.train import Fitted

TIMES = 150  # intervals of a drawn course
LEVELS = (*(round(0.05 * i, 2) for i in range(1, 20)), 0.99)
BINS = 10  # of the probabilities of classes


class Held(NamedTuple):
    """What predictions are compared with: rows of a table, and what a title calls them."""

    table: "Table"
    what: str


def is_of_run(fitted: "Fitted", table: "Table") -> bool:
    """Tell whether a table is the one that a run was trained on."""
    return table.sha256 == fitted.file.dataset.get("sha256")


def held_out(fitted: "Fitted", table: "Table") -> Held | None:
    """Return the test set of a run, or all of a table that is not the run's. None if there is no test set."""
    from mcgc.errors import InputError

    if not is_of_run(fitted, table):
        return Held(table, "given table")
    try:
        return Held(fitted.held_out(table), "test set")
    except InputError:
        return None


class Course(NamedTuple):
    """A series: what was observed, and what a run predicts from its start on.

    Parameters
    ----------
    group, part : str
        The label of the series ("" where there is one), and the part of the data that it is of.
    times : array
        When it was observed.
    data : mapping of str to array
        What was observed, by state.
    fit : mapping of str to array
        What `Fitted.predict` returns. Empty where `note` says why there is none.
    test_from : float or None
        Where the test set begins, if the series are divided in time.
    note : str
        Why there is no fit.
    """

    group: str
    part: str
    times: np.ndarray
    data: Mapping[str, np.ndarray]
    fit: Mapping[str, np.ndarray]
    test_from: float | None = None
    note: str = ""


def groups(fitted: "Fitted", table: "Table") -> dict[str, str]:
    """Return the series of a table and the part that each is of, those of the test set first."""
    column = fitted.model["group"]
    if column is None:
        return {"": ""}
    there = list(dict.fromkeys(label for label in table.labels(column) if label is not None))
    divided = is_of_run(fitted, table) and fitted.settings.split != "time"
    known = fitted.results.get("groups", {}) if divided else {}
    parts = {label: part for part in ("train", "validation", "test") for label in known.get(part, [])}
    return {label: parts.get(label, "") for label in sorted(there, key=lambda label: parts.get(label) != "test")}


def course(fitted: "Fitted", table: "Table", group: str, part: str = "", held: Held | None = None) -> Course:
    """Return the course of a series of a table; `held` are the rows that were held out."""
    from mcgc.errors import InputError

    model = fitted.model
    own = _of_group(fitted, table, group)
    times = own.numbers(model["time"])
    data = {state: own.numbers(state) for state in model["states"]}
    test_from = None
    if held is not None and fitted.settings.split == "time" and is_of_run(fitted, table):
        tested = _of_group(fitted, held.table, group).numbers(model["time"])
        test_from = float(tested.min()) if len(tested) else None
    try:
        fit = fitted.predict(own, every=(times.max() - times.min()) / TIMES)
    except InputError as error:
        return Course(group, part, times, data, {}, test_from, f"{error}")
    return Course(group, part, times, data, fit, test_from)


def _of_group(fitted: "Fitted", table: "Table", group: str) -> "Table":
    """Return the rows of a series."""
    column = fitted.model["group"]
    if column is None:
        return table
    rows = np.flatnonzero(np.asarray([label == group for label in table.labels(column)], bool))
    return table._replace(columns={name: values[rows] for name, values in table.columns.items()})


class Residuals(NamedTuple):
    """Predictions of a column for rows that were held out, beside what was observed, in the units of the data.

    `half` is the half width of the bands of the level 0.9, NaN where there are none.
    """

    truth: np.ndarray
    predicted: np.ndarray
    half: np.ndarray


def residuals(fitted: "Fitted", held: "Table") -> dict[str, Residuals]:
    """Return the predictions of each target or state for rows that were held out, where something was observed.

    For dynamics the first row of each series is its start, and is left out.
    """
    names = fitted.model["states" if fitted.task == "dynamics" else "targets"]
    found = fitted.predict(held)
    counts = np.ones(held.num_rows, bool)
    if fitted.task == "dynamics":
        labels = [""] * held.num_rows if fitted.model["group"] is None else held.labels(fitted.model["group"])
        times, first = held.numbers(fitted.model["time"]), dict[str | None, float]()
        for label, time in zip(labels, times, strict=True):
            first[label] = min(time, first.get(label, time))
        counts = np.asarray([time > first[label] for label, time in zip(labels, times, strict=True)])
    drawn = {}
    for name in names:
        truth = held.numbers(name)
        half = (
            (found[f"{name}_high"] - found[f"{name}_low"]) / 2
            if f"{name}_low" in found
            else np.full(len(truth), np.nan)
        )
        there = counts & np.isfinite(truth)
        drawn[name] = Residuals(truth[there], found[name][there], half[there])
    return drawn


def covered(fitted: "Fitted", drawn: Mapping[str, Residuals]) -> dict[str, np.ndarray]:
    """Return the share of what was observed that lies in the bands of each of `LEVELS`, by column.

    Empty where the run has no bands.
    """
    from mcgc.train._scores import LEVEL, calibration_of
    from mcgc.train._scores import LEVELS as KNOWN

    if "calibration" not in fitted.results:
        return {}
    factors = calibration_of(fitted.results["calibration"]).factors
    relative = np.interp(LEVELS, KNOWN, factors) / np.interp(LEVEL, KNOWN, factors)
    if not np.isfinite(relative).all():
        return {}
    inside = lambda found: np.abs(found.truth - found.predicted) <= found.half * relative[:, None]
    return {name: inside(found).mean(axis=1) for name, found in drawn.items() if len(found.truth)}


class Reliability(NamedTuple):
    """Of predicted classes whose probability is in a bin: the mean probability, the share that is right, and how many.

    Bins without rows are left out.
    """

    chance: np.ndarray
    right: np.ndarray
    rows: np.ndarray


def reliability(fitted: "Fitted", held: "Table") -> Reliability:
    """Return how often the predicted class is right, by its probability, for rows that were held out."""
    target, classes = fitted.model["targets"][0], fitted.model["classes"]
    found = fitted.predict(held)
    labels = np.asarray(held.labels(target), object)
    there = np.asarray([label is not None for label in labels])
    chance = np.max([found[f"p({name})"] for name in classes], axis=0)[there]
    right = (found[target].astype(object) == labels)[there]
    bins = np.minimum((chance * BINS).astype(int), BINS - 1)
    rows = np.bincount(bins, minlength=BINS)
    mean = lambda x: np.bincount(bins, x, BINS)[rows > 0] / rows[rows > 0]
    return Reliability(mean(chance), mean(right.astype(float)), rows[rows > 0])
