"""The model of an estimate in its file: the field as a formula, starts and inputs; and solutions from these alone."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mcgc._jit import Formula
from mcgc.errors import InputError, unknown
from mcgc.estimation._bands import Bands, bands_of
from mcgc.estimation._experiment import Series, input_at
from mcgc.ode import solve
from mcgc.ode._driven_field import DrivenField, pack
from mcgc.ode._equations import ScaledEquations, recorded_equations

RTOL, ATOL = 1e-8, 1e-10
STEP = 1e-3  # of a parameter: the step of differences, between the errors of solutions and the curvature


def model_of(found: Any) -> dict[str, Any]:
    """Return what the file of an estimate says of its field, in values that JSON has."""
    problem = found.problem
    parameters, inputs = problem.layout.parameters, problem.layout.inputs
    formula = recorded_equations(problem.model.field, len(problem.model.states), parameters, inputs)
    return {
        "formula": formula.to_json(),
        "parameters": list(parameters),
        "inputs": list(inputs),
        "interpolation": problem.model.interpolation,
    }


def inputs_of(one: Series, problem: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the knots (n,) of the inputs of an experiment, and their values (n, inputs); (0,) and (1, inputs) if
    they are constant.
    """
    values = [one.inputs[name] for name in problem.layout.inputs]
    varying = [value[0] for value in values if isinstance(value, tuple)]
    if not varying:
        return np.zeros(0), np.asarray([values], np.float64).reshape(1, len(values))
    knots = np.unique(np.concatenate(varying))
    kind = problem.model.interpolation
    return knots, np.stack([input_at(value, knots, kind) for value in values], axis=1)


class Request(NamedTuple):
    """A solution that is wanted of a file: its times and the first of them, start, inputs and the experiment."""

    times: np.ndarray
    first: float
    y0: np.ndarray
    knots: np.ndarray
    inputs: np.ndarray
    experiment: str
    own_start: bool


def requested(
    saved: Any, times: Any, experiment: int | str, start: Mapping[str, float] | None, inputs: Mapping[str, float] | None
) -> Request:
    """Return what is wanted of a file. Raises `InputError` if it cannot be."""
    model, names = saved.model, saved.summary["experiments"]
    if not model:
        raise InputError("the file of the estimate is of an older version, without its field: estimate again")
    if isinstance(experiment, str):
        if experiment not in names:
            raise InputError(unknown("experiment", experiment, names))
        experiment = names.index(experiment)
    number = int(experiment)
    if not 0 <= number < len(names):
        raise InputError(f"there are {len(names)} experiments, counted from 0, got {number}")
    one = saved.experiments[number]
    wanted = np.asarray(times, np.float64).reshape(-1)
    first = one["t0"] if start is None else float(wanted[:1].sum())
    if wanted.size == 0 or not (np.isfinite(wanted).all() and wanted.min() >= first):
        raise InputError(f"times must be finite and none before the start {first:g}")
    y0 = one["y0"] if start is None else _named(start, saved.summary["states"], "state")
    knots, values = one["knots"], one["inputs"]
    if inputs is not None or (start is not None and model["inputs"]):
        knots, values = np.zeros(0), _named(inputs or {}, model["inputs"], "input")[None]
    return Request(wanted, first, y0, knots, values, names[number], start is None)


def solved(saved: Any, wanted: Request, p: np.ndarray, y0: np.ndarray) -> np.ndarray:
    """Return the states (draws, times, states) at parameters (draws, parameters) from starts (draws, states)."""
    model, draws = saved.model, len(p)
    sizes = 1, len(saved.summary["states"]), len(model["parameters"]), len(model["inputs"])
    formula = Formula.of_json(model["formula"], sizes)
    units = np.repeat([0.0, 1.0, 0.0, 1.0, 1.0], [sizes[1], sizes[1], sizes[3], sizes[3], 1])[None]
    equations = ScaledEquations(formula, *sizes[1:], units)
    field = DrivenField((), "", False, len(wanted.knots), model["interpolation"], equations)
    both = np.concatenate([wanted.inputs, np.zeros_like(wanted.inputs)], axis=1)
    row = pack(wanted.knots, both) if len(wanted.knots) else wanted.inputs[0]
    grid = np.unique(np.append(wanted.times, wanted.first))
    if len(grid) == 1:
        return np.repeat(y0[:, None], len(wanted.times), axis=1)
    given = p, np.tile(np.concatenate([[0.0], row]), (draws, 1))
    found = solve(field, y0, np.tile(grid, (draws, 1)), given, rtol=RTOL, atol=ATOL).ys
    return np.asarray(found)[:, np.searchsorted(grid, wanted.times)]


def values_of(saved: Any) -> np.ndarray:
    """Return the estimates of the parameters of the field, in its order."""
    return np.asarray([saved.summary["parameters"][name]["value"] for name in saved.model["parameters"]], np.float64)


def simulated(saved: Any, wanted: Request) -> np.ndarray:
    """Return the states (times, states) that the file of an estimate gives (`SavedEstimate.simulate`)."""
    return solved(saved, wanted, values_of(saved)[None], wanted.y0[None])[0]


def banded(saved: Any, wanted: Request, level: float) -> Bands:
    """Return the states with bands (`SavedEstimate.bands`). The derivatives are central differences of solutions."""
    p, states, names = values_of(saved), saved.summary["states"], saved.summary["names"]
    of_field = {name: i for i, name in enumerate(saved.model["parameters"])}
    of_start = {
        name: len(p) + j
        for j, state in enumerate(states if wanted.own_start else [])
        for name in (f"{state}(0)", f"{state}(0)[{wanted.experiment}]")
        if name not in of_field
    }
    both = np.concatenate([p, wanted.y0])
    used = [(k, (of_field | of_start)[name]) for k, name in enumerate(names) if name in of_field or name in of_start]
    used = [(k, at) for k, at in used if not saved.summary["parameters"][names[k]]["fixed"]]
    errors = np.where(np.isfinite(saved.standard_errors), saved.standard_errors, 0.0)
    steps = np.asarray([STEP * (abs(both[at]) or errors[k] or 1.0) for k, at in used])
    moved = np.tile(both, (2 * len(used) + 1, 1))
    for i, (_, at) in enumerate(used):
        moved[1 + i, at] += steps[i]
        moved[1 + len(used) + i, at] -= steps[i]
    found = solved(saved, wanted, moved[:, : len(p)], moved[:, len(p) :])
    ahead, behind = found[1 : 1 + len(used)], found[1 + len(used) :]
    slopes = np.zeros((*found.shape[1:], len(names)))
    for i, (k, _) in enumerate(used):
        slopes[..., k] = (ahead[i] - behind[i]) / (2 * steps[i])
    return bands_of(wanted.times, found[0], slopes, saved.covariance, saved.summary, columns_seen(saved), level)


def columns_seen(saved: Any) -> list[str]:
    """Return the names of the columns that have a value in any experiment."""
    there = np.any([np.isfinite(one["values"]).any(axis=0) for one in saved.experiments], axis=0)
    return [name for name, seen in zip(saved.summary["columns"], there.tolist(), strict=True) if seen]


def _named(given: Mapping[str, float], names: list[str], what: str) -> np.ndarray:
    """Return a value for each name. Raises `InputError` unless there is one for each."""
    if {*given} != {*names}:
        raise InputError(f"the estimate has the {what}s {', '.join(names) or 'none'}: give each of them a value")
    return np.asarray([float(given[name]) for name in names])
