"""Gaussian continuation: estimators of the smoothed objective, descent on it, schedules of λ, and `minimize`."""

from mcgc.continuation import annealing, estimators, smoothing
from mcgc.continuation._least_squares import Parameter, ScaleWarning, least_squares
from mcgc.continuation._minimize import minimize
from mcgc.continuation._scipy import continuation_method
from mcgc.continuation._step import Continuation, Info, State, adapt_samples, continuation, descent
from mcgc.continuation.annealing import SCHEDULES
from mcgc.continuation.estimators import ESTIMATORS, MIXTURES, Estimate, Estimator, Objective, Sample, estimate

__all__ = [
    "ESTIMATORS",
    "MIXTURES",
    "SCHEDULES",
    "Continuation",
    "Estimate",
    "Estimator",
    "Info",
    "Objective",
    "Parameter",
    "Sample",
    "ScaleWarning",
    "State",
    "adapt_samples",
    "annealing",
    "continuation",
    "continuation_method",
    "descent",
    "estimate",
    "estimators",
    "least_squares",
    "minimize",
    "smoothing",
]
