"""Every device gives the host's numbers in whole computations, and one that does not is found out."""

import math

import pytest

from mcgc import kernels
from mcgc.arrays import DTYPES, to_host
from mcgc.checks import device as module
from mcgc.checks.device import CASES, STEPS_ALLOWED, compare_device
from mcgc.train import problems

NAMES = [*CASES, *(f"{name}{how}" for name in STEPS_ALLOWED for how in ("", ", repeated", ", stacked"))]


@pytest.fixture
def few(monkeypatch):
    """Give a function to what comes of comparing a device in float32 by the given cases and problems alone."""

    def compare(device, *names):
        monkeypatch.setattr(module, "DTYPES", ("float32",))
        for table in ("CASES", "STEPS_ALLOWED"):
            kept = {name: row for name, row in getattr(module, table).items() if name in names}
            monkeypatch.setattr(module, table, kept)
        return {found.kernel: found for found in compare_device(device)}

    return compare


def test_a_device_gives_the_numbers_of_the_host_and_repeats_its_bits(away):
    found = list(compare_device(away))
    assert [(a.kernel, a.dtype) for a in found] == [(name, dtype) for dtype in DTYPES for name in NAMES]
    assert [a for a in found if not a.agrees] == []
    assert {a.difference for a in found if a.kernel.endswith("repeated")} == {0}
    assert {a.device for a in found} == {away.name}


def test_every_problem_is_compared():
    assert list(STEPS_ALLOWED) == list(problems.names())


def altered(monkeypatch, name, change):
    kernel = getattr(kernels, name)
    right = kernel.meaning
    monkeypatch.setattr(kernel, "meaning", lambda *args: change(*right(*args)))


def test_noise_that_is_not_the_host_s_is_found(few, strict, monkeypatch):
    altered(monkeypatch, "perturb", lambda moved, sqnorm: (moved * 1.001, sqnorm))
    found = few(strict, "mnist")
    assert not found["mnist"].agrees
    assert found["mnist, repeated"].agrees
    assert found["mnist, stacked"].agrees


def test_bits_that_do_not_repeat_are_found(few, strict, monkeypatch):
    calls = []

    def last_bit(theta, mean, square):
        calls.append(theta)
        return theta * (1 + 2**-22 * (len(calls) % 5 == 0)), mean, square

    altered(monkeypatch, "adam", last_bit)
    found = few(strict, "lorenz")
    assert found["lorenz"].agrees
    assert not found["lorenz, repeated"].agrees


def test_members_that_depend_on_one_another_are_found(few, strict, monkeypatch):
    def mixed(moved, sqnorm):
        return moved, sqnorm if sqnorm.ndim == 0 else sqnorm[::-1]

    altered(monkeypatch, "perturb", mixed)
    found = few(strict, "mnist")
    assert found["mnist"].agrees
    assert not found["mnist, stacked"].agrees


def test_a_solution_in_other_steps_and_one_that_is_not_finite_are_found(few, strict, monkeypatch):
    right = module._solution

    def wrong(change):
        def solution(dtype, device):
            *arrays, accepted, rejected = right(dtype, device)
            return change(arrays, accepted, rejected) if device is strict else (*arrays, accepted, rejected)

        return {"solution": (solution, 1024.0)}

    monkeypatch.setattr(module, "CASES", wrong(lambda arrays, accepted, rejected: (*arrays, accepted + 1, rejected)))
    assert few(strict, "solution")["solution"].difference == math.inf
    nan = wrong(lambda arrays, *counts: (arrays[0] * math.nan, *arrays[1:], *counts))
    monkeypatch.setattr(module, "CASES", nan)
    assert math.isnan(few(strict, "solution")["solution"].difference)


def test_the_steps_compared_are_continuation_with_noise_and_move_everything(device):
    problem = problems.get("lotka-volterra")
    losses, slopes, log_lam, theta, mean = map(to_host, module.steps(problem, "float64", device, members=2))
    assert losses.shape == slopes.shape == (2, module.STEPS)
    assert len({*losses.ravel(), *slopes.ravel()}) == 4 * module.STEPS
    assert (log_lam != problem.recipe.log_lam0).all()
    assert theta.shape == mean.shape
    assert (abs(mean).max(axis=1) > 0).all()
