"""The methods: the conditions of order by rooted trees, the order of what they compute, and SciPy's own tables."""

import math

import numpy as np
import pytest
from scipy.integrate import DOP853, RK23, RK45

from mcgc.autodiff import ops
from mcgc.ode import TABLEAUX, solve

DENSE_ORDER = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 3, "bosh3": 3, "dopri5": 4, "tsit5": 4, "dopri8": 7}


def forests(nodes, largest):
    """Return the multisets of rooted trees with `nodes` nodes in all and at most `largest` in each."""
    if nodes == 0:
        return {()}
    return {
        tuple(sorted((tree, *others), key=repr))
        for k in range(1, min(nodes, largest) + 1)
        for tree in trees(k)
        for others in forests(nodes - k, k)
    }


def trees(nodes):
    """Return the rooted trees with `nodes` nodes: a tree is the tuple of the trees at its root."""
    return forests(nodes - 1, nodes - 1)


def nodes_of(tree):
    return 1 + sum(nodes_of(branch) for branch in tree)


def density(tree):
    return nodes_of(tree) * math.prod(density(branch) for branch in tree)


def elementary_weights(a, tree):
    return math.prod((a @ elementary_weights(a, branch) for branch in tree), start=np.ones(len(a)))


def residuals(tableau, weights, nodes, theta):
    """Return Σᵢ wᵢ Φᵢ(τ) − θⁿ/γ(τ) for each tree τ of n nodes, zero for weights of order n (Butcher 1963)."""
    a = padded(tableau.a, len(tableau.a))
    return [padded([weights], len(a))[0] @ elementary_weights(a, t) - theta**nodes / density(t) for t in trees(nodes)]


def padded(rows, width):
    return np.array([[*row, *[0.0] * (width - len(row))] for row in rows])


def test_there_are_as_many_rooted_trees_as_cayley_counted():
    assert [len(trees(n)) for n in range(1, 9)] == [1, 1, 2, 4, 9, 20, 48, 115]


@pytest.mark.parametrize("name", TABLEAUX)
def test_the_new_state_meets_the_conditions_of_its_order_and_no_more(name):
    tableau = TABLEAUX[name]
    weights = tableau.a[-1 - tableau.extra]
    for nodes in range(1, tableau.order + 1):
        np.testing.assert_allclose(residuals(tableau, weights, nodes, 1.0), 0, atol=2e-14)
    assert np.max(np.abs(residuals(tableau, weights, tableau.order + 1, 1.0))) > 1e-5


@pytest.mark.parametrize("name", TABLEAUX)
@pytest.mark.parametrize("theta", [0.3, 0.8])
def test_the_dense_output_meets_the_conditions_of_its_order_and_no_more(name, theta):
    tableau, order = TABLEAUX[name], DENSE_ORDER[name]
    weights = np.array(tableau.dense) @ theta ** np.arange(1, len(tableau.dense[0]) + 1)
    for nodes in range(1, order + 1):
        np.testing.assert_allclose(residuals(tableau, weights, nodes, theta), 0, atol=2e-14)
    assert np.max(np.abs(residuals(tableau, weights, order + 1, theta))) > 1e-6


@pytest.mark.parametrize(("name", "orders"), [("bosh3", [2]), ("dopri5", [4]), ("tsit5", [4]), ("dopri8", [5, 3])])
def test_the_error_estimates_vanish_to_the_order_of_the_embedded_solution(name, orders):
    tableau = TABLEAUX[name]
    for weights, order in zip(tableau.error, orders, strict=True):
        for nodes in range(1, order + 1):
            np.testing.assert_allclose(residuals(tableau, weights, nodes, 0.0), 0, atol=1e-14)
        assert np.max(np.abs(residuals(tableau, weights, order + 1, 0.0))) > 1e-4


@pytest.mark.parametrize("name", TABLEAUX)
def test_tableaux_are_consistent(name):
    tableau = TABLEAUX[name]
    last = len(tableau.a) - tableau.extra - 1
    assert tableau.c[last] == 1
    np.testing.assert_allclose([sum(row) for row in tableau.a], tableau.c, atol=1e-14)
    dense = np.array(tableau.dense)
    slopes = dense @ np.arange(1, dense.shape[1] + 1)
    np.testing.assert_allclose(dense.sum(axis=1), padded([tableau.a[last]], len(dense))[0], atol=1e-13)
    np.testing.assert_array_equal(dense[:, 0], np.eye(len(dense))[0])
    np.testing.assert_allclose(slopes, np.eye(len(dense))[last], atol=2e-12)  # so steps join smoothly


@pytest.mark.parametrize(("name", "theirs"), [("bosh3", RK23), ("dopri5", RK45), ("dopri8", DOP853)])
def test_tables_agree_with_those_of_scipy(name, theirs):
    ours = TABLEAUX[name]
    last = len(ours.a) - ours.extra - 1
    np.testing.assert_allclose(ours.c[:last], theirs.C[:last], rtol=1e-15)
    np.testing.assert_allclose(ours.a[last], theirs.B, rtol=1e-15)
    np.testing.assert_allclose(padded(ours.a[:last], last)[:, : theirs.A.shape[1]], theirs.A[:last, :last], rtol=1e-15)
    errors = [theirs.E5, theirs.E3] if name == "dopri8" else [theirs.E]
    np.testing.assert_allclose(np.abs(ours.error), np.abs(errors), rtol=1e-14)
    if name == "dopri8":
        np.testing.assert_allclose(padded(ours.a[last + 1 :], len(ours.a)), theirs.A_EXTRA, rtol=1e-15)
        np.testing.assert_allclose(ours.terms, theirs.D, rtol=1e-15)
    else:
        np.testing.assert_allclose(ours.dense, theirs.P, rtol=1e-14)


def two_bodies(t, y, p):
    distance = ops.sqrt(ops.sum(ops.square(y[:, :2]), axis=1, keepdims=True))
    return ops.concat([y[:, 2:], -y[:, :2] / distance**3], axis=1)


def orbit(t, e=0.5):
    """Return position and velocity on the orbit of eccentricity e, by Kepler's equation."""
    anomaly = t
    for _ in range(60):
        anomaly = anomaly - (anomaly - e * np.sin(anomaly) - t) / (1 - e * np.cos(anomaly))
    cos, sin, b = np.cos(anomaly), np.sin(anomaly), np.sqrt(1 - e * e)
    return np.stack([cos - e, b * sin, -sin / (1 - e * cos), b * cos / (1 - e * cos)], axis=-1)


def error_at(name, ts, step_size):
    ys = solve(two_bodies, orbit(ts[:1]), ts, solver=name, step_size=step_size).ys[0]
    return np.linalg.norm(ys[1:] - orbit(ts[1:]))


def slope(errors, sizes):
    return np.polyfit(np.log(sizes), np.log(errors), 1)[0]


@pytest.mark.parametrize("name", TABLEAUX)
def test_error_falls_with_the_order_of_the_solver(name):
    order = TABLEAUX[name].order
    first = {1: 256, 2: 64, 5: 96, 8: 16}.get(order, 32)
    sizes = [2.0 / (first * k) for k in (1, 2, 3, 4)]
    errors = [error_at(name, np.array([0.0, 2.0]), size) for size in sizes]
    assert slope(errors, sizes) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("name", TABLEAUX)
def test_error_of_the_dense_output_falls_with_its_order(name):
    sizes = 2.0 ** -np.arange(2, 6) if name == "dopri8" else 2.0 ** -np.arange(4, 8)
    errors = [error_at(name, size * np.linspace(0, 1, 11), size) for size in sizes]  # in one step: one order more
    assert slope(errors, sizes) == pytest.approx(DENSE_ORDER[name] + 1, abs=0.2)
