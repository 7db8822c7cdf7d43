"""Check that a device gives the numbers of the host, and repeats them: nets, solutions, training steps of each problem.

`mcgc.checks.kernels` compares each compiled kernel by itself. Here whole computations are compared, of kernels and of
the array library.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from types import SimpleNamespace
from typing import Any

from mcgc import losses, nets, train
from mcgc.arrays import DTYPES, HOST, Array, Device, namespace_of, to_device, to_host
from mcgc.autodiff import hvp, ops, value_and_grad, vjp
from mcgc.checks.kernels import Comparison, compare
from mcgc.ode import DenseField, solve
from mcgc.random import Key, fold_in, normal
from mcgc.train import Problem, problems
from mcgc.train._epoch import Member, Task, minibatches

STEPS = 3
MEMBERS = 2
SIZES = (5, 20, 20, 3)
ROWS = 7
STEP_SIZE = 0.1  # where steps are of equal size

Results = Sequence[Array]


def compare_device(device: Device) -> Iterator[Comparison]:
    """Compare `device` with the host, in float32 and float64, one computation after another.

    Differences are in ulps of the largest element. Allowed is what the order of additions may make of it in so many
    layers and steps, with some to spare. "repeated" computes twice on the device, to equal bits. "stacked" compares
    members as one more axis with each by itself, both on the device. Equations are solved in steps of equal size in
    float32, since rounding there decides what step an adaptive solver takes next.

    Parameters
    ----------
    device : Device
        The device.

    Returns
    -------
    iterator of Comparison
        One for each computation and dtype.

    Examples
    --------
    >>> from mcgc.arrays import HOST
    >>> from mcgc.checks.device import compare_device
    >>> next(compare_device(HOST)).kernel
    'net'
    """
    for dtype in DTYPES:
        for name, (case, allowed) in CASES.items():
            on = lambda there, case=case, dtype=dtype: lambda: case(dtype, there)
            yield compare(name, device, dtype, allowed, on(device), on(HOST))
        for name, allowed in STEPS_ALLOWED.items():
            run = lambda there, name=name, dtype=dtype, **how: lambda: steps(problems.get(name), dtype, there, **how)
            again = lambda run=run: [to_host(array) for array in run(device)()]
            yield compare(name, device, dtype, allowed, run(device), run(HOST))
            yield compare(f"{name}, repeated", device, dtype, 0.0, run(device), again)
            alone = lambda run=run: [to_host(array) for array in run(device, members=MEMBERS, stacked=False)()]
            yield compare(f"{name}, stacked", device, dtype, allowed, run(device, members=MEMBERS), alone)


def _net(dtype: str, device: Device) -> Results:
    """Return a loss of two members, its gradient, and its Hessian times the gradient."""
    thetas = [nets.init(Key(i), SIZES, dtype, device) for i in range(MEMBERS)]
    x, y = (normal(Key(2 + i), (ROWS, n), dtype, device) for i, n in enumerate((SIZES[0], SIZES[-1])))
    loss = lambda theta: ops.sum(losses.mse(nets.apply(theta, x, SIZES, "tanh"), y, members=1))
    theta = ops.stack(thetas)
    value, gradient = value_and_grad(loss)(theta)
    return value, gradient, hvp(loss, theta, gradient)


def _classes(dtype: str, device: Device) -> Results:
    """Return both cross-entropies of two members, their gradients, and the accuracy."""
    logits = 3 * normal(Key(0), (MEMBERS, ROWS, 10), dtype, device)
    labels = device.namespace.arange(ROWS, device=device.handle)
    found = [losses.accuracy(logits, labels, 1)]
    for loss in (losses.cross_entropy, losses.cross_entropy_of_softmax):
        found += value_and_grad(lambda z, loss=loss: ops.sum(loss(z, labels, 1)))(logits)
    return found


def _solution(dtype: str, device: Device) -> Results:
    """Return the states of a neural ODE, the cotangents of θ and of the first states, and the steps it took."""
    how: dict[str, Any] = {"step_size": STEP_SIZE} if dtype == "float32" else {"rtol": 1e-4, "atol": 1e-6}
    field: Any = DenseField(SIZES, "tanh")
    states = SIZES[-1]
    theta, x = nets.init(Key(0), SIZES, dtype, device), normal(Key(1), (ROWS, SIZES[0]), dtype, device)
    ts = to_device([0.0, 0.2, 0.7, 1.0], device, "float64")

    def run(theta: Array, y0: Array) -> tuple:
        solution = solve(field, y0, ts, (theta, x[:, states:]), **how)
        return solution.ys, solution.stats

    ys, pullback, stats = vjp(run, theta, x[:, :states], has_aux=True)
    return ys, *pullback(normal(Key(2), ys.shape, dtype, device)), stats.accepted, stats.rejected


def steps(problem: Problem, dtype: str, device: Device, members: int = 1, stacked: bool = True) -> Results:
    """Return the numbers of three training steps of a problem's recipe on made-up data.

    Parameters
    ----------
    problem : Problem
        The problem.
    dtype : str
        The dtype.
    device : Device
        Where to train.
    members : int
        The number of members, which are the first axis of the result, if there are several.
    stacked : bool
        Whether several members step together.

    Returns
    -------
    sequence of arrays
        f and ∂g/∂φ of each step, φ, θ, and Adam's mean of the gradients.

    Examples
    --------
    >>> from mcgc.arrays import HOST
    >>> from mcgc.checks.device import steps
    >>> from mcgc.train import problems
    >>> steps(problems.get("lotka-volterra"), "float32", HOST)[0].shape
    (3,)
    """
    easy: dict[str, Any] = {"batch_size": 4, "warmup_epochs": 0}
    if "solver" in problem.options:
        easy |= {"rtol": 1e-4, "atol": 1e-4, "step_size": STEP_SIZE if dtype == "float32" else None}
    settings = problem.recipe._replace(dtype=dtype, members=members, **easy)
    task = train.bind(settings, made_up(problem), device, problem)
    several = train.draw(task)
    if stacked and members > 1:
        from mcgc.train._strategies import stacked_member

        return _take_steps(task, stacked_member(several))
    found = [_take_steps(task, member) for member in several]
    return found[0] if members == 1 else [ops.stack(column) for column in zip(*found, strict=True)]


def _take_steps(task: Task, member: Member) -> Results:
    state, estimates = member.state, []
    for batch in islice(minibatches(task, member, 1), STEPS):
        state, info = task.method().step(state, batch, fold_in(member.noise, state.steps))
        estimates += [info.smoothed, info.grad_log_lam]
    xp = namespace_of(state.theta)
    return (
        xp.stack(estimates[::2], axis=-1),
        xp.stack(estimates[1::2], axis=-1),
        state.log_lam,
        state.theta,
        state.optimizer.mean,
    )


def made_up(problem: Problem, count: int = 14) -> Any:
    """Return a made-up dataset in the form that the problem has.

    Parameters
    ----------
    problem : Problem
        The problem.
    count : int
        The number of examples, 14 by default, of which one is then for testing.

    Returns
    -------
    object
        What the problem's `examples` takes.

    Examples
    --------
    >>> from mcgc.checks.device import made_up
    >>> from mcgc.train import problems
    >>> made_up(problems.get("mnist")).images.shape
    (14, 1, 784)
    """
    states = problem.sizes[-1]
    if "solver" in problem.options:
        times = to_host(ops.cumulative_sum(normal(Key(0), (4,), "float64") ** 2)) / 20
        rates = 1 + to_host(normal(Key(1), (count, problem.sizes[0] - states), "float64")) ** 2
        series = to_host(normal(Key(2), (count, 4, states), "float64"))
        return SimpleNamespace(times=times, parameters=rates, series=series)
    xp = HOST.namespace
    images = xp.arange(count * problem.sizes[0], dtype=xp.int64) * 7919 % 256
    return SimpleNamespace(
        images=xp.astype(images, xp.uint8).reshape(count, 1, -1), labels=xp.arange(count, dtype=xp.uint8) % states
    )


CASES: Mapping[str, tuple[Callable[[str, Device], Results], float]] = {
    "net": (_net, 64.0),
    "cross-entropy": (_classes, 16.0),
    "solution": (_solution, 1024.0),
}
STEPS_ALLOWED = {"mnist": 1024.0, "lotka-volterra": 1024.0, "lorenz": 1024.0}
