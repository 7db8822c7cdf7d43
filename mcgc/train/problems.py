"""Problems by name: a model, a loss, the recipe of the paper to train it with, and others by name.

A problem of your own needs no registration: make a `Problem`, and hand it to `training.fit` with its settings.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from types import MappingProxyType
from typing import Any, NamedTuple

from mcgc import losses, nets
from mcgc.arrays import Array, Device, namespace_of, to_device
from mcgc.autodiff import ops, stop_gradient
from mcgc.errors import InputError, similar, unknown
from mcgc.ode import DenseField, Solution, Stats, solve, solve_members
from mcgc.random import Key
from mcgc.train._windows import rows_of, taken
from mcgc.train.settings import SERIES, SOLVER, Settings


class Evaluation(NamedTuple):
    """What an objective tells beside its value: the `Stats` of the solver, and the loss in the units of the data."""

    stats: Stats | None
    loss: Array


class Problem(NamedTuple):
    """What a run of `fit` needs to know of a problem.

    `examples(data, dtype, device)` places a dataset on a device as a pytree of arrays, one row an example.
    `init(key, dtype, device)` draws θ. `objective(settings)` returns the loss, (θ, examples) → (mean over the examples,
    `Stats` of the solver or None). Where that loss is not in the units of the data, an `Evaluation` takes the place of
    the `Stats`, and its loss is the one that is reported. `options` names the settings of `settings.OF_SOME` that the
    problem has. Minibatches are consecutive rows, or with `shuffled` drawn anew each epoch. `accuracy`, (θ, examples) →
    fraction right, and `confusion`, (θ, examples) → `losses.confusion`, are None where there is no such number. With
    `stacked`, objective and accuracy take the members of an ensemble too, and give the numbers of each, (members,), and
    `Stats` with the members in front: θ has shape (members, m), and all examples have that axis in front, or none.

    Problems of series have four functions more. `scaling(train)` is what the training examples are standardised by,
    where the setting `standardize` asks for it; then `objective(settings, scaling)` is called. `intervals(examples)` is
    the number of observed intervals of a series. `windows(examples, indices, length)` takes the windows of so many
    intervals at `indices`, (rows,) or (members, rows), out of all (`mcgc.train._windows`). `predict(settings, scaling)`
    returns (θ, examples) → the states of the series in the units of the data, (examples, times, states).

    `load(path)` reads the data for the command, from the file of `--dataset`, or without one if `path` is None.

    `sizes` are those of the dense net that it is, if it is one: `mcgc.train._memory` computes a step's memory from
    them. `recipe` is the paper's, and `others` map the names of other recipes to the settings in which they differ from
    it; `default` is the name of the one that the command takes if it is not told. A problem of your own::

        problem = Problem("mine", "what it is", Settings("mine", ...), examples, init, objective)
        for record, theta in training.fit(problem.recipe, data, HOST, problem): ...
    """

    name: str
    summary: str
    recipe: Settings
    examples: Callable[[Any, str, Device], Any]
    init: Callable[[Key, str, Device], Array]
    objective: Callable[..., Callable[[Array, Any], tuple[Array, Any]]]
    options: tuple[str, ...] = ()
    shuffled: bool = False
    accuracy: Callable[[Array, Any], Array] | None = None
    stacked: bool = False
    confusion: Callable[[Array, Any], Array] | None = None
    sizes: tuple[int, ...] = ()
    others: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    default: str = "paper"
    scaling: Callable[[Any], Any] | None = None
    intervals: Callable[[Any], int] | None = None
    windows: Callable[[Any, Array, int], Any] | None = None
    predict: Callable[..., Callable[[Array, Any], Array]] | None = None
    load: Callable[[str | None], Any] | None = None

    def recipes(self) -> dict[str, Settings]:
        """Return all recipes by their names, the paper's first."""
        return {"paper": self.recipe} | {name: self.recipe._replace(**changes) for name, changes in self.others.items()}

    def recipe_of(self, name: str | None = None) -> Settings:
        """Return the recipe called `name`, or the default. Raises `InputError`, with the list, if there is none."""
        recipes, name = self.recipes(), name or self.default
        if name not in recipes:
            listed = f"choose one of {', '.join(recipes)}{similar(name, recipes)}"
            raise InputError(f"unknown recipe {name!r} of {self.name}: {listed}")
        return recipes[name]


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
    """Return the scaling of `series`, over all series and times; computed in float64, in the dtype of the states."""
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
    return Series(taken(flat(series.times), rows), taken(series.parameters, which), taken(flat(series.states), rows))


def neural_ode(recipe: Settings, sizes: Sequence[int], activation: str = "relu", summary: str = "") -> Problem:
    """Return the problem of learning the field of time series: dy/dt = net(y, parameters), from the first state on.

    The loss is the mean squared error over the series, at all of its times. `sizes` are those of a dense net: it takes
    the states and the parameters of a series, and gives as many numbers as there are states. The problem has the name
    `recipe.problem`. What `recipe` leaves out of the solver's settings is dopri5 with rtol 1e-7 and atol 1e-9.

    Data have `times` (T,), `parameters` (S, P) and `series` (S, T, D), as `mcgc_datasets.SeriesData` does.
    """
    sizes = tuple(sizes)

    def examples(data: Any, dtype: str, device: Device) -> Series:
        times = to_device(data.times, device, "float64")
        return Series(
            ops.broadcast_to(times, (data.series.shape[0], *times.shape)),
            to_device(data.parameters, device, dtype),
            to_device(data.series, device, dtype),
        )

    def init(key: Key, dtype: str, device: Device) -> Array:
        return nets.init(key, sizes, dtype, device)

    field: Any = DenseField(sizes, activation)

    def solved(settings: Settings, theta: Array, batch: Series) -> Solution:
        run = solve_members if theta.ndim > 1 else solve
        how = {name: getattr(settings, name) for name in SOLVER}
        return run(field, batch.states[..., 0, :], batch.times, (theta, batch.parameters), **how)

    def objective(settings: Settings, scaling: Scaling | None = None) -> Callable:
        def loss(theta: Array, batch: Series) -> tuple[Array, Stats | Evaluation]:
            members = theta.ndim - 1
            if scaling is None:
                solution = solved(settings, theta, batch)
                return losses.mse(solution.ys, batch.states, members), solution.stats
            scaled = _standardized(batch, scaling)
            solution = solved(settings, theta, scaled)
            states = stop_gradient(solution.ys) * scaling.sd + scaling.mean
            own = losses.mse(states, batch.states, members)
            return losses.mse(solution.ys, scaled.states, members), Evaluation(solution.stats, own)

        return loss

    def predict(settings: Settings, scaling: Scaling | None = None) -> Callable:
        def states(theta: Array, batch: Series) -> Array:
            if scaling is None:
                return solved(settings, theta, batch).ys
            return solved(settings, theta, _standardized(batch, scaling)).ys * scaling.sd + scaling.mean

        return states

    given = {name: value for name, value in recipe._asdict().items() if value is not None}
    recipe = recipe._replace(**_SERIES_DEFAULTS | {name: given[name] for name in _SERIES_DEFAULTS if name in given})
    return Problem(
        recipe.problem,
        summary,
        recipe,
        examples,
        init,
        objective,
        options=(*SOLVER, *SERIES),
        stacked=True,
        sizes=sizes,
        scaling=scaling_of,
        intervals=lambda series: series.times.shape[-1] - 1,
        windows=_windows,
        predict=predict,
    )


def _standardized(series: Series, scaling: Scaling) -> Series:
    return series._replace(
        parameters=(series.parameters - scaling.parameters_mean) / scaling.parameters_sd,
        states=(series.states - scaling.mean) / scaling.sd,
    )


class Images(NamedTuple):
    """Labelled images as examples: `pixels` (batch, pixels) from 0 to 255, and `labels` (batch,), both uint8."""

    pixels: Array
    labels: Array


def classifier(recipe: Settings, sizes: Sequence[int], activation: str = "relu", summary: str = "") -> Problem:
    """Return the problem of naming what images show: logits = net(pixels / 255).

    `sizes` are those of a dense net, from the pixels to the classes. The problem has the name `recipe.problem`. Data
    have `images` (S, height, width), uint8, and `labels` (S,), whole numbers below the number of classes.

    Images stay bytes on the device, and only those of a batch become numbers. The loss "cross-entropy" is that of
    the logits; "softmax-cross-entropy" takes the softmax of the logits as if it were the logits, as the paper does.
    """
    sizes = tuple(sizes)

    def examples(data: Any, dtype: str, device: Device) -> Images:
        count = data.images.shape[0]
        return Images(to_device(data.images.reshape(count, -1), device), to_device(data.labels, device))

    def init(key: Key, dtype: str, device: Device) -> Array:
        return nets.init(key, sizes, dtype, device)

    def logits(theta: Array, pixels: Array) -> Array:
        x = namespace_of(pixels).astype(pixels, theta.dtype)
        x /= 255
        return nets.apply(theta, x, sizes, activation)

    def objective(settings: Settings) -> Callable:
        cost = {"cross-entropy": losses.cross_entropy, "softmax-cross-entropy": losses.cross_entropy_of_softmax}
        loss = cost[str(settings.loss)]
        return lambda theta, batch: (loss(logits(theta, batch.pixels), batch.labels, theta.ndim - 1), None)

    def accuracy(theta: Array, batch: Images) -> Array:
        return losses.accuracy(logits(theta, batch.pixels), batch.labels, theta.ndim - 1)

    def confusion(theta: Array, batch: Images) -> Array:
        return losses.confusion(logits(theta, batch.pixels), batch.labels)

    return Problem(
        recipe.problem,
        summary,
        recipe,
        examples,
        init,
        objective,
        options=("loss",),
        shuffled=True,
        accuracy=accuracy,
        stacked=True,
        confusion=confusion,
        sizes=sizes,
    )


_MNIST = classifier(
    Settings(
        "mnist",
        beta=1e-3,
        log_lam0=-13.0,
        learning_rate=1e-4,
        learning_rate_lam=1e-2,
        epochs=200,
        batch_size=250,
        loss="softmax-cross-entropy",
    ),
    sizes=(784, *(50,) * 29, 10),
    summary="handwritten digits named by a plain net of 30 layers (figure 5)",
)._replace(
    others={  # log λ of an estimator falls as fast as in the paper's recipe, and all take equally many gradients
        "best": {"loss": "cross-entropy"},
        "score-baseline": {"estimator": "score-baseline", "learning_rate_lam": 1e-3},
        "pathwise": {"estimator": "pathwise", "learning_rate_lam": 3e-4},
        "antithetic-score": {"estimator": "antithetic-score", "learning_rate_lam": 1e-3, "epochs": 100},
        "antithetic": {"estimator": "antithetic", "learning_rate_lam": 1e-3, "epochs": 100},
    },
)

_GROWN = {  # horizons that grow, on standardised series: what the best recipes of series have in common
    "estimator": "pathwise",
    "log_lam0": -14.0,
    "learning_rate_lam": 0.01,
    "beta": 0.01,
    "warmup_epochs": 0,
    "standardize": True,
    "rtol": 1e-5,
    "atol": 1e-6,
    "optimizer": "adamw",
    "weight_decay": 0.1,
    "learning_rate": 1e-3,
    "rate_schedule": "cosine",
    "learning_rate_end": 1e-4,
}

_LOTKA_VOLTERRA = neural_ode(
    Settings(
        "lotka-volterra",
        beta=1e-1,
        log_lam0=-10.0,
        learning_rate=1e-3,
        learning_rate_lam=3e-1,
        epochs=400,
        warmup_epochs=20,
        batch_size=4,
    ),
    sizes=(4, *(50,) * 4, 2),
    summary="neural ODE of predators and prey, a plain net of 5 layers (figure 6)",
)._replace(others={"best": _GROWN | {"horizons": "1:40,2:20,4:14,8:10,16:8,all:8"}}, default="best")

_LORENZ = neural_ode(
    Settings(
        "lorenz",
        beta=1e-2,
        log_lam0=-10.0,
        learning_rate=3e-3,
        learning_rate_lam=3e-1,
        epochs=200,
        warmup_epochs=10,
        batch_size=4,
    ),
    sizes=(5, *(50,) * 19, 3),
    summary="neural ODE of the chaotic Lorenz system, a plain net of 20 layers (figure 7)",
)._replace(
    others={  # the rate of an estimator is the best of those tried, and all take equally many gradients
        "best": _GROWN | {"epochs": 1150, "horizons": "1:50,2:25,4:12,8:8,all:5"},
        "low-rate": {"learning_rate": 1e-3},
        "score-baseline": {"estimator": "score-baseline", "learning_rate_lam": 0.1},
        "pathwise": {"estimator": "pathwise", "learning_rate_lam": 0.1},
        "antithetic-score": {
            "estimator": "antithetic-score",
            "learning_rate_lam": 0.1,
            "epochs": 100,
            "warmup_epochs": 5,
        },
        "antithetic": {"estimator": "antithetic", "learning_rate_lam": 1e-3, "epochs": 100, "warmup_epochs": 5},
    },
    default="best",
)

_PROBLEMS = {problem.name: problem for problem in (_MNIST, _LOTKA_VOLTERRA, _LORENZ)}


def names() -> tuple[str, ...]:
    """Return the names of the problems that come with mcgc."""
    return tuple(_PROBLEMS)


def get(name: str) -> Problem:
    """Return the problem called `name`.

    That is one that comes with mcgc, one that an installed package offers as an entry point of the group
    "mcgc.problems", or "FILE.py:NAME", the problem called NAME in a Python file, which is run.

    Raises `InputError`, one sentence, if there is none, or it is no `Problem`.
    """
    if name in _PROBLEMS:
        return _PROBLEMS[name]
    path, colon, attribute = name.rpartition(":")
    if colon and path.endswith(".py"):
        return _from_file(os.path.abspath(path), attribute)
    offered = {point.name: point for point in entry_points(group="mcgc.problems")}
    if name not in offered:
        raise InputError(unknown("problem", name, [*_PROBLEMS, *offered]))
    try:
        return _checked(offered[name].load(), f"the entry point {name!r}")
    except (ImportError, AttributeError) as error:
        raise InputError(f"the problem {name!r} cannot be imported ({error}): mend its package") from error


@cache
def _from_file(path: str, attribute: str) -> Problem:
    spec = spec_from_file_location(os.path.splitext(os.path.basename(path))[0], path)
    if spec is None or spec.loader is None or not os.path.isfile(path):
        raise InputError(f"problem file {path!r} does not exist: check the path")
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"problem file {path!r} cannot be run ({type(error).__name__}: {error}): mend it") from error
    if not hasattr(module, attribute):
        known = [key for key, value in vars(module).items() if isinstance(value, Problem)]
        raise InputError(f"{path!r}: {unknown('problem', attribute, known)}")
    return _checked(getattr(module, attribute), f"{attribute!r} of {path!r}")


def _checked(found: Any, what: str) -> Problem:
    if not isinstance(found, Problem):
        raise InputError(f"{what} is a {type(found).__name__}, not a mcgc.train.Problem: make it one")
    return found
