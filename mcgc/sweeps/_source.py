"""What all trials of a sweep have in common, and the task and the key of each."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mcgc.arrays import Device
from mcgc.errors import InputError, similar, unknown
from mcgc.sweeps._space import SEARCHED, checked
from mcgc.train import Problem, Task, bind, problems
from mcgc.train._known import Known, known_of_model
from mcgc.train._own import TASKS, prepare, with_settings
from mcgc.train._resume import DETERMINING
from mcgc.train._run import dataset_of
from mcgc.train.run_file import versions
from mcgc.train.settings import NET, CheckedSettings, Settings, validate


class Source(NamedTuple):
    """Data, the problem, and the settings that trials begin with.

    Parameters
    ----------
    data : Any
        What `mcgc.train.bind` takes.
    problem : Problem, optional
        The problem. None for a table, whose problem follows from the settings.
    settings : Settings
        The recipe with the fixed settings.
    known : Known, optional
        The known part of the dynamics in a table.
    """

    data: Any
    problem: Problem | None
    settings: Settings
    known: Known | None = None

    def bound(self, changes: Mapping[str, Any]) -> tuple[Problem, CheckedSettings]:
        """Return the problem and the settings of a trial. Raises `InputError` if they do not go together."""
        settings = self.settings._replace(**changes)
        if self.known is not None and settings.hidden is None:  # equations alone have no net
            none: dict[str, Any] = dict.fromkeys(NET)
            settings = settings._replace(**none)
        if self.problem is None:
            return with_settings(self.data, settings, self.known)[:2]
        return self.problem, validate(settings, self.problem.options)

    def task(self, changes: Mapping[str, Any], device: Device) -> Task:
        """Return the task of a trial."""
        problem, settings = self.bound(changes)
        return bind(settings, self.data, device, problem)


def source_of(
    data: Any,
    task: str | Problem,
    recipe: str | None,
    columns: Mapping[str, Any],
    fixed: Mapping[str, Any],
    nets: Sequence[Any] = (),
) -> Source:
    """Return the source of a sweep.

    `columns` are those of a table, `fixed` are settings that all trials have, and `nets` the choices of `hidden`.
    """
    for name in fixed:
        if name not in SEARCHED:
            raise InputError(unknown("setting", name, SEARCHED))
    changes: dict[str, Any] = {name: checked(name, value) for name, value in fixed.items() if value is not None}
    given = [name for name, value in columns.items() if value is not None]
    if isinstance(task, str) and task in TASKS:
        if recipe is not None:
            raise InputError("recipe is for a problem, not for a table: leave it out")
        some = [net for net in [changes.get("hidden"), *nets] if net is not None and columns.get("field") is not None]
        problem, recommended, own = prepare(data, task, **columns, hidden=some[0] if some else None)
        return Source(own, None, Settings(*recommended)._replace(**changes), known_of_model(problem.model))
    problem = _problem(task) if isinstance(task, str) else task
    if given:
        raise InputError(f"{given[0]} is for a table: leave it out")
    path, colon, name = task.rpartition(":") if isinstance(task, str) else ("", "", "")
    if colon:  # a run file has the whole path
        changes["problem"] = f"{os.path.abspath(path)}:{name}"
    return Source(data, problem, problem.recipe_of(recipe)._replace(**changes))


def _problem(name: str) -> Problem:
    try:
        return problems.get(name)
    except InputError:
        if similar(name, TASKS):
            raise InputError(unknown("task", name, TASKS)) from None
        raise


class Keys:
    """The keys of trials: SHA-256 of the settings, the model or the columns, the data, the versions, and the device.

    Of the device its kind counts, and of the versions those of packages that compute the numbers.
    """

    def __init__(self, source: Source, device: Device) -> None:
        self._settings = source.settings
        self.dataset = dataset_of(source.data)
        self.versions = {name: version for name, version in versions().items() if name in DETERMINING}
        self.device = device.name.partition(":")[0]
        self.model = _columns(source) if source.problem is None else source.problem.model

    def key(self, values: Mapping[str, Any]) -> str:
        """Return the key of a trial."""
        settings = self._settings._replace(**values)._asdict()
        content = [settings, self.model, self.dataset["sha256"], self.versions, self.device]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=dict).encode()).hexdigest()


def _columns(source: Source) -> dict[str, Any]:
    """Return the columns of a table, how its inputs go on, and the equations that are known."""
    own, known = source.data, source.known
    found = {**own.columns._asdict(), "interpolation": getattr(own, "interpolation", None)}
    return found if known is None else {**found, "known": known.to_json()}
