"""Every kernel agrees with its reference here, and one that does not is found out."""

import math

import numpy as np
import pytest

from mcgc._jit import _rows
from mcgc.checks import kernels as checks
from mcgc.checks.kernels import CASES, ON_EVERY_DEVICE, compare_kernels
from mcgc.kernels import cpu, cpu_dense, cpu_losses, cpu_matmul
from mcgc.ode import _compiled

BODIES = {
    "perturb": (cpu, "perturb"),
    "noise_dot": (cpu, "noise_dot"),
    "adam": (cpu, "adam"),
    "matmul": (cpu_matmul, "matmul"),
    "dense_forward": (cpu_dense, "dense_forward"),
    "dense_vjp": (cpu_dense, "dense_vjp"),
    "cross_entropy": (cpu_losses, "cross_entropy"),
    "solve": (_compiled, "vjp_dense"),
    "jit": (_rows, "run"),
}


@pytest.fixture
def only(monkeypatch):
    """Give a function that leaves one kernel to compare, with a body made from the right one."""

    def choose(name, wrong):
        monkeypatch.setattr(checks, "CASES", {name: CASES[name]})
        module, function = BODIES[name]
        monkeypatch.setattr(module, function, wrong(getattr(module, function)))
        return list(compare_kernels())

    return choose


def altered(factor):
    """Return a body's wrapper that multiplies its floats by `factor`."""

    def change(found):
        if isinstance(found, tuple | list):
            return type(found)(map(change, found))
        return found.dtype.type(factor) * found

    def wrap(function):
        in_place = function is cpu_matmul.matmul  # its result is its first argument

        def wrong(*args):
            if in_place:
                function(*args)
                args[0][:] = change(args[0])
                return None
            return change(function(*args))

        return wrong

    return wrap


def test_all_kernels_agree_in_both_dtypes():
    found = list(compare_kernels())
    assert [(a.kernel, a.dtype) for a in found] == [(name, dtype) for name in CASES for dtype in ("float32", "float64")]
    assert all(a.agrees and a.device == "cpu" and a.error is None and a.seconds > 0 for a in found), found


@pytest.mark.parametrize("name", CASES)
def test_a_body_that_is_off_by_a_few_thousand_ulps_does_not_agree(only, name):
    found = only(name, altered(1 + 4000 * 2.0**-23))
    assert len(found) == 2
    assert not any(a.agrees for a in found)
    assert all(a.difference > a.allowed and a.error is None for a in found)


@pytest.mark.parametrize("name", CASES)
def test_a_nan_does_not_agree(only, name):
    found = only(name, altered(math.nan))
    assert all(math.isnan(a.difference) and not a.agrees for a in found)


def test_a_body_that_raises_is_reported_and_the_others_are_compared(only):
    def broken(_):
        def body(*args):
            raise RuntimeError("no such instruction\nand more")

        return body

    found = only("dense_vjp", broken)
    assert [a.error for a in found] == ["RuntimeError: no such instruction"] * 2
    assert not any(a.agrees for a in found)


def test_another_dtype_or_shape_is_no_agreement(only):
    def widened(function):
        return lambda *args: tuple(np.asarray(x, np.float64) for x in function(*args))

    single, double = only("adam", widened)
    assert single.error == "TypeError: float64 of shape (10001,), where float32 of shape (10001,) was expected"
    assert double.agrees


def test_a_solution_in_another_number_of_steps_does_not_agree(only, monkeypatch):
    right = _compiled.march_dense

    def one_more(*args):
        ys, accepted, *others = right(*args)
        return (ys, accepted + 1, *others)

    monkeypatch.setattr(_compiled, "march_dense", one_more)
    assert [a.difference for a in only("solve", lambda function: function)] == [math.inf] * 2


def test_a_solution_that_is_not_compiled_is_not_compared_with_itself(only, monkeypatch):
    monkeypatch.setattr(_compiled, "march_dense", lambda *args: None)
    assert not any(a.agrees for a in only("solve", lambda function: function))


def test_another_device_is_compared_with_the_host(away):
    found = list(compare_kernels(away))
    assert [a.kernel for a in found] == [name for name in ON_EVERY_DEVICE for _ in range(2)]
    assert all(a.agrees and a.device == away.name for a in found), found
