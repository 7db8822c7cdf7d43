"""The results of a sweep: its trials, the best of them, and the importance of each setting."""

import math
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from mcgc.errors import InputError, unknown
from mcgc.sweeps import _file
from mcgc.sweeps._importance import importance
from mcgc.sweeps._space import Dimension
from mcgc.sweeps._trial import FAILED, FINISHED, METRICS, Trial

LEVEL = 0.95


class Interval(NamedTuple):
    """A mean over members, and the ends of its interval: NaN for one member."""

    mean: float
    low: float
    high: float


class Results(NamedTuple):
    """The results of a sweep.

    Parameters
    ----------
    header : mapping
        What was swept, as JSON has it: `space`, `method`, `trials`, `seed`, `metric`, `settings` that all trials have,
        `dataset`, `versions`, and `finished`.
    trials : tuple of Trial
        The trials that are done.

    Examples
    --------
    >>> import mcgc
    >>> table = {"x": list(range(40)), "y": list(range(40))}
    >>> space = {"learning_rate": [1e-4, 1e-2]}
    >>> found = mcgc.sweep(table, "regression", space, method="grid", target="y", epochs=2, hidden="4")
    >>> found.best().values, found.best().status, [*found.importance()]
    ({'learning_rate': 0.01}, 'finished', ['learning_rate'])
    """

    header: Mapping[str, Any]
    trials: tuple[Trial, ...]

    @property
    def space(self) -> tuple[Dimension, ...]:
        """The searched settings."""
        return _file.space_in(self.header)

    @property
    def metric(self) -> str:
        """The loss that trials are ranked by, where no other is given: "test", "validation" or "train"."""
        return str(self.header["metric"])

    def ranked(self, metric: str | None = None) -> list[Trial]:
        """Return the trials, the best first.

        Finished trials come first, by their mean loss; then those that were pruned, and those that failed.
        """
        metric = self._known(metric)
        order = {FINISHED: 0, FAILED: 2}

        def rank(trial: Trial) -> tuple[int, float, int]:
            value = trial.value(metric)
            return order.get(trial.status, 1), math.inf if math.isnan(value) else value, trial.number

        return sorted(self.trials, key=rank)

    def best(self, metric: str | None = None) -> Trial:
        """Return the finished trial with the lowest mean loss. Raises `InputError` if there is none."""
        found = self.ranked(metric)[:1]
        if not found or found[0].status != FINISHED or not math.isfinite(found[0].value(self._known(metric))):
            raise InputError("no trial is finished with a finite loss, so none is the best: see why trials failed")
        return found[0]

    def interval(self, trial: Trial, metric: str | None = None) -> Interval:
        """Return the mean loss of the members of a trial with its Student interval of the level 0.95.

        The interval says how the mean varies with the start, the noise and the order of the members. It does not know
        that the best of many trials was lucky.
        """
        from scipy.stats import t

        losses = trial.losses(self._known(metric))
        mean, count = trial.value(self._known(metric)), len(losses)
        if count < 2 or not math.isfinite(mean):
            return Interval(mean, math.nan, math.nan)
        sd = math.hypot(*(loss - mean for loss in losses)) / math.sqrt(count - 1)
        half = float(t.ppf((1 + LEVEL) / 2, count - 1)) * sd / math.sqrt(count)
        return Interval(mean, mean - half, mean + half)

    def importance(self, metric: str | None = None) -> dict[str, float]:
        """Return for each setting the share of the differences between finished trials that it explains alone.

        This is the adjusted R² of the ranks of the mean losses: on a quadratic in the setting, or in its logarithm
        where its range is logarithmic, and for choices on the mean of each. What the shares leave of 1 is noise, and
        what settings do together. NaN where the trials are too few.
        """
        metric = self._known(metric)
        used = [trial for trial in self.trials if trial.status == FINISHED and not math.isnan(trial.value(metric))]
        return importance(self.space, [dict(trial.values) for trial in used], [trial.value(metric) for trial in used])

    def _known(self, metric: str | None) -> str:
        if metric is not None and metric not in METRICS:
            raise InputError(unknown("metric", metric, METRICS))
        return metric or self.metric


def read(path: str | os.PathLike) -> Results:
    """Read the file of a sweep, also of one that goes on.

    Parameters
    ----------
    path : str or path
        A file that `mcgc.sweep` or the command wrote.

    Returns
    -------
    Results
        The trials that are done.

    Raises
    ------
    InputError
        If the file cannot be read.

    Examples
    --------
    >>> import mcgc
    >>> table = {"x": list(range(40)), "y": list(range(40))}
    >>> how = {"method": "sobol", "trials": 2, "target": "y", "epochs": 2, "hidden": "4"}
    >>> found = mcgc.sweep(table, "regression", {"beta": mcgc.sweeps.Range(0, 1)}, output="sweep.h5", **how)
    >>> mcgc.sweeps.read("sweep.h5").best() == found.best()
    True
    """
    header, trials = _file.load(path)
    return Results(header, trials)
