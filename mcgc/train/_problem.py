"""What a run needs to know of a problem."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

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
    """What a run of `fit` needs to know of a problem.

    `examples(data, dtype, device)` places a dataset on a device as a pytree of arrays, one row an example.
    `init(key, dtype, device)` draws θ. `objective(settings)` returns the loss, (θ, examples) → (mean over the examples,
    `Stats` of the solver or None). Where that loss is not in the units of the data, an `Evaluation` takes the place of
    the `Stats`, and its loss is the one that is reported. `options` names the settings of `settings.OF_SOME` that the
    problem has. Minibatches are consecutive rows, or with `shuffled` drawn anew each epoch. `accuracy`, (θ, examples) →
    fraction right, and `confusion`, (θ, examples) → `losses.confusion`, are None where there is no such number. With
    `stacked`, objective and accuracy take the members of an ensemble too, and give the numbers of each, (members,), and
    `Stats` with the members in front: θ has shape (members, m), and all examples have that axis in front, or none.

    Problems of series have four functions more. `scaling(train)` is what the training examples are standardised by,
    where the setting `standardize` asks for it; then `objective(settings, scaling)` is called. `intervals(examples)` is
    the number of observed intervals of a series. `windows(examples, indices, length)` takes the windows of so many
    intervals at `indices`, (rows,) or (members, rows), out of all (`mcgc.train._windows`). `predict(settings, scaling)`
    returns (θ, examples) → the states of the series in the units of the data, (examples, times, states).

    `load(path)` reads the data for the command, from the file of `--dataset`, or without one if `path` is None.

    `model` says what the model is, in values that JSON has: the `kind` of the problem, the `sizes` and the `activation`
    of its dense net, the `loss`, and the names of `states` and `parameters`. A run file holds it.

    `recipe` is the paper's, and `others` map the names of other recipes to the settings in which they differ from
    it; `default` is the name of the one that the command takes if it is not told. A problem of your own::

        problem = Problem("mine", "what it is", Settings("mine", ...), examples, init, objective)
        for record, theta in train.fit(problem.recipe, data, HOST, problem): ...
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
    intervals: Callable[[Any], int] | None = None
    windows: Callable[[Any, Array, int], Any] | None = None
    predict: Callable[..., Callable[[Array, Any], Array]] | None = None
    load: Callable[[str | None], Any] | None = None

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
