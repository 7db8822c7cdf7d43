"""The benchmark's statistics, its checks, its rows, and a quick run of it."""

import json
import math
import os
import re
import sys
from itertools import pairwise

import numpy as np
import pytest
import sides

from bench import __main__ as command
from bench import limits, report
from bench.cases import adam, cold, kernels, limit, mnist_step, noise, tabular
from bench.comparison import Plan, Row, check, compare
from bench.timing import Spread, Timing, environment, measure, ratio, spread, variables
from mcgc import arrays, devices, nets


@pytest.fixture
def plan(tmp_path):
    """Give a plan of short turns on one thread."""
    return Plan(True, [1], 3, 1e-3, tmp_path)


def test_spread_is_the_median_and_the_quartiles():
    samples = np.random.default_rng(0).random(23).tolist()
    assert spread(samples) == pytest.approx(tuple(np.quantile(samples, [0.5, 0.25, 0.75])), rel=1e-12)
    assert spread([2.0]) == (2, 2, 2)


def test_ratio_compares_turns_of_one_round_so_that_a_drift_of_both_cancels():
    drift = [1.0, 3.0, 9.0, 27.0]
    assert ratio([2 * t for t in drift], drift) == pytest.approx((2, 2, 2), rel=1e-15)


def test_environment_is_set_for_the_time_of_the_block():
    before = dict(os.environ)
    with variables(environment(1)):
        assert {os.environ[f"{name}_NUM_THREADS"] for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")} == {"1"}
        assert "eigen=false" in os.environ["XLA_FLAGS"]
    assert dict(os.environ) == before


def test_sides_are_timed_in_turn_in_processes_with_their_threads_and_one_may_be_absent():
    found = measure("sides", list(sides.SIDES), {"value": 4.0}, 1, rounds=5, seconds=2e-3)
    assert found["absent"] is None
    assert found["mcgc"].values == {"value": 4.0, "threads": "1", "device": None}
    assert [len(found["mcgc"].wall), len(found["half"].processor)] == [5, 5]
    assert min(found["mcgc"].processor) > 0
    assert 1.5 < ratio(found["half"].seconds(1), found["mcgc"].seconds(1)).median < 2.7


def test_a_comparison_has_a_row_for_each_library_with_its_ratio_and_target(plan):
    ours, half, missing = compare(plan, "case", "sides", list(sides.SIDES), {}, {"half": 1.2}, {"value": 4.0})
    assert half.wall.low <= half.wall.median <= half.wall.high
    assert (ours.side, ours.ratio, ours.met, ours.seconds.median > 0) == ("mcgc", None, None, True)
    assert (half.target, half.met, half.ratio.low <= half.ratio.median <= half.ratio.high) == (1.2, True, True)
    assert (missing.seconds, missing.met, missing.note) == (None, None, "not installed")


def test_a_target_may_be_one_for_each_number_of_threads(plan):
    found = {}
    for targets in ({"half": 1.2}, {"half": {1: 1.2, 2: 9.0}}, {"half": {2: 1.2}}):
        rows = compare(
            plan._replace(threads=[1, 2], rounds=1), "case", "sides", ["mcgc", "half"], {}, targets, {"value": 4.0}
        )
        found[str(targets)] = [row.target for row in rows if row.side == "half"]
    assert list(found.values()) == [[1.2, None], [1.2, 9.0], [None, 1.2]]


def test_the_table_of_digits_is_random_without_scikit_learn_and_has_the_same_shape(monkeypatch):
    pytest.importorskip("sklearn")
    found = tabular.start()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    drawn = tabular.start()
    for a, b in zip(found[1:4], drawn[1:4], strict=True):
        assert (a.shape, a.dtype.kind) == (b.shape, b.dtype.kind)
        assert (a.min() >= 0, a.max() <= 9) == (b.min() >= 0, b.max() <= 9)
    assert found[4] == drawn[4] == [*range(0, 1800, 200), 1797]
    loss, gradient = tabular.ours().values.values()
    assert gradient.shape == found[1].shape
    assert 2 < loss < 3


def test_scikit_learn_has_the_loss_and_the_gradient_of_mcgc():
    pytest.importorskip("sklearn")
    timings = {name: Timing([1.0], [1.0], tabular.SIDES[name]().values) for name in ("mcgc", "sklearn")}
    check("tabular", timings, tabular.TOLERANCES)


def test_the_work_of_a_step_is_that_of_its_products_and_its_arrays():
    sizes, rows = (3, 5, 2), 7
    products = [(rows, a, b) for a, b in pairwise(sizes)]  # forward, of the weights, and of the inputs but the first
    operations = sum(2 * m * k * n for m, k, n in products) * 2 + 2 * math.prod(products[1])
    assert limits.net_step(sizes, rows).operations == operations
    assert limits.parameters(sizes) == nets.num_parameters(sizes)
    assert limits.net_step(sizes, rows).bytes == nets.num_parameters(sizes) * (3 + 1 + 3 + 1 + 1) * 4
    assert limits.net_step(sizes, rows, noise=False).bytes == nets.num_parameters(sizes) * 7 * 4
    assert limits.solved_step(sizes, 10, 6) == (2 * 25 * (10 + 2 * 6), limits.net_step(sizes, 1).bytes)
    assert limits.Work(6.0, 8.0).seconds(2.0, 1.0) == 8.0


def test_a_quick_run_gives_shares_of_the_limits(plan):
    found = {row.side: row for row in limit.rows(plan._replace(rounds=2))}
    shares = {side: row.ratio.median for side, row in found.items() if side.startswith("floor")}
    names = ("mnist-step", "lorenz-step", "windows", "tabular", "noise 111,160", "adam 111,160", "ode_steps 16")
    assert set(shares) == {f"floor of {name}" for name in names}
    assert 0 < min(shares.values()) < max(shares.values()) < 1.3
    assert re.fullmatch(r"\d+ GFlop/s, in registers", found["multiply-adds"].note)
    assert {"cache", "memory", "BLAS of mnist-step", "BLAS rate of lorenz-step"} < set(found)


def test_a_comparison_on_another_device_runs_mcgc_alone_by_wall_clock_without_targets(plan):
    elsewhere = plan._replace(device="elsewhere")
    ours, half, _ = compare(elsewhere, "case", "sides", list(sides.SIDES), {}, {"half": 1.2}, {"value": 4.0})
    assert (ours.note, half.note, half.target) == ("on elsewhere", "", None)
    assert half.ratio == half.wall
    own = {"mcgc": {"device": "elsewhere"}}
    found = measure("sides", ["mcgc", "half"], {"value": 4.0}, 1, 1, 1e-3, own)
    assert found["mcgc"].values["device"] == "elsewhere"
    assert set(found["half"].values) == {"value"}


@pytest.mark.parametrize(
    ("side", "options"),
    [(noise.ours, {"m": 1000}), (adam.ours, {"m": 1000}), (mnist_step.ours, {"depth": 2, "batch": 5})],
    ids=["noise", "adam", "mnist-step"],
)
def test_mcgc_has_the_same_values_on_another_device_and_waits_for_it_once_in_each_run(
    side, options, strict, monkeypatch
):
    here = side(**options)
    monkeypatch.setattr(devices, "select_device", lambda name: (strict, name))
    reads, to_host = [], arrays.to_host
    monkeypatch.setattr(arrays, "to_host", lambda array: reads.append(array.shape) or to_host(array))
    there = side(**options, device="cuda")
    assert here.values.keys() == there.values.keys()
    for name, value in here.values.items():
        np.testing.assert_allclose(there.values[name], value, rtol=1e-4, atol=1e-6)
    reads.clear()
    there.run()
    assert len(reads) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--device", "cuda"], "--device goes with --case of mnist-step, noise, adam"),
        (["--device", "cuda", "--case", "noise"], "'cuda' cannot be used: CuPy is not installed"),
        (["--device", "banana", "--case", "noise"], "unknown device 'banana'"),
    ],
)
def test_a_missing_device_or_one_that_the_case_cannot_use_is_refused(capsys, monkeypatch, arguments, sentence):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(SystemExit):
        command.main(["--quick", *arguments])
    assert sentence in capsys.readouterr().err


def test_a_comparison_of_different_numbers_is_refused(plan):
    with pytest.raises(ValueError, match=r"case: value of half differs by 5\.0e-01"):
        compare(plan, "case", "sides", ["mcgc", "half"], {"value": 0.4}, {}, {"value": 4.0})


def test_values_are_compared_with_a_reference_if_there_is_one():
    ours = Timing([1.0], [1.0], {"value": 1.0, "reference value": 2.0})
    with pytest.raises(ValueError, match="value of mcgc"):
        check("case", {"mcgc": ours}, {"value": 0.1})
    check("case", {"mcgc": ours}, {"value": 0.5})


def test_nan_does_not_agree():
    sides = {"mcgc": Timing([1.0], [1.0], {"value": 1.0}), "peer": Timing([1.0], [1.0], {"value": float("nan")})}
    with pytest.raises(ValueError, match="value of peer"):
        check("case", sides, {"value": 1.0})


def test_a_whole_process_is_timed_and_its_failure_is_reported():
    nothing, import_mcgc = (cold.taken_by(arguments, {}) for arguments in (("-c", ""), cold.IMPORT))
    assert 0 < nothing < import_mcgc
    with pytest.raises(RuntimeError, match="failed"):
        cold.taken_by(("-c", "raise SystemExit(3)"), {})


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (Row("c", 1, "s", Spread(1, 1, 1), Spread(2.5, 2, 3), 2.0), True),
        (Row("c", 1, "s", Spread(1, 1, 1), Spread(1.5, 1, 3), 2.0), False),
        (Row("c", 1, "s", Spread(1, 1, 1), None, 2.0), True),
        (Row("c", 1, "s", Spread(3, 3, 3), None, 2.0), False),
        (Row("c", 1, "s", Spread(3, 3, 3)), None),
    ],
)
def test_a_ratio_must_reach_its_target_and_seconds_must_not_exceed_theirs(row, met):
    assert row.met is met


def test_the_table_shows_units_spread_and_targets(capsys):
    report.show([Row("c", 1, "s", Spread(2.5e-3, 2e-3, 3e-3), Spread(4, 3, 5), 2.0), Row("d", 2, "t", note="gone")])
    shown = capsys.readouterr().out
    assert "2.5 [2, 3] ms" in shown
    assert all(word in shown for word in ("4 [3, 5]", "≥ 2", "yes", "gone"))


def test_a_quick_run_compares_each_kernel_with_what_is_simpler(plan):
    found = {}
    for row in kernels.rows(plan._replace(rounds=2)):
        found.setdefault(row.case, {})[row.side] = row.ratio and row.ratio.median
    peers = {case: {side for side, ratio in sides.items() if ratio} for case, sides in found.items()}
    products, arrays = {"BLAS", "loops", "NumPy"}, {"new arrays"}
    assert peers == {
        "kernels product 250 × 50": products,
        "kernels gradient 250 × 50": products,
        "kernels adam dead": {"subnormal", "replaced"},
        "kernels arrays noise 111,160": arrays,
        "kernels arrays adam 111,160": arrays,
    }
    assert found["kernels product 250 × 50"]["loops"] > 1.5  # 3.5; the BLAS is about as fast, by the processor


def test_a_quick_run_of_mcgc_and_numpy_writes_its_figures(tmp_path, capsys):
    cases = "noise", "adam", "least-squares", "tabular"  # the smoke run has them all
    named = [word for case in cases for word in ("--case", case)]
    command.main(["--quick", *named, "--json", str(tmp_path / "bench.json")])
    found = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert set(found) == {"machine", "plan", "rows"}
    assert found["machine"]["versions"]["numpy"] == np.__version__
    assert found["machine"]["processor"]
    assert (found["plan"]["quick"], found["plan"]["threads"], found["plan"]["rounds"]) == (True, [1], 2)
    assert {row["case"] for row in found["rows"]} == {"noise 111,160", "adam 111,160", *cases[2:]}
    rows = {row["side"]: row for row in found["rows"] if row["case"] == "noise 111,160"}
    assert set(rows["numpy"]) == {*Row._fields, "met"}
    assert set(rows["numpy"]["ratio"]) == set(Spread._fields)
    shown = Spread(**rows["numpy"]["ratio"])
    quotient = rows["numpy"]["seconds"]["median"] / rows["mcgc"]["seconds"]["median"]  # between those of the two rounds
    assert abs(quotient - shown.median) <= (shown.high - shown.low) * 1.001
    assert all(row["target"] is None for row in found["rows"])
    fits = {row["side"]: row["ratio"] for row in found["rows"] if row["case"] == "least-squares"}
    assert fits["scipy"]["median"] > 5
    assert "numpy" in capsys.readouterr().out


def test_a_case_that_fails_is_reported_and_the_others_are_measured(tmp_path, capsys, monkeypatch):
    def fail(plan):
        raise ValueError("adam: theta of torch differs by 1e-2")

    monkeypatch.setattr(adam, "rows", fail)
    with pytest.raises(SystemExit) as ended:
        command.main(["--quick", "--case", "adam", "--case", "noise", "--json", str(tmp_path / "bench.json")])
    assert ended.value.code == "these cases failed: adam"
    rows = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))["rows"]
    notes = {row["case"]: row["note"] for row in rows}
    assert "differs by 1e-2" in notes["adam"]
    assert {row["side"] for row in rows if row["case"] == "noise 111,160"} >= {"mcgc", "numpy"}
    assert "differs by 1e-2" in capsys.readouterr().out
