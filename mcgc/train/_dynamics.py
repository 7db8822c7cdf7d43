"""The problem of learning the dynamics in a table: series with times of their own, gaps, and inputs."""

from collections.abc import Callable, Mapping
from typing import Any

from mcgc.arrays import Array, Device, namespace_of, to_device, to_host
from mcgc.autodiff import ops
from mcgc.errors import InputError, unknown
from mcgc.ode import DenseField, Solution, Stats, solve, solve_members
from mcgc.tables import SeriesTable
from mcgc.train._assess import assess_series
from mcgc.train._driven import DrivenField, pack
from mcgc.train._masked import masked_mean
from mcgc.train._problem import Problem, init_of
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


def recipe_of(table: SeriesTable) -> Settings:
    """Return the settings to begin with.

    Whole groups are set apart where there are enough, else the end of each. There are as many epochs as make up about
    `STEPS` steps, from 60 to that many.
    """
    groups = len(table.groups)
    recipe = RECIPE if groups >= FEWEST else RECIPE._replace(split="time")
    trained = groups * (1 - RECIPE.validation) * (1 - (RECIPE.test or 0)) if groups >= FEWEST else groups
    per_epoch = max(1, round(trained / RECIPE.batch_size))
    return recipe._replace(epochs=min(max(STEPS // per_epoch, 60), STEPS))


def model_of(table: SeriesTable, settings: Settings) -> dict[str, Any]:
    """Return what the run file says of the model."""
    columns = table.columns
    widths = (len(columns.states) + len(columns.inputs), *parse_hidden(settings.hidden or ""), len(columns.states))
    return {
        "kind": "dynamics",
        "sizes": list(widths),
        **{name: getattr(settings, name) for name in ("activation", "skip", "loss")},
        "time": columns.time,
        "group": columns.group,
        "states": list(columns.states),
        "inputs": list(columns.inputs),
        "varying": table.varying,
        "interpolation": table.interpolation,
        "units": dict(table.units),
    }


def dynamics(model: Mapping[str, Any], recipe: Settings = RECIPE) -> Problem:
    """Return the problem of learning the field of series in a table: dy/dt = net(y, u).

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
    sizes, activation, skip = tuple(model["sizes"]), model["activation"], bool(model["skip"])
    loss_name = model["loss"]
    if loss_name not in LOSSES:
        raise InputError(unknown("loss of dynamics", loss_name, LOSSES))

    def examples(data: Segments, dtype: str, device: Device) -> Observed:
        floats = (to_device(x, device, dtype) for x in (data.states, data.seen, data.inputs))
        times, knots = (to_device(x, device, "float64") for x in (data.times, data.knots))
        states, seen, inputs = floats
        return Observed(times, states, seen, knots, inputs, to_device(data.counts, device, "int64"))

    def solved(settings: Settings, theta: Array, batch: Observed, throw: bool) -> Solution:
        inputs = batch.inputs
        field: Any = DenseField(sizes, activation, skip)
        if model["varying"]:
            knots = ops.astype(batch.knots, inputs.dtype)
            field = DrivenField(sizes, activation, skip, knots.shape[-1], model["interpolation"])
            inputs = pack(knots, inputs)
        run = solve_members if theta.ndim > 1 else solve
        how = {name: getattr(settings, name) for name in SOLVER}
        return run(field, batch.states[..., 0, :], batch.times, (theta, inputs), throw=throw, **how)

    def objective(settings: Settings) -> Callable[[Array, Any], tuple[Array, Any]]:
        def loss(theta: Array, batch: Observed) -> tuple[Array, Stats]:
            solution = solved(settings, theta, batch, theta.ndim == 1)
            residual = solution.ys[..., 1:, :] - batch.states[..., 1:, :]
            return masked_mean(residual, batch.seen[..., 1:, :], loss_name, theta.ndim - 1), solution.stats

        return loss

    def predict(settings: Settings, scaling: TableScaling | None = None) -> Callable[[Array, Any], Array]:
        def states(theta: Array, batch: Observed) -> Array:
            if scaling is None:
                return solved(settings, theta, batch, False).ys
            return solved(settings, theta, scaled_series(batch, scaling), False).ys * scaling.sd + scaling.mean

        return states

    return Problem(
        "dynamics",
        "neural ODE of the series in a table",
        recipe,
        examples,
        init_of(sizes, recipe.init or "he-normal"),
        objective,
        options=OPTIONS,
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
    )


def scaled_series(observed: Observed, scaling: TableScaling) -> Observed:
    """Return series in the units of the scaling, with times that begin at 0."""
    xp, inputs = namespace_of(observed.times), observed.inputs
    begin, unit = observed.times[..., :1], xp.astype(scaling.time, observed.times.dtype)
    p = scaling.inputs_mean.shape[0]
    fed = (inputs[..., :p] - scaling.inputs_mean) / scaling.inputs_sd
    if observed.inputs.ndim == 3:
        fed = xp.concat([fed, inputs[..., p:] * (scaling.time * scaling.time) / scaling.inputs_sd], axis=-1)
    return observed._replace(
        times=(observed.times - begin) / unit,
        knots=(observed.knots - begin) / unit,
        states=(observed.states - scaling.mean) / scaling.sd,
        inputs=fed,
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
    return Observed(times, flat(observed.states), seen, knots, inputs, counts)
