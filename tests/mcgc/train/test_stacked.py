"""Members together: each has the numbers that it has alone, and none suffers from another."""

from typing import NamedTuple

import numpy as np
import pytest
from small import IMAGES, bound, decays, net, ode

from mcgc import nets, train
from mcgc.arrays import HOST, to_device, to_host
from mcgc.autodiff import flatten, ops, stop_gradient, value_and_grad
from mcgc.continuation import ESTIMATORS, continuation, descent
from mcgc.errors import SolveError
from mcgc.ode import DenseField, solve, solve_members
from mcgc.optim import adam
from mcgc.random import Key, fold_in
from mcgc.train import Hook, Problem, Serial, Settings, Stacked

ODE, NET = ode(8, 8), net(5, 5, epochs=2)
CASES = {
    "ode": (ODE, {"rtol": 1e-4, "atol": 1e-4}, decays(end=0.5)),
    "net": (NET, {}, IMAGES),
    "windows": (
        ODE,
        {"rtol": 1e-4, "atol": 1e-4, "horizons": "2", "standardize": True},
        decays(end=0.5),
    ),
}


def run(case, device, strategy, **changes):
    problem, options, data = CASES[case]
    study, members = bound(problem.recipe._replace(**options, **changes), data, device, problem)
    return list(train.epochs(study, members, strategy=strategy))


def untimed(record):
    return record._replace(seconds=0.0, member_seconds=())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("estimator", ["score-baseline", "antithetic", None])
@pytest.mark.parametrize("case", CASES)
def test_members_together_have_the_bits_and_records_that_each_has_alone(strict, case, estimator, dtype):
    # the arithmetic is that of one member: a matrix of a stack is multiplied as it would be by itself
    how = (
        {"continuation": False}
        if estimator is None
        else {"estimator": estimator, "num_samples": 1 + (estimator == "score-baseline")}
    )
    ours, theirs = (run(case, strict, f(), members=3, dtype=dtype, **how) for f in (Stacked, Serial))
    for (record, members), (alone, others) in zip(ours, theirs, strict=True):
        assert untimed(record) == untimed(alone)
        for member, other in zip(members, others, strict=True):
            assert (member.noise, member.order, member.state.steps) == (other.noise, other.order, other.state.steps)
            for ours, theirs in zip(*(flatten(m.state)[0] for m in (member, other)), strict=True):
                np.testing.assert_array_equal(to_host(ours), to_host(theirs))


def test_members_together_differ_on_numpy_by_no_more_than_rounding():
    # alone the net is compiled, and adds up in another order: a few ulps a step of numbers of order 1, in a few steps
    for case in CASES:
        for dtype, tolerance in (("float32", 2e-6), ("float64", 1e-14)):
            ours, theirs = (run(case, HOST, f(), members=3, dtype=dtype) for f in (Stacked, Serial))
            for one, other in zip(ours[-1][1], theirs[-1][1], strict=True):
                np.testing.assert_allclose(one.state.theta, other.state.theta, rtol=0, atol=tolerance)
            assert ours[-1][0].train_loss == pytest.approx(theirs[-1][0].train_loss, rel=10 * tolerance)
            assert ours[-1][0].function_evaluations == theirs[-1][0].function_evaluations


def test_a_member_that_was_taken_up_again_goes_on_with_the_others(strict):
    (_, members), *_ = run("net", strict, Stacked(), members=3, epochs=1)
    study, _ = bound(NET.recipe._replace(members=3, epochs=2), CASES["net"][2], strict, NET)
    (_, ours), (_, theirs) = (next(train.epochs(study, members, 1, how)) for how in (Stacked(), Serial()))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(to_host(one.state.theta), to_host(other.state.theta))


class Steep(NamedTuple):
    """A stacked problem of one parameter that each step moves by 0.5, and the shapes of θ its loss was given."""

    problem: Problem
    shapes: list


def steep(starts, loss, **changes):
    shapes: list = []
    settings = Settings("steep", 0.0, -6.0, 0.5, 0.1, epochs=6, batch_size=2, members=len(starts), dtype="float64")
    left = iter(starts)

    def objective(settings):
        def total(theta, rows):
            shapes.append(theta.shape)
            return loss(theta[..., 0]) + 0 * ops.mean(rows), None

        return total

    return Steep(
        Problem(
            "steep",
            "one parameter",
            settings._replace(continuation=False, **changes),
            examples=lambda data, dtype, device: to_device(data, device, dtype),
            init=lambda key, dtype, device: to_device([next(left)], device, dtype),
            objective=objective,
            stacked=True,
        ),
        shapes,
    )


def outcome(device, starts, loss, strategy, **changes):
    own = steep(starts, loss, **changes)
    study, members = bound(own.problem.recipe, np.zeros(8), device, own.problem)
    epochs = list(train.epochs(study, members, strategy=strategy))
    thetas = [to_host(m.state.theta)[0] for _, ms in epochs for m in ms]
    return [untimed(record) for record, _ in epochs], thetas, own.shapes


def falling_off(x):
    """Return −x, which has no number above 1."""
    return -x + 0 * ops.log(1 - x)


def failing(x):
    """Return −x, and fail like a solution if it is above 1 for any member."""
    if to_host(stop_gradient(x)).max() > 1:
        raise SolveError("there is nothing above 1")
    return -x


@pytest.mark.parametrize("policy", ["skip-step", "restore"])
@pytest.mark.parametrize("loss", [falling_off, failing])
def test_the_divergence_of_a_member_leaves_the_others_as_they_are(strict, loss, policy):
    with np.errstate(invalid="ignore", divide="ignore"):
        ours, theirs, *alone = (
            outcome(strict, starts, loss, how(), on_divergence=policy)
            for starts, how in (
                *(((-0.9, -30.0, -40.0), how) for how in (Stacked, Serial)),
                ((-30.0,), Serial),
            )
        )
    records, thetas, shapes = ours
    assert (records, thetas) == theirs[:2]
    assert thetas[1::3] == alone[0][1]
    assert any(record.restored[0] or record.skipped[0] for record in records)
    assert not any(any(record.restored[1:]) or any(record.skipped[1:]) for record in records)
    assert (3, 1) in shapes  # all of them together at first
    if loss is falling_off:
        assert (2, 1) in shapes  # then without the one that went back


def test_the_host_takes_members_in_turn_and_a_device_takes_them_together(strict):
    for device, shape in ((HOST, (1,)), (strict, (3, 1))):
        own = steep((1.0, 2.0, 3.0), lambda x: x * x)
        list(train.fit(own.problem.recipe, np.zeros(8), device, own.problem))
        assert set(own.shapes) == {shape}


def test_a_problem_that_does_not_take_members_is_taken_member_by_member(strict):
    own = steep((1.0, 2.0), lambda x: x * x)
    list(train.fit(own.problem.recipe, np.zeros(8), strict, own.problem._replace(stacked=False)))
    assert set(own.shapes) == {(1,)}


def test_a_hook_is_called_before_each_step_of_all_members(strict):
    calls, hook = [], Hook()
    hook.before_step = lambda: calls.append(0)
    own = steep((1.0, 2.0), lambda x: x * x, epochs=3)
    list(train.epochs(train.bind(own.problem.recipe, np.zeros(8), strict, own.problem), hooks=[hook]))
    assert len(calls) == 3 * 4


# ---- one step ----

THETA = np.array([[0.3, -0.5, 0.8], [1.0, 0.2, -0.1]])


def bowl(theta, batch):
    return ops.sum(ops.square(theta) * batch, axis=-1) + ops.sum(theta, axis=-1) ** 3


HOW = [
    *((estimator, {"scaled": True, "gap": True, "num_samples": n}) for estimator in ESTIMATORS for n in (1, 2)),
    *((estimator, {"gradient": "score"}) for estimator in ESTIMATORS if "score" in estimator),
]


@pytest.mark.parametrize(("estimator", "options"), HOW, ids=str)
def test_steps_of_stacked_members_are_those_of_each(device, estimator, options):
    method = continuation(bowl, adam(0.1), adam(0.1), log_lam0=-1.0, beta=0.3, cap=0.05, estimator=estimator, **options)
    there, weights = to_device(THETA, device), to_device([1.0, 2.0, 0.5], device)
    keys = Key(3), Key(4)
    state, alone = method.init(there), [method.init(there[i, ...]) for i in range(2)]
    for n in range(3):
        state, info = method.step(state, weights, fold_in(keys, n))
        steps = [method.step(alone[i], weights, fold_in(keys[i], n)) for i in range(2)]
        alone = [step[0] for step in steps]
    for both, of_each in ((state, alone), (info._replace(aux=[]), [step[1]._replace(aux=[]) for step in steps])):
        for found, *parts in zip(*(flatten(tree)[0] for tree in (both, *of_each)), strict=True):
            expected = parts[0] if type(found) is int else np.stack([to_host(part) for part in parts])
            np.testing.assert_allclose(to_host(found), expected, rtol=1e-12)


def test_descent_of_stacked_members_is_that_of_each(device):
    method = descent(bowl, adam(0.1))
    there, weights = to_device(THETA, device), to_device([1.0, 2.0, 0.5], device)
    state, info = method.step(method.init(there), weights, (Key(0), Key(1)))
    for i in range(2):
        alone, of_one = method.step(method.init(there[i, ...]), weights, Key(i))
        np.testing.assert_allclose(to_host(state.theta)[i], to_host(alone.theta), rtol=1e-14)
        np.testing.assert_allclose(to_host(info.smoothed)[i], to_host(of_one.smoothed), rtol=1e-14)
    assert to_host(state.log_lam).tolist() == [-np.inf, -np.inf]


# ---- solving for all members ----


LOOSE = {"rtol": 1e-2, "atol": 1e-3}


@pytest.mark.parametrize(
    "how",
    [
        {"solver": "dopri5", **LOOSE},
        {"solver": "bosh3", "adjoint": "backsolve", **LOOSE},
        {"solver": "rk4", "step_size": 0.2},
    ],
    ids=lambda how: how["solver"],
)
@pytest.mark.parametrize("shared", [True, False])
def test_members_are_solved_to_the_steps_and_counts_that_each_has_alone(device, how, shared):
    sizes, data = (4, 8, 2), decays(3, end=0.5)
    theta = np.stack([s * nets.init(Key(i), sizes, "float64") for i, s in enumerate((1, 2, 4))])
    theta, y0, inputs = (to_device(x, device) for x in (theta, data.series[:, 0], data.parameters))
    ts = to_device(np.linspace(0, [3.0, 1.0, 2.0], 4).T, device)
    xp, field = device.namespace, lambda t, y, params: DenseField(sizes, "tanh")(t, y, params)

    def total(theta, run, *arrays):
        y0, ts, inputs = arrays
        found = run(field, y0, ts, (theta, inputs), **how)
        return ops.sum(ops.square(found.ys)), (found.ys, found.stats)

    own = (y0, ts, inputs) if shared else tuple(xp.stack([x, 2 * x, 3 * x]) for x in (y0, ts, inputs))
    (_, (ys, stats)), slope = value_and_grad(total, has_aux=True)(theta, solve_members, *own)
    for i in range(3):
        mine = own if shared else tuple(x[i, ...] for x in own)
        (_, (expected, counts)), slope_alone = value_and_grad(total, has_aux=True)(theta[i, ...], solve, *mine)
        np.testing.assert_allclose(to_host(ys)[i], to_host(expected), rtol=1e-9)  # errors grow along a solution
        np.testing.assert_allclose(to_host(slope)[i], to_host(slope_alone), rtol=1e-8, atol=1e-10)
        for found, alone in zip(stats, counts, strict=True):
            np.testing.assert_array_equal(to_host(found)[i], to_host(alone))
    assert len(set(to_host(stats.evaluations).tolist())) == (1 if "step_size" in how and shared else 3)
