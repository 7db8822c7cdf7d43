"""The problem of learning the dynamics in a table: series with times of their own, gaps, and inputs."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mcgc.arrays import Array, Device, namespace_of, to_device, to_host
from mcgc.errors import InputError, unknown
from mcgc.ode import Stats
from mcgc.tables import SeriesTable
from mcgc.train._assess import assess_series
from mcgc.train._field import field_of_model
from mcgc.train._known import Known
from mcgc.train._masked import masked_mean
from mcgc.train._problem import Problem
from mcgc.train._segments import AFTER, Observed, Segments, TableScaling, divide, scaling_of_table
from mcgc.train._windows import ragged_rows_of, take_rows
from mcgc.train.settings import NET, PARTS, SERIES, SOLVER, Settings, parse_hidden

FEWEST = 5  # groups that are divided among the parts; fewer are each divided in time
STEPS = 1200  # of a run, about
OPTIONS = ("loss", *SOLVER, *SERIES, *NET, *PARTS)
LOSSES = ("mse", "mae", "huber")

RECIPE = Settings(
    "dynamics",
    beta=0.01,
    log_lam0=-14.0,
    learning_rate=5e-3,
    learning_rate_lam=0.01,
    epochs=300,
    batch_size=4,
    estimator="pathwise",
    optimizer="adamw",
    weight_decay=0.1,
    rate_schedule="cosine",
    validation=0.15,
    bootstrap=False,
    loss="mse",
    solver="dopri5",
    adjoint="checkpointed",
    rtol=1e-4,
    atol=1e-5,
    horizons="1:4,2:2,4:2,8:2,all:2",
    restart_lam=False,
    standardize=True,
    hidden="32,32",
    activation="relu",
    init="he-normal",
    skip=False,
    split="group",
    test=0.15,
    rotate=True,
)


HYBRID = RECIPE._replace(learning_rate=0.02)
EQUATIONS = HYBRID._replace(optimizer="adam", weight_decay=None, hidden=None, activation=None, init=None, skip=None)


def recipe_of(table: SeriesTable, equations: bool = False, net: bool = True) -> Settings:
    """Return the settings to begin with, for a net, equations, or both.

    Whole groups are set apart where there are enough, else the end of each. There are as many epochs as make up about
    `STEPS` steps, from 60 to that many.
    """
    groups = len(table.groups)
    recipe = (HYBRID if net else EQUATIONS) if equations else RECIPE
    recipe = recipe if groups >= FEWEST else recipe._replace(split="time")
    trained = groups * (1 - RECIPE.validation) * (1 - (RECIPE.test or 0)) if groups >= FEWEST else groups
    per_epoch = max(1, round(trained / RECIPE.batch_size))
    return recipe._replace(epochs=min(max(STEPS // per_epoch, 60), STEPS))


def model_of(table: SeriesTable, settings: Settings, known: Known | None = None) -> dict[str, Any]:
    """Return what the run file says of the model. Equations without hidden layers have no net."""
    columns, widths = table.columns, list[int]()
    if known is None or settings.hidden is not None:
        hidden = parse_hidden(settings.hidden or "")
        widths = [len(columns.states) + len(columns.inputs), *hidden, len(columns.states)]
    elif known.num_free == 0:
        raise InputError(
            "the equations have no parameter to fit: give one that is not fixed, or hidden layers of a net"
        )
    return {
        "kind": "dynamics",
        "sizes": widths,
        **{name: getattr(settings, name) for name in ("activation", "skip", "loss")},
        "time": columns.time,
        "group": columns.group,
        "states": list(columns.states),
        "inputs": list(columns.inputs),
        "varying": table.varying,
        "interpolation": table.interpolation,
        "units": dict(table.units),
        **({} if table.dates is None else {"dates": table.dates._asdict()}),
        **({} if known is None else {"known": known.to_json()}),
    }


def options_of(net: bool) -> tuple[str, ...]:
    """Return the settings that a problem with or without a net has."""
    return OPTIONS if net else tuple(name for name in OPTIONS if name not in NET)


def dynamics(model: Mapping[str, Any], recipe: Settings = RECIPE) -> Problem:
    """Return the problem of learning the field of series in a table: dy/dt = net(y, u), g(t, y, p, u), or their sum.

    States, inputs and time are scaled by the training set (`TableScaling`). The loss is a mean over all observed states
    but the first, in these units. Windows begin at observed times; a state that is missing there is taken from the
    straight line between its neighbours.

    Parameters
    ----------
    model : mapping
        What `model_of` returns, or the `model` of a run file.
    recipe : Settings
        The settings.

    Returns
    -------
    Problem
        The problem. Its data are a `mcgc.tables.SeriesTable`.
    """
    field = field_of_model(model)
    loss_name = model["loss"]
    if loss_name not in LOSSES:
        raise InputError(unknown("loss of dynamics", loss_name, LOSSES))

    def examples(data: Segments, dtype: str, device: Device) -> Observed:
        floats = (to_device(x, device, dtype) for x in (data.states, data.seen, data.inputs, _plain_units(data)))
        times, knots = (to_device(x, device, "float64") for x in (data.times, data.knots))
        states, seen, inputs, units = floats
        return Observed(times, states, seen, knots, inputs, to_device(data.counts, device, "int64"), units)

    def objective(settings: Settings) -> Callable[[Array, Any], tuple[Array, Any]]:
        def loss(theta: Array, batch: Observed) -> tuple[Array, Stats]:
            solution = field.solved(settings, theta, batch, theta.ndim == 1)
            residual = solution.ys[..., 1:, :] - batch.states[..., 1:, :]
            return masked_mean(residual, batch.seen[..., 1:, :], loss_name, theta.ndim - 1), solution.stats

        return loss

    def predict(settings: Settings, scaling: TableScaling | None = None) -> Callable[[Array, Any], Array]:
        def states(theta: Array, batch: Observed) -> Array:
            if scaling is None:
                return field.solved(settings, theta, batch, False).ys
            ys = field.solved(settings, theta, scaled_series(batch, scaling), False).ys
            return ys * scaling.sd + scaling.mean

        return states

    return Problem(
        "dynamics",
        "neural ODE of the series in a table",
        recipe,
        examples,
        lambda key, dtype, device: field.init(key, dtype, device, recipe.init or "he-normal"),
        objective,
        options=options_of(bool(model["sizes"])),
        stacked=True,
        model=model,
        scaling=scaling_of_table,
        intervals=lambda observed: int(to_host(observed.counts).max()) - 1,
        lengths=lambda observed: to_host(observed.counts) - 1,
        windows=_windows,
        scaled=scaled_series,
        predict=predict,
        divide=divide,
        assess=assess_series,
        beside_net=field.num_free,
    )


def _plain_units(data: Segments) -> np.ndarray:
    """Return the units of series that are not scaled."""
    d, p = data.states.shape[-1], data.inputs.shape[-1] // (2 if data.inputs.ndim == 3 else 1)
    row = np.repeat([0.0, 0.0, 1.0, 0.0, 1.0, 1.0], [1, d, d, p, p, 1])
    return np.tile(row, (len(data.times), 1))


def scaled_series(observed: Observed, scaling: TableScaling) -> Observed:
    """Return series in the units of the scaling, with times that begin at 0."""
    xp, inputs = namespace_of(observed.times), observed.inputs
    begin, unit = observed.times[..., :1], xp.astype(scaling.time, observed.times.dtype)
    p = scaling.inputs_mean.shape[0]
    fed = (inputs[..., :p] - scaling.inputs_mean) / scaling.inputs_sd
    shared = xp.concat([scaling.mean, scaling.sd, scaling.inputs_mean, scaling.inputs_sd, scaling.time])
    rows = xp.broadcast_to(shared, (*begin.shape[:-1], shared.shape[0]))
    if observed.inputs.ndim == 3:
        fed = xp.concat([fed, inputs[..., p:] * (scaling.time * scaling.time) / scaling.inputs_sd], axis=-1)
    return observed._replace(
        times=(observed.times - begin) / unit,
        knots=(observed.knots - begin) / unit,
        states=(observed.states - scaling.mean) / scaling.sd,
        inputs=fed,
        units=xp.concat([xp.astype(begin, shared.dtype), rows], axis=-1),
    )


def _windows(observed: Observed, indices: Array, length: int) -> Observed:
    """Return windows of `length` intervals; those of shorter series are filled up."""
    xp = namespace_of(observed.times)
    series, columns, excess = ragged_rows_of(indices, observed.counts - 1, length)
    rows = series[..., None] * observed.times.shape[1] + columns
    flat = lambda x: take_rows(xp.reshape(x, (-1, *x.shape[2:])), rows)
    times, inside = flat(observed.times), excess == 0
    span = times[..., -1:] - times[..., :1]
    times = times + xp.astype(excess, times.dtype) * (AFTER * span)
    seen = flat(observed.seen)
    if observed.inputs.ndim == 2:
        knots, inputs = take_rows(observed.knots, series), take_rows(observed.inputs, series)
    else:
        knots, inputs = times, flat(observed.inputs)
    counts = xp.sum(xp.astype(inside, observed.counts.dtype), axis=-1)
    seen = seen * xp.astype(inside, seen.dtype)[..., None]
    return Observed(times, flat(observed.states), seen, knots, inputs, counts, take_rows(observed.units, series))
