"""Every operation as a program, value and pullback, against the engine; here Python runs the programs."""

import math

import numpy as np
import pytest
from operations import TABLE, arguments

from mcgc import ops, vjp
from mcgc._jit._program import Program
from mcgc._jit._trace import OF, Argument, argument, trace
from mcgc.arrays import HOST
from mcgc.autodiff.pytree import LEAF, Structure, flatten
from mcgc.errors import TraceError

UNKNOWN = {"getitem, mask", "sort", "sort, descending", "take_along_axis"}  # their shapes or places depend on values


def run(program: Program, args):
    """Return the results of the program, computed by Python with NumPy's numbers."""
    names = {"math": _Math, "inf": math.inf, "nan": math.nan}
    numpys = ("ceil", "floor", "log2", "rint", "trunc", "float32", "float64", "int64")
    names |= {name: getattr(np, name) for name in numpys}
    exec(program.source("point"), names)
    out = [np.empty(leaf.size, leaf.dtype) for leaf in program.outputs]
    with np.errstate(all="ignore"):
        names["point"](*(x for array in (*(np.ravel(arg) for arg in args), *out) for x in (array, 0)))
    return [x.reshape(leaf.shape) for x, leaf in zip(out, program.outputs, strict=True)]


class _Math:
    """The functions of `math`, computed by NumPy, whose numbers keep their dtype."""


for _name in ["sqrt", "exp", "expm1", "log", "log1p", "log10", "sin", "cos", "tan", "sinh", "cosh", "tanh", "hypot"]:
    setattr(_Math, _name, getattr(np, _name))
for _name in ["asin", "acos", "atan", "atan2", "asinh", "acosh", "atanh"]:
    setattr(_Math, _name, getattr(np, "arc" + _name[1:]))
_Math.erf = staticmethod(lambda x: type(x)(math.erf(x)))


def structure_of(args):
    return flatten(tuple(args))[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [name for name in TABLE if name not in UNKNOWN])
def test_values_and_pullbacks_are_those_of_the_engine(name, dtype):
    function, args = TABLE[name].function, arguments(name, dtype, HOST)
    out, pullback = vjp(lambda *args: flatten(function(*args))[0], *args)
    cotangents = [np.cos(np.arange(y.size, dtype=y.dtype)).reshape(y.shape) for y in out]
    tolerance = {"rtol": 2e-5, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-13}

    program = trace(OF["value"](function), structure_of(args), [argument(x) for x in args]).program
    for found, y in zip(run(program, args), out, strict=True):
        assert found.dtype == y.dtype
        np.testing.assert_allclose(found, y, **tolerance)

    both = Structure(tuple, (), (structure_of(args), Structure(list, (), (LEAF,) * len(out))))
    given = [argument(x) for x in (*args, *cotangents)]
    program = trace(OF["vjp"](function), both, given).program
    for found, bar in zip(run(program, [*args, *cotangents]), pullback(cotangents), strict=True):
        assert found.dtype == bar.dtype
        np.testing.assert_allclose(found, bar, **tolerance)


@pytest.mark.parametrize("name", sorted(UNKNOWN))
def test_an_operation_whose_shape_or_places_depend_on_values_is_refused_with_the_way_out(name):
    args = arguments(name, "float64", HOST)
    with pytest.raises(TraceError, match="not known while it traces"):
        trace(OF["value"](TABLE[name].function), structure_of(args), [argument(x) for x in args])


PIECEWISE = {
    "sign": ops.sign,
    "floor": ops.floor,
    "ceil": ops.ceil,
    "round": ops.round,
    "trunc": ops.trunc,
    "floor_divide": lambda x: x // 0.7,
    "argmax": ops.argmax,
    "argmin": lambda x: ops.argmin(x, axis=0, keepdims=True),
    "isfinite": ops.isfinite,
    "isinf": ops.isinf,
    "isnan": ops.isnan,
    "comparisons": lambda x: [x < 0.5, x <= 0.5, x > 0.5, x >= 0.5, x == 0.5, x != 0.5],
    "any": lambda x: ops.any(x > 1),
    "all": lambda x: ops.all(x > -9, axis=1),
    "logic": lambda x: ((x > 0) & ~(x > 1)) | (x < -1) ^ (x == 0.5),
    "arithmetic of truth values": lambda x: (x > 0) * x + (x > 1),
    "integers": lambda x: [ops.astype(x, np.int64) % 2, ops.astype(x, np.int64) // 2, -abs(ops.astype(x, np.int64))],
}
SPECIAL = np.array([[0.0, -0.0, 0.5, 1.5, 2.5], [-1.25, -7.0, np.inf, -np.inf, np.nan]])


@pytest.mark.parametrize("name", PIECEWISE)
def test_piecewise_constant_operations_are_those_of_numpy_at_special_values_too(name):
    x = SPECIAL[:1] if name == "integers" else SPECIAL
    function = PIECEWISE[name]
    with np.errstate(all="ignore"):
        expected = flatten(function(x))[0]
    program = trace(OF["value"](function), structure_of([x]), [argument(x)]).program
    for found, y in zip(run(program, [x]), expected, strict=True):
        assert found.dtype == y.dtype
        np.testing.assert_array_equal(found, y)


def test_numbers_of_python_take_the_dtype_of_the_arrays():
    function = lambda x, a: x * a * 2 + a**2
    for a in (1.5, 3):
        args = np.ones(2, np.float32), a
        program = trace(OF["value"](function), structure_of(args), [argument(x) for x in args]).program
        (found,) = run(program, args)
        assert found.dtype == function(*args).dtype == np.float32
        np.testing.assert_array_equal(found, function(*args))


def test_equal_expressions_are_computed_once_and_known_ones_not_at_all():
    function = lambda x: ops.sin(x) * ops.sin(x) + 0 * x + (2.0 * 3 - 6) + x**1
    program = trace(OF["value"](function), structure_of([0.5]), [Argument((), np.dtype("float64"))]).program
    assert [node.op for node in program.order() if node.args and node.op != "input"] == ["sin", "multiply", "add"]


def test_a_branch_that_is_not_taken_gives_no_nan():
    function = lambda x: ops.where(x > 0, ops.sqrt(x), 0.0) + ops.where(x > 0, ops.log(x), x)
    x = np.array([-1.0, 0.0, 4.0])
    both = Structure(tuple, (), (structure_of([x]), Structure(list, (), (LEAF,))))
    program = trace(OF["vjp"](function), both, [argument(x), argument(x)]).program
    np.testing.assert_allclose(run(program, [x, np.ones(3)])[0], [1.0, 1.0, 0.5])
