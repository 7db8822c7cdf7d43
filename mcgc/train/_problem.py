"""What a run needs to know of a problem."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from mcgc import nets
from mcgc.arrays import Array, Device
from mcgc.errors import InputError, similar
from mcgc.ode import Stats
from mcgc.random import Key
from mcgc.train.settings import Settings


class Evaluation(NamedTuple):
    """What an objective tells beside its value: the `Stats` of the solver, and the loss in the units of the data."""

    stats: Stats | None
    loss: Array


class Problem(NamedTuple):
    """What a run needs to know of a problem.

    Parameters
    ----------
    name, summary : str
        The name, and what it is in a few words.
    recipe : Settings
        The settings to train it with.
    examples : function (data, dtype, device) → pytree
        Places a dataset on a device as a pytree of arrays, one row an example.
    init : function (key, dtype, device) → array (m,)
        Draws θ.
    objective : function (settings) → function
        Returns the loss, (θ, examples) → (mean over the examples, `Stats` of the solver or None). If that loss is not
        in the units of the data, an `Evaluation` takes the place of the `Stats`; its loss is the one that is reported.
    options : tuple of str
        The settings of `mcgc.train.settings.OF_SOME` that the problem has.
    shuffled : bool
        Whether minibatches are drawn anew each epoch. By default they are consecutive rows.
    accuracy : function (θ, examples) → array, optional
        The fraction of the examples that θ names rightly.
    stacked : bool
        Whether objective and accuracy take the members of an ensemble too, and give the numbers of each, (members,),
        and `Stats` with the members in front. θ has shape (members, m), and all examples have that axis in front, or
        none.
    confusion : function (θ, examples) → array, optional
        The confusion matrix (`mcgc.losses.confusion`).
    model : mapping
        What the model is, in values that JSON has: the `kind` of the problem, the `sizes` and the `activation` of its
        dense net, the `loss`, and the names of `states` and `parameters`. A run file holds it.
    others : mapping of str to mapping
        Other recipes: their names, and the settings in which they differ from `recipe`.
    default : str
        The recipe that the command takes if it is not told. `recipe` is called "paper".
    scaling : function (examples) → scaling, optional
        What series are standardised by, where the setting `standardize` asks for it. Then `objective(settings,
        scaling)` is called.
    scaled : function (examples, scaling) → examples, optional
        Examples in the units of the scaling. With it, examples are scaled once, and `objective`, `accuracy` and
        `windows` see them so.
    intervals : function (examples) → int, optional
        The number of observed intervals of a series.
    windows : function (examples, indices, length) → examples, optional
        The windows of `length` intervals at `indices`, (rows,) or (members, rows), out of all.
    predict : function (settings, scaling) → function, optional
        Returns (θ, examples) → the states of the series in the units of the data, (examples, times, states).
    divide : function (data, settings) → (data, parts), optional
        Cuts the data where a part ends within an example, and says which part each example belongs to: an array of 0
        for training, 1 for validation, 2 for the test, (examples,), or (members, examples) where each member has a
        validation set of its own. By default the parts are drawn at random.
    lengths : function (examples) → array, optional
        The number of observed intervals of each series, (series,), on the host, where they differ. Windows are then
        numbered series after series (`mcgc.train._windows.ragged_rows_of`).
    assess : function (task, theta) → mapping, optional
        What the run file says of a run that is done: scores, baselines and the like, in values that JSON has. θ has the
        shape (members, m).
    beside_net : int
        How many of the first numbers of θ are not of the net. They have no weight decay.
    load : function (path) → data, optional
        Reads the data for the command from the file of `--dataset`. Without one, `path` is None.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc import ops, train
    >>> from mcgc.arrays import HOST, to_device
    >>> recipe = train.Settings("mean", 0.01, -8.0, 0.1, 0.01, epochs=60, batch_size=9, continuation=False)
    >>> problem = train.Problem(
    ...     "mean",
    ...     "the mean of numbers",
    ...     recipe,
    ...     examples=lambda data, dtype, device: to_device(data, device, dtype),
    ...     init=lambda key, dtype, device: to_device([0.0], device, dtype),
    ...     objective=lambda settings: lambda theta, rows: (ops.mean(ops.square(rows - theta)), None),
    ... )
    >>> *_, (record, theta) = train.fit(recipe, np.full(10, 2.0), HOST, problem)
    >>> print(round(float(theta[0, 0]), 1))
    2.0
    """

    name: str
    summary: str
    recipe: Settings
    examples: Callable[[Any, str, Device], Any]
    init: Callable[[Key, str, Device], Array]
    objective: Callable[..., Callable[[Array, Any], tuple[Array, Any]]]
    options: tuple[str, ...] = ()
    shuffled: bool = False
    accuracy: Callable[[Array, Any], Array] | None = None
    stacked: bool = False
    confusion: Callable[[Array, Any], Array] | None = None
    model: Mapping[str, Any] = MappingProxyType({})
    others: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    default: str = "paper"
    scaling: Callable[[Any], Any] | None = None
    scaled: Callable[[Any, Any], Any] | None = None
    intervals: Callable[[Any], int] | None = None
    windows: Callable[[Any, Array, int], Any] | None = None
    predict: Callable[..., Callable[[Array, Any], Array]] | None = None
    divide: Callable[[Any, Settings], tuple[Any, Any]] | None = None
    lengths: Callable[[Any], Any] | None = None
    assess: Callable[[Any, Array], Mapping[str, Any]] | None = None
    load: Callable[[str | None], Any] | None = None
    beside_net: int = 0

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of the dense net that the model is, or () if it is none."""
        return tuple(self.model.get("sizes", ()))

    def recipes(self) -> dict[str, Settings]:
        """Return all recipes by their names, the paper's first."""
        return {"paper": self.recipe} | {name: self.recipe._replace(**changes) for name, changes in self.others.items()}

    def recipe_of(self, name: str | None = None) -> Settings:
        """Return the recipe called `name`, or the default. Raises `InputError`, with the list, if there is none."""
        recipes, name = self.recipes(), name or self.default
        if name not in recipes:
            listed = f"choose one of {', '.join(recipes)}{similar(name, recipes)}"
            raise InputError(f"unknown recipe {name!r} of {self.name}: {listed}")
        return recipes[name]


def init_of(sizes: Sequence[int], scheme: str = "xavier-uniform") -> Callable[[Key, str, Device], Array]:
    """Return the `init` of a problem whose model is a dense net of these sizes."""
    return lambda key, dtype, device: nets.init(key, sizes, dtype, device, scheme)
