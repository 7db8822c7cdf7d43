"""Problems by name: a model, a loss, and the recipe of the paper to train it with."""

from collections.abc import Callable
from typing import Any, NamedTuple

from mcgc import losses, nets
from mcgc.arrays import Array, Device, to_device
from mcgc.autodiff import ops
from mcgc.errors import InputError
from mcgc.fields import DenseField
from mcgc.ode import Stats, solve
from mcgc.random import Key
from mcgc.settings import Settings


class Problem(NamedTuple):
    """What a run of `fit` needs to know of a problem.

    `examples(data, dtype, device)` places a dataset on a device as a pytree of arrays, one row an example;
    `init(key, dtype, device)` draws θ; `objective(settings)` returns the loss, (θ, examples) → (loss, Stats).
    """

    name: str
    summary: str
    recipe: Settings
    num_states: int
    num_parameters: int
    examples: Callable[[Any, str, Device], Any]
    init: Callable[[Key, str, Device], Array]
    objective: Callable[[Settings], Callable[[Array, Any], tuple[Array, Stats]]]


class Series(NamedTuple):
    """Time series as examples: `times` (batch, T) float64, `parameters` (batch, P), `states` (batch, T, D)."""

    times: Array
    parameters: Array
    states: Array


def _neural_ode(name: str, summary: str, sizes: tuple[int, ...], num_states: int, recipe: dict) -> Problem:
    """Return the problem of learning the field of time series: dy/dt = net(y, parameters), from the first state on.

    The loss is the mean squared error over the whole series, at all of its times.
    """

    def examples(data: Any, dtype: str, device: Device) -> Series:
        times = to_device(data.times, device, "float64")
        return Series(
            ops.broadcast_to(times, (data.series.shape[0], *times.shape)),
            to_device(data.parameters, device, dtype),
            to_device(data.series, device, dtype),
        )

    def init(key: Key, dtype: str, device: Device) -> Array:
        return nets.init(key, sizes, dtype, device)

    def objective(settings: Settings) -> Callable:
        def loss(theta: Array, batch: Series) -> tuple[Array, Stats]:
            solution = solve(
                DenseField(sizes, "relu"),
                batch.states[:, 0, :],
                batch.times,
                (theta, batch.parameters),
                solver=settings.solver,
                rtol=settings.rtol,
                atol=settings.atol,
                step_size=settings.step_size,
                adjoint=settings.adjoint,
            )
            return losses.mse(solution.ys, batch.states), solution.stats

        return loss

    settings = Settings(problem=name, **recipe)
    return Problem(name, summary, settings, num_states, sizes[0] - num_states, examples, init, objective)


_LORENZ = _neural_ode(
    "lorenz",
    "neural ODE of the chaotic Lorenz system, a plain net of 20 layers (figure 7)",
    sizes=(5, *(50,) * 19, 3),
    num_states=3,
    recipe={
        "continuation": True,
        "estimator": "score",
        "num_samples": 1,
        "beta": 1e-2,
        "log_lam0": -10.0,
        "learning_rate": 3e-3,
        "learning_rate_lam": 3e-1,
        "epochs": 200,
        "warmup_epochs": 10,
        "batch_size": 4,
        "members": 1,
        "seed": 0,
        "dtype": "float32",
        "solver": "dopri5",
        "adjoint": "checkpointed",
        "rtol": 1e-7,
        "atol": 1e-9,
    },
)

_PROBLEMS = {problem.name: problem for problem in (_LORENZ,)}


def names() -> tuple[str, ...]:
    """Return the names of all problems."""
    return tuple(_PROBLEMS)


def get(name: str) -> Problem:
    """Return the problem called `name`. Raises `InputError`, with the list of names, if there is none."""
    if name not in _PROBLEMS:
        raise InputError(f"unknown problem {name!r}: choose one of {', '.join(_PROBLEMS)}")
    return _PROBLEMS[name]
