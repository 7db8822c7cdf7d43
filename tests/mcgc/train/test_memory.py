"""The memory predicted against the memory taken, and what is said where there is not enough."""

import inspect
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mcgc import train
from mcgc.arrays import HOST, Device, to_host
from mcgc.errors import SolveError
from mcgc.ode import _compiled, solve
from mcgc.train import _memory, problems
from mcgc.train._memory import Memory, OutOfMemoryError, amount, foreseen, predict
from mcgc.train._stacked import together

FACTOR = 1.5  # between what is predicted and what is taken, either way
TIMES = 6

TAKEN = """
import json, sys
from mcgc.train import problems
from mcgc import train
from mcgc.arrays import HOST
sys.path.insert(0, {folder!r})
from test_memory import data, easy
def now(name):
    return 1024 * next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))
problem, count, changes = problems.get(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
small, examples = easy(problem, **changes | {{"batch_size": 2}}), data(problem, count)
list(train.fit(small, data(problem, 5), HOST, problem))  # what is compiled and imported is there from now on
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the highest value is the present one
before = now("VmRSS")
for record, _ in train.fit(easy(problem, **changes), examples, HOST, problem): pass
print(now("VmHWM") - before)
"""


def data(problem, count):
    """Return made-up data, of series that are solved in a few steps."""
    rng = np.random.default_rng(0)
    if "solver" not in problem.options:
        pixels = rng.integers(0, 256, (count, 1, problem.sizes[0]), np.uint8)
        return SimpleNamespace(images=pixels, labels=np.zeros(count, np.uint8))
    parameters, states = problem.sizes[0] - problem.sizes[-1], problem.sizes[-1]
    series = rng.normal(size=(count, TIMES, states))
    return SimpleNamespace(
        times=np.linspace(0, 0.5, TIMES), parameters=rng.normal(size=(count, parameters)), series=series
    )


def easy(problem, **changes):
    tolerances = {"rtol": 1e-3, "atol": 1e-3} if "solver" in problem.options else {}
    return problem.recipe._replace(epochs=1, warmup_epochs=0, **{**tolerances, **changes})


ON_THE_HOST = [
    ("mnist", 4000, {"batch_size": 2000}),
    ("mnist", 500, {"members": 40}),
    ("lorenz", 800, {"batch_size": 400}),
    ("lorenz", 3000, {"batch_size": 1500}),
    ("lotka-volterra", 8000, {"batch_size": 4000}),
    ("lotka-volterra", 16000, {"batch_size": 8000, "dtype": "float64"}),
    ("lotka-volterra", 16000, {"batch_size": 4000, "adjoint": "direct"}),
]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the most memory that a process has had")
@pytest.mark.parametrize(("name", "count", "changes"), ON_THE_HOST)
def test_the_host_takes_what_is_predicted(name, count, changes):
    code = TAKEN.format(folder=str(Path(__file__).parent))
    command = [sys.executable, "-c", code, name, str(count), json.dumps(changes)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if "PermissionError" in done.stderr:
        pytest.skip("the system does not let a process forget the most memory that it has had")
    assert done.returncode == 0, done.stderr
    problem = problems.get(name)
    predicted = predict(problem, easy(problem, **changes), count, TIMES, steps=2)
    assert predicted.total > 15e6  # what Python makes beside is small
    assert predicted.total / FACTOR < int(done.stdout) < predicted.total * FACTOR


ELSEWHERE = [
    ("mnist", 500, {"batch_size": 400}),
    ("mnist", 600, {"batch_size": 500, "members": 2}),
    ("lorenz", 60, {"batch_size": 50}),
    ("lotka-volterra", 300, {"batch_size": 200, "members": 2, "dtype": "float64"}),
]


@pytest.mark.parametrize(("name", "count", "changes"), ELSEWHERE)
def test_generic_code_takes_what_is_predicted(strict, name, count, changes):
    problem = problems.get(name)
    settings = easy(problem, **changes)
    examples = data(problem, count)
    tracemalloc.start()
    try:
        task = train.bind(settings, examples, strict, problem)
        together()(task, train.draw(task), 1)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    predicted = predict(problem, settings, count, TIMES, strict, steps=2)
    assert predicted.at_once == settings.members
    assert predicted.total / FACTOR < taken < predicted.total * FACTOR


def test_members_take_turns_on_the_host_and_come_together_elsewhere(strict):
    problem = problems.get("lorenz")
    of = lambda device, members: predict(problem, problem.recipe._replace(members=members), 30, 20, device)
    one, ten = of(HOST, 1), of(HOST, 10)
    assert (ten.parameters, ten.optimizer) == (10 * one.parameters, 10 * one.optimizer)
    assert (ten.data, ten.draws, ten.values, ten.at_once) == (one.data, one.draws, one.values, 1)
    one, ten = of(strict, 1), of(strict, 10)
    assert (ten.draws, ten.values, ten.at_once) == (10 * one.draws, 10 * one.values, 10)
    assert of(strict, 10).total == sum(ten[:-1])
    alone = predict(problem._replace(stacked=False), problem.recipe._replace(members=10), 30, 20, strict)
    assert (alone.values, alone.at_once) == (one.values, 1)


def test_values_grow_with_the_steps_as_the_adjoint_keeps_them(strict):
    problem = problems.get("lorenz")
    of = lambda adjoint, steps: predict(problem, easy(problem, adjoint=adjoint), 30, 20, strict, steps).values
    assert of("direct", 640) / of("direct", 64) == pytest.approx(10, rel=0.1)
    assert of("backsolve", 64) < of("checkpointed", 64) < of("checkpointed", 640) < of("direct", 640) / 4


def test_constants_are_those_of_the_solver_and_its_kernel():
    assert _memory.STORE == _compiled.STORE
    assert inspect.signature(solve).parameters["checkpoints"].default == _memory.CHECKPOINTS


def test_a_net_of_unknown_sizes_is_refused():
    problem = problems.get("mnist")._replace(name="mine", sizes=())
    with pytest.raises(_memory.InputError, match="'mine' does not say the sizes"):
        predict(problem, problem.recipe, 10)


class OutOfMemory(MemoryError):
    """As CuPy's is."""


class CUDARuntimeError(RuntimeError):
    """As CuPy names what the runtime returns."""


SHORT = [
    MemoryError(),
    OutOfMemory("Out of memory allocating 4,096 bytes (allocated so far: 512 bytes)"),
    CUDARuntimeError("cudaErrorMemoryAllocation: out of memory"),
    RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"),
]


@pytest.mark.parametrize("error", SHORT, ids=lambda error: type(error).__name__)
def test_what_says_that_memory_is_short_becomes_a_sentence_with_the_prediction(error):
    problem, place = problems.get("mnist"), Device("cuda:1", None, None)
    settings = problem.recipe._replace(members=1000)
    examples = problems.Images(np.zeros((54_000, 784), np.uint8), np.zeros(54_000, np.uint8))
    with pytest.raises(OutOfMemoryError) as caught, foreseen(problem, settings, place, examples):
        raise error
    told, found = str(caught.value), predict(problem, settings, 60_000, 1, place)
    assert told.startswith(f"out of memory on cuda:1, where the run takes about {amount(found.total)}: ")
    assert told.endswith("values of the net, so give a smaller --batch-size, now 250, or --members, now 1000")
    assert caught.value.__cause__ is error
    with pytest.raises(OutOfMemoryError) as again, foreseen(problem, settings, place, examples):
        raise caught.value
    assert again.value is caught.value


@pytest.mark.parametrize("error", [SolveError("t = 3"), RuntimeError("cudaErrorIllegalAddress"), KeyError("memory")])
def test_other_errors_stay_as_they_are(error):
    with pytest.raises(type(error)) as caught, foreseen(problems.get("mnist"), None, HOST, None):
        raise error
    assert caught.value is error


def test_a_problem_without_sizes_runs_out_of_memory_without_a_prediction():
    problem = problems.get("mnist")._replace(sizes=())
    with pytest.raises(OutOfMemoryError, match=r"^out of memory on cpu$"), foreseen(problem, None, HOST, None):
        raise MemoryError


@pytest.mark.parametrize(
    ("largest", "option"), [("data", "--dataset"), ("values", "--batch-size"), ("draws", "--members"),
                            ("parameters", "--members"), ("optimizer", "--members")]
)  # fmt: skip
def test_the_option_named_is_that_of_the_largest_part(largest, option):
    found = Memory(10, 10, 10, 10, 10, 1)._replace(**{largest: 2 * 10**9})
    said = _memory.remedy(found, problems.get("lorenz").recipe)
    assert said.startswith("2 GB of it are ")
    assert option in said
    assert said.count("--") == 1


def test_amounts_have_the_largest_unit_of_which_there_is_one():
    assert [amount(n) for n in (999, 1000, 1.5e6, 2e9, 3e12)] == ["999 bytes", "1 kB", "1.5 MB", "2 GB", "3e+03 GB"]


@pytest.mark.parametrize("where", ["begin", "epoch"])
def test_training_tells_of_memory(monkeypatch, where):
    problem = problems.get("lotka-volterra")
    task = train.bind(easy(problem), data(problem, 5), HOST, problem)
    if where == "begin":
        broken = problem._replace(init=lambda *args: np.zeros(10**15))
        with pytest.raises(OutOfMemoryError, match=r"^out of memory on cpu, .*MB"):
            train.draw(train.bind(easy(problem), data(problem, 5), HOST, broken))
        return

    members = train.draw(task)

    def advance_all(*args):
        raise MemoryError

    with pytest.raises(OutOfMemoryError, match=r"^out of memory on cpu, .*--batch-size, now 4$"):
        next(train.epochs(task, members, advance_all=advance_all))
    assert np.isfinite(to_host(members[0].state.theta)).all()
