"""Settings: everything that determines a training run, as plain numbers and strings."""

import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from mcgc._integers import whole
from mcgc.arrays import DTYPES
from mcgc.continuation import ESTIMATORS, SCHEDULES
from mcgc.errors import InputError, similar
from mcgc.ode import ADJOINTS, TABLEAUX
from mcgc.optim import OPTIMIZERS
from mcgc.train._windows import parse_horizons

RATE_SCHEDULES = ("constant", "cosine", "exponential")
LOSSES = ("softmax-cross-entropy", "cross-entropy", "mse", "mae", "huber")


class Settings(NamedTuple):
    """The options of a run; a problem's recipe is one of these, and `validate` says what each may be.

    `beta` is the weight β of the pull on φ, in units of 1/λ₀; `log_lam0` is φ₀; `learning_rate` and
    `learning_rate_lam` are those of θ and φ. With a `schedule` that does not learn λ, `gamma` is its γ
    (`mcgc.continuation.annealing`), and `beta` and `learning_rate_lam` count for nothing.

    `optimizer` is that of θ, one of `mcgc.optim.OPTIMIZERS`. `weight_decay` w shrinks θ by the fraction a w at a step
    of the rate a, with any optimiser (`mcgc.optim.decay_weights`); None leaves it to the optimiser. `clip` is the
    largest norm of the gradient that the optimiser is given, None for any. `rate_schedule` takes the learning rate of θ
    from `learning_rate` at the first step to `learning_rate_end`, by default a hundredth of it, at the last one.
    `validation` is the fraction of the training examples that are set apart to choose the best epoch by.

    `on_divergence` says what a member does whose loss is not finite or whose solution fails: leave the step out, and go
    back to its best state where too many fail in a row; go back at once; or stop the run. `loss` and what follows it
    belong to some problems only and are None elsewhere; `step_size`, in units of time, replaces `rtol` and `atol` where
    it is not None. `horizons` are lengths of windows (`mcgc.train.parse_horizons`), None for whole series in every
    epoch; with `restart_lam` φ goes back to φ₀ at each new length. With `standardize` the net sees states and inputs
    less their mean, divided by their standard deviation.
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
    loss: str | None = None
    solver: str | None = None
    adjoint: str | None = None
    rtol: float | None = None
    atol: float | None = None
    step_size: float | None = None
    horizons: str | None = None
    restart_lam: bool | None = None
    standardize: bool | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Settings":
        """Return the settings that `values` hold, such as those of a run file; fields that it lacks have defaults.

        Raises `InputError` if there is no problem, or a field is unknown.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise InputError(f"the settings are not those of a run ({error}): copy the run file again") from None


SOLVER = ("solver", "adjoint", "rtol", "atol", "step_size")
SERIES = ("horizons", "restart_lam", "standardize")
OF_SOME = ("loss", *SOLVER, *SERIES)  # the settings that a problem has only if its `options` name them

CHOICES: Mapping[str, Collection[str]] = {
    "schedule": ("learned", *SCHEDULES),
    "estimator": ESTIMATORS,
    "dtype": DTYPES,
    "on_divergence": ("skip-step", "restore", "stop"),
    "optimizer": tuple(OPTIMIZERS),
    "rate_schedule": RATE_SCHEDULES,
    "loss": LOSSES,
    "solver": TABLEAUX,
    "adjoint": ADJOINTS,
}
_AT_LEAST = {"num_samples": 1, "epochs": 1, "warmup_epochs": 0, "batch_size": 1, "members": 1}
_POSITIVE = ("learning_rate", "learning_rate_lam", "rtol", "atol")


def validate(settings: Settings, options: Collection[str] = ()) -> Settings:
    """Return `settings`, NumPy's integers in it as Python's, if every field is in its range.

    `options` names those of `OF_SOME` that the problem has; the others must be None.

    Raises `InputError`, one sentence with the field, its value and what is allowed, for the first that is not.
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
    if settings.horizons is not None:
        parse_horizons(settings.horizons)
    require("beta", 0 <= settings.beta < math.inf, "a number of at least 0")
    require("log_lam0", -60 <= settings.log_lam0 <= 60, "a number from -60 to 60")
    seed = whole(settings.seed, "seed", 0, bits=64)
    step_size = settings.step_size
    require("step_size", step_size is None or 0 < step_size < math.inf, "a positive number")
    if settings.solver is not None and step_size is None and not TABLEAUX[settings.solver].error:
        raise InputError(f"the solver {settings.solver!r} cannot choose its steps: give it a step_size")
    return settings._replace(seed=seed, **counts)
