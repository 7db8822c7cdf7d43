"""Problems of time series: the field of a differential equation is learned."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mcgc import losses
from mcgc.arrays import Array, Device, namespace_of, to_device
from mcgc.autodiff import ops, stop_gradient
from mcgc.ode import DenseField, Solution, Stats, solve, solve_members
from mcgc.train._problem import Evaluation, Problem, init_of
from mcgc.train._windows import rows_of, take_rows
from mcgc.train.settings import SERIES, SOLVER, Settings


class Series(NamedTuple):
    """Time series as examples: `times` (batch, T) float64, `parameters` (batch, P), `states` (batch, T, D)."""

    times: Array
    parameters: Array
    states: Array


_SERIES_DEFAULTS: dict[str, Any] = {
    "solver": "dopri5",
    "adjoint": "checkpointed",
    "rtol": 1e-7,
    "atol": 1e-9,
    "restart_lam": False,
    "standardize": False,
}


class Scaling(NamedTuple):
    """Mean and standard deviation of the states (D,) and of the parameters (P,), on the device of the series.

    The standard deviation of what does not vary counts as 1.
    """

    mean: Array
    sd: Array
    parameters_mean: Array
    parameters_sd: Array


def scaling_of(series: Series) -> Scaling:
    """Return the means and standard deviations of series, over all series and times.

    Parameters
    ----------
    series : Series
        The series.

    Returns
    -------
    Scaling
        The moments, computed in float64, in the dtype and on the device of the states.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.train.problems import Series, scaling_of
    >>> states = np.array([[[1.0], [3.0]]])
    >>> found = scaling_of(Series(np.array([[0.0, 1.0]]), np.array([[5.0]]), states))
    >>> found.mean, found.sd, found.parameters_sd
    (array([2.]), array([1.]), array([1.]))
    """
    xp, dtype = namespace_of(series.states), series.states.dtype

    def moments(x: Array) -> list[Array]:
        rows = xp.astype(xp.reshape(x, (-1, x.shape[-1])), xp.float64)
        sd = xp.std(rows, axis=0)
        return [xp.astype(value, dtype) for value in (xp.mean(rows, axis=0), xp.where(sd > 0, sd, xp.ones_like(sd)))]

    return Scaling(*moments(series.states), *moments(series.parameters))


def _windows(series: Series, indices: Array, length: int) -> Series:
    count, times = series.times.shape
    which, rows = rows_of(indices, times, length)
    flat = lambda x: ops.reshape(x, (count * times, *x.shape[2:]))
    return Series(
        take_rows(flat(series.times), rows), take_rows(series.parameters, which), take_rows(flat(series.states), rows)
    )


def neural_ode(
    recipe: Settings,
    sizes: Sequence[int],
    activation: str = "relu",
    summary: str = "",
    states: Sequence[str] = (),
    parameters: Sequence[str] = (),
) -> Problem:
    """Return the problem of learning the field of time series: dy/dt = net(y, parameters), from the first state on.

    The loss is the mean squared error over the series, at all of its times.

    Parameters
    ----------
    recipe : Settings
        The recipe. Its `problem` is the name of the problem. What it leaves out of the settings of the solver is dopri5
        with rtol 1e-7 and atol 1e-9.
    sizes : sequence of int
        The sizes of the dense net. It takes the states and the parameters of a series, and gives a rate for each state.
    activation : str
        Its activation, one of `mcgc.nets.ACTIVATIONS`.
    summary : str
        What the problem is in a few words.
    states, parameters : sequence of str
        Names of the columns. A run file has them.

    Returns
    -------
    Problem
        The problem. Its data have `times` (T,), `parameters` (S, P) and `series` (S, T, D), as
        `mcgc_datasets.SeriesData` does.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> from mcgc import train
    >>> recipe = train.Settings("decay", 0.01, -12.0, 0.1, 0.01, epochs=40, batch_size=10)
    >>> problem = train.problems.neural_ode(recipe, (1, 1))
    >>> times, starts = np.linspace(0, 1, 5), np.linspace(-2, 2, 40)[:, None]
    >>> series = (starts * np.exp(-times))[:, :, None]
    >>> data = SimpleNamespace(times=times, parameters=np.zeros((40, 0)), series=series)
    >>> *_, (record, theta) = train.fit(problem.recipe, data, problem=problem)
    >>> print(theta.round(1) + 0.0)  # the slope −1 of dy/dt = −y, and no bias
    [[-1.  0.]]
    """
    sizes = tuple(sizes)

    def examples(data: Any, dtype: str, device: Device) -> Series:
        times = to_device(data.times, device, "float64")
        return Series(
            ops.broadcast_to(times, (data.series.shape[0], *times.shape)),
            to_device(data.parameters, device, dtype),
            to_device(data.series, device, dtype),
        )

    field: Any = DenseField(sizes, activation)

    def solved(settings: Settings, theta: Array, batch: Series) -> Solution:
        run = solve_members if theta.ndim > 1 else solve
        how = {name: getattr(settings, name) for name in SOLVER}
        throw = theta.ndim == 1  # one of several members that fails has a loss of NaN, and is advanced alone
        return run(field, batch.states[..., 0, :], batch.times, (theta, batch.parameters), throw=throw, **how)

    def objective(settings: Settings, scaling: Scaling | None = None) -> Callable[[Array, Any], tuple[Array, Any]]:
        def loss(theta: Array, batch: Series) -> tuple[Array, Stats | Evaluation]:
            members = theta.ndim - 1
            if scaling is None:
                solution = solved(settings, theta, batch)
                return losses.mse(solution.ys, batch.states, members), solution.stats
            scaled = standardized(batch, scaling)
            solution = solved(settings, theta, scaled)
            unscaled = stop_gradient(solution.ys) * scaling.sd + scaling.mean
            own = losses.mse(unscaled, batch.states, members)
            return losses.mse(solution.ys, scaled.states, members), Evaluation(solution.stats, own)

        return loss

    def predict(settings: Settings, scaling: Scaling | None = None) -> Callable[[Array, Any], Array]:
        def solution(theta: Array, batch: Series) -> Array:
            if scaling is None:
                return solved(settings, theta, batch).ys
            return solved(settings, theta, standardized(batch, scaling)).ys * scaling.sd + scaling.mean

        return solution

    given = {name: value for name, value in recipe._asdict().items() if value is not None}
    recipe = recipe._replace(**_SERIES_DEFAULTS | {name: given[name] for name in _SERIES_DEFAULTS if name in given})
    return Problem(
        recipe.problem,
        summary,
        recipe,
        examples,
        init_of(sizes),
        objective,
        options=(*SOLVER, *SERIES),
        stacked=True,
        model={
            "kind": "neural-ode",
            "sizes": list(sizes),
            "activation": activation,
            "loss": "mse",
            "states": list(states),
            "parameters": list(parameters),
        },
        scaling=scaling_of,
        intervals=lambda series: series.times.shape[-1] - 1,
        windows=_windows,
        predict=predict,
    )


def standardized(series: Series, scaling: Scaling) -> Series:
    """Return series whose states and parameters are in the units of the scaling."""
    return series._replace(
        parameters=(series.parameters - scaling.parameters_mean) / scaling.parameters_sd,
        states=(series.states - scaling.mean) / scaling.sd,
    )
