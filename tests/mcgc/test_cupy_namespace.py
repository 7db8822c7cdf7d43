"""What mcgc has of its own in CuPy's namespace, on a stand-in that refuses what would wait for a device."""

from contextlib import contextmanager
from types import ModuleType

import numpy as np
import pytest

from mcgc.arrays._cupy import CREATION, LIKE, mended

VALUES = [-np.inf, -3.0, -0.0, 0.0, 0.2, 5.0, np.inf, np.nan]


class Waiting(np.ndarray):
    """An array that cannot be indexed by a mask, assigned into or asked for its truth."""

    def __getitem__(self, key):
        if np.asarray(key).dtype == np.dtype(bool):
            raise AssertionError("a mask waits for the device")
        return super().__getitem__(key)

    def __setitem__(self, key, value):
        raise AssertionError("an assignment by a mask waits for the device")

    def __bool__(self):
        raise AssertionError("the truth of an array waits for the device")


@pytest.fixture
def selected():
    return []


@pytest.fixture
def namespace(selected):
    @contextmanager
    def select(device):
        selected.append(device)
        yield

    return mended(np, np, select)


def array(values, dtype="float32"):
    return np.asarray(values, dtype).view(Waiting)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (None, 0.5), (0.1, None), (None, None), (0.0, np.inf)])
def test_clip_is_that_of_numpy_and_waits_for_nothing(namespace, bounds, dtype):
    x = array(VALUES, dtype)
    found = namespace.clip(x, *bounds)
    expected = np.asarray(VALUES, dtype) if bounds == (None, None) else np.clip(np.asarray(VALUES, dtype), *bounds)
    np.testing.assert_array_equal(np.asarray(found), expected)
    assert found.dtype == dtype
    by_name = namespace.clip(x, max=bounds[1], min=bounds[0])
    np.testing.assert_array_equal(np.asarray(by_name), expected)


def test_clip_takes_arrays_as_bounds_and_keeps_the_dtype(namespace):
    found = namespace.clip(array([[0.0, 5.0], [2.0, -1.0]]), array([1.0, 2.0], "float64"), array([[3.0], [1.5]]))
    np.testing.assert_array_equal(np.asarray(found), [[1.0, 3.0], [1.5, 1.5]])
    assert found.dtype == "float32"


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_sign_is_that_of_numpy_with_nan_and_waits_for_nothing(namespace, dtype):
    values = np.asarray([-3, 0, 7] if dtype == "int32" else VALUES, dtype)
    found = namespace.sign(values.view(Waiting))
    np.testing.assert_array_equal(np.asarray(found), np.sign(values))
    assert found.dtype == dtype


def test_arrays_are_created_on_the_device_that_is_named(namespace, selected):
    calls = {"arange": (3,), "empty": (2,), "eye": (2,), "full": (2, 1.0), "linspace": (0, 1, 3), "ones": (2,)}
    for name in CREATION:
        getattr(namespace, name)(*calls.get(name, (2,)), device=f"gpu of {name}")
    assert selected == [f"gpu of {name}" for name in CREATION]
    selected.clear()
    namespace.zeros(3)
    assert selected == []
    for name in LIKE:
        like = (np.ones(2), 1.0) if name == "full_like" else (np.ones(2),)
        getattr(namespace, name)(*like)
        getattr(namespace, name)(*like, device="another")
    assert selected == ["cpu", "another"] * 4  # where the array is, or where it is asked for


def test_everything_else_is_that_of_the_library(namespace):
    assert namespace.exp is np.exp
    assert namespace.linalg.inv is np.linalg.inv


@pytest.mark.parametrize(
    ("a", "b"),
    [((2, 2), (3, 2, 1)), ((4, 1, 2, 2), (3, 2, 5)), ((3, 2, 2), (2, 1)), ((3, 2, 2), (3, 2, 1)), ((2, 2), (2,))],
)
def test_stacks_of_equations_broadcast_for_a_library_that_takes_equal_ones_alone(selected, a, b):
    def strict(x, y):
        assert y.ndim == 1 or x.shape[:-2] == y.shape[:-2]
        return np.linalg.solve(x, y)

    standard = ModuleType("standard")
    vars(standard).update(vars(np))
    standard.linalg = ModuleType("linalg")
    standard.linalg.solve = strict
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=a) + 4 * np.eye(2), rng.normal(size=b)
    found = mended(standard, np, None).linalg.solve(x, y)
    np.testing.assert_array_equal(found, np.linalg.solve(x, y))
