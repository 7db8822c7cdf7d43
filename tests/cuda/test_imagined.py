"""A training step on CuPy's own array type: what it reads, which kernels it takes, and how matrices lie for cuBLAS.

Arrays lie over memory that nobody owns. What only looks at them otherwise (slices, transposes, most reshapes) is done
by CuPy itself; what would compute with them is imagined: NumPy, on ones, tells the shape and the dtype of the result.
So no number here means anything, and nothing runs on a GPU.
"""

import operator
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import pytest
from small import IMAGES, decays, net, ode

from mcgc import jit, losses, nets
from mcgc.arrays import Device, _cupy, _libraries
from mcgc.autodiff import Traced, tree_map, vjp
from mcgc.continuation import ESTIMATORS, continuation, descent
from mcgc.kernels import _dispatch, platform, reference
from mcgc.ode import solve
from mcgc.optim import adam
from mcgc.random import Key

cupy = pytest.importorskip("cupy", reason="CuPy is not installed: pip install '.[test-cuda]'", exc_type=ImportError)

LOOKING = ("reshape", "broadcast_to", "permute_dims", "squeeze", "expand_dims")
BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "lshift", "rshift")
COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")


def phantom(shape, dtype):
    """Return a CuPy array over an address that is none."""
    size = max(1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
    memory = cupy.cuda.UnownedMemory(4096, size, None, device_id=0)
    return cupy.ndarray(shape, dtype, cupy.cuda.MemoryPointer(memory, 0))


def imagined(function, *args, **options):
    """Return what CuPy would give for a function of NumPy, as far as it can be known without computing."""
    options = {name: value for name, value in options.items() if name != "device"}
    given = lambda x: np.ones(x.shape, x.dtype) if isinstance(x, cupy.ndarray) else x
    made = lambda x: phantom(x.shape, x.dtype) if isinstance(x, np.ndarray | np.generic) else x
    with np.errstate(all="ignore"):
        return tree_map(made, function(*tree_map(given, args), **tree_map(given, options)))


class Namespace:
    """CuPy's namespace, of which only those functions are CuPy's own that make views."""

    def __init__(self, namespace, compute):
        self.namespace, self.compute = namespace, compute

    def __getattr__(self, name):
        found = getattr(self.namespace, name)
        if not callable(found) or isinstance(found, type) or name in ("isdtype", "finfo"):
            return found

        def function(*args, **options):
            if name in LOOKING:
                try:
                    return found(*args, **options)
                except cupy.cuda.runtime.CUDARuntimeError:
                    pass  # no view: a copy
            return self.compute(getattr(np, name), *args, **options)

        return function


class Seen(NamedTuple):
    """A device of the imagination; shapes of arrays read, operands of matmul, kernels called, and all that computes."""

    device: Device
    reads: list
    products: list
    kernels: list
    computed: list


@pytest.fixture
def seen(monkeypatch):
    def compute(function, *args, **options):
        seen.computed.append(function.__name__)
        return imagined(function, *args, **options)

    monkeypatch.setattr(nets, "WIDEST", 0)  # nets of products of matrices, whose kernel would need a driver
    namespace, kind = Namespace(_cupy.namespace(), compute), cupy.ndarray
    seen = Seen(Device("cuda:0", namespace, cupy.cuda.Device(0)), [], [], [], [])
    monkeypatch.setitem(_libraries._namespaces, kind, namespace)

    def get(self, *args, **options):
        seen.reads.append(self.shape)
        read = np.ones(self.shape, self.dtype)
        if self.shape == (5,):  # of a solver step: the last one, of which all is well, and all times are reached
            read[:] = [0, 0, 1, 1, len(SERIES.times)]
        if self.shape[1:] == (5,):  # of whole solutions: one good step each, and times in order
            read[:, 1:3] = 0
        return read

    def define(name, function, reflected=False):
        def method(self, *others):
            if any(type(other) is Traced for other in others):
                return NotImplemented
            return compute(function, *((*others, self) if reflected else (self, *others)))

        monkeypatch.setattr(kind, f"__{name}__", method)

    monkeypatch.setattr(kind, "get", get)
    monkeypatch.setattr(kind, "__setitem__", lambda self, key, value: None)
    for name in (*BINARY, *COMPARISONS, "matmul"):
        define(name, getattr(operator, f"__{name}__"))
    for name in BINARY:
        define(f"r{name}", getattr(operator, f"__{name}__"), reflected=True)
        define(f"i{name}", getattr(operator, f"__{name}__"))
    for name in ("neg", "pos", "abs", "invert"):
        define(name, getattr(operator, f"__{name}__"))
    by_ufunc = lambda self, ufunc, method, *inputs, **options: compute(ufunc, *inputs)
    monkeypatch.setattr(kind, "__array_ufunc__", by_ufunc)  # what a NumPy scalar on the left comes to
    product = kind.__matmul__
    monkeypatch.setattr(
        kind, "__matmul__", lambda x, y: ((type(y) is Traced or seen.products.append((x, y))) and None) or product(x, y)
    )
    if platform(phantom((3,), "float32")) == "cuda":  # whose launches need a driver
        from mcgc.kernels import cuda as bodies
        from mcgc.ode import _dense_cuda

        monkeypatch.setattr(_dense_cuda, "fits", lambda *_: False)  # solutions step by step
        monkeypatch.setattr(losses._kernel, "_found", {})
        monkeypatch.setitem(losses._kernel._bodies, "cuda", None)
        for name in ("perturb", "noise_dot", "adam"):
            meaning = getattr(reference, name)
            noted = lambda *args, name=name, meaning=meaning: seen.kernels.append(name) or meaning(*args)
            monkeypatch.setattr(bodies, name, noted)
    return seen


SERIES, NET, ODE = decays(5), net(5, 5, epochs=1), ode(6)


def step(problem, data, device, members, estimator):
    loss = problem.objective(problem.recipe)
    method = (
        descent(loss, adam(0.1), has_aux=True)
        if estimator is None
        else continuation(loss, adam(0.1), adam(0.1), log_lam0=-1.0, estimator=estimator, num_samples=2, has_aux=True)
    )
    m = problem.init(Key(0), "float32", device).shape[0]
    theta = phantom((m,) if members is None else (members, m), "float32")
    key = Key(0) if members is None else tuple(map(Key, range(members)))
    state = method.init(theta)
    for _ in range(2):
        state, info = method.step(state, problem.examples(data, "float32", device), key)
    return state, info


@pytest.mark.parametrize("members", [None, 3])
@pytest.mark.parametrize("estimator", [*ESTIMATORS, None])
def test_a_step_on_images_reads_nothing_keeps_the_dtype_and_takes_the_cuda_kernels(seen, estimator, members):
    state, info = step(NET, IMAGES, seen.device, members, estimator)
    assert seen.reads == []
    for array in (state.theta, state.log_lam, info.smoothed, info.grad_log_lam):
        assert type(array) is cupy.ndarray
        assert array.dtype == "float32"
    if find_spec("numba_cuda") is not None and find_spec("mcgc.kernels.cuda") is not None:
        formula = {"pathwise", "antithetic"} & {estimator}
        expected = {"adam", *({"perturb"} if estimator else ()), *({"noise_dot"} if formula else ())}
        assert set(seen.kernels) == expected


@pytest.mark.parametrize("members", [None, 3])
@pytest.mark.parametrize("estimator", ["score", "antithetic", None])
def test_a_step_on_series_reads_once_a_solver_step(seen, estimator, members):
    state, info = step(ODE, SERIES, seen.device, members, estimator)
    solves = 2 * {"score": 2, "antithetic": 4, None: 1}[estimator]
    assert seen.reads == [(5,)] * solves  # of one step each
    assert state.theta.dtype == info.smoothed.dtype == "float32"


def lies_well(x):
    """Tell whether cuBLAS takes a matrix as it lies, or transposed by a flag; or a stack of them as it lies."""
    flags = x.flags
    return flags.c_contiguous or (x.ndim == 2 and flags.f_contiguous)


def test_the_matrices_of_one_net_are_never_copied(seen):
    x, theta = phantom((9, 6), "float32"), phantom((nets.num_parameters((6, 5, 5, 3)),), "float32")
    y, pullback = vjp(lambda theta, x: nets.apply(theta, x, (6, 5, 5, 3)), theta, x)
    pullback(y)
    assert len(seen.products) == 3 * 3
    assert all(lies_well(operand) for pair in seen.products for operand in pair)


@pytest.mark.parametrize("shared", [True, False])
def test_stacks_have_the_same_axes_on_both_sides_and_are_copied_as_often_as_is_said(seen, shared):
    sizes = (6, 5, 5, 3)
    x, theta = phantom((9, 6) if shared else (4, 9, 6), "float32"), phantom((4, nets.num_parameters(sizes)), "float32")
    y, pullback = vjp(lambda theta: nets.apply(theta, x, sizes), theta)
    forward = len(seen.products)
    pullback(y)
    assert (forward, len(seen.products)) == (3, 3 + 3 + 2)
    assert all(a.shape[:-2] == b.shape[:-2] for a, b in seen.products)
    badly = [sum(not lies_well(operand) for operand in pair) for pair in seen.products if pair[0].ndim > 2]
    # weights lie within θ; backwards there is a transpose in each product
    assert badly == [1] * (8 - 2 * shared)


@pytest.mark.parametrize("problem", [NET, ODE], ids=["net", "ode"])
def test_ten_members_are_as_many_operations_as_two(seen, problem):
    counts = []
    for members in (2, 10):
        seen.computed.clear()
        step(problem, IMAGES if problem is NET else SERIES, seen.device, members, "antithetic")
        counts.append(len(seen.computed))
    assert counts[0] == counts[1] > 100


@pytest.fixture
def launched(monkeypatch):
    """Give the list of the kernels of generated programs that were launched: a name, a count of rows, the arguments."""
    pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")
    from mcgc._jit import _cuda

    found = []
    launch = lambda loop, begin, end, *arguments: found.append((loop.__name__, end, arguments))
    monkeypatch.setattr(_cuda, "launch", launch)
    return found


def of_device(array):
    return isinstance(array, cupy.ndarray)


def test_a_jitted_function_of_cupy_arrays_is_a_kernel_and_so_is_its_pullback(seen, launched):
    rows, x = jit(lambda x, p, n: x * p * n).rows(0), phantom((7, 3), "float32")
    y, pullback = vjp(lambda x, p: rows(x, p, 2), x, phantom((3,), "float32"))
    bars = pullback(y)
    assert [(name, count) for name, count, _ in launched] == [("rows", 7), ("rows", 7)]
    assert all(map(of_device, [x for *_, arguments in launched for x in arguments]))
    assert all(map(of_device, [y, *bars]))
    assert [(bar.shape, bar.dtype) for bar in bars] == [((7, 3), "float32"), ((3,), "float32")]
    assert seen.reads == []


def test_a_jitted_function_of_cupy_arrays_runs_itself_without_numba_cuda(seen, launched, monkeypatch):
    monkeypatch.setattr(_dispatch, "_has_numba_cuda", lambda: False)
    assert jit(lambda x: x * 2)(phantom((7, 3), "float32")).shape == (7, 3)
    assert launched == []
    assert "mul" in seen.computed


def test_a_solution_of_a_jitted_field_is_two_kernels_and_one_read(seen, launched):
    field = jit(lambda t, y, p: p["shared"] * y * p["own"])
    params = {"shared": phantom((), "float32"), "own": phantom((4, 2), "float32")}

    def states(y0, params):
        return solve(field, y0, phantom((3,), "float64"), params).ys

    ys, pullback = vjp(states, phantom((4, 2), "float32"), params)
    y_bar, bars = pullback(ys)
    assert [(name, count) for name, count, _ in launched] == [("forward", 4), ("backward", 4)]
    assert seen.reads == [(4, 5)]
    assert all(of_device(x) for *_, arguments in launched for x in arguments if hasattr(x, "shape"))
    for bar, like in ((ys, (4, 3, 2)), (y_bar, (4, 2)), (bars["shared"], ()), (bars["own"], (4, 2))):
        assert of_device(bar)
        assert (bar.shape, bar.dtype) == (like, "float32")
