"""The studies of the paper that train two ensembles, with continuation and without: figures 5 to 7."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from mcgc.errors import InputError, unknown
from mcgc.train import Settings, problems

GROUPS = ("with", "without")


class Ensembles(NamedTuple):
    """A study of two groups of members: those trained with continuation, and those without.

    Parameters
    ----------
    name : str
        The name of the study.
    problem : str
        The name of the problem.
    members : int
        The number of members of each group.
    shown : tuple of str
        The fields of the records that the figure shows.
    stated : mapping
        What the paper states: of some fields, for each group, the mean over the members at the end, as a number or as
        the two ends of a range.
    """

    name: str
    problem: str
    members: int
    shown: tuple[str, ...]
    stated: Mapping[str, Mapping[str, Any]]

    def settings(self) -> dict[str, Settings]:
        """Return the settings of each group: the recipe of the problem, with and without continuation."""
        recipe = problems.get(self.problem).recipe._replace(members=self.members)
        return {group: recipe._replace(continuation=group == "with") for group in GROUPS}

    def changes(self, group: str, settings: Settings) -> dict[str, tuple[Any, Any]]:
        """Return the fields in which `settings` differ from those of the study: the value of the study, and theirs."""
        pairs = zip(self.settings()[group], settings, strict=True)
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
    """Return the names of the studies.

    Returns
    -------
    tuple of str
        The names.

    Examples
    --------
    >>> from mcgc.paper import ensembles
    >>> ensembles.names()
    ('figure-5', 'figure-6', 'figure-7')
    """
    return tuple(_STUDIES)


def get(name: str) -> Ensembles:
    """Return a study by name.

    Parameters
    ----------
    name : str
        One of `names()`.

    Returns
    -------
    Ensembles
        The study.

    Raises
    ------
    InputError
        If there is none of that name.

    Examples
    --------
    >>> from mcgc.paper import ensembles
    >>> study = ensembles.get("figure-7")
    >>> study.problem, study.members, study.stated
    ('lorenz', 5, {'test_loss': {'with': 3.0, 'without': 10.0}})
    """
    if name not in _STUDIES:
        raise InputError(unknown("study", name, _STUDIES))
    return _STUDIES[name]
