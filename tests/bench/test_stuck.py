"""The classes of stuck problems: what an instance is, and how its searches are counted."""

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from bench.studies.stuck import bouncing_ball, lorenz
from bench.studies.stuck.__main__ import CLASSES, cell, table
from bench.studies.stuck.competitors import SEARCHES, Counter, Spent, attempt


def test_an_instance_is_solved_at_the_true_parameters_and_not_at_the_start():
    for name in CLASSES:
        one = import_module(f"bench.studies.stuck.{name}").instance(1)
        costs = (one.residuals(np.stack([one.true, one.x0])) ** 2).sum(1) / 2
        assert costs[0] == pytest.approx(one.threshold / 1.5)
        assert costs[1] > 10 * one.threshold, name
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
    solved, spent = attempt(SEARCHES[method], bouncing_ball.instance(3), 0, None, 150)
    assert spent <= 150
    assert solved is None or solved == spent


def test_the_path_solves_most_balls():
    found = [attempt(SEARCHES["continuation"], bouncing_ball.instance(s), s, None, 1000)[0] for s in range(10)]
    assert sum(at is not None for at in found) >= 9


def test_a_cell_counts_the_solved_and_what_a_success_costs():
    assert cell([100, 900, 2000, None]) == "1/2/3 (2,000)"
    assert cell([None, None]) == "0/0/0"


def test_the_page_has_the_table_of_the_record():
    root = Path(__file__).parents[2]
    record = json.loads((root / "bench" / "studies" / "stuck" / "results.json").read_text(encoding="utf-8"))
    page = (root / "docs" / "least-squares.md").read_text(encoding="utf-8")
    assert "\n".join(table(record, list(SEARCHES))) in page
    for name in CLASSES:
        assert {len(found) for found in record[name].values()} == {30}
        assert {min(map(int, found)) for found in record[name].values()} == {1000}
