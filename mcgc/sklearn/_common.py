"""What the estimators share: from their parameters to the settings of a run, and names of columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from mcgc.errors import InputError
from mcgc.train import Fitted, bind
from mcgc.train._from_table import in_memory
from mcgc.train._own import prepare_own

NOT_SETTINGS = ("random_state", "settings", "time", "group", "starts", "interpolation")


def train(estimator: Any, own: Any, **more: Any) -> Fitted:
    """Train on rows or series with the parameters of an estimator, and `more`, and set `run_` and `n_iter_`."""
    params = estimator.get_params(deep=False)
    given = {name: value for name, value in params.items() if name not in NOT_SETTINGS}
    others = dict(estimator.settings or {})
    twice = sorted({*others} & {*given, "seed"})
    if twice:
        name = "random_state" if twice[0] == "seed" else twice[0]
        raise InputError(f"settings holds {twice[0]!r}: give the parameter {name} in its place")
    # scikit-learn holds test sets apart by itself
    changes = {"test": 0.0, **given, **more, **others, "seed": seed_of(estimator.random_state)}
    problem, settings, own = prepare_own(own, changes)
    found = in_memory(bind(settings, own, problem=problem), assessed=False)
    estimator.run_, estimator.n_iter_ = found, found.file.epoch
    return found


def seed_of(random_state: Any) -> int:
    """Return a seed: the number itself, or one that is drawn as scikit-learn draws."""
    if isinstance(random_state, (int, np.integer)):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def feature_names(estimator: Any) -> list[str]:
    """Return the names of the columns of X: those of the frame that was fitted, or x0, x1, …"""
    named = getattr(estimator, "feature_names_in_", None)
    return [f"x{i}" for i in range(estimator.n_features_in_)] if named is None else [str(name) for name in named]


def target_names(y: Any, count: int, taken: Sequence[str], prefix: str = "y") -> list[str]:
    """Return names for the columns of y: those of a frame or a series, or y, or y0, y1, …, unlike those of X."""
    named: list[Any] = list(getattr(y, "columns", [])) or [getattr(y, "name", None)]
    if len(named) != count or not all(isinstance(name, str) for name in named):
        named = [prefix] if count == 1 else [f"{prefix}{i}" for i in range(count)]
    while {*named} & {*taken}:
        named = [f"{name}_" for name in named]
    return named


def columns_of(x: np.ndarray, names: Sequence[str]) -> Mapping[str, np.ndarray]:
    """Return the columns of an array by their names."""
    return dict(zip(names, x.T, strict=True))
