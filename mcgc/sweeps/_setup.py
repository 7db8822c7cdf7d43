"""What a sweep is, checked: its source, its space, its points, its metric, and the header of its file."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

from mcgc._integers import whole
from mcgc.arrays import Device
from mcgc.devices import select_device
from mcgc.errors import InputError, unknown
from mcgc.sweeps import _designs
from mcgc.sweeps._designs import Point
from mcgc.sweeps._source import Keys, Source, source_of
from mcgc.sweeps._space import Dimension, space_of
from mcgc.sweeps._trial import METRICS
from mcgc.train import Problem

METHODS = ("sobol", "grid", "random", "optuna")
TRIALS = 16  # by default
EQUATIONS = ("field", "parameters")  # which are no columns
TRIED = 16  # points, to find one whose settings go together


class Setup(NamedTuple):
    """A sweep before it begins.

    Parameters
    ----------
    source : Source
        What is trained.
    space : tuple of Dimension
        The searched settings.
    method : str
        How points are chosen.
    points : sequence of mappings
        The points, where they are known beforehand.
    most : int
        How many trials there shall be.
    seed : int
        The seed.
    metric : str
        The loss that trials are ranked by.
    prune : int, optional
        From which epoch on trials are pruned.
    device : Device
        Where they are trained.
    keys : Keys
        Gives the keys of trials.
    header : mapping
        What the file of the sweep says, as JSON has it.
    """

    source: Source
    space: tuple[Dimension, ...]
    method: str
    points: Sequence[Point]
    most: int
    seed: int
    metric: str
    prune: int | None
    device: Device
    keys: Keys
    header: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of its study."""
        text = json.dumps(determining(self.header), sort_keys=True)
        return f"mcgc-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def check_ways(self, storage: str | None, retry_failed: bool, workers: int, runs: bool, client: Any) -> None:
        """Raise `InputError` for what the method, or a cluster, does not have."""
        if self.method != "optuna" and (self.prune is not None or storage is not None):
            what = "storage" if self.prune is None else "prune"
            raise InputError(f"{what} is for the method optuna, not for {self.method}: leave it out")
        if client is not None and (workers > 1 or runs):
            what = "workers are" if workers > 1 else "runs is"
            raise InputError(f"{what} for this machine, not for a cluster: leave out one of the two")
        if client is not None and self.device.name != "cpu":
            raise InputError(
                f"trials on a cluster are trained on CPUs, not on {self.device.name}: leave out the device"
            )
        if client is not None and self.prune is not None and storage is None:
            raise InputError("prune on a cluster needs a storage that its workers reach: give the URL of a database")
        if self.method == "optuna" and retry_failed:
            raise InputError("retry_failed is not for the method optuna, which learns from failures: leave it out")


def setup_of(
    data: Any,
    task: str | Problem,
    space: Mapping[str, Any],
    *,
    method: str,
    trials: int | None,
    metric: str | None,
    seed: int,
    recipe: str | None,
    columns: Mapping[str, Any],
    fixed: Mapping[str, Any],
    prune: bool | int,
    device: str,
    workers: int,
) -> Setup:
    """Return a sweep. The arguments are those of `mcgc.sweep`, and the settings that all trials have."""
    if method not in METHODS:
        raise InputError(unknown("method", method, METHODS))
    dimensions = space_of(space, method)
    for one in dimensions:
        if fixed.get(one.name) is not None and one.name != "seed":
            raise InputError(f"{one.name} is fixed and in the space: leave it out of one of them")
    nets = [choice for one in dimensions if one.name == "hidden" for choice in one.choices]
    source = source_of(data, task, recipe, columns, fixed, nets)
    points = points_of(dimensions, method, trials, seed)
    used = select_device(device, _some_problem(source, points), source.settings.members)[0]
    if whole(workers, "workers") > 1 and used.name != "cpu":
        raise InputError(f"workers need the CPU, not {used.name}: leave them out")
    keys, ranked_by = Keys(source, used), _metric(metric, source, dimensions)
    count = len(points) if method != "optuna" else _count(trials)
    pruned = (
        None if prune is False else whole(1 if prune is True else prune, "the epoch from which on prune ends trials")
    )
    header = {
        "problem": source.settings.problem,
        "recipe": recipe,
        "columns": {name: value for name, value in columns.items() if value is not None and name not in EQUATIONS},
        "equations": None if source.known is None else source.known.to_json(),
        "space": [one._asdict() for one in dimensions],
        "method": method,
        "trials": count,
        "seed": seed,
        "metric": ranked_by,
        "prune": pruned,
        "fixed": {name: getattr(source.settings, name) for name, value in fixed.items() if value is not None},
        "settings": source.settings._asdict(),
        "dataset": keys.dataset,
        "versions": keys.versions,
        "device": keys.device,
        "finished": False,
    }
    plain = json.loads(json.dumps(header))
    return Setup(source, dimensions, method, points, count, seed, ranked_by, pruned, used, keys, plain)


def _some_problem(source: Source, points: Sequence[Point]) -> Problem | None:
    """Return the problem of a trial, by which a device is chosen, or None if the first have none."""
    for point in [*points[:TRIED], {}]:
        with suppress(InputError):
            return source.bound(point)[0]
    return None


def points_of(space: Sequence[Dimension], method: str, trials: int | None, seed: int) -> Sequence[Point]:
    """Return the points of a method. Those of Optuna are not known beforehand."""
    if method == "grid":
        if trials is not None:
            raise InputError("a grid has as many trials as points: leave trials out")
        return _designs.grid(space)
    count = _count(trials)
    if method == "optuna":
        return ()
    return (_designs.random if method == "random" else _designs.sobol)(space, count, seed)


def _count(trials: int | None) -> int:
    count = TRIALS if trials is None else whole(trials, "trials")
    if count > _designs.MOST:
        raise InputError(f"trials must be at most {_designs.MOST}, got {count}")
    return count


def _metric(given: str | None, source: Source, space: Sequence[Dimension]) -> str:
    """Return the loss that trials are ranked by."""
    if given is None:
        searched = "validation" in (one.name for one in space)
        return "validation" if source.settings.validation or searched else "train"
    if given not in METRICS:
        raise InputError(unknown("metric", given, METRICS))
    return given


def check_metric(setup: Setup) -> None:
    """Raise `InputError` if the data do not suffice, or lack the part whose loss is asked for."""
    points = setup.points or _designs.random(setup.space, TRIED, setup.seed)
    first: InputError | None = None
    for point in islice(points, TRIED):
        try:
            task = setup.source.task(point, setup.device)
        except InputError as error:
            first = first or error
            continue
        if {"train": task.train, "validation": task.validation, "test": task.test}[setup.metric] is None:
            raise InputError(
                f"the metric is the {setup.metric} loss, but there is no {setup.metric} set: set a part of the data "
                "apart for it, or choose another metric"
            )
        return
    if first is not None:
        raise first


def determining(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a header two sweeps have in common whose trials are the same, so that one goes on as the other."""
    free = ["trials", "finished", "fixed", "recipe", *([] if header["method"] == "optuna" else ["metric"])]
    return {name: value for name, value in header.items() if name not in free} | {
        "dataset": header["dataset"]["sha256"]
    }
