"""How long a device takes beside the host: to launch a kernel, to solve an equation, to take a training step.

`mcgc.checks.device` tells whether its numbers are right.
"""

import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, NamedTuple

from mcgc import kernels, train
from mcgc.arrays import HOST, Device, to_host
from mcgc.checks.device import made_up
from mcgc.random import fold_in
from mcgc.train import Problem, problems
from mcgc.train._epoch import minibatches
from mcgc.train._strategies import stacked_member

MEMBERS = (1, 10)
SAMPLES = 5  # of which the median counts
LAUNCHES = 100
LEAST = 0.1  # seconds of a sample


class Speed(NamedTuple):
    """How long one computation takes.

    Parameters
    ----------
    computation : str
        The problem, and what of it is computed: its "loss", or a training "step".
    members : int
        Of how many members. On the host they compute one after the other.
    device : str
        The device.
    host_seconds, device_seconds : float
        The median of the wall time of one computation there.
    """

    computation: str
    members: int
    device: str
    host_seconds: float
    device_seconds: float

    @property
    def times(self) -> float:
        """By what factor the device is faster than the host, less than 1 where it is slower."""
        return self.host_seconds / self.device_seconds


def launch_seconds(device: Device) -> float:
    """Return the time that the host needs to launch a kernel of the library, without waiting for it.

    Parameters
    ----------
    device : Device
        The device.

    Returns
    -------
    float
        Seconds of a call of `mcgc.kernels.adam` for one parameter, which is one launch.

    Examples
    --------
    >>> from mcgc.arrays import HOST
    >>> from mcgc.checks.speed import launch_seconds
    >>> launch_seconds(HOST) > 0
    True
    """
    theta = device.namespace.ones(1, dtype=device.namespace.float32, device=device.handle)

    def launches() -> None:
        for _ in range(LAUNCHES):
            kernels.adam(theta, theta, theta, theta, 1, 0.1, 0.9, 0.999, 1e-8)

    return _seconds(launches) / LAUNCHES


def compare_speed(device: Device) -> Iterator[Speed]:
    """Compare how long the device and the host take for the loss and a training step of each problem's recipe.

    Parameters
    ----------
    device : Device
        The device.

    Returns
    -------
    iterator of Speed
        The loss of one member, and the step of `MEMBERS` members, of each problem. The data are made up, in batches of
        the recipe's size.

    Examples
    --------
    >>> from mcgc.arrays import HOST
    >>> from mcgc.checks.speed import compare_speed
    >>> found = next(compare_speed(HOST))
    >>> found.computation, found.members
    ('mnist loss', 1)
    """
    for name in problems.names():
        problem = problems.get(name)
        of_loss = (_seconds(_losses(problem, there)) for there in (HOST, device))
        yield Speed(f"{name} loss", 1, device.name, *of_loss)
        for members in MEMBERS:
            of_steps = (_seconds(_steps(problem, there, members)) for there in (HOST, device))
            yield Speed(f"{name} step", members, device.name, *of_steps)


def _losses(problem: Problem, device: Device) -> Callable[[], Any]:
    """Return a function that computes the loss of a batch, and reads it."""
    task, (member,) = _begun(problem, device, 1)
    batch = next(minibatches(task, member, 1))
    return lambda: to_host(task.objective(member.state.theta, batch)[0])


def _steps(problem: Problem, device: Device, members: int) -> Callable[[], Any]:
    """Return a function that takes a training step of each member, and reads the parameters."""
    task, several = _begun(problem, device, members)
    together = [stacked_member(several)] if device is not HOST and members > 1 else several
    batches = [next(minibatches(task, member, 1)) for member in together]

    def step() -> None:
        for member, batch in zip(together, batches, strict=True):
            state, _ = task.method().step(member.state, batch, fold_in(member.noise, 0))
            to_host(state.theta)

    return step


def _begun(problem: Problem, device: Device, members: int) -> tuple[Any, Any]:
    settings = problem.recipe._replace(members=members, warmup_epochs=0)
    task = train.bind(settings, made_up(problem, 2 * settings.batch_size + 10), device, problem)
    return task, train.draw(task)


def _seconds(function: Callable[[], Any]) -> float:
    """Return the median wall time of a call, after one that compiles and allocates."""
    function()
    began = time.perf_counter()
    function()
    count = 1 + int(LEAST / max(time.perf_counter() - began, 1e-9))

    def sample() -> float:
        began = time.perf_counter()
        for _ in range(count):
            function()
        return (time.perf_counter() - began) / count

    return median(sample() for _ in range(SAMPLES))
