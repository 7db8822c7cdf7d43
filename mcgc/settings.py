"""Settings: everything that determines a training run, as plain numbers and strings."""

import math
from typing import NamedTuple

from mcgc.arrays import DTYPES
from mcgc.continuation import ESTIMATORS
from mcgc.errors import InputError
from mcgc.ode import ADJOINTS, TABLEAUX


class Settings(NamedTuple):
    """The options of a run; a problem's recipe is one of these, and `validate` says what each may be.

    `beta` is the weight β of the pull on φ, in units of 1/λ₀; `log_lam0` is φ₀; `learning_rate` and
    `learning_rate_lam` are those of θ and φ; `step_size`, in units of time, replaces `rtol` and `atol` where it is
    not None.
    """

    problem: str
    continuation: bool
    estimator: str
    num_samples: int
    beta: float
    log_lam0: float
    learning_rate: float
    learning_rate_lam: float
    epochs: int
    warmup_epochs: int
    batch_size: int
    members: int
    seed: int
    dtype: str
    solver: str
    adjoint: str
    rtol: float
    atol: float
    step_size: float | None = None


_AT_LEAST = {"num_samples": 1, "epochs": 1, "warmup_epochs": 0, "batch_size": 1, "members": 1}
_POSITIVE = ("learning_rate", "learning_rate_lam", "rtol", "atol")
_ONE_OF = {"estimator": ESTIMATORS, "dtype": DTYPES, "solver": TABLEAUX, "adjoint": ADJOINTS}


def validate(settings: Settings) -> Settings:
    """Return `settings` unchanged if every field is in its range.

    Raises `InputError`, one sentence with the field, its value and what is allowed, for the first that is not.
    """
    for name, names in _ONE_OF.items():
        _require(settings, name, getattr(settings, name) in names, f"one of {', '.join(names)}")
    for name, lowest in _AT_LEAST.items():
        value = getattr(settings, name)
        _require(settings, name, isinstance(value, int) and value >= lowest, f"a whole number of at least {lowest}")
    for name in _POSITIVE:
        _require(settings, name, 0 < getattr(settings, name) < math.inf, "a positive number")
    _require(settings, "beta", 0 <= settings.beta < math.inf, "a number of at least 0")
    _require(settings, "log_lam0", -60 <= settings.log_lam0 <= 60, "a number from -60 to 60")
    _require(settings, "seed", 0 <= settings.seed < 2**64, "a whole number from 0 to 2**64 - 1")
    step_size = settings.step_size
    _require(settings, "step_size", step_size is None or 0 < step_size < math.inf, "a positive number")
    if step_size is None and not TABLEAUX[settings.solver].error:
        raise InputError(f"the solver {settings.solver!r} cannot choose its steps: give it a step_size")
    return settings


def _require(settings: Settings, name: str, holds: bool, allowed: str) -> None:
    if not holds:
        raise InputError(f"{name} must be {allowed}, got {getattr(settings, name)!r}")
