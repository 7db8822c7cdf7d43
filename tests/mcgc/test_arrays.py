"""Namespaces, transfers, and the choice of a device."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mcgc.arrays import HOST, device_of, is_array, is_host, namespace_of, scatter_add, select_device, to_device, to_host
from mcgc.errors import DeviceError, InputError


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


def test_the_cpu_is_taken_by_name():
    device, sentence = select_device("cpu")
    assert device is HOST
    assert "CPU" in sentence


def test_auto_without_cupy_takes_the_cpu_and_says_why(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    device, sentence = select_device("auto")
    assert device is HOST
    assert "CuPy is not installed" in sentence
    assert "mcgc[cuda12]" in sentence


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_cuda_without_cupy_is_refused_with_the_reason(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match=f"'{name}' cannot be used: CuPy is not installed"):
        select_device(name)


@pytest.mark.parametrize("name", ["banana", "cuda:x", "cuda:", "gpu", "cuda:-1", ""])
def test_an_unknown_device_is_answered_with_the_names(name):
    with pytest.raises(DeviceError, match="choose auto, cpu, cuda or cuda:N"):
        select_device(name)


def broken_driver():
    raise RuntimeError("cudaErrorInsufficientDriver: the driver is too old\nmore lines")


def test_a_driver_that_fails_is_one_line_for_auto_and_an_error_by_name(monkeypatch):
    runtime = SimpleNamespace(getDeviceCount=broken_driver)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(runtime=runtime)))
    device, sentence = select_device("auto")
    assert device is HOST
    assert "the driver is too old" in sentence
    assert "\n" not in sentence
    with pytest.raises(DeviceError, match="too old"):
        select_device("cuda")


def test_a_gpu_that_is_not_there_is_named(monkeypatch):
    runtime = SimpleNamespace(getDeviceCount=lambda: 1)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(runtime=runtime)))
    with pytest.raises(DeviceError, match="no GPU 3, the driver lists 1"):
        select_device("cuda:3")


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
