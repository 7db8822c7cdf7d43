"""What solutions and training steps ask of a GPU, counted on one that computes nothing: `test_cuda.py` runs this.

The recipes, sizes and batches are those of the three problems. What a solution reads is made up here, since nothing is
computed. A solution whose steps are launches counts with its first step, and again what each further step adds.
"""

import timeit
from time import thread_time  # of this thread alone: others may be at work
from types import SimpleNamespace
from typing import NamedTuple

import null_gpu  # before CuPy
import numpy as np
import pytest
from null_gpu import Launch, counted

from mcgc import nets, ode, train
from mcgc.arrays import Device, _cupy, to_device
from mcgc.autodiff import vjp
from mcgc.kernels import cuda as kernels
from mcgc.kernels import launching
from mcgc.ode import _dense_cuda, _integrate
from mcgc.random import Key, fold_in
from mcgc.train import problems
from mcgc.train._epoch import minibatches
from mcgc.train._strategies import stacked_member

cupy = null_gpu.cupy
GPU = Device("cuda:0", _cupy.namespace(), cupy.cuda.Device(0))
TIMES = {"lorenz": 20, "lotka-volterra": 50}  # of a series of the dataset
BATCH = 4
LIMIT = 8  # times what the same host needs for a little Python


class Row(NamedTuple):
    """How often a computation launches kernels, multiplies, waits, copies to the device and back, and sets memory."""

    launches: int
    products: int
    waits: int = 0
    to_device: int = 0
    to_host: int = 0
    memsets: int = 0


STEPS = {  # of training, by the problem and the members
    ("mnist", 1): Row(37, 0),
    ("mnist", 10): Row(39, 0, 0, 0, 0, 1),
    ("lotka-volterra", 1): Row(43, 0, 1, 0, 1, 3),
    ("lotka-volterra", 10): Row(53, 0, 1, 0, 1, 5),
    ("lorenz", 1): Row(43, 0, 1, 0, 1, 3),
    ("lorenz", 10): Row(53, 0, 1, 0, 1, 5),
}
SOLUTIONS = {  # of the net of lorenz with their derivative: in one step, and what each further step adds
    ("dopri5", "relu"): (Row(5, 0, 1, 0, 1, 3), Row(0, 0)),
    ("dopri8", "relu"): (Row(1646, 0, 1, 2, 1, 35), Row(711, 0, 1, 0, 1, 2)),
    ("dopri5", "sigmoid"): (Row(4901, 580, 1, 23, 1, 32), Row(3770, 480, 1, 18, 1, 2)),
}


@pytest.fixture(autouse=True)
def uncompiled(monkeypatch, tmp_path):
    """Spare the seconds that the library's own kernels take to compile: `compiled.py` does that."""
    monkeypatch.setattr(launching, "directory", lambda: tmp_path)
    monkeypatch.setattr(launching, "to_ptx", lambda *_: "")
    monkeypatch.setattr(launching, "machine_code", lambda *_: b"")
    monkeypatch.setattr(launching, "_kernels", {})


@pytest.fixture(autouse=True)
def tries(monkeypatch):
    """Give a function that sets how many steps solutions take. All are good, and the last one reaches all times."""
    read, read_all, number, taken = _integrate._read, _dense_cuda._read, 1, 0

    def told(active, failed, moves, before, reached):
        nonlocal taken
        read(active, failed, moves, before, reached)
        taken += 1
        last = taken % number == 0
        return not last, False, True, 1, TIMES["lorenz"] if last else 1

    def told_of_all(counts):
        read_all(counts)
        return number, 0, True, False

    def of(tried):
        nonlocal number
        number = tried

    monkeypatch.setattr(_integrate, "_read", told)
    monkeypatch.setattr(_dense_cuda, "_read", told_of_all)
    return of


def data(problem):
    rng = np.random.default_rng(0)
    if "solver" in problem.options:
        times = TIMES[problem.name]
        series = rng.normal(size=(30, times, problem.sizes[-1]))
        return SimpleNamespace(times=np.linspace(0, 2, times), parameters=rng.normal(size=(30, 2)), series=series)
    images = rng.integers(0, 255, (600, 28, 28)).astype(np.uint8)
    return SimpleNamespace(images=images, labels=(np.arange(600) % 10).astype(np.uint8))


def training(name, members):
    """Return a function that takes the next training step of a problem's recipe."""
    problem = problems.get(name)
    settings = problem.recipe._replace(members=members, warmup_epochs=0)
    task = train.bind(settings, data(problem), GPU, problem)
    several = train.draw(task)
    member = several[0] if members == 1 else stacked_member(several)
    batch, state = next(minibatches(task, member, 1)), member.state

    def step():
        nonlocal state
        state, _ = task.method().step(state, batch, fold_in(member.noise, state.steps))

    return step


def solution(solver, activation):
    """Return a function that solves an equation with the net of lorenz, and pulls a cotangent back."""
    sizes = problems.get("lorenz").sizes
    theta = nets.init(Key(0), sizes, "float32", GPU)
    y0, x = (to_device(np.ones((BATCH, n)), GPU, "float32") for n in (sizes[-1], sizes[0] - sizes[-1]))
    ts = to_device(np.tile(np.linspace(0, 2, TIMES["lorenz"]), (BATCH, 1)), GPU)
    field = ode.DenseField(sizes, activation)

    def run():
        ys, pullback = vjp(lambda theta, y0: ode.solve(field, y0, ts, (theta, x), solver=solver).ys, theta, y0)
        pullback(ys)

    return run


def row(function):
    """Return what a computation asks for once all is compiled and the memory is there."""
    function()
    function()
    counts, _ = counted(function)
    assert (counts.allocations, counts.on_device, counts.sorts) == (0, 0, 0)
    return Row(*(getattr(counts, name) for name in Row._fields))


def difference(more, fewer):
    return Row(*np.subtract(more, fewer).tolist())


@pytest.mark.parametrize(("name", "members"), STEPS)
def test_a_training_step_asks_for_so_much_however_many_steps_its_solutions_take(name, members, tries):
    step = training(name, members)
    for tried in (1, 3):
        tries(tried)
        assert row(step) == STEPS[name, members]


@pytest.mark.parametrize(("name", "members"), STEPS)
def test_a_training_step_is_at_most_sixty_operations_and_costs_the_host_few_milliseconds(name, members):
    step = training(name, members)
    asked = row(step)
    assert sum(asked) - asked.waits <= 60
    seconds = min(timeit.repeat(step, number=5, repeat=10, timer=thread_time)) / 5
    print(f"{name}, {members} members: {1e3 * seconds:.2f} ms")
    assert seconds < {"mnist": 2e-3}.get(name, 5e-3)


@pytest.mark.parametrize(("solver", "activation"), SOLUTIONS)
def test_a_solution_asks_for_so_much(solver, activation, tries):
    run, rows = solution(solver, activation), []
    for tried in (1, 2, 3):
        tries(tried)
        rows.append(row(run))
    first, further = SOLUTIONS[solver, activation]
    assert rows[0] == first
    assert difference(rows[1], rows[0]) == difference(rows[2], rows[1]) == further
    assert first.waits == first.to_host == 1
    if any(further):
        assert further.waits == further.to_host == 1


def test_what_is_counted_is_what_was_asked_for():
    x = cupy.ones((3, 4), np.float32)

    def computed():
        y = x + cupy.asarray(np.ones(4, np.float32))
        (y @ y.T).get()
        cupy.zeros(3)

    computed()
    counts, launched = counted(computed)
    assert (counts.launches, counts.products, counts.waits) == (1, 1, 1)
    assert (counts.to_device, counts.to_host, counts.memsets) == (1, 1, 1)
    assert launched == [("cupy_add__float32_float32_float32", (1, 1, 1), (12, 1, 1), 0)]


def test_memory_is_set_and_copied_and_a_launch_goes_to_the_current_stream():
    stream, numbers = cupy.cuda.Stream(), np.arange(5.0)
    assert cupy.asarray(numbers).get().tolist() == numbers.tolist()
    x = cupy.zeros(5)
    with stream:
        _, launched = counted(lambda: x + x)
    assert [launch.stream for launch in launched] == [stream.ptr]


# ---- the library's own kernels ----

ADAM = (7, 0.01, 0.9, 0.999, 1e-8)


def test_own_kernels_go_to_the_current_stream_in_blocks_that_cover_the_elements():
    theta, stream = cupy.ones(1000, np.float32), cupy.cuda.Stream()
    with stream:
        _, launched = counted(lambda: kernels.adam(theta, theta, theta, theta, *ADAM))
    assert launched == [Launch("adam", (4, 1, 1), (kernels.THREADS, 1, 1), stream.ptr)]


def _of_python():
    """Do what takes 1 to 2 microseconds of Python on an idle processor, and longer where a launch does too."""
    total = 0
    for i in range(100):
        total += i
    return total


def test_a_launch_of_an_own_kernel_costs_the_host_about_as_much_as_a_little_python():
    theta, thetas = cupy.ones(1000, np.float32), cupy.ones((10, 1000), np.float32)
    scale, sums, out = cupy.ones(10, np.float32), cupy.empty(10, np.float32), cupy.empty(10_000, np.float32)
    keys = tuple(map(np.uint64, range(kernels.MEMBERS)))
    numbers = tuple(map(np.float32, range(7)))
    least = lambda call: min(timeit.repeat(call, number=100, repeat=20, timer=thread_time)) / 100
    for launch in (
        lambda: kernels._launch(kernels._adam, 4, *[theta] * 7, 1000, *numbers),
        lambda: kernels._launch(kernels._perturb, 10, sums, out, thetas, scale, 1000, 0, 1, keys),
    ):
        launch()
        of_python, seconds = least(_of_python), least(launch)
        print(f"{1e6 * seconds:.1f} microseconds, {seconds / of_python:.2f} of the same in Python")
        assert seconds < LIMIT * of_python
