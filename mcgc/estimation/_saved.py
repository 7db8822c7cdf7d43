"""The model of an estimate in its file: the field as a formula, starts and inputs; and solutions from these alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mcgc._jit import Formula
from mcgc.errors import InputError, unknown
from mcgc.estimation._experiment import Series, input_at
from mcgc.ode import solve
from mcgc.ode._driven_field import DrivenField, pack
from mcgc.ode._equations import ScaledEquations, recorded_equations

RTOL, ATOL = 1e-8, 1e-10


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


def simulated(
    saved: Any, times: Any, experiment: int | str, start: Mapping[str, float] | None, inputs: Mapping[str, float] | None
) -> np.ndarray:
    """Return the states (times, states) that the file of an estimate gives (`SavedEstimate.simulate`)."""
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
    one, states = saved.experiments[number], saved.summary["states"]
    wanted = np.asarray(times, np.float64).reshape(-1)
    first = one["t0"] if start is None else wanted[:1].sum()
    if wanted.size == 0 or not (np.isfinite(wanted).all() and wanted.min() >= first):
        raise InputError(f"times must be finite and none before the start {first:g}")
    y0 = one["y0"] if start is None else _named(start, states, "state")
    knots, values = one["knots"], one["inputs"]
    if inputs is not None or (start is not None and model["inputs"]):
        knots, values = np.zeros(0), _named(inputs or {}, model["inputs"], "input")[None]
    sizes = 1, len(states), len(model["parameters"]), len(model["inputs"])
    formula = Formula.of_json(model["formula"], sizes)
    units = np.repeat([0.0, 1.0, 0.0, 1.0, 1.0], [sizes[1], sizes[1], sizes[3], sizes[3], 1])[None]
    equations = ScaledEquations(formula, *sizes[1:], units)
    field = DrivenField((), "", False, len(knots), model["interpolation"], equations)
    both = np.concatenate([values, np.zeros_like(values)], axis=1)
    row = pack(knots, both) if len(knots) else values[0]
    p = [saved.summary["parameters"][name]["value"] for name in model["parameters"]]
    grid = np.unique(np.append(wanted, first))
    if len(grid) == 1:
        return np.tile(y0, (len(wanted), 1))
    given = np.asarray(p, np.float64), np.concatenate([[0.0], row])[None]
    found = solve(field, y0[None], grid[None], given, rtol=RTOL, atol=ATOL).ys[0]
    return np.asarray(found)[np.searchsorted(grid, wanted)]


def _named(given: Mapping[str, float], names: list[str], what: str) -> np.ndarray:
    """Return a value for each name. Raises `InputError` unless there is one for each."""
    if {*given} != {*names}:
        raise InputError(f"the estimate has the {what}s {', '.join(names) or 'none'}: give each of them a value")
    return np.asarray([float(given[name]) for name in names])
