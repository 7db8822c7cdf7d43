"""The studies of the paper that train two ensembles, one with continuation and one without: figures 5 to 7."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from mcgc.errors import InputError, unknown
from mcgc.train import Settings, problems

ARMS = ("with", "without")


class Ensembles(NamedTuple):
    """A problem, the number of members of each arm, and what the paper states.

    `shown` are the fields of the records that the figure has. `stated` maps some of them to the mean over the members
    at the end, by arm: a number, or two where the paper gives a range.
    """

    name: str
    problem: str
    members: int
    shown: tuple[str, ...]
    stated: Mapping[str, Mapping[str, Any]]

    def settings(self) -> dict[str, Settings]:
        """Return the settings of each arm: the recipe of the problem, with and without continuation."""
        recipe = problems.get(self.problem).recipe._replace(members=self.members)
        return {arm: recipe._replace(continuation=arm == "with") for arm in ARMS}

    def changes(self, arm: str, settings: Settings) -> dict[str, tuple[Any, Any]]:
        """Return, of the fields in which `settings` differ from those of the study, its value and theirs."""
        pairs = zip(self.settings()[arm], settings, strict=True)
        return {field: pair for field, pair in zip(Settings._fields, pairs, strict=True) if pair[0] != pair[1]}


_LOSSES = ("train_loss", "test_loss")
_STUDIES = {
    study.name: study
    for study in (
        Ensembles("figure-5", "mnist", 10, ("test_accuracy",), {"test_accuracy": {"with": 0.92, "without": 0.78}}),
        Ensembles("figure-6", "lotka-volterra", 5, _LOSSES, {"train_loss": {"with": (0.005, 0.01), "without": 0.02}}),
        Ensembles("figure-7", "lorenz", 5, _LOSSES, {"test_loss": {"with": 3.0, "without": 10.0}}),
    )
}


def names() -> tuple[str, ...]:
    """Return the names of the studies."""
    return tuple(_STUDIES)


def get(name: str) -> Ensembles:
    """Return the study called `name`. Raises `InputError`, with the list of names, if there is none."""
    if name not in _STUDIES:
        raise InputError(unknown("study", name, _STUDIES))
    return _STUDIES[name]
