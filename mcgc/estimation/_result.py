"""What `mcgc.estimate` returns: the fit with its noise, solutions at other times, and profiles of the likelihood."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from mcgc import files
from mcgc.continuation._least_squares._result import FitResult
from mcgc.errors import InputError, unknown
from mcgc.estimation._bands import LEVEL, Bands, bands_of
from mcgc.estimation._problem import Problem
from mcgc.estimation._profile import Profile, profile_of
from mcgc.estimation._simulate import Group, groups_of, states_at


class Estimate(FitResult):
    """The result of `mcgc.estimate`: that of `mcgc.least_squares`, with what follows from the model.

    Attributes
    ----------
    parameters : dict of float
        The estimates, by name: those of the field, and those of fitted starts as `name(0)` or `name(0)[experiment]`.
    standard_errors : array of shape (m,)
        The standard errors, in the order of `names`. They are those of the linear model at the estimate.
    errors : dict of float
        The same, by name.
    covariance, correlations : array of shape (m, m)
        The covariances and the correlations. Those of fixed parameters are 0.
    sigma : dict of float
        The standard deviation of the noise in each column, given or estimated.
    sigma_known : bool
        Whether it was given.
    cost : float
        Half the sum of the squares of the residuals in units of `sigma`.
    residuals : list of array of shape (times, columns)
        Predicted minus observed values of each experiment, NaN where there is none.
    fitted : list of array of shape (times, columns)
        The predicted values.
    experiments : tuple of str
        The names of the experiments.
    """

    def __init__(self, problem: Problem, found: Mapping[str, Any], sigma_known: bool):
        super().__init__(found)
        named = self.parameters
        predicted = [one[0] for one in problem.predictions(named)]
        self.problem = problem
        self.fitted = predicted
        self.residuals = [
            np.where(keep, seen - one.values, np.nan)
            for seen, one, keep in zip(predicted, problem.series, problem.keep, strict=True)
        ]
        self.errors = dict(zip(self.names, self.standard_errors.tolist(), strict=True))
        self.correlations = _correlations(self.covariance)
        self.sigma = dict(zip(problem.model.columns, problem.sigma.tolist(), strict=True))
        self.sigma_known = sigma_known
        self.experiments = tuple(one.name for one in problem.series)

    def report(self) -> str:
        """Return a table of the fit, with each parameter and its standard error, correlations, and the noise.

        Returns
        -------
        str
            The text, of several lines.
        """
        how = "given" if self.sigma_known else "estimated"
        lines = [f"Noise ({how})", *(f"    {name}: {value:.4g}" for name, value in self.sigma.items())]
        return "\n".join([super().report(), *lines])

    def simulate(
        self, times: Any, experiment: int | str = 0, parameters: Mapping[str, float] | None = None
    ) -> np.ndarray:
        """Return the states at other times.

        Parameters
        ----------
        times : array of shape (times,)
            The times, from the start of the experiment on.
        experiment : int or str
            Whose start and inputs are taken, by number or by name.
        parameters : dict of float, optional
            Values in place of estimates.

        Returns
        -------
        array of shape (times, states)
            The states, NaN if the solution fails.

        Raises
        ------
        InputError
            If there is no such experiment or parameter, or a time is before the start.
        """
        problem: Problem = self.problem
        number, _, group = self._requested(times, experiment)
        named = {**self.parameters, **(parameters or {})}
        for name in parameters or {}:
            if name not in self.parameters:
                raise InputError(unknown("parameter", name, self.names))
        p = np.asarray([[named[name] for name in problem.of_field]], dtype="float64")
        states = states_at(problem.field, group, problem.model.options, p, problem.starts(named, number, 1))
        return states[0, group.indices[0]]

    def bands(self, times: Any, experiment: int | str = 0, level: float = LEVEL) -> Bands:
        """Return the states at other times, with their standard errors and bands.

        The errors of the parameters go to the states by the delta method: the variance of a state at a time is
        J Σ Jᵀ, with J its derivatives by the parameters and by fitted starts (`mcgc.ode.sensitivities`) and Σ their
        covariance.

        Parameters
        ----------
        times : array of shape (times,)
            The times, from the start of the experiment on.
        experiment : int or str
            Whose start and inputs are taken, by number or by name.
        level : float
            The probability of the bands.

        Returns
        -------
        Bands
            The states, their standard errors, their bands, and those of new measurements.

        Raises
        ------
        InputError
            If there is no such experiment, a time is before the start, or the level is no probability.
        """
        from mcgc.estimation._file import summary

        number, wanted, group = self._requested(times, experiment)
        states, slopes = self.problem.slopes_of_states(self.parameters, number, group)
        seen = [self.problem.model.columns[i] for i in np.unique(self.problem.column)]
        return bands_of(wanted, states, slopes, self.covariance, summary(self), seen, level)

    def _requested(self, times: Any, experiment: int | str) -> tuple[int, np.ndarray, Group]:
        """Return the number of an experiment, the times, and the group that solves them."""
        problem, known = self.problem, self.experiments
        if isinstance(experiment, str):
            if experiment not in known:
                raise InputError(unknown("experiment", experiment, known))
            experiment = known.index(experiment)
        if not 0 <= experiment < len(known):
            raise InputError(f"there are {len(known)} experiments, counted from 0, got {experiment}")
        one = problem.series[experiment]
        wanted = np.asarray(times, dtype="float64").reshape(-1)
        if wanted.size == 0 or not (np.isfinite(wanted).all() and wanted.min() >= one.t0):
            raise InputError(f"times must be finite and none before the start {one.t0:g} of experiment {one.name!r}")
        (group,) = groups_of([one], [wanted], problem.layout, problem.model.interpolation)
        return experiment, wanted, group

    def profile(self, name: str, level: float = 0.95) -> Profile:
        """Return the profile of the likelihood of a parameter, with its confidence interval.

        The parameter is held at values on both sides of its estimate, and all others are fitted again. The interval
        ends where twice the rise of the cost is the quantile of chi-square with one degree of freedom. The noise is
        held at `sigma`.

        Parameters
        ----------
        name : str
            The parameter.
        level : float
            The probability of the interval.

        Returns
        -------
        Profile
            The values, the rises of the cost, and the interval.

        Raises
        ------
        InputError
            If the parameter is fixed or not there, or the level is no probability.
        """
        return profile_of(self, name, level)

    def save(self, path: str | os.PathLike, overwrite: bool = True) -> None:
        """Write the result to an HDF5 file that describes itself: estimates, errors, noise, data and predictions.

        Parameters
        ----------
        path : str or path
            The file.
        overwrite : bool
            Whether a file that is there is replaced.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        from mcgc.estimation._file import estimate_bytes

        files.write(path, estimate_bytes(self), overwrite)


def _correlations(covariance: np.ndarray) -> np.ndarray:
    errors = np.sqrt(np.diag(covariance))
    both = np.outer(errors, errors)
    with np.errstate(invalid="ignore"):
        return np.where((both > 0) & np.isfinite(both), covariance / np.where(both > 0, both, 1.0), 0.0)
