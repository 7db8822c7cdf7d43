"""Estimators for scikit-learn: a classifier, a regressor, and a neural ODE.

They take part in pipelines, grid searches and cross-validation as scikit-learn's own do, and train as `mcgc.fit` does,
without files. The extra `sklearn` installs scikit-learn.
"""

try:
    import sklearn as _sklearn  # noqa: F401
except ImportError:
    raise ImportError("mcgc.sklearn needs scikit-learn: install mcgc[sklearn]") from None

from mcgc.sklearn._rows import ContinuationClassifier, ContinuationRegressor
from mcgc.sklearn._series import NeuralODERegressor

__all__ = ["ContinuationClassifier", "ContinuationRegressor", "NeuralODERegressor"]
