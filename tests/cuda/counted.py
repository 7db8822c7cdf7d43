"""What solutions and training steps ask of a GPU, counted on one that computes nothing: `test_cuda.py` runs this.

The recipes, sizes and batches are those of the three problems. How many steps a solution takes is set here, since no
number that is read tells. So there are counts of the first solver step with all else, and of each further one.
"""

import timeit
from types import SimpleNamespace
from typing import NamedTuple

import null_gpu  # before CuPy
import numpy as np
import pytest
from null_gpu import Launch, counted

from mcgc import ode, train
from mcgc.arrays import Device, _cupy, to_device
from mcgc.autodiff import vjp
from mcgc.kernels import cuda as kernels
from mcgc.kernels import launching
from mcgc.ode import _integrate
from mcgc.random import Key, fold_in
from mcgc.train import problems
from mcgc.train._epoch import minibatches
from mcgc.train._strategies import stacked_member

cupy = null_gpu.cupy
GPU = Device("cuda:0", _cupy.namespace(), cupy.cuda.Device(0))
TIMES = {"lorenz": 20, "lotka-volterra": 50}  # of a series of the dataset
BATCH = 4


class Row(NamedTuple):
    """How often a computation launches kernels, multiplies, waits, copies to the device and back, and sets memory."""

    launches: int
    products: int
    waits: int = 0
    to_device: int = 0
    to_host: int = 0
    memsets: int = 0


STEPS = {  # of training, by the problem and the members; a solution takes one step
    ("mnist", 1): Row(70, 0, 0, 0, 0, 4),
    ("mnist", 10): Row(72, 0, 0, 0, 0, 5),
    ("lotka-volterra", 1): Row(920, 0, 1, 4, 1, 62),
    ("lotka-volterra", 10): Row(931, 0, 1, 2, 1, 64),
    ("lorenz", 1): Row(770, 0, 1, 4, 1, 32),
    ("lorenz", 10): Row(781, 0, 1, 2, 1, 34),
}
FURTHER = {  # what another step of each solution adds to these
    ("lotka-volterra", 1): Row(344, 0, 1, 0, 1, 2),
    ("lotka-volterra", 10): Row(344, 0, 1, 0, 1, 2),
    ("lorenz", 1): Row(344, 0, 1, 0, 1, 2),
    ("lorenz", 10): Row(344, 0, 1, 0, 1, 2),
}
SOLUTIONS = {  # with their derivative: of one step, and what another step adds
    "lotka-volterra": (Row(883, 0, 1, 2, 1, 62), Row(344, 0, 1, 0, 1, 2)),
    "lorenz": (Row(733, 0, 1, 2, 1, 32), Row(344, 0, 1, 0, 1, 2)),
}


@pytest.fixture(autouse=True)
def uncompiled(monkeypatch, tmp_path):
    """Spare the seconds that the library's own kernels take to compile: `compiled.py` does that."""
    monkeypatch.setattr(launching, "directory", lambda: tmp_path)
    monkeypatch.setattr(launching, "to_ptx", lambda *_: "")
    monkeypatch.setattr(launching, "machine_code", lambda *_: b"")
    monkeypatch.setattr(launching, "_kernels", {})


@pytest.fixture
def tries(monkeypatch):
    """Give a function that sets how many steps solutions take, all of them good."""
    read, number, taken = _integrate._read, 1, 0

    def told(active, failed, moves, before, reached):
        nonlocal taken
        read(active, failed, moves, before, reached)
        taken += 1
        last = taken % number == 0
        return not last, False, True, 1, times if last else 1

    def of(tried, reached):
        nonlocal number, times
        number, times = tried, reached

    times = 0
    monkeypatch.setattr(_integrate, "_read", told)
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


def solution(name):
    """Return a function that solves the equation of a problem, and pulls a cotangent back."""
    problem = problems.get(name)
    states, inputs = problem.sizes[-1], problem.sizes[0] - problem.sizes[-1]
    theta = problem.init(Key(0), "float32", GPU)
    y0, x = (to_device(np.ones((BATCH, n)), GPU, "float32") for n in (states, inputs))
    ts = to_device(np.tile(np.linspace(0, 2, TIMES[name]), (BATCH, 1)), GPU)

    def run():
        solved = lambda theta, y0: ode.solve(ode.DenseField(problem.sizes), y0, ts, (theta, x)).ys
        ys, pullback = vjp(solved, theta, y0)
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
def test_a_training_step_asks_for_so_much_and_waits_only_where_a_solver_reads(name, members, tries):
    step, rows = training(name, members), []
    for tried in (1, 2, 3):
        tries(tried, TIMES.get(name))
        rows.append(row(step))
    assert rows[0] == STEPS[name, members]
    assert difference(rows[1], rows[0]) == difference(rows[2], rows[1]) == FURTHER.get((name, members), Row(0, 0))


@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_solution_asks_for_so_much_and_waits_once_a_step(name, tries):
    run, rows = solution(name), []
    for tried in (1, 2, 3):
        tries(tried, TIMES[name])
        rows.append(row(run))
    assert (rows[0], difference(rows[1], rows[0])) == SOLUTIONS[name]
    assert difference(rows[2], rows[1]) == difference(rows[1], rows[0])
    assert difference(rows[2], rows[1]).waits == difference(rows[2], rows[1]).to_host == 1


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


def test_a_launch_of_an_own_kernel_costs_the_host_ten_microseconds_at_most():
    theta, thetas = cupy.ones(1000, np.float32), cupy.ones((10, 1000), np.float32)
    scale, sums, out = cupy.ones(10, np.float32), cupy.empty(10, np.float32), cupy.empty(10_000, np.float32)
    keys = tuple(map(np.uint64, range(kernels.MEMBERS)))
    numbers = tuple(map(np.float32, range(7)))
    for launch in (
        lambda: kernels._launch(kernels._adam, 4, *[theta] * 7, 1000, *numbers),
        lambda: kernels._launch(kernels._perturb, 10, sums, out, thetas, scale, 1000, 0, 1, keys),
    ):
        launch()
        seconds = min(timeit.repeat(launch, number=100, repeat=20)) / 100
        print(f"{1e6 * seconds:.1f} microseconds")
        assert seconds < 10e-6
