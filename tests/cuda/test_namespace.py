"""Every function of the array namespace that the library calls exists in CuPy's, with the arguments that it is given.

The calls are those of a wrapper around array-api-strict that notes them while the library runs: all operations with
two derivatives, training alone and stacked, solvers, random numbers, optimisers, test functions, minimize. Nothing
runs on a GPU.
"""

import importlib.util
import inspect
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest
from small import IMAGES, bound, decays, net, ode

from mcgc import losses, minimize, nets, optim, train
from mcgc.arrays import Device, _cupy, _libraries, to_device, to_host
from mcgc.autodiff import checkpoint, debug_nonfinite, hessian, hvp, ops, tree_map, vjp
from mcgc.continuation import ESTIMATORS, annealing, continuation, smoothing
from mcgc.ode import TABLEAUX, solve
from mcgc.paper import test_functions
from mcgc.random import Key, fold_in, normal, permutation, uniform
from mcgc.train import Serial, Stacked

cupy = pytest.importorskip("cupy", reason="CuPy is not installed: pip install '.[test-cuda]'", exc_type=ImportError)

TESTS = Path(__file__).parents[1]
ELSEWHERE = {"__array_namespace_info__"}  # what `to_host` asks of other libraries than CuPy
OF_OTHERS = {"to_device"}


class Call(NamedTuple):
    """A function's name, how many arguments it was given by position, and the names of the others."""

    name: str
    positional: int
    keywords: tuple[str, ...]


class Recorder:
    """An array namespace that notes the calls of its functions."""

    def __init__(self, namespace, calls, prefix=""):
        self.namespace, self.calls, self.prefix = namespace, calls, prefix

    def __getattr__(self, name):
        found = getattr(self.namespace, name)
        if isinstance(found, ModuleType):
            return Recorder(found, self.calls, f"{self.prefix}{name}.")
        if not callable(found):  # a dtype or a constant
            self.calls.add(Call(self.prefix + name, 0, ()))
            return found

        def noted(*args, **options):
            self.calls.add(Call(self.prefix + name, len(args), tuple(sorted(options))))
            return found(*args, **options)

        return noted


class Noted(NamedTuple):
    device: Device
    calls: set
    attributes: set


@pytest.fixture
def noted(strict, monkeypatch):
    """Give a device whose namespace notes its calls, and whose arrays note the names that they are asked for."""
    calls, attributes = set(), set()
    recorder, kind = Recorder(strict.namespace, calls), type(strict.namespace.zeros(1))

    def asked(self, name):
        if not name.startswith("_"):
            attributes.add(name)
        return object.__getattribute__(self, name)

    monkeypatch.setitem(_libraries._namespaces, kind, recorder)
    monkeypatch.setattr(kind, "__getattribute__", asked)
    return Noted(strict._replace(namespace=recorder), calls, attributes)


def objection(call):
    """Return what CuPy's namespace has against a call, None if nothing."""
    xp = _cupy.namespace()

    function = xp
    for part in call.name.split("."):
        function = getattr(function, part, None)
    if function is None:
        return "is not there"
    if isinstance(function, cupy.ufunc):
        fits = call.positional <= function.nin and set(call.keywords) <= {"dtype"}
        return None if fits else "is a ufunc that does not take these"
    if not inspect.isfunction(function):
        return None if call.positional == 0 else "is no function"
    try:
        bound = inspect.signature(function).bind(*range(call.positional), **dict.fromkeys(call.keywords))
    except TypeError as error:
        return str(error)
    rest = [name for name in bound.signature.parameters if bound.signature.parameters[name].kind.name == "VAR_KEYWORD"]
    return f"names no {bound.arguments[rest[0]]}" if rest and bound.arguments.get(rest[0]) else None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (Call("no_such_function", 1, ()), "is not there"),
        (Call("linalg.no_such_function", 1, ()), "is not there"),
        (Call("sum", 1, ("axes",)), "axes"),
        (Call("sqrt", 2, ()), "ufunc"),
        (Call("sqrt", 1, ("axis",)), "ufunc"),
        (Call("argsort", 1, ("reverse",)), "reverse"),
        (Call("reshape", 9, ()), "too many"),
    ],
)
def test_a_call_that_cupy_does_not_take_is_seen(call, words):
    assert words in objection(call)


def assert_all_is_there(noted, at_least):
    assert noted.calls
    assert at_least <= {call.name for call in noted.calls}
    objections = {call: objection(call) for call in noted.calls if call.name not in ELSEWHERE}
    assert {call: what for call, what in objections.items() if what} == {}
    assert {name for name in noted.attributes - OF_OTHERS if not hasattr(cupy.ndarray, name)} == set()


# ---- what is run ----


def table():
    """Return the module with the table of all operations and their arguments."""
    spec = importlib.util.spec_from_file_location("table", TESTS / "mcgc/autodiff/ops/test_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_operations_and_their_derivatives(noted):
    rows = table()
    for name, row in rows.TABLE.items():
        for dtype in ("float32", "float64"):
            args = rows.arguments(name, dtype, noted.device)
            first = lambda *xs, f=row.function: vjp(f, *xs)[1](tree_map(ops.ones_like, f(*xs)))
            bars, pullback = vjp(first, *args)
            pullback(bars)
    assert_all_is_there(noted, {"where", "take", "argsort", "searchsorted", "linalg.solve", "permute_dims", "log1p"})


SERIES, NET, ODE = decays(5), net(5, epochs=1), ode(6)
QUICK = {"rtol": 1e-2, "atol": 1e-2}


@pytest.mark.parametrize("strategy", [Serial(), Stacked()], ids=["serial", "stacked"])
@pytest.mark.parametrize("continued", [True, False])
def test_training(noted, continued, strategy):
    for problem, data, options in ((NET, IMAGES, {}), (ODE, SERIES, QUICK)):
        for estimator in ESTIMATORS if continued else ["score"]:
            recipe = problem.recipe._replace(continuation=continued, estimator=estimator, members=2, **options)
            study, members = bound(recipe, data, noted.device, problem)
            ((record, _),) = train.epochs(study, members, strategy=strategy)
            assert np.isfinite(record.train_loss).all()
    assert_all_is_there(noted, {"asarray", "stack", "sum", "exp", "mean", "isfinite", "clip", "full", "uint64"})


@pytest.mark.parametrize("adjoint", ["checkpointed", "direct", "backsolve"])
def test_solutions_of_differential_equations(noted, adjoint):
    y0, p, ts = (to_device(x, noted.device, "float64") for x in ([[1.0, 2.0]], [4.0], [0.0, 0.3, 0.7]))
    field = lambda t, y, p: ops.stack([y[:, 1], -p[0] * y[:, 0]], axis=1)
    for solver, tableau in TABLEAUX.items():
        how = {"solver": solver, "step_size": None if tableau.error else 0.2, "rtol": 1e-2, "atol": 1e-2}
        ys, pullback = vjp(lambda y0, p, how=how: solve(field, y0, ts, p, adjoint=adjoint, **how).ys, y0, p)
        pullback(ys)
    assert_all_is_there(noted, {"sign", "minimum", "floor", "any", "all", "finfo"})


def test_steps_on_functions_of_every_kind_with_every_optimiser(noted):
    theta, key = to_device([0.5, -1.0], noted.device, "float32"), Key(0)
    bowl = lambda theta, batch: ops.sum(ops.square(theta), axis=-1)
    rates = {name: getattr(optim, name)(0.1) for name in ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw")}
    paths = [annealing.decay(1.0), annealing.geometric(0.9), annealing.projected(optim.sgd(0.1))]
    for optimizer in (*rates.values(), optim.chain(optim.clip_by_global_norm(1.0), optim.sgd(0.1))):
        for path in (*paths, annealing.bounded(optim.adam(0.1), 0.9)):
            for options in ({"scaled": True, "gap": True}, {"gradient": "score", "batched": True}):
                method = continuation(bowl, optimizer, path, log_lam0=0.0, num_samples=2, **options)
                state, _ = method.step(method.init(theta), None, key)
                method.step(state, None, fold_in(key, 1))
    for jac in (None, "none"):
        found = minimize(lambda x: ops.sum(ops.square(x)), theta, jac=jac, maxiter=4)
        assert np.isfinite(found.fun)
    assert_all_is_there(noted, {"minimum", "maximum", "log", "zeros_like", "ones_like", "full"})


def test_nets_losses_test_functions_random_numbers_and_higher_derivatives(noted):
    device = noted.device
    x, target = normal(Key(0), (4, 3), "float64", device), uniform(Key(1), (4, 2), "float64", device)
    uniform(Key(1), (4,), "float32", device)
    permutation(Key(2), 5, device)
    labels = to_device(np.array([0, 1, 1, 0]), device)
    for scheme in nets.SCHEMES:
        theta = nets.init(Key(3), (3, 3, 2), "float64", device, scheme)
    for activation in nets.ACTIVATIONS:
        net = lambda theta, activation=activation: nets.apply(theta, x, (3, 3, 2), activation, skip=True)
        for loss in (losses.mse, losses.mae, losses.huber):
            hvp(lambda theta, loss=loss, net=net: loss(net(theta), target), theta, theta)
        for loss in (losses.cross_entropy, losses.cross_entropy_of_softmax):
            hvp(lambda theta, loss=loss, net=net: loss(net(theta), labels), theta, theta)
    losses.accuracy(target, labels)
    point = to_device([0.5, -1.0], device)
    for name in test_functions.names():
        known = test_functions.get(name)
        at = to_device(known.start, device, "float64")
        hessian(checkpoint(known.function))(at)
        if known.smoothed is not None:
            known.smoothed(at, to_device(0.3, device))
    smoothing.smoothed(lambda x: ops.sum(x**4, axis=-1), point, to_device(0.3, device))
    with debug_nonfinite():
        vjp(ops.exp, point)[1](point)
    assert to_host(point).tolist() == [0.5, -1.0]
    assert_all_is_there(noted, {"arange", "argmax", "isdtype", "eye", "isfinite"})
