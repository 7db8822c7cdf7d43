"""The sentences for names that are not known: all who list names say which one is similar."""

import mcgc_datasets
import numpy as np
import pytest

from mcgc import nets, ode
from mcgc.continuation import estimate
from mcgc.devices import select_device
from mcgc.errors import InputError, similar, unknown
from mcgc.paper import ensembles, test_functions
from mcgc.random import Key
from mcgc.train import problems, validate

LORENZ = problems.get("lorenz")


def setting(**wrong):
    return lambda: validate(LORENZ.recipe._replace(**wrong), LORENZ.options)


CALLS = {
    "lorenz": lambda: problems.get("lornz"),
    "lotka-volterra": lambda: mcgc_datasets.load("lotka_volterra"),
    "mnist": lambda: problems.get("MNIST"),
    "rastrigin": lambda: test_functions.get("rastrign"),
    "figure-5": lambda: ensembles.get("figure5"),
    "cpu": lambda: select_device("cpuu"),
    "relu": lambda: nets.apply(np.zeros(2), np.zeros(1), (1, 1), "rellu"),
    "he-normal": lambda: nets.init(Key(0), (1, 1), scheme="he-norml"),
    "antithetic": lambda: estimate(lambda x: x, "antithtic"),
    "dopri5": lambda: ode.solve(lambda t, y, p: y, np.zeros(1), np.arange(2.0), None, solver="dorpi5"),
    "backsolve": lambda: ode.solve(lambda t, y, p: y, np.zeros(1), np.arange(2.0), None, adjoint="backsolv"),
    "pathwise": setting(estimator="pathwize"),
    "geometric": setting(schedule="geometrc"),
    "float64": setting(dtype="flaot64"),
    "tsit5": setting(solver="tsit"),
    "restore": setting(on_divergence="restor"),
}


@pytest.mark.parametrize("meant", CALLS)
def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(meant):
    with pytest.raises(InputError, match=rf"; did you mean .*'{meant}'.*\?$") as caught:
        CALLS[meant]()
    assert "choose" in str(caught.value) or "must be one of" in str(caught.value)


@pytest.mark.parametrize("name", ["", "zzz", 3, None])
def test_a_name_like_none_of_them_is_answered_with_the_list_alone(name):
    assert similar(name, ("lorenz", "mnist")) == ""
    assert unknown("problem", name, ("lorenz", "mnist")) == f"unknown problem {name!r}: choose one of lorenz, mnist"


def test_settings_that_are_right_are_compared_with_nothing(monkeypatch):
    monkeypatch.setattr("mcgc.train.settings.similar", None)
    assert validate(LORENZ.recipe, LORENZ.options) == LORENZ.recipe
