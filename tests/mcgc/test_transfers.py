"""Transfers: a training step reads nothing from its device, but a solver one small array a step; a record is one read.

On the second device of array-api-strict an implicit transfer raises; an explicit one is `to_device` of the array. On a
GPU either is `get`. They are counted here below everything in the library that could call them.
"""

import numpy as np
import pytest
from small import IMAGES, bound, decays, net, ode

from mcgc import nets, optim
from mcgc.arrays import is_cupy, to_device, to_host
from mcgc.autodiff import ops, vjp
from mcgc.continuation import ESTIMATORS, annealing, continuation, descent, smoothing
from mcgc.ode import DenseField, _adjoint, _solve, solve, solve_members
from mcgc.ode._integrate import march
from mcgc.random import Key, fold_in
from mcgc.train import Hook, Serial, Stacked
from mcgc.train._epoch import advance

SERIES, NET, ODE = decays(), net(5, epochs=2), ode(8)
QUICK = {"rtol": 1e-3, "atol": 1e-3}


@pytest.fixture
def reads(away, monkeypatch):
    """Give the list of the shapes of arrays read from the device so far."""
    array, shapes = away.namespace.zeros(1), []
    kind, name = type(array), "get" if is_cupy(array) else "to_device"
    own = getattr(kind, name)

    def noted(self, *args, **options):
        if name == "get" or args[0] != away.handle:
            shapes.append(self.shape)
        return own(self, *args, **options)

    monkeypatch.setattr(kind, name, noted)
    return shapes


def test_a_read_is_counted(away, reads):
    assert to_host(to_device([1.0, 2.0], away)).tolist() == [1.0, 2.0]
    assert reads == [(2,)]


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize(
    ("estimator", "options"),
    [(name, options) for name in ESTIMATORS for options in ({}, {"gap": True, "scaled": True})]
    + [(name, {"gradient": "score"}) for name in ESTIMATORS if "score" in name],
    ids=str,
)
def test_a_step_on_a_direct_objective_reads_nothing(away, reads, estimator, options, members):
    loss = NET.objective(NET.recipe)
    method = continuation(
        lambda theta, batch: loss(theta, batch)[0],
        optim.adam(0.1),
        annealing.bounded(optim.adam(0.1), 0.99),
        log_lam0=-2.0,
        estimator=estimator,
        num_samples=2,
        beta=0.1,
        **options,
    )
    thetas = [NET.init(Key(i), "float32", away) for i in range(members)]
    keys = tuple(Key(i) for i in range(members))
    one = members == 1
    state, batch = method.init(thetas[0] if one else ops.stack(thetas)), NET.examples(IMAGES, "float32", away)
    for i in range(3):
        state, _ = method.step(state, batch, fold_in(keys[0] if one else keys, i))
    assert reads == []


OPTIMISERS = {
    "sgd": optim.sgd(0.1),
    "momentum": optim.momentum(0.1),
    "nesterov": optim.nesterov(0.1),
    "rmsprop": optim.rmsprop(0.1),
    "adamw": optim.adamw(0.1),
    "clipped": optim.chain(optim.clip_by_global_norm(1.0), optim.adam(0.1)),
    "decay": annealing.decay(1.0),
    "geometric": annealing.geometric(0.9),
    "projected": annealing.projected(optim.sgd(0.1)),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_no_optimiser_and_no_schedule_reads(away, reads, name):
    theta, optimizer = to_device([0.5, -1.0], away), OPTIMISERS[name]
    state = optimizer.init(theta)
    for _ in range(2):
        optimizer.update(theta, state, theta)
        theta, state = optimizer.step(theta, state, theta)
    assert reads == []


def test_exact_smoothing_and_plain_descent_read_nothing(away, reads):
    g = lambda theta, batch: smoothing.smoothed(lambda x: ops.sum(x**4, axis=-1), theta, 0.3)
    method = descent(g, optim.adam(0.1))
    state = method.init(to_device([0.5, -1.0], away))
    for i in range(2):
        state, _ = method.step(state, None, Key(i))
    assert reads == []


# ---- solutions ----

LINEAR = lambda t, y, p: ops.stack([y[:, 1], -p[0] * y[:, 0]], axis=1)
TS = np.linspace(0, 3, 6)


def solved(device, how):
    """Return the solution of three trajectories, its pullback, and its stats."""
    y0, p = to_device(np.arange(6.0).reshape(3, 2) + 1, device), to_device([4.0], device)

    def run(y0, p):
        found = solve(LINEAR, y0, to_device(TS, device), p, **how)
        return found.ys, found.stats

    return vjp(run, y0, p, has_aux=True)


@pytest.mark.parametrize("how", [{}, {"solver": "dopri8"}, {"solver": "rk4", "step_size": 0.1}], ids=str)
@pytest.mark.parametrize("method", ["checkpointed", "direct"])
def test_a_solution_reads_once_a_step_and_the_derivative_of_its_steps_never(away, reads, how, method):
    ys, pullback, stats = solved(away, {**how, "adjoint": method})
    forward, reads[:] = list(reads), []
    pullback(ys)
    assert reads == []
    steps = to_host(stats.accepted + stats.rejected).max()
    assert forward == [(5,)] * steps  # three flags, and the range of the times just reached


@pytest.fixture
def tries(monkeypatch):
    """Give a function to how many steps the solutions so far have tried, each of a batch together."""
    plans, modules = [], [_adjoint, _solve]

    def noted(*args, **options):
        plans.append(march(*args, **options))
        return plans[-1]

    for module in modules:
        monkeypatch.setattr(module, "march", noted)
    return lambda: sum(int(to_host(plan.stats.accepted + plan.stats.rejected).max()) for plan in plans)


def test_backsolve_reads_once_a_step_of_each_solution_backwards(away, reads, tries):
    ys, pullback, _ = solved(away, {"adjoint": "backsolve"})
    forward = len(reads)
    pullback(ys)
    counted = list(reads)
    assert counted == [(5,)] * len(counted)
    assert len(counted) == tries() >= forward + len(TS) - 1


def test_members_are_solved_with_one_read_a_step_of_them_all(away, reads):
    sizes = (4, 8, 2)
    theta = ops.stack([nets.init(Key(i), sizes, "float64", away) * (1 + i) for i in range(3)])
    data = ODE.examples(SERIES, "float64", away)
    options = {"solver": "dopri5", "rtol": 1e-4, "atol": 1e-4}
    field = DenseField(sizes, "sigmoid")  # which no device solves in one call
    found = solve_members(field, data.states[:, 0, :], data.times, (theta, data.parameters), **options)
    steps = len(reads)
    assert reads == [(5,)] * steps
    assert steps == to_host(found.stats.accepted + found.stats.rejected).max()


# ---- epochs ----


def begun(problem, data, device, **changes):
    return bound(problem.recipe._replace(**changes), data, device, problem)


@pytest.mark.parametrize("continued", [True, False])
def test_an_epoch_of_a_direct_objective_reads_its_record_and_nothing_else(away, reads, continued):
    study, members = begun(NET, IMAGES, away, continuation=continued, members=3)
    reads.clear()
    advance(study, members[0], 0, 1)
    numbers = 7 if continued else 4
    assert reads == [(numbers,)]
    reads.clear()
    with Stacked().start(study, Hook()) as advance_all:
        list(advance_all(dict(enumerate(members)), 1))
    assert reads == [(numbers, 3)]  # one, however many members


@pytest.mark.parametrize(
    ("strategy", "record"),
    [(Serial(), [(6,), (3,)] * 2), (Stacked(), [(6, 2), (3, 2)])],
    ids=["serial", "stacked"],
)
def test_an_epoch_of_a_neural_ode_reads_once_a_solver_step_and_twice_for_its_record(
    away, reads, tries, strategy, record
):
    study, members = begun(ODE, SERIES, away, members=2, estimator="antithetic", **QUICK)
    reads.clear()
    with strategy.start(study, Hook()) as advance_all:
        list(advance_all(dict(enumerate(members)), 1))
    counted = list(reads)
    of_solutions = [(5,)] if tries() else [shape for shape in counted if shape[1:] == (4,)]  # a GPU solves it in one
    assert len(of_solutions) > 0
    assert counted.count((5,)) == tries()
    assert [shape for shape in counted if shape not in of_solutions] == record
