"""The studies of two ensembles: settings of both groups, and what differs from them."""

import pytest

from mcgc.errors import InputError
from mcgc.paper import ensembles
from mcgc.train import problems, validate


@pytest.mark.parametrize(
    ("name", "problem", "members"),
    [("figure-5", "mnist", 10), ("figure-6", "lotka-volterra", 5), ("figure-7", "lorenz", 5)],
)
def test_the_groups_are_the_recipe_and_differ_in_continuation_alone(name, problem, members):
    groups, recipe = ensembles.get(name).settings(), problems.get(problem)
    assert groups["with"] == validate(recipe.recipe._replace(members=members), recipe.options)
    assert groups["without"] == groups["with"]._replace(continuation=False)
    assert tuple(groups) == ensembles.GROUPS


def test_what_is_changed_is_told_with_both_values():
    study = ensembles.get("figure-7")
    settings = study.settings()["with"]
    assert study.changes("with", settings) == {}
    assert study.changes("with", settings._replace(epochs=3, rtol=0.1)) == {"epochs": (200, 3), "rtol": (1e-7, 0.1)}


def test_an_unknown_study_is_refused_with_the_list():
    with pytest.raises(InputError, match="unknown study 'figure-9': choose one of figure-5, figure-6, figure-7"):
        ensembles.get("figure-9")
