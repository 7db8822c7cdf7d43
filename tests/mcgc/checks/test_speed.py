"""`mcgc.checks.speed`: it times what it says it times, on both sides."""

import pytest

from mcgc import kernels
from mcgc.arrays import HOST
from mcgc.checks import speed
from mcgc.checks.speed import Speed, compare_speed, launch_seconds
from mcgc.train import problems


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(speed, "SAMPLES", 1)
    monkeypatch.setattr(speed, "LEAST", 0.0)


def test_the_loss_and_the_steps_of_every_problem_are_timed(monkeypatch):
    monkeypatch.setattr(speed, "_seconds", lambda function: function() or 1.0)
    found = [(row.computation, row.members) for row in compare_speed(HOST)]
    assert found == [
        (f"{name} {what}", members)
        for name in problems.names()
        for what, members in (("loss", 1), *(("step", members) for members in speed.MEMBERS))
    ]


def test_a_device_that_takes_longer_is_less_than_one_time_as_fast():
    assert Speed("mnist step", 1, "cuda:0", 0.1, 0.4).times == 0.25


def test_members_step_together_on_a_device_and_each_by_itself_on_the_host(strict, monkeypatch):
    shapes, adam = [], kernels.adam.meaning
    monkeypatch.setattr(kernels.adam, "meaning", lambda theta, *rest: shapes.append(theta.shape) or adam(theta, *rest))
    monkeypatch.setattr(kernels.adam, "_bodies", {"cpu": None, "cuda": None})
    monkeypatch.setattr(kernels.adam, "_found", {})
    problem = problems.get("mnist")
    counts = {}
    for device in (HOST, strict):
        speed._steps(problem, device, 3)()
        counts[device.name] = [shape for shape in shapes if shape and shape[-1] > 1000]
        shapes.clear()
    (m,) = counts["cpu"][0]
    assert counts == {"cpu": [(m,)] * 3, "strict": [(3, m)]}


def test_seconds_are_those_of_one_call(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(speed.time, "perf_counter", lambda: 2.0 * next(clock))
    monkeypatch.setattr(speed, "LEAST", 5.0)
    calls = []
    assert speed._seconds(lambda: calls.append(0)) == 2.0 / 3
    assert len(calls) == 2 + 3


def test_a_launch_is_timed_by_the_call():
    assert 0 < launch_seconds(HOST) < 1
