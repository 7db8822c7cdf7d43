"""The classifier and the regressor."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from mcgc.errors import InputError
from mcgc.files import IN_MEMORY
from mcgc.sklearn._common import columns_of, feature_names, target_names, train
from mcgc.tables import RowsColumns, RowsTable, Table


class _Rows(BaseEstimator):
    """What the classifier and the regressor share: their parameters, and how they see X."""

    def __init__(
        self,
        hidden: str | int | Sequence[int] = (64, 64),
        *,
        activation: str = "relu",
        init: str = "he-normal",
        skip: bool = False,
        loss: str | None = None,
        continuation: bool = True,
        learning_rate: float = 5e-3,
        weight_decay: float | None = 1.0,
        batch_size: int = 64,
        epochs: int = 100,
        validation: float = 0.15,
        patience: int | None = None,
        members: int = 1,
        random_state: Any = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.init = init
        self.skip = skip
        self.loss = loss
        self.continuation = continuation
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.validation = validation
        self.patience = patience
        self.members = members
        self.random_state = random_state
        self.settings = settings

    def _rows(self, x: np.ndarray, targets: np.ndarray, y: Any, classes: Sequence[Any] = ()) -> RowsTable:
        """Return X, and targets (rows, targets), as rows to train on."""
        names = feature_names(self)
        called = target_names(y, targets.shape[1], names)
        columns = RowsColumns(tuple(called), tuple(names), {}, tuple(map(str, classes)))
        return RowsTable(columns, np.asarray(x, np.float64), targets, None, None, IN_MEMORY, "", {})

    def _predicted(self, X: Any) -> dict[str, np.ndarray]:
        check_is_fitted(self)
        x = validate_data(self, X, reset=False, dtype="numeric")
        return self.run_.predict(Table(columns_of(x, feature_names(self))))


class ContinuationClassifier(ClassifierMixin, _Rows):
    """A dense net that names classes, trained with continuation: `mcgc.fit` as an estimator of scikit-learn.

    Features are scaled by the training set, so a pipeline needs no scaler. The cross-entropy is minimised, and a part
    of the rows is set apart to choose the best epoch by.

    Parameters
    ----------
    hidden : str, int or sequence of int
        The widths of the hidden layers, (64, 64) by default. "16x10" is ten layers of 16.
    activation, init : str
        The activation ("relu", `mcgc.nets.ACTIVATIONS`), and how parameters are drawn ("he-normal",
        `mcgc.nets.SCHEMES`).
    skip : bool
        Whether hidden layers that keep the width add their input to their output. False by default.
    loss : str, optional
        "cross-entropy", the default, or "softmax-cross-entropy".
    continuation : bool
        Whether to smooth the loss with Gaussian noise that falls. True by default.
    learning_rate : float
        The learning rate at the start, 0.005 by default. It falls to a hundredth.
    weight_decay : float, optional
        w: a step of learning rate a multiplies the parameters by 1 − a w. 1 by default.
    batch_size, epochs : int
        The rows of a step, 64 by default, and the passes over the data, 100 by default.
    validation : float
        The fraction of the rows that chooses the best epoch, 0.15 by default.
    patience : int, optional
        Training ends after so many epochs without a new best one. By default all are done.
    members : int
        How many nets are trained. Probabilities are the mean of theirs. 1 by default.
    random_state : int, RandomState or None
        The seed of everything random. None draws one from NumPy's global generator, as scikit-learn does.
    settings : mapping, optional
        Other settings of the run (`mcgc.train.Settings`), such as `{"optimizer": "adam"}`.

    Attributes
    ----------
    classes_ : array of shape (classes,)
        The classes, sorted.
    run_ : Fitted
        The run. It can be saved, read again by `mcgc.load`, and exported.
    n_iter_ : int
        The number of epochs done.
    n_features_in_, feature_names_in_ : int, array
        As scikit-learn has them.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from mcgc.sklearn import ContinuationClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> found = ContinuationClassifier(epochs=30, random_state=0).fit(X, y)
    >>> print(found.score(X, y) > 0.9, found.predict_proba(X[:2]).shape)
    True (2, 3)
    """

    def fit(self, X: Any, y: Any) -> "ContinuationClassifier":
        """Train on rows X, (rows, features), of the classes y, (rows,). Returns the estimator."""
        x, labels = validate_data(self, X, y, dtype="numeric", ensure_min_samples=2)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(column_or_1d(labels, warn=True), return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError("y has one class: a classifier needs rows of two classes or more")
        train(self, self._rows(x, codes[:, None].astype(np.float64), y, self.classes_.tolist()))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities of the classes, (rows, classes), in the order of `classes_`."""
        found = self._predicted(X)
        return np.stack([found[f"p({name})"] for name in self.run_.model["classes"]], axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each row, (rows,)."""
        found = self.predict_proba(X)
        return self.classes_[found.argmax(axis=1)]


class ContinuationRegressor(RegressorMixin, _Rows):
    """A dense net that predicts numbers, trained with continuation: `mcgc.fit` as an estimator of scikit-learn.

    Features and targets are scaled by the training set. y has one column or several.

    Parameters
    ----------
    hidden, activation, init, skip, continuation, learning_rate, weight_decay
        As for `ContinuationClassifier`.
    loss : str, optional
        "mse", the default, "mae" or "huber", of the scaled targets.
    batch_size, epochs, validation, patience, members, random_state, settings
        As for `ContinuationClassifier`. The prediction is the mean of the members' predictions.

    Attributes
    ----------
    run_ : Fitted
        The run. It can be saved, read again by `mcgc.load`, and exported.
    n_iter_ : int
        The number of epochs done.
    n_features_in_, feature_names_in_ : int, array
        As scikit-learn has them.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.sklearn import ContinuationRegressor
    >>> X = np.linspace(-1, 1, 100)[:, None]
    >>> found = ContinuationRegressor(epochs=200, random_state=0).fit(X, np.sin(3 * X[:, 0]))
    >>> print(found.score(X, np.sin(3 * X[:, 0])) > 0.9)
    True
    """

    def fit(self, X: Any, y: Any) -> "ContinuationRegressor":
        """Train on rows X, (rows, features), and targets y, (rows,) or (rows, targets). Returns the estimator."""
        x, targets = validate_data(self, X, y, dtype="numeric", multi_output=True, y_numeric=True, ensure_min_samples=2)
        self._one = targets.ndim == 1
        train(self, self._rows(x, targets.reshape(len(x), -1).astype(np.float64), y))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the predictions, (rows,) or (rows, targets) as y had it."""
        found = self._predicted(X)
        columns = [found[name] for name in self.run_.model["targets"]]
        return columns[0] if self._one else np.stack(columns, axis=1)

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that y may have several columns."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
