"""Namespaces, transfers, and the choice of a device."""

import numpy as np
import pytest

from mcgc.arrays import HOST, device_of, is_array, is_host, namespace_of, scatter_add, to_device, to_host
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
def test_scatter_add_adds_up_repeated_places_alike_on_every_device(device, dtype):
    places = (np.arange(1000) ** 2) % 37
    values = np.sin(np.arange(1000)).astype(dtype)
    expected = np.zeros(40)
    np.add.at(expected, places, values.astype("float64"))
    added = scatter_add(to_device(values, device), to_device(places, device), 40)
    assert to_host(added).dtype == dtype
    np.testing.assert_allclose(to_host(added), expected, rtol=1e-5 if dtype == "float32" else 1e-13, atol=1e-5)


def test_scatter_add_of_nothing_and_of_infinity_leaves_the_other_places_zero(device):
    empty, places = to_device(np.zeros(0), device), to_device(np.zeros(0, np.int64), device)
    np.testing.assert_array_equal(to_host(scatter_add(empty, places, 3)), np.zeros(3))
    values, places = to_device([np.inf, 1.0, 2.0], device), to_device([1, 2, 2], device)
    np.testing.assert_array_equal(to_host(scatter_add(values, places, 4)), [0, np.inf, 3, 0])
