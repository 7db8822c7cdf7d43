"""Namespaces, transfers, and the choice of a device."""

import numpy as np
import pytest

from mcgc.arrays import (
    HOST,
    as_floats,
    check_alike,
    device_of,
    is_array,
    is_host,
    namespace_of,
    scatter_add,
    to_device,
    to_host,
)
from mcgc.autodiff import grad, ops
from mcgc.errors import InputError


def test_the_namespace_is_that_of_the_first_array_among_numbers(strict):
    assert namespace_of(1.0, np.ones(2)) is np
    assert namespace_of(np.float32(1)) is np
    assert namespace_of(2, to_device([1.0], strict)).__name__ == "array_api_strict"
    assert namespace_of(1, 2.0) is HOST.namespace
    with pytest.raises(InputError, match="list"):
        namespace_of([1.0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_travel_to_a_device_and_back(device, dtype):
    x = np.arange(6.0).reshape(2, 3)
    there = to_device(x, device, dtype)
    assert device_of(there) == device.handle
    assert namespace_of(there).float32 is device.namespace.float32
    back = to_host(there)
    assert type(back) is np.ndarray
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, x)


def test_what_is_an_array_and_what_is_on_the_host(strict):
    assert is_array(np.ones(1))
    assert is_array(to_device([1.0], strict))
    assert not is_array([1.0])
    assert is_host(np.float32(1))
    assert not is_host(to_device([1.0], strict))
    assert to_host(2.5) == 2.5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scatter_add_adds_up_repeated_indices_alike_on_every_device(device, dtype):
    indices = (np.arange(1000) ** 2) % 37
    values = np.sin(np.arange(1000)).astype(dtype)
    expected = np.zeros(40)
    np.add.at(expected, indices, values.astype("float64"))
    added = scatter_add(to_device(values, device), to_device(indices, device), 40)
    assert to_host(added).dtype == dtype
    np.testing.assert_allclose(to_host(added), expected, rtol=1e-5 if dtype == "float32" else 1e-13, atol=1e-5)


def test_scatter_add_of_nothing_and_of_infinity_leaves_the_other_elements_zero(device):
    empty, indices = to_device(np.zeros(0), device), to_device(np.zeros(0, np.int64), device)
    np.testing.assert_array_equal(to_host(scatter_add(empty, indices, 3)), np.zeros(3))
    values, indices = to_device([np.inf, 1.0, 2.0], device), to_device([1, 2, 2], device)
    np.testing.assert_array_equal(to_host(scatter_add(values, indices, 4)), [0, np.inf, 3, 0])


def test_what_a_caller_gives_becomes_floats_of_the_companion_s_dtype_on_its_device(device):
    like = to_device([1.0], device, "float32")
    for numbers in ([1, 2.5], (1, 2.5), np.array([1, 2.5]).tolist()):
        found = as_floats(numbers, "x", like)
        assert found.dtype == like.dtype
        assert device_of(found) == device_of(like)
        np.testing.assert_array_equal(to_host(found), [1, 2.5])
    integers = device.namespace.astype(to_device([1.0, 2.0], device), device.namespace.int32)
    assert as_floats(integers, "x", like).dtype == device.namespace.float32
    assert as_floats(integers, "x").dtype == device.namespace.float64
    assert as_floats(3, "x").dtype == np.float64
    assert as_floats([1, 2], "x", like, "float64").dtype == device.namespace.float64


def test_floats_and_traced_arrays_are_not_copied_and_another_byte_order_is_turned(device):
    x = to_device([1.0, 2.0], device, "float32")
    assert as_floats(x, "x", to_device([1.0], device, "float64")) is x
    assert to_host(grad(lambda z: ops.sum(z if as_floats(z, "z") is z else 0 * z))(x)).all()
    fortran = np.asfortranarray(np.ones((2, 3)))
    assert as_floats(fortran, "x") is fortran
    turned = as_floats(np.array([1.0, 2.0], ">f4"), "x")
    assert turned.dtype == np.dtype("float32")
    assert turned.dtype.isnative
    np.testing.assert_array_equal(turned, [1, 2])


@pytest.mark.parametrize(
    "wrong",
    [
        np.ones(2, np.float16),
        np.ones(2, np.longdouble),
        np.ones(2, complex),
        np.array([None]),
        np.array(["a"]),
        np.array(["2020"], "datetime64[D]"),
        np.ma.array([1.0, 2.0], mask=[0, 1]),
        [1, [2, 3]],
        ["a"],
        [1j],
        "a",
        None,
        {1: 2},
        10**400,
    ],
    ids=repr,
)
def test_what_is_no_array_of_floats_is_one_sentence_with_its_name(wrong):
    for _ in range(2):
        with pytest.raises(InputError, match="the thing") as caught:
            as_floats(wrong, "the thing")
        assert "\n" not in str(caught.value)


def test_arrays_that_are_not_alike_are_told_apart_by_name():
    check_alike("theta", np.ones(3), gradient=np.zeros(3))
    for other in (np.ones(1), np.ones((3, 1)), np.ones(3, np.float32)):
        with pytest.raises(InputError, match=r"the gradient is .* but theta is float64 of shape \(3,\)"):
            check_alike("theta", np.ones(3), gradient=other)
