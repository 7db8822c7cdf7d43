"""The neural ODE as an estimator."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, validate_data

from mcgc.errors import InputError
from mcgc.sklearn._common import columns_of, feature_names, target_names, train
from mcgc.tables import SeriesTable, Table, series_columns, series_of
from mcgc.train._dynamics import FEWEST
from mcgc.train._own import table_of
from mcgc.train._segments import filled

Column = str | int


class NeuralODERegressor(RegressorMixin, BaseEstimator):
    """A neural ODE dy/dt = net(y, u), learned from series in long form: a row for each time of each series.

    A row of X holds the time, perhaps the series that it is of, and the inputs u. A row of y holds the states there,
    NaN where one is missing. `predict` gives the states at the rows of X. A series is solved from a start, which is
    one of two:

    - Without `starts`, series are those of the training, by their label, and start as they did there. This is for a
      split in time: train on the first part of each series, and predict the rest.
    - With `starts`, columns of X hold the state at the first time of the series, one for each state. Any series can
      then be predicted, such as whole groups that a cross-validation left out. The start is at the first of the times
      that `predict` is given for the series.

    Parameters
    ----------
    time : str or int
        The column of X that holds the time: its name, or its number. 0 by default.
    group : str or int, optional
        The column of X that tells which series a row is of. By default all rows are of one series.
    starts : sequence of str or int, optional
        The columns of X that hold the states at the start, in the order of the columns of y. All columns that are
        none of these are inputs.
    interpolation : {"linear", "cubic", "previous"}
        How inputs go on between times. "linear" by default.
    hidden : str, int or sequence of int
        The widths of the hidden layers, (32, 32) by default.
    activation, init : str
        The activation ("relu", `mcgc.nets.ACTIVATIONS`), and how parameters are drawn ("he-normal",
        `mcgc.nets.SCHEMES`).
    skip : bool
        Whether hidden layers that keep the width add their input to their output. False by default.
    loss : {"mse", "mae", "huber"}
        The loss, of scaled states. "mse" by default.
    continuation : bool
        Whether to smooth the loss with Gaussian noise that falls. True by default.
    learning_rate : float
        The learning rate at the start, 0.005 by default. It falls to a hundredth.
    batch_size : int
        The windows of a step, 4 by default.
    epochs : int, optional
        By default as many as make up about 1200 steps.
    validation : float, optional
        The fraction that chooses the best epoch: whole series where there are five or more, else the end of each. By
        default 0.15 of five series or more, and none of fewer, where the last epoch counts.
    members : int
        How many nets are trained. The prediction is the mean of theirs. 1 by default.
    random_state : int, RandomState or None
        The seed of everything random. None draws one from NumPy's global generator, as scikit-learn does.
    settings : mapping, optional
        Other settings of the run (`mcgc.train.Settings`), such as `{"solver": "tsit5"}`.

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
    >>> from mcgc.sklearn import NeuralODERegressor
    >>> times, run = np.tile(np.linspace(0, 2, 9), 6), np.repeat(np.arange(6), 9)
    >>> y = (1 + run) * np.exp(-times)
    >>> X = np.stack([times, run, 1 + run], axis=1)  # the time, the series, and the state at its start
    >>> model = NeuralODERegressor(time=0, group=1, starts=[2], hidden=8, epochs=100, random_state=0).fit(X, y)
    >>> new = [[0.0, 9, 2.5], [1.0, 9, 2.5]]
    >>> print(abs(model.predict(new) - [2.5, 2.5 * np.exp(-1)]).max() < 0.3)
    True
    """

    def __init__(
        self,
        time: Column = 0,
        group: Column | None = None,
        starts: Sequence[Column] | None = None,
        *,
        interpolation: str = "linear",
        hidden: str | int | Sequence[int] = (32, 32),
        activation: str = "relu",
        init: str = "he-normal",
        skip: bool = False,
        loss: str = "mse",
        continuation: bool = True,
        learning_rate: float = 5e-3,
        batch_size: int = 4,
        epochs: int | None = None,
        validation: float | None = None,
        members: int = 1,
        random_state: Any = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.time = time
        self.group = group
        self.starts = starts
        self.interpolation = interpolation
        self.hidden = hidden
        self.activation = activation
        self.init = init
        self.skip = skip
        self.loss = loss
        self.continuation = continuation
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.validation = validation
        self.members = members
        self.random_state = random_state
        self.settings = settings

    def fit(self, X: Any, y: Any) -> "NeuralODERegressor":
        """Train on rows X, (rows, columns), and states y, (rows,) or (rows, states). Returns the estimator."""
        if y is None:
            raise InputError("NeuralODERegressor requires y to be passed, but the target y is None: give the states")
        x = self._checked(X, reset=True)
        states = check_array(y, dtype=np.float64, ensure_2d=False, ensure_all_finite="allow-nan", input_name="y")
        check_consistent_length(x, states)
        self._one = states.ndim == 1
        states, names = states.reshape(len(x), -1), feature_names(self)
        called = target_names(y, states.shape[1], names)
        roles = self._roles(states.shape[1])
        table = Table({**columns_of(x, names), **columns_of(states, called)})
        time, group, starts = roles
        inputs = [name for name in names if name not in (time, group, *starts)]
        columns = series_columns(table, time, group, called, inputs or None)
        self._series = series_of(table, columns, self.interpolation)
        few = len(self._series.groups) < FEWEST
        train(self, self._series, validation=0.0 if few and self.validation is None else self.validation)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the states at the rows of X, (rows,) or (rows, states) as y had it."""
        check_is_fitted(self)
        x, names = self._checked(X, reset=False), feature_names(self)
        table = Table(columns_of(x, names))
        states: Sequence[str] = self.run_.model["states"]
        _, _, starts = self._roles(len(states))
        own = series_of(table, self._series.columns, self.interpolation)
        table = self._started(table, own, states, starts) if starts else self._continued(table, own, states)
        found = self.run_.predict(table)
        of_model = table_of(table, self.run_.model)
        assert isinstance(of_model, SeriesTable)
        ys = np.empty((table.num_rows, len(states)))
        ys[of_model.rows] = np.stack([found[name] for name in states], axis=1)
        return ys[: len(x), 0] if self._one else ys[: len(x)]

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that y may have several columns, and that rows drawn at random are no series."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.regressor_tags.poor_score = True
        return tags

    def _checked(self, X: Any, reset: bool) -> np.ndarray:
        """Return X as an array. Of columns that are text it keeps the text."""
        dtype = None if self.group is not None else "numeric"
        return validate_data(self, X, reset=reset, dtype=dtype, ensure_min_samples=2 if reset else 1)

    def _roles(self, count: int) -> tuple[str, str | None, list[str]]:
        """Return the names of the columns of times, groups and starts, where y has `count` states."""
        names = feature_names(self)

        def name_of(column: Column, what: str) -> str:
            if isinstance(column, str) and column in names:
                return column
            if isinstance(column, (int, np.integer)) and 0 <= column < len(names):
                return names[column]
            raise InputError(f"{what} is the column {column!r}, but X has the columns {', '.join(names)}: choose one")

        starts = [name_of(column, "a start") for column in (() if self.starts is None else self.starts)]
        if starts and len(starts) != count:
            raise InputError(f"starts names {len(starts)} columns for {count} states: name one for each")
        return name_of(self.time, "time"), None if self.group is None else name_of(self.group, "group"), starts

    def _started(self, table: Table, own: SeriesTable, states: Sequence[str], starts: Sequence[str]) -> Table:
        """Return the rows, with the states of their start in the first row of each series."""
        first = own.rows[own.bounds[:-1]]
        columns = dict(table.columns)
        for state, start in zip(states, starts, strict=True):
            values = np.full(table.num_rows, np.nan)
            values[first] = table.numbers(start)[first]
            columns[state] = values
        return Table(columns)

    def _continued(self, table: Table, own: SeriesTable, states: Sequence[str]) -> Table:
        """Return the rows, and after them those of the training of the same series, whose first has the states."""
        trained, columns = self._series, self._series.columns
        number = {group: i for i, group in enumerate(trained.groups)}
        labels = [] if columns.group is None else table.labels(columns.group)
        given, chosen = np.full((table.num_rows, len(states)), np.nan), []
        for i, group in enumerate(own.groups):
            if group not in number:
                raise InputError(
                    f"the series {group!r} was not trained on, so its start is unknown: name columns of X in starts"
                )
            rows = np.arange(*trained.bounds[number[group] :][:2])
            times, begin = own.times[own.bounds[i] : own.bounds[i + 1]], trained.times[rows[0]]
            if times[0] < begin:
                raise InputError(f"time {times[0]:g} is before the start of its series at {begin:g}: leave it out")
            start = filled(trained.times[rows], trained.states[rows])[0]
            if times[0] == begin:
                given[own.rows[own.bounds[i]]] = start
            rows = rows if trained.varying else rows[:1]
            rows = rows[~np.isin(trained.times[rows], times)]
            chosen.append(rows)
            given = np.concatenate([given, np.where((trained.times[rows] == begin)[:, None], start, np.nan)])
            labels += [group] * len(rows)
        at = np.concatenate(chosen)
        joined = {columns.time: np.concatenate([table.numbers(columns.time), trained.times[at]])}
        for j, name in enumerate(columns.inputs):
            joined[name] = np.concatenate([table.numbers(name), trained.inputs[at, j]])
        if columns.group is not None:
            joined[columns.group] = np.asarray(labels, dtype=object)
        return Table(joined | dict(zip(states, given.T, strict=True)))
