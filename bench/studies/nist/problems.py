"""The problems: residuals of each, its starts, and how many digits of the certified values a fit has."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

FILE = Path(__file__).parent / "problems.json"
FUNCTIONS = {"pi": np.pi, **{name: getattr(np, name) for name in ("exp", "log", "sin", "cos", "arctan")}}
MOST = 11.0  # digits are certified to this number


class Problem(NamedTuple):
    """A problem: its names and formula, its data by their names, both starts, and the certified values."""

    name: str
    parameters: tuple[str, ...]
    formula: str
    response: str
    data: dict[str, np.ndarray]
    starts: tuple[np.ndarray, np.ndarray]
    certified: np.ndarray
    deviations: np.ndarray
    rss: float

    def residuals(self, x):
        """Return the response less the formula, with NaN or infinity where it overflows."""
        names = FUNCTIONS | self.data | dict(zip(self.parameters, x, strict=True))
        with np.errstate(all="ignore"):
            return eval(self.response, names) - eval(self.formula, names)


def problems():
    """Return all problems."""
    return [_problem(one) for one in json.loads(FILE.read_text(encoding="utf-8"))["problems"]]


def _problem(one):
    x = one["x"] if isinstance(one["x"], dict) else {"x": one["x"]}
    data = {name: np.asarray(values) for name, values in (x | {"y": one["y"]}).items()}
    starts = (np.asarray(one["start1"]), np.asarray(one["start2"]))
    certified, deviations = np.asarray(one["certified"]), np.asarray(one["certified_sd"])
    named = (one["name"], tuple(one["parameters"]), one["formula"], one["response"])
    return Problem(*named, data, starts, certified, deviations, one["rss"])


def digits(found, certified):
    """Return how many digits of all numbers agree with the certified ones: −log₁₀ of the largest relative error."""
    found = np.asarray(found, dtype="float64")
    if not np.isfinite(found).all():
        return 0.0
    error = float((np.abs(found - certified) / np.abs(certified)).max())
    return MOST if error == 0 else float(np.clip(-np.log10(error), 0.0, MOST))
