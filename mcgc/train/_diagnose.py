"""Why a run is stuck: numbers measured on the training data, and the findings that they give."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from mcgc.arrays import HOST, to_host
from mcgc.errors import InputError
from mcgc.train import problems
from mcgc.train._diagnose_course import course_of
from mcgc.train._diagnose_net import net_of
from mcgc.train._diagnose_series import series_of
from mcgc.train._diagnose_signs import SIGNS, Sign
from mcgc.train._own import is_own, taken_up
from mcgc.train._problem import Problem
from mcgc.train._task import Task, bind
from mcgc.train.run_file import RunFile
from mcgc.train.settings import Settings

KINDS = ("dynamics", "regression", "classification", "neural-ode", "classifier", "regressor")  # of models
ALIKE = 1e-3  # relative: more than that is no rounding of moments of the same data


class Finding(NamedTuple):
    """Something that is wrong with a run.

    Parameters
    ----------
    name : str
        What it is, such as "long-horizon".
    measured : float
        The number that was measured, of the member where it is worst.
    threshold : float
        What the number should not reach.
    members : tuple of int
        The members that have it.
    meaning : str
        What the number means.
    advice : str
        What to do. Settings are in backticks: `name`, or `name=value`.
    page : str
        Where the documentation says more.
    explained : str
        The name of the finding that explains this one in all of its members, or "" if none does.
    """

    name: str
    measured: float
    threshold: float
    members: tuple[int, ...]
    meaning: str
    advice: str
    page: str
    explained: str = ""


class Diagnosis(NamedTuple):
    """What was measured of a run, and what is wrong with it.

    Parameters
    ----------
    findings : tuple of Finding
        What is wrong, causes before what they explain. Empty if nothing was found.
    measured : tuple of mapping
        The numbers of each member, whether they give a finding or not. The page on diagnoses lists them.
    """

    findings: tuple[Finding, ...]
    measured: tuple[Mapping[str, Any], ...]

    @property
    def causes(self) -> tuple[str, ...]:
        """The names of the findings that no other one explains."""
        return tuple(finding.name for finding in self.findings if not finding.explained)


def diagnose(run: RunFile, data: Any) -> Diagnosis:
    """Measure on the training data why a run is stuck.

    Each member is measured with θ of its best epoch. Of long data, rows at even distances are taken.

    Parameters
    ----------
    run : RunFile
        A run, as `mcgc.train.run_file.load` reads it.
    data : Any
        What it was trained on: a table (`mcgc.tables.as_table`), or what the problem takes, such as what
        `mcgc_datasets.load` returns.

    Returns
    -------
    Diagnosis
        The findings, and all numbers.

    Raises
    ------
    InputError
        If the model is no dense net, or the data are not those of the run.

    Examples
    --------
    >>> import numpy as np
    >>> import mcgc
    >>> x = np.linspace(-1, 1, 200)
    >>> table = {"x": x, "y": np.sin(3 * x)}
    >>> fitted = mcgc.fit(table, "regression", target="y", epochs=60)
    >>> mcgc.train.diagnose(fitted.file, table).findings
    ()
    """
    task = _task_of(run, data)
    measured = []
    for member in range(len(run.theta)):
        numbers = net_of(task.of_member(member), run.theta[member]) | course_of(task, run, member)
        if "solver" in task.problem.options:
            numbers |= series_of(task.of_member(member), run.theta[member])
        measured.append(numbers)
    return Diagnosis(_findings(measured), tuple(measured))


class Diagnosable:
    """What has a run file of a table."""

    file: RunFile

    def diagnose(self, data: Any) -> Diagnosis:
        """Measure on the training data why the run is stuck (`mcgc.train.diagnose`).

        Parameters
        ----------
        data : Any
            The table that the run was trained on.

        Returns
        -------
        Diagnosis
            The findings, and all numbers.

        Raises
        ------
        InputError
            If the table does not fit the run.
        """
        return diagnose(self.file, data)


def _task_of(run: RunFile, data: Any) -> Task:
    """Return the task of a run, on the host."""
    settings = Settings.of(run.settings)
    if "known" in run.model:
        raise InputError("a diagnosis is of nets alone, and the field of the run has equations: compare their scores")
    if is_own(run.model):
        problem, checked, own = taken_up(data, run.model, settings)
        task = bind(checked, own, HOST, problem)
    else:
        task = bind(settings, data, HOST, _problem_of(run.model, settings))
    if task.problem.model.get("kind") not in KINDS:
        raise InputError(
            f"the model of {task.problem.name} is no dense net that mcgc knows: there is nothing to measure"
        )
    for name, values in run.scaling.items():
        own = to_host(getattr(task.scaling, name))
        if not np.allclose(own, values, rtol=ALIKE, atol=ALIKE * np.max(np.abs(values), initial=0.0)):
            raise InputError(f"the data are not those of the run, as their {name} differs: give what it was trained on")
    return task


def _problem_of(model: Mapping[str, Any], settings: Settings) -> Problem:
    """Return the problem of a run that is not of a table: from its file alone, if that says enough."""
    makers: dict[Any, Callable[..., Problem]] = {
        "neural-ode": problems.neural_ode,
        "classifier": problems.classifier,
        "regressor": problems.regressor,
    }
    if model.get("kind") not in makers:
        return problems.get(settings.problem)
    names = {key: model[key] for key in ("states", "parameters") if key in model}
    return makers[model["kind"]](settings, model["sizes"], model["activation"], **names)


def _findings(measured: list[dict[str, Any]]) -> tuple[Finding, ...]:
    """Return the findings, causes first, in the order of `SIGNS`."""
    found: dict[str, Finding] = {}
    for sign in SIGNS:
        values = {i: sign.value(numbers) for i, numbers in enumerate(measured)}
        sick = {i: value for i, value in values.items() if value is not None and sign.shown_by(value)}
        if sick:
            found[sign.name] = _finding(sign, sick, measured, found)
    return tuple(sorted(found.values(), key=lambda finding: bool(finding.explained)))


def _finding(
    sign: Sign, sick: dict[int, float], measured: list[dict[str, Any]], before: Mapping[str, Finding]
) -> Finding:
    worst = (max if sign.above else min)(sick, key=lambda i: sick[i])
    explains = lambda name: name in before and {*sick} <= {*before[name].members}
    explained = next(filter(explains, sign.explained_by), "")
    advice = sign.advice if isinstance(sign.advice, str) else sign.advice(measured[worst])
    meaning = sign.meaning.format(**{**measured[worst], "value": sick[worst]})
    return Finding(
        sign.name,
        float(sick[worst]),
        sign.threshold,
        tuple(sick),
        meaning,
        advice,
        f"diagnose.md#{sign.name}",
        explained,
    )
