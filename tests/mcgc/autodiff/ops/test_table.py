"""Every operation's derivatives against finite differences, on every device and in both dtypes, from one table."""

import numpy as np
import pytest
from operations import TABLE, arguments

from mcgc.arrays import HOST, to_device, to_host
from mcgc.autodiff import check_grads, grad, hvp, ops, value_and_grad, vjp


def total(function):
    """Reduce an op to a scalar whose gradient in every output differs."""

    def scalar(*args):
        out = function(*args)
        parts = out if isinstance(out, list | tuple) else [out]
        return sum(ops.sum(ops.sin(part)) for part in parts)

    return scalar


@pytest.mark.parametrize("name", TABLE)
def test_derivatives_to_second_order_equal_finite_differences(name, device):
    check_grads(TABLE[name].function, *arguments(name, "float64", device), order=2, rtol=2e-7, atol=1e-7)


@pytest.mark.parametrize("name", TABLE)
def test_values_and_derivatives_are_those_of_the_host_in_both_dtypes(name, device):
    evaluate = value_and_grad(total(TABLE[name].function), tuple(range(len(TABLE[name].shapes))))
    value, gradients = evaluate(*arguments(name, "float64", HOST))
    for dtype, rounding in (("float32", 2e-5), ("float64", 1e-11)):
        found, slopes = evaluate(*arguments(name, dtype, device))
        for there, here in [(found, value), *zip(slopes, gradients, strict=True)]:
            assert there.dtype == getattr(device.namespace, dtype)
            np.testing.assert_allclose(to_host(there), here, rtol=rounding, atol=rounding)


MIXED = [name for name, row in TABLE.items() if len(row.shapes) > 1]


@pytest.mark.parametrize("dtypes", [("float32", "float64"), ("float64", "float32")])
@pytest.mark.parametrize("name", MIXED)
def test_cotangents_have_the_dtypes_of_their_arguments_to_second_order(name, dtypes, device):
    doubles = arguments(name, "float64", device)
    mixed = [to_device(to_host(x), device, dtypes[i % 2]) for i, x in enumerate(doubles)]
    gradient = grad(total(TABLE[name].function), tuple(range(len(mixed))))
    for args in (mixed, doubles):
        first, pullback = vjp(gradient, *args)
        second = pullback(first)
        if args is mixed:
            found = [*first, *second]
    for x, single, double in zip([*mixed, *mixed], found, [*first, *second], strict=True):
        assert single.dtype == x.dtype
        np.testing.assert_allclose(to_host(single), to_host(double), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, c: ops.sum(ops.concat([x, c])),
        lambda x, c: ops.sum(ops.stack([x, c]) ** 2),
        lambda x, c: ops.sum(ops.clip(x, c - 1, c)),
        lambda x, c: ops.sum(ops.where(c > 1, x, c) * x),
        lambda x, c: ops.sum(ops.maximum(c, x) / c + x // c + x % c),
        lambda x, c: ops.sum(x**c + c**x) + x @ c,
        lambda x, c: ops.einsum("i,i", c, ops.sin(x)) + ops.vecdot(ops.cumulative_sum(x), c),
        lambda x, c: ops.sum(ops.astype(x, c.dtype) * c) if "float" in str(c.dtype) else ops.sum(x),
        lambda x, c: ops.sum(2.5 * x + 3 / x - x**0.5 + ops.hypot(x, 2) + ops.logaddexp(1.5, x)),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "int64", "uint8", "bool"])
def test_a_float32_argument_has_float32_derivatives_beside_constants_of_other_dtypes(function, dtype):
    x, c = np.array([0.5, 2.0, 1.5], np.float32), np.array([1, 2, 3]).astype(dtype)
    first = grad(function)(x, c)
    second = hvp(lambda x: function(x, c), x, x)
    assert first.dtype == second.dtype == np.float32
    doubles = grad(function)(x.astype("float64"), c)
    np.testing.assert_allclose(first, doubles, rtol=1e-5)


@pytest.mark.parametrize("name", TABLE)
def test_inputs_and_cotangents_are_never_mutated(name):
    args = arguments(name, "float64", HOST)
    copies = [arg.copy() for arg in args]
    for arg in args:
        arg.flags.writeable = False
    out, pullback = vjp(TABLE[name].function, *args)
    parts = out if isinstance(out, list | tuple) else [out]
    cotangents = [np.ones_like(part) for part in parts]
    for cotangent in cotangents:
        cotangent.flags.writeable = False
    pulled = pullback(type(out)(cotangents) if isinstance(out, list | tuple) else cotangents[0])
    for arg, copy, bar in zip(args, copies, pulled, strict=True):
        np.testing.assert_array_equal(arg, copy)
        assert bar.shape == arg.shape


def test_the_table_has_a_row_for_every_operation_that_has_a_derivative():
    tested = {name.split(",")[0] for name in TABLE}
    public = {name for name, value in vars(ops).items() if callable(value) and not name.startswith("_")}
    assert public - tested == {
        *("sign", "floor", "ceil", "round", "trunc", "floor_divide", "argmax", "argmin", "argsort"),
        *("isfinite", "isinf", "isnan", "equal", "not_equal", "less", "less_equal", "greater", "greater_equal"),
        *("any", "all", "zeros_like", "ones_like"),  # so far all constants
        *("arctan", "concatenate", "cumsum"),  # aliases
    }


def test_every_operation_says_what_it_computes():
    public = [value for name, value in vars(ops).items() if callable(value) and not name.startswith("_")]
    assert [value.__name__ for value in public if not value.__doc__] == []
