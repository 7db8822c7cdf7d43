"""What counts as wrong with a run: each sign has a number, a threshold, its meaning, and what to do.

The thresholds lie between the numbers of healthy runs and of runs made to be sick; the page on diagnoses has them.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Numbers = Mapping[str, Any]

DEEP = 5  # hidden layers from which on a net can be too deep
FAR = 8  # intervals from which on a first horizon is long
GOOD = 0.95  # of the score: then noise does no harm that is worth a sentence
POOR = 0.5  # of the score: noise may hide the field over an interval where whole series are fitted well
SHORT = 0.05  # of the score, short of that of a linear model


class Sign(NamedTuple):
    """A sign that something is wrong.

    Parameters
    ----------
    name : str
        Its name, which is also that of its section in the documentation.
    value : function (numbers of a member) → float or None
        The number, None where there is none or it does not matter.
    threshold : float
        From here on it is wrong.
    meaning : str
        What it means, formatted with the numbers and the `value`.
    advice : str or function (numbers) → str
        What to do. Settings are in backticks: `name`, or `name=value`.
    explained_by : tuple of str
        The signs that explain this one, if they are shown.
    above : bool
        Whether large numbers are wrong, or small ones.
    """

    name: str
    value: Callable[[Numbers], float | None]
    threshold: float
    meaning: str
    advice: str | Callable[[Numbers], str]
    explained_by: tuple[str, ...] = ()
    above: bool = True

    def shown_by(self, value: float) -> bool:
        """Tell whether the number is wrong."""
        return value >= self.threshold if self.above else value <= self.threshold


def shortfall(numbers: Numbers) -> float | None:
    """Return by how much the score on the training data is below that of the linear model."""
    score, linear = numbers["score"], numbers["linear"]
    return None if score is None or linear is None else linear - score


def stuck(numbers: Numbers) -> bool:
    """Tell whether the run falls short of a linear model, or never predicts some class."""
    return (shortfall(numbers) or 0.0) >= SHORT or bool(numbers["missing_classes"])


def _scale(numbers: Numbers) -> float | None:
    """Return how many times larger or smaller than 1 the largest column is."""
    scale = numbers["scale"]
    return max(scale, 1 / scale) if scale > 0 else None


def _line(numbers: Numbers) -> float | None:
    """Return the participation ratio after the median layer of a deep net that is stuck, if it fell by a quarter."""
    if numbers["depth"] < DEEP or not stuck(numbers):
        return None
    after, before = numbers["median_participation"], numbers["participation_of_inputs"]
    return after if after < 0.75 * before else None


def _vanishing(numbers: Numbers) -> float | None:
    found = numbers["gradients"]
    return found[0] / max(found) if found and max(found) > 0 and stuck(numbers) else None


def _long(numbers: Numbers) -> float | None:
    poor = numbers["score"] is not None and (stuck(numbers) or numbers["score"] < POOR)
    return numbers.get("one_interval") if poor and numbers.get("first_horizon", 0) >= FAR else None


def _late(numbers: Numbers) -> float | None:
    late, one = numbers.get("late_error"), numbers.get("one_interval")
    return late if one is not None and one < 0.5 and numbers["growth"] is not None else None


def _gap(numbers: Numbers) -> float | None:
    return None if numbers["score"] is not None and numbers["score"] >= GOOD else numbers["gap"]


def _flatter(numbers: Numbers) -> str:
    shallow = "train a wider net of two or three hidden layers: `hidden=64,64`"
    deep = "if it must be deep, add `skip`, `activation=tanh`, `init=xavier-uniform`, `learning_rate=1e-3`"
    return shallow if numbers["skip"] else f"{shallow}; {deep}"


SIGNS = (
    Sign(
        "unscaled-inputs",
        _scale,
        10.0,
        "the net sees {column!r} with a root mean square of {scale:.3g}, where about 1 is right",
        "standardise: `standardize`, or scale the columns yourself",
    ),
    Sign(
        "softmax-of-softmax",
        lambda numbers: numbers["gradient_of_logits"],
        0.8,
        "on the hardest rows the loss has {value:.0%} of the gradient of the ordinary cross-entropy, as it applies the "
        "softmax twice",
        "use the ordinary cross-entropy: `loss=cross-entropy`",
        above=False,
    ),
    Sign(
        "dead-units",
        lambda numbers: numbers["most_dead"],
        0.95,
        "{value:.0%} of the units of hidden layer {dead_layer} give the same for all rows: the layer passes little on",
        "lower the `learning_rate`, and start from He's initial weights: `init=he-normal`",
        ("unscaled-inputs",),
    ),
    Sign(
        "line",
        _line,
        3.0,
        "the net of {depth} hidden layers maps the data nearly to a line: after the median layer they differ in "
        "{value:.1f} directions, of {participation_of_inputs:.1f} at the input",
        _flatter,
        ("unscaled-inputs", "dead-units"),
        above=False,
    ),
    Sign(
        "vanishing-gradients",
        _vanishing,
        1e-3,
        "the gradient of the first layer is {value:.2g} of the largest, so the first layers hardly learn",
        "train a net of fewer layers, or one with `activation=relu`, `init=he-normal`",
        ("unscaled-inputs", "dead-units", "line"),
        above=False,
    ),
    Sign(
        "long-horizon",
        _long,
        0.7,
        "one interval ahead the error is {value:.2g} times that of the last value, and training began with windows of "
        "{first_horizon} intervals: the horizon was too long to learn the field",
        "begin with short windows: `horizons=1:4,2:2,4:2,8:2,all:2`",
        ("unscaled-inputs", "dead-units"),
    ),
    Sign(
        "growing-errors",
        _late,
        1.0,
        "one interval ahead the field is good ({one_interval:.2g} of the error of the last value), but in the last "
        "quarter of the series the error is {value:.2g} standard deviations; a change of the start grows by "
        "e^{growth:.1f}",
        "end with shorter windows: `horizons=1:4,2:2,4:2,8:2`, or train for more `epochs`; fit the constants of a "
        "known field with mcgc.least_squares, which leaves late times out until they help",
        ("unscaled-inputs", "long-horizon"),
    ),
    Sign(
        "many-steps",
        lambda numbers: numbers.get("steps_per_interval"),
        20.0,
        "the solver takes {value:.0f} steps for each observed interval: the field is stiff or rough",
        "raise `weight_decay`, or loosen `rtol` and `atol`",
        ("unscaled-inputs", "long-horizon"),
    ),
    Sign(
        "too-much-noise",
        _gap,
        0.3,
        "at the end the smoothed loss is {value:.0%} above the loss itself: the noise of continuation is what is left",
        "lower `log_lam0`, or raise `beta`",
        ("unscaled-inputs",),
    ),
    Sign(
        "noisy-lambda",
        lambda numbers: numbers["lambda_ratio"],
        0.1,
        "the gradient that drives log lambda is {value:.2g} of its noise, so lambda makes a random walk",
        "use an estimator with less noise: `estimator=pathwise`, or more draws: `num_samples=4`",
        ("unscaled-inputs", "dead-units", "line", "long-horizon"),
        above=False,
    ),
    Sign(
        "lambda-at-cap",
        lambda numbers: numbers["capped"],
        0.1,
        "in {value:.0%} of the steps lambda met its cap: the smoothed loss is lower where there is more noise",
        "raise `beta`, or lower `log_lam0`",
    ),
    Sign(
        "missing-classes",
        lambda numbers: numbers["missing_classes"],
        1,
        "{value:.0f} of {classes} classes are never predicted, though the training data have them",
        "train for more `epochs`, or a wider net: `hidden=64,64`",
        ("unscaled-inputs", "softmax-of-softmax", "dead-units", "line", "vanishing-gradients"),
    ),
    Sign(
        "worse-than-linear",
        shortfall,
        SHORT,
        "on the training data the score is {score:.3g}, and that of a linear model {linear:.3g}",
        "train for more `epochs`, or use the linear model",
        (
            *("unscaled-inputs", "softmax-of-softmax", "dead-units", "line", "vanishing-gradients"),
            *("long-horizon", "growing-errors", "many-steps", "too-much-noise"),
        ),
    ),
)
