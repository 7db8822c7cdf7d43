"""Settings: everything that determines a training run, as plain numbers and strings."""

import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from mcgc._integers import whole
from mcgc.arrays import DTYPES
from mcgc.continuation import ESTIMATORS, MIXTURES, SCHEDULES
from mcgc.continuation.estimators import FEWEST
from mcgc.errors import InputError, similar
from mcgc.nets import ACTIVATIONS, SCHEMES
from mcgc.ode import ADJOINTS, TABLEAUX
from mcgc.optim import OPTIMIZERS
from mcgc.train._windows import parse_horizons

RATE_SCHEDULES = ("constant", "cosine", "exponential")
LOSSES = ("softmax-cross-entropy", "cross-entropy", "mse", "mae", "huber")
SPLITS = ("random", "group", "time")


class Settings(NamedTuple):
    """The options of a run. The recipe of a problem is one of these, and `validate` says what each may be.

    Parameters
    ----------
    problem : str
        The name of the problem (`mcgc.train.problems`).
    beta : float
        The weight β of the term that draws λ towards zero, in units of 1/λ₀. The β of eq. 12 is β/λ₀.
    log_lam0 : float
        φ₀, the logarithm of λ at the start. √λ₀ is the standard deviation of the noise on each parameter.
    learning_rate, learning_rate_lam : float
        Those of θ and of φ.
    epochs, batch_size : int
        How long to train, and the number of examples of a step.
    continuation : bool
        Whether to smooth the objective. Without, θ descends on the objective itself.
    schedule : str
        "learned", or how λ falls: a name of `mcgc.continuation.SCHEDULES`. Then `beta` and `learning_rate_lam` have no
        effect.
    gamma : float, optional
        The γ of a schedule that is not learned.
    estimator : str
        The estimator of the gradients, a name of `mcgc.continuation.ESTIMATORS`, or "mixture".
    num_samples : int
        The draws of a step.
    warmup_epochs : int
        Epochs at the start in which φ stays where it is.
    members : int
        How many models are trained, each from a start of its own.
    seed : int
        The seed of everything random, from 0 to 2**64 - 1.
    dtype : str
        "float32" or "float64".
    on_divergence : str
        What happens when a loss is not finite or a solution fails. "skip-step" leaves the step out, and goes back to
        the best state when too many fail in a row. "restore" goes back at once. "stop" ends the run.
    optimizer : str
        The optimiser of θ, a name of `mcgc.optim.OPTIMIZERS`.
    weight_decay : float, optional
        w: a step of learning rate a multiplies θ by 1 − a w, with any optimiser. None leaves it to the optimiser.
    clip : float, optional
        The largest norm of the gradient that the optimiser is given.
    rate_schedule : str
        The path of the learning rate of θ: "constant", "cosine" or "exponential".
    learning_rate_end : float, optional
        The learning rate of θ at the last step. By default a hundredth of the first.
    validation : float
        The fraction of the training examples that is set apart to choose the best epoch by.
    patience : int, optional
        The run ends when no member has had a new best epoch in so many epochs. With horizons, those of the last one
        count. By default all epochs are done.
    bootstrap : bool
        Whether each member trains on examples of its own, as many as there are, drawn with replacement.
    loss : str, optional
        The loss of a classifier or a regressor, or of the dynamics of a table.
    solver, adjoint : str, optional
        Of differential equations: names of `mcgc.ode.TABLEAUX` and `mcgc.ode.ADJOINTS`.
    rtol, atol : float, optional
        The tolerances of the solver.
    step_size : float, optional
        The size of all steps of the solver, in units of time, in place of tolerances.
    horizons : str, optional
        Lengths of windows of time series (`mcgc.train.parse_horizons`). By default every epoch trains on whole series.
    restart_lam : bool, optional
        Whether φ goes back to φ₀ at each new length of windows.
    standardize : bool, optional
        Whether the net sees states and parameters less their mean, divided by their standard deviation.
    hidden : str, optional
        The widths of the hidden layers of the net, such as "32,32" or "50x19" (`mcgc.train.parse_hidden`).
    activation : str, optional
        The activation, a name of `mcgc.nets.ACTIVATIONS`.
    init : str, optional
        How θ is drawn, a name of `mcgc.nets.SCHEMES`.
    skip : bool, optional
        Whether hidden layers that keep the width add their input to their output.
    split : str, optional
        What the test and validation sets of a table are: rows at "random", whole groups ("group"), or what comes last
        ("time").
    test : float, optional
        The fraction of a table that is the test set.
    rotate : bool, optional
        Whether each member has a validation set of its own, so that what one is validated by trains the others. Not
        with a split in time.

    Notes
    -----
    From `loss` on, a setting belongs to some problems only (`OF_SOME`). It is None elsewhere.
    """

    problem: str
    beta: float
    log_lam0: float
    learning_rate: float
    learning_rate_lam: float
    epochs: int
    batch_size: int
    continuation: bool = True
    schedule: str = "learned"
    gamma: float | None = None
    estimator: str = "score"
    num_samples: int = 1
    warmup_epochs: int = 0
    members: int = 1
    seed: int = 0
    dtype: str = "float32"
    on_divergence: str = "skip-step"
    optimizer: str = "adam"
    weight_decay: float | None = None
    clip: float | None = None
    rate_schedule: str = "constant"
    learning_rate_end: float | None = None
    validation: float = 0.0
    patience: int | None = None
    bootstrap: bool = False
    loss: str | None = None
    solver: str | None = None
    adjoint: str | None = None
    rtol: float | None = None
    atol: float | None = None
    step_size: float | None = None
    horizons: str | None = None
    restart_lam: bool | None = None
    standardize: bool | None = None
    hidden: str | None = None
    activation: str | None = None
    init: str | None = None
    skip: bool | None = None
    split: str | None = None
    test: float | None = None
    rotate: bool | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Settings":
        """Return the settings that `values` hold, such as those of a run file; fields that it lacks have defaults.

        Raises `InputError` if there is no problem, or a field is unknown.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise InputError(f"the settings are not those of a run ({error}): copy the run file again") from None


class CheckedSettings(Settings):
    """Settings that `validate` returned, which `bind` takes as they are. A replaced field makes plain `Settings`."""

    __slots__ = ()

    def _replace(self, **changes: Any) -> Settings:  # type: ignore[override]
        """Return settings with these fields changed, which have to be checked."""
        return Settings(*self)._replace(**changes)


SOLVER = ("solver", "adjoint", "rtol", "atol", "step_size")
SERIES = ("horizons", "restart_lam", "standardize")
NET = ("hidden", "activation", "init", "skip")
PARTS = ("split", "test", "rotate")
OF_SOME = ("loss", *SOLVER, *SERIES, *NET, *PARTS)  # the settings that a problem has only if its `options` name them

CHOICES: Mapping[str, Collection[str]] = {
    "schedule": ("learned", *SCHEDULES),
    "estimator": (*ESTIMATORS, *MIXTURES),
    "dtype": DTYPES,
    "on_divergence": ("skip-step", "restore", "stop"),
    "optimizer": tuple(OPTIMIZERS),
    "rate_schedule": RATE_SCHEDULES,
    "loss": LOSSES,
    "solver": TABLEAUX,
    "adjoint": ADJOINTS,
    "activation": tuple(ACTIVATIONS),
    "init": SCHEMES,
    "split": SPLITS,
}
_AT_LEAST = {"num_samples": 1, "epochs": 1, "warmup_epochs": 0, "batch_size": 1, "members": 1}
_POSITIVE = ("learning_rate", "learning_rate_lam", "rtol", "atol")


def validate(settings: Settings, options: Collection[str] = ()) -> CheckedSettings:
    """Return `settings`, with NumPy's integers as Python's, if every field is in its range.

    Parameters
    ----------
    settings : Settings
        The settings to check.
    options : collection of str
        The settings of `OF_SOME` that the problem has. The others must be None.

    Returns
    -------
    CheckedSettings
        The settings. `mcgc.train.bind` takes them as they are.

    Raises
    ------
    InputError
        For the first field that is not in its range: one sentence with the field, its value and what is allowed.

    Examples
    --------
    >>> from mcgc import train
    >>> problem = train.problems.get("mnist")
    >>> train.validate(problem.recipe._replace(epochs=3), problem.options).epochs
    3
    >>> train.validate(problem.recipe._replace(epochs=0), problem.options)
    Traceback (most recent call last):
        ...
    mcgc.errors.InputError: epochs must be a whole number of at least 1, got 0
    """
    absent = [name for name in OF_SOME if name not in options]
    for name in absent:
        if getattr(settings, name) is not None:
            raise InputError(f"{name} does not apply to the problem {settings.problem!r}: leave it out")

    def require(name: str, holds: bool, allowed: str, known: Collection[str] = ()) -> None:
        value = getattr(settings, name)
        if name not in absent and not holds:
            raise InputError(f"{name} must be {allowed}, got {value!r}{similar(value, known)}")

    for name, names in CHOICES.items():
        require(name, getattr(settings, name) in names, f"one of {', '.join(names)}", names)
    counts: dict[str, Any] = {name: whole(getattr(settings, name), name, lowest) for name, lowest in _AT_LEAST.items()}
    for name in _POSITIVE:
        value = getattr(settings, name)
        require(name, value is not None and 0 < value < math.inf, "a positive number")
    fewest = FEWEST if settings.estimator in MIXTURES else 1
    require("num_samples", settings.num_samples >= fewest, f"{FEWEST} or more for the estimator 'mixture'")
    learned, gamma = settings.schedule == "learned", settings.gamma
    require(
        "gamma",
        (gamma is None) == learned,
        f"{'left out' if learned else 'given'} where the schedule is {settings.schedule}",
    )
    if gamma is not None:
        SCHEDULES[settings.schedule](gamma)
    end = settings.learning_rate_end
    constant = settings.rate_schedule == "constant"
    require("learning_rate_end", end is None or not constant, "left out where the rate_schedule is constant")
    require(
        "learning_rate_end",
        end is None or 0 < end <= settings.learning_rate,
        "a positive number, no larger than the rate at the start",
    )
    decay = settings.weight_decay
    require("weight_decay", decay is None or 0 < decay < math.inf, "a positive number")
    require("clip", settings.clip is None or 0 < settings.clip < math.inf, "a positive number")
    require("validation", 0 <= settings.validation <= 0.9, "a fraction from 0 to 0.9")
    if settings.patience is not None:
        counts["patience"] = whole(settings.patience, "patience")
    test = settings.test
    require("test", test is None or 0 <= test <= 0.9, "a fraction from 0 to 0.9")
    if settings.hidden is not None:
        parse_hidden(settings.hidden)
    if settings.horizons is not None:
        parse_horizons(settings.horizons)
    require("beta", 0 <= settings.beta < math.inf, "a number of at least 0")
    require("log_lam0", -60 <= settings.log_lam0 <= 60, "a number from -60 to 60")
    seed = whole(settings.seed, "seed", 0, bits=64)
    step_size = settings.step_size
    require("step_size", step_size is None or 0 < step_size < math.inf, "a positive number")
    if settings.solver is not None and step_size is None and not TABLEAUX[settings.solver].error:
        raise InputError(f"the solver {settings.solver!r} cannot choose its steps: give it a step_size")
    return CheckedSettings(*settings._replace(seed=seed, **counts))


def parse_hidden(text: str) -> tuple[int, ...]:
    """Return the widths of hidden layers that a text such as "32,32" or "50x19" says.

    Parameters
    ----------
    text : str
        Entries separated by commas: a width, or a width and a number of layers with an x between. "" has none.

    Returns
    -------
    tuple of int
        The widths, from the input to the output.

    Raises
    ------
    InputError
        If an entry is not of that form.

    Examples
    --------
    >>> from mcgc.train import parse_hidden
    >>> parse_hidden("32,16x3")
    (32, 16, 16, 16)
    """
    widths: list[int] = []
    for entry in text.split(",") if text.strip() else []:
        width, times, count = (part.strip() for part in entry.partition("x"))
        numbers = (width, count) if times else (width, "1")
        if not all(number.isdecimal() and 0 < int(number) < 10**5 for number in numbers):
            raise InputError(
                f"hidden has the entry {entry.strip()!r}: give a width such as 32, or a width and a number of layers "
                "such as 50x19"
            )
        widths += [int(width)] * int(numbers[1])
    return tuple(widths)
