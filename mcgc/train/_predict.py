"""Predictions of series from a run file, in the units of its data."""

from typing import Any

from mcgc.arrays import HOST, Array, as_floats, to_device
from mcgc.autodiff import ops
from mcgc.errors import InputError
from mcgc.train import problems
from mcgc.train.problems import Scaling, Series
from mcgc.train.run_file import RunFile
from mcgc.train.settings import Settings


def predict(run: RunFile, starts: Any, times: Any, parameters: Any) -> Array:
    """Return what the best state of each member of a run predicts.

    All arrays are in the units of the data that the run was trained on.

    Parameters
    ----------
    run : RunFile
        A run of a problem of series, as `mcgc.train.run_file.load` reads it.
    starts : array of shape (series, states)
        The state of each series at the first time.
    times : array of shape (times,) or (series, times)
        Where the states are wanted, in order.
    parameters : array of shape (series, parameters)
        The constants of each series.

    Returns
    -------
    array of shape (members, series, times, states)
        The states, in the dtype of the run.

    Raises
    ------
    InputError
        If the problem has no series, or the shapes do not fit.
    SolveError
        If a solution fails.

    Examples
    --------
    >>> from mcgc_datasets import load
    >>> from mcgc import train
    >>> recipe, data = train.problems.get("lotka-volterra").recipe._replace(epochs=1), load("lotka-volterra")
    >>> with train.Run.create("mine.h5", train.bind(recipe, data)) as run:
    ...     records = list(run.epochs())
    >>> found = train.run_file.load("mine.h5")
    >>> train.predict(found, data.series[:3, 0], data.times[:5], data.parameters[:3]).shape
    (1, 3, 5, 2)
    """
    settings = Settings(**{name: run.settings[name] for name in Settings._fields if name in run.settings})
    model = run.model
    if model.get("kind") == "neural-ode":  # the file alone suffices, whatever became of the problem's own
        problem = problems.neural_ode(settings, model["sizes"], model["activation"])
    else:
        problem = problems.get(settings.problem)
    if problem.predict is None:
        raise InputError(f"{problem.name} has no series to predict: give a run of a problem of series")
    begun, constants = (as_floats(x, name) for x, name in ((starts, "starts"), (parameters, "parameters")))
    shapes = (run_states := problem.sizes[-1]), problem.sizes[0] - run_states
    if begun.ndim != 2 or constants.ndim != 2 or (begun.shape[1], constants.shape[1]) != shapes:
        raise InputError(
            f"{problem.name} predicts from starts (series, {shapes[0]}) and parameters (series, {shapes[1]}), "
            f"but they have the shapes {begun.shape} and {constants.shape}"
        )
    at, count = as_floats(times, "times"), begun.shape[0]
    if constants.shape[0] != count or at.ndim not in (1, 2) or (at.ndim == 2 and at.shape[0] != count):
        raise InputError(
            f"starts and parameters have a row for each series, and times the shape (times,) or (series, times), but "
            f"they have the shapes {begun.shape}, {constants.shape} and {at.shape}"
        )
    on_host = lambda x: to_device(x, HOST, settings.dtype)
    series = Series(
        ops.broadcast_to(to_device(at, HOST, "float64"), (begun.shape[0], at.shape[-1])),
        on_host(constants),
        on_host(begun)[:, None, :],
    )
    scaling = Scaling(**{name: on_host(values) for name, values in run.scaling.items()}) if run.scaling else None
    states = problem.predict(settings, scaling)
    return ops.stack([states(theta, series) for theta in run.theta])
