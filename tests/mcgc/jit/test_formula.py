"""A formula is what was recorded: the same numbers and derivatives from plain data, in any number of rows."""

import json

import numpy as np
import pytest

import mcgc
from mcgc import ops
from mcgc._jit import Formula, formula_of
from mcgc._jit._graph import FOLD
from mcgc.errors import InputError

RNG = np.random.default_rng(0)
SHAPES = ((1,), (3,), (2,))
CASES = {
    "arithmetic": lambda t, y, p: ops.stack([p[0] * y[0] - y[1] / p[1], -(y[2] ** 2.5) + t[0] % 0.3, t[0] // 0.2]),
    "functions": lambda t, y, p: ops.stack(
        [ops.tanh(y[0]) * ops.exp(-p[0]), np.cbrt(y[1]), ops.erf(y[2]), np.log2(p[1])]
    ),
    "choices": lambda t, y, p: ops.stack([ops.where((y[0] > 1) & ~(t[0] < p[0]), y[1], ops.maximum(y[2], p[1]))]),
    "kinds": lambda t, y, p: ops.stack([ops.astype(y[0] > 1, "float64") * y[1], ops.floor(y[2]) * ops.sign(p[0])]),
    "constants": lambda t, y, p: ops.stack([0.0 * y[0] + 3.0, y[0] * np.inf, ops.minimum(y[1], -np.inf)]),
    "matrices": lambda t, y, p: ops.linalg.solve(ops.stack([p + 1, p[::-1] * np.array([2.0, 7.0])]), y[:2]),
}


@pytest.mark.parametrize("name", CASES)
def test_rows_of_a_formula_that_was_json_are_those_of_the_function(name):
    formula = formula_of(CASES[name], *SHAPES)
    again = Formula.of_json(json.loads(json.dumps(formula.to_json())), [1, 3, 2])
    assert again == formula
    assert "Infinity" not in json.dumps(formula.to_json())
    t, y, p = (RNG.uniform(0.5, 2.0, (5, *shape)) for shape in SHAPES)
    found = [np.broadcast_to(x, 5) for x in again(t.T, y.T, p.T, like=y)]
    wanted = [CASES[name](*row) for row in zip(t, y, p, strict=True)]
    np.testing.assert_allclose(np.stack(found, axis=1), wanted, rtol=1e-12)
    rows = again(t.astype("float32").T, y.astype("float32").T, p.astype("float32").T, like=y.astype("float32"))
    assert all(x.dtype == np.float32 for x in rows if hasattr(x, "dtype"))


def test_the_gradient_of_a_formula_is_that_of_the_function():
    formula = formula_of(CASES["functions"], *SHAPES)
    t, y, p = (RNG.uniform(0.5, 2.0, shape) for shape in SHAPES)
    of_formula = mcgc.grad(lambda y: sum(formula(t, y, p, like=y)))(y)
    np.testing.assert_allclose(of_formula, mcgc.grad(lambda y: ops.sum(CASES["functions"](t, y, p)))(y), rtol=1e-12)


def test_every_operation_that_a_program_may_have_is_one_of_a_formula():
    numbers = np.array([0.3, 0.6])
    for op, of_numpy in FOLD.items():
        count = {"where": 3}.get(op, getattr(of_numpy, "nin", 1))
        of_truth = op in ("and", "or", "not", "where")
        first = [("input", 0, 0), ("constant", 0.5), ("less", 0, 1), ("input", 0, 1)]
        operands = {"where": (2, 0, 3)}.get(op, (2,) * count if of_truth else (0, 3)[:count])
        formula = Formula((*first, (op, *operands)), (4,))
        known = [numbers[0], 0.5, numbers[0] < 0.5, numbers[1]]
        with np.errstate(invalid="ignore"):  # acosh of 0.3
            found, wanted = formula(numbers, like=numbers)[0], of_numpy(*(known[i] for i in operands))
        np.testing.assert_allclose(np.asarray(found, float), float(wanted), rtol=1e-15)


@pytest.mark.parametrize("change", [["system", 0], ["add", 0, 9], ["add", -1, 0], ["input", 3, 0], ["input", 0, 1], []])
def test_what_is_no_formula_is_refused(change):
    values = formula_of(CASES["arithmetic"], *SHAPES).to_json()
    values["operations"][5] = change
    with pytest.raises(InputError, match="the formula is not one that mcgc wrote"):
        Formula.of_json(values, [1, 3, 2])
    with pytest.raises(InputError, match="the formula is not one that mcgc wrote"):
        Formula.of_json({"operations": [], "results": [0]}, [1, 3, 2])
