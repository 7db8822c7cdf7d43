"""The classes of stuck problems: what an instance is, and how its searches are counted."""

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from bench.studies.stuck import bouncing_ball, dry_friction, lorenz, spiking_neuron, switched_circuit, two_bodies
from bench.studies.stuck.__main__ import CLASSES, best_of, cell, interval, table
from bench.studies.stuck.competitors import SEARCHES, Counter, Spent, attempt
from bench.studies.stuck.curves import draw


def test_an_instance_is_solved_at_the_true_parameters_and_not_at_the_start():
    for name in CLASSES:
        one = import_module(f"bench.studies.stuck.{name}").instance(1)
        costs = (one.residuals(np.stack([one.true, one.x0])) ** 2).sum(1) / 2
        assert costs[0] == pytest.approx(one.threshold / 1.5)
        assert costs[1] > (3 if name == "switched_circuit" else 10) * one.threshold, name
        assert one.times.size == one.residuals(one.x0[None]).shape[1]
        again = import_module(f"bench.studies.stuck.{name}").instance(1)
        assert again.x0.tobytes() == one.x0.tobytes()


def test_a_ball_follows_its_equation_from_bounce_to_bounce():
    h, v, g, e, floor = 2.0, 0.5, 9.0, 0.9, 0.1
    found = bouncing_ball.simulate(np.asarray([[h, v, g, e, floor]]))[0, :, 0]
    hit = lambda t, y: y[0]
    hit.terminal, hit.direction = True, -1
    t, state, expected = 0.0, [h - floor, v], np.empty(0)
    while t < 5:
        span = solve_ivp(lambda t, y: [y[1], -g], (t, 20), state, events=hit, dense_output=True, rtol=1e-10, atol=1e-12)
        end = span.t_events[0][0]
        inside = bouncing_ball.TIMES[(t <= bouncing_ball.TIMES) & (end > bouncing_ball.TIMES)]
        expected = np.append(expected, span.sol(inside)[0] + floor)
        t, state = end, [1e-13, -e * span.y_events[0][0][1]]
    assert found[: expected.size] == pytest.approx(expected, abs=1e-5)


def test_a_block_sticks_to_the_belt_until_the_spring_is_stronger():
    k, friction, belt = 4.0, 5.0, 0.5
    x = dry_friction.simulate(np.asarray([[k, 0.05, friction, belt, 0.0]]))[0, :, 0]
    limit = (friction - 0.05 * belt) / k
    held = np.flatnonzero(x > limit - belt * 0.15)[0]
    assert held > 10
    assert np.diff(x[1:held]) == pytest.approx(belt * 0.15)
    assert x.max() == pytest.approx(limit + belt / np.sqrt(k), abs=0.01)  # it slips with the speed of the belt


def test_a_circuit_that_never_switches_and_a_neuron_that_never_fires_follow_their_equations():
    inductance, capacity, load, drive = 1.0, 0.8, 3.0, switched_circuit.SUPPLY
    rate = lambda t, y: [(drive - y[1] - 0.1 * y[0]) / inductance, (y[0] - y[1] / load) / capacity]
    right = solve_ivp(rate, (0, 2), [0, 0], t_eval=switched_circuit.TIMES[:20], rtol=1e-9, atol=1e-9).y[1]
    found = switched_circuit.simulate(np.asarray([[inductance, capacity, load, 50.0, 60.0]]))[0, :20, 0]
    assert found == pytest.approx(right, abs=0.1)
    tau, constant, gain = 1.2, 1.5, 0.5
    pushed = lambda t, y: (constant + gain * (np.sin(1.3 * t) + np.sin(3.1 * t)) - y) / tau
    right = solve_ivp(pushed, (0, 20), [0], t_eval=spiking_neuron.TIMES, rtol=1e-9, atol=1e-9).y[0]
    found = spiking_neuron.simulate(np.asarray([[tau, 1e3, constant, gain, 0.3]]))[0, :, 0]
    assert found == pytest.approx(right, abs=0.02)


def test_two_bodies_that_hit_elastically_keep_their_energy_and_do_not_pass_each_other():
    first, second, mass = 2.0, 3.0, 1.5
    found = two_bodies.simulate(np.asarray([[first, second, mass, 1.0, -1.5, 1.0]]))[0]
    assert (found[:, 0] < found[:, 1] + 0.1).all()
    speeds = np.gradient(found, two_bodies.TIMES, axis=0)
    energy = (speeds[:, 0] ** 2 + mass * speeds[:, 1] ** 2) / 2
    energy += first * (found[:, 0] + 0.5) ** 2 / 2 + second * (found[:, 1] - 0.5) ** 2 / 2
    assert np.median(energy[-50:]) == pytest.approx(np.median(energy[:50]), rel=0.05)
    lossy = two_bodies.simulate(np.asarray([[first, second, mass, 0.5, -1.5, 1.0]]))[0]
    assert np.ptp(lossy[-50:], axis=0).sum() < 0.7 * np.ptp(found[-50:], axis=0).sum()


def test_a_simulation_that_fails_is_nan():
    assert np.isnan(bouncing_ball.simulate(np.asarray([[1.0, 0.0, 9.0, 1.5, 0.0]]))).all()
    one = lorenz.instance(0)
    assert not np.isfinite(one.residuals(np.asarray([[20.0, 20.0, 20.0]]))).all()


def test_a_search_is_stopped_at_success_and_at_the_budget():
    one = bouncing_ball.instance(2)
    counter = Counter(one, 10)
    with pytest.raises(Spent):
        counter.rows(np.tile(one.x0, (20, 1)))
    assert (counter.count, counter.solved_at) == (10, None)
    counter = Counter(one, 10)
    with pytest.raises(Spent):
        counter.rows(np.stack([one.x0, one.true, one.x0]))
    assert (counter.count, counter.solved_at) == (2, 2)


@pytest.mark.parametrize("method", [name for name in SEARCHES if name != "CMA-ES"])
def test_every_search_spends_at_most_the_budget(method):
    if method.startswith("DFO-LS"):
        pytest.importorskip("dfols", reason="the package DFO-LS is for the studies alone")
    solved, spent = attempt(SEARCHES[method], bouncing_ball.instance(3), 0, None, 150)
    assert spent <= 150
    assert solved is None or solved == spent


def test_the_path_solves_most_balls():
    found = [attempt(SEARCHES["continuation"], bouncing_ball.instance(s), s, None, 1000)[0] for s in range(10)]
    assert sum(at is not None for at in found) >= 9


def test_a_cell_counts_the_solved_and_what_a_success_costs():
    assert cell([100, 900, 2000, None]) == "1/2/3 (2,000)"
    assert cell([None, None]) == "0/0/0"


def test_an_interval_is_that_of_resampled_instances():
    assert interval([100] * 30) == (100, 100)
    low, high = interval([100, 500] * 15)  # the mean of 30 has a standard deviation of 200/√30 = 36.5
    assert abs(low - (300 - 1.645 * 36.5)) < 15
    assert abs(high - (300 + 1.645 * 36.5)) < 15
    assert interval([None] * 30) == (float("inf"), float("inf"))


def test_the_curves_of_the_record_have_a_panel_for_each_class():
    record = {name: {method: {"1": 100, "2": None} for method in SEARCHES} for name in CLASSES}
    axes = draw(record).axes
    assert [ax.get_title() for ax in axes] == [name.replace("_", " ") for name in CLASSES]
    line = axes[0].lines[0]
    assert list(line.get_xdata()) == [10, 100, 100, 3000]
    assert list(line.get_ydata()) == [0, 0, 0.5, 0.5]


def test_the_page_has_the_tables_of_the_records():
    root = Path(__file__).parents[2]
    read = lambda name: json.loads((root / "bench" / "studies" / "stuck" / name).read_text(encoding="utf-8"))
    record, fresh = read("results.json"), read("results-fresh.json")
    page = (root / "docs" / "least-squares.md").read_text(encoding="utf-8")
    assert "\n".join(table(record, list(SEARCHES))) in page
    assert "\n".join(best_of(record)) in page
    assert "\n".join(best_of(fresh)) in page
    for name in CLASSES:
        assert {len(found) for found in record[name].values()} == {30}
        assert {len(found) for found in fresh[name].values()} == {30}
        assert {min(map(int, found)) for found in record[name].values()} == {1000}
        assert {min(map(int, found)) for found in fresh[name].values()} == {2000}
