"""The tests check every call of mcgc against the shapes and dtypes of its signature."""

import subprocess
import sys

import numpy as np
import pytest
from shapes import ShapeError, checked

from mcgc import nets
from mcgc._shapes import Array, Float
from mcgc.arrays import to_device
from mcgc.autodiff import vjp
from mcgc.errors import InputError


def half(x: Float[Array, "n"], y: Float[Array, "n"] | None = None) -> Float[Array, "n"]:
    return x[: x.shape[0] // 2]


def same(x: Float[Array, "n"], y: Float[Array, "n"] | None = None) -> Float[Array, "n"]:
    return x


def test_a_result_of_a_wrong_shape_is_caught_on_every_device(device):
    x = to_device([1.0, 2.0], device, "float64")
    with pytest.raises(ShapeError, match="half: return is not"):
        checked(half)(x)
    assert checked(same)(x) is x


def test_a_traced_array_of_a_wrong_shape_is_caught():
    with pytest.raises(ShapeError, match="half: return is not"):
        vjp(checked(half), np.ones(2))
    assert vjp(checked(same), np.ones(2))[0].shape == (2,)


def test_axes_of_one_name_have_one_length():
    with pytest.raises(ShapeError, match="same: y is not"):
        checked(same)(np.ones(2), np.ones(3))


def test_a_wrong_dtype_is_caught():
    with pytest.raises(ShapeError, match="same: x is not"):
        checked(same)(np.arange(2))


def test_functions_of_the_library_are_checked(monkeypatch):
    monkeypatch.setattr(nets, "_fused", lambda theta, x, **options: x[0, 0])
    with pytest.raises(ShapeError, match=r"mcgc\.nets\.apply: return is not"):
        nets.apply(np.ones(3), np.ones((2, 2)), (2, 1))


def test_what_a_function_refuses_itself_is_its_own_error():
    with pytest.raises(InputError, match="has 3 parameters"):
        nets.unpack(np.ones(4), (2, 1))


def test_without_jaxtyping_a_shape_is_the_type_of_an_array():
    code = (
        "import sys, mcgc.nets, mcgc._shapes as s; print(s.Float[s.Array, 'm'] is s.Array, 'jaxtyping' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["True", "False"], done.stderr
