"""Parameters of differential equations from time series: `estimate`, and the `Experiment` that it takes."""

from mcgc.estimation._bands import Bands
from mcgc.estimation._estimate import METHODS, estimate
from mcgc.estimation._experiment import Experiment, experiments_of
from mcgc.estimation._file import SavedEstimate, is_estimate, read_estimate, summary
from mcgc.estimation._profile import Profile
from mcgc.estimation._result import Estimate

__all__ = [
    "METHODS",
    "Bands",
    "Estimate",
    "Experiment",
    "Profile",
    "SavedEstimate",
    "estimate",
    "experiments_of",
    "is_estimate",
    "read_estimate",
    "summary",
]
