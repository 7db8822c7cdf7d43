"""The memory of a training run, computed before it from shapes alone, and a sentence with it where it was too much.

What is counted are arrays; Python, its libraries and compiled code are beside them. The numbers are those of the code
as it is: tests compare them, by a factor of 1.5, with what a run takes on the host, and those of the code that a GPU
runs with what its arrays take on the host. Of CuPy's pool, and of what CUDA itself takes, nothing is known here.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from mcgc import nets
from mcgc.arrays import HOST, Device
from mcgc.autodiff.pytree import flatten
from mcgc.continuation import ESTIMATORS
from mcgc.errors import InputError, McgcError
from mcgc.kernels.buffers import KEPT
from mcgc.ode import TABLEAUX
from mcgc.train._epoch import ROWS_AT_ONCE, TEST_FRACTION, held_out
from mcgc.train.problems import Problem
from mcgc.train.settings import Settings

STEPS = 256  # of a solution, where nothing says how many it takes
CHECKPOINTS = 64  # of `mcgc.ode.solve`
STORE = 2**20  # bytes of its values that a compiled solution holds, `mcgc.ode._compiled.STORE`
TAPE = 3  # arrays that the tape of a layer holds: the product, with the biases, and its activation

ITEMS = {"float32": 4, "float64": 8}


class OutOfMemoryError(McgcError, MemoryError):
    """The memory of the device does not suffice for a run."""


class Memory(NamedTuple):
    """Bytes that a run takes at most at once, by what they are for, and how many members advance at once.

    `data`: the examples, twice, since the test set is set apart in a copy. `parameters`: θ of all members, and their
    best. `optimizer`: Adam's moments of both. `draws`: perturbed parameters and the gradients there, and the θ and
    moments that a step makes. `values`: of the net, for a minibatch and for the examples on which the losses are
    evaluated, with the stages and checkpoints of a solver.
    """

    data: int
    parameters: int
    optimizer: int
    draws: int
    values: int
    at_once: int

    @property
    def total(self) -> int:
        """Return the sum of all parts."""
        return sum(self[:-1])


PARTS = Memory._fields[:-1]


def predict(
    problem: Problem, settings: Settings, count: int, times: int = 1, device: Device = HOST, steps: int = STEPS
) -> Memory:
    """Return the memory of training on `count` examples, series of `times` times if the problem is of series.

    On the host members advance one after the other in compiled code, elsewhere all at once in generic code. `steps` is
    how many steps a solution takes: of them depend, slowly, what `adjoint="checkpointed"` keeps in generic code, and,
    in proportion, what "direct" does.

    Raises `InputError` if the problem does not say the `sizes` of its net.
    """
    if not problem.sizes:
        raise InputError(f"the problem {problem.name!r} does not say the sizes of its net: give it sizes")
    item, m = ITEMS[settings.dtype], nets.num_parameters(problem.sizes)
    inputs, states = problem.sizes[0], problem.sizes[-1]
    solved = "solver" in problem.options
    at_once = 1 if device == HOST or not problem.stacked else settings.members
    points = settings.num_samples * len(ESTIMATORS[settings.estimator].signs) if settings.continuation else 1
    example = 8 * times + item * (inputs - states + times * states) if solved else inputs + 1
    train = count - held_out(count)
    batch = max(1, min(settings.batch_size, train))
    work = _Work(problem.sizes, settings, batch, train % batch, min(ROWS_AT_ONCE, train), at_once, device == HOST)
    return Memory(
        data=2 * count * example,
        parameters=2 * item * m * settings.members,
        optimizer=4 * item * m * settings.members,
        draws=item * m * at_once * (points + 1 + 3 + (points > 1)),
        values=_of_solution(work, times, steps) if solved else _of_net(work),
        at_once=at_once,
    )


class _Work(NamedTuple):
    """What the net is applied to: a minibatch, the last one, if it is smaller, the rows of an evaluation; members."""

    sizes: tuple[int, ...]
    settings: Settings
    batch: int
    last: int
    rows: int
    members: int
    host: bool


def _of_net(work: _Work) -> int:
    sizes, settings, batch, last, rows, members, host = work
    item, values, widest = ITEMS[settings.dtype], sum(sizes[1:]), max(sizes[1:])
    read = sizes[0] * (1 + item)  # bytes of the images, and as numbers
    if host:  # a compiled call keeps its memory for the next one of its size
        return max(batch, rows) * read + item * ((batch + last) * (values + 2 * widest) + rows * values)
    return max(batch * (read + item * members * TAPE * values), rows * (read + item * members * TAPE * widest))


def _of_solution(work: _Work, times: int, steps: int) -> int:
    sizes, settings, batch, last, rows, members, host = work
    item, values, states = ITEMS[settings.dtype], sum(sizes[1:]), sizes[-1]
    tableau = TABLEAUX[str(settings.solver)]
    stages = len(tableau.c) - tableau.extra
    asked = times * (8 + item * (1 + 3 * states))  # of a trajectory: at the times asked for, and of its steps
    logged = steps * (8 + 2 * item * (1 + states))
    if host and _compiled(settings):
        room = max((stages - 1) * batch, STORE // (item * (sizes[0] + values)))
        step = room * item * (2 * sizes[0] + 3 * values) + batch * (asked + logged)
        return step + rows * (item * (sizes[0] + values) + asked)
    stride = 2 ** math.ceil(math.log2(max(1, steps / CHECKPOINTS)))
    evaluations = {
        "direct": steps * (stages - 1) + 1,
        "backsolve": 2,
        "checkpointed": min(stride, steps) * (stages - 1) + 1,
    }[str(settings.adjoint)]
    layers = item * ((1 if host else TAPE) * values + sizes[0] + 6 * states)  # on the host the net is one call
    kept = min(CHECKPOINTS, steps) if settings.adjoint == "checkpointed" else 0
    step = members * batch * (evaluations * layers + asked + logged + 2 * kept * item * states)
    if host:
        step += last * min(evaluations, KEPT) * item * values
    return max(step, members * rows * (item * (TAPE * max(sizes) + (stages + 6) * states) + asked + logged))


def _compiled(settings: Settings) -> bool:
    tableau = TABLEAUX[str(settings.solver)]
    simple = settings.step_size is None and len(tableau.error) == 1 and not tableau.extra
    return simple and settings.adjoint == "checkpointed"


@contextmanager
def foreseen(problem: Problem, settings: Settings, device: Device, examples: Any) -> Iterator[None]:
    """Raise `OutOfMemoryError`, a sentence with the memory predicted and the option to change, in place of any other.

    Others are the `MemoryError` of Python, NumPy and Numba, CuPy's, which is one, and what the libraries of CUDA say
    of memory. `examples` are those for training.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OutOfMemoryError) or not _is_of_memory(error):
            raise
        sentence = f"out of memory on {device.name}"
        if problem.sizes:
            leaf = flatten(examples)[0][0]
            times = leaf.shape[1] if "solver" in problem.options else 1
            count = round(leaf.shape[0] / (1 - TEST_FRACTION))
            found = predict(problem, settings, count, times, device)
            sentence += f", where the run takes about {amount(found.total)}: {remedy(found, settings)}"
        raise OutOfMemoryError(sentence) from error


def _is_of_memory(error: Exception) -> bool:
    told = f"{type(error).__name__}: {error}"
    marks = ("cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY", "ALLOC_FAILED")
    return isinstance(error, MemoryError) or any(mark in told for mark in marks)


def remedy(memory: Memory, settings: Settings) -> str:
    """Return what to make smaller, by which part is the largest."""
    members = f"--members, now {settings.members}"
    largest = max(getattr(memory, part) for part in PARTS)
    if largest == memory.data:
        return f"{amount(largest)} of it are data, so give a smaller --dataset"
    if largest == memory.values:
        also = f", or {members}" if memory.at_once > 1 else ""
        smaller = f"give a smaller --batch-size, now {settings.batch_size}{also}"
        return f"{amount(largest)} of it are values of the net, so {smaller}"
    return f"{amount(largest)} of it are parameters, moments or gradients, so give a smaller {members}"


def amount(count: int) -> str:
    """Return a number of bytes in the largest unit of which there is one."""
    units = [(unit, name) for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if count >= unit]
    return f"{count / units[0][0]:.3g} {units[0][1]}" if units else f"{count} bytes"
