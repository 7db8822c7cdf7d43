"""minimize: what it finds, where gradients come from, and its manners under SciPy."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import optimize
from scipy.optimize import Bounds, LinearConstraint

from mcgc import continuation_method, jit, minimize, ops
from mcgc.arrays import to_device, to_host
from mcgc.continuation._search import rugged
from mcgc.continuation._target import Target
from mcgc.errors import InputError, TraceError
from mcgc.paper import test_functions
from mcgc.random import Key

CENTRE = np.array([1.0, -2.0])
QUICK = {"maxiter": 60, "num_samples": 2}


def bowl(x, scale=2.0):
    return scale * ops.sum(ops.square(x - CENTRE))


def plain_bowl(x, scale=2.0):
    return scale * float(np.sum((np.asarray(x) - CENTRE) ** 2))


def slope(x, scale=2.0):
    return 2 * scale * (x - CENTRE)


@pytest.mark.parametrize("name", ["rastrigin", "levy", "ackley", "styblinski-tang"])
def test_the_global_minimum_is_found_from_3_3_in_nine_of_ten_seeds(name):
    known = test_functions.get(name)
    assert known.start == (3.0, 3.0)
    found = [minimize(known.function, known.start, seed=seed, batched=True) for seed in range(10)]
    assert sum(result.fun - known.value < 1e-6 for result in found) >= 9
    local = optimize.minimize(known.function, known.start, method="BFGS")
    assert local.fun - known.value > 1  # which a local search alone does not do


WAYS = {
    "engine": (bowl, {}),
    "engine by name": (bowl, {"jac": "engine"}),
    "function": (plain_bowl, {"jac": slope}),
    "both": (lambda x, scale=2.0: (plain_bowl(x, scale), slope(x, scale)), {"jac": True}),
    "none": (plain_bowl, {"jac": "none"}),
    "false": (plain_bowl, {"jac": False}),
    "batched": (lambda x, scale=2.0: scale * ops.sum(ops.square(x - CENTRE), axis=-1), {"batched": True}),
    "batched values": (
        lambda x, scale=2.0: scale * np.sum((x - CENTRE) ** 2, axis=-1),
        {"batched": True, "jac": "none"},
    ),
    "compiled": (jit(bowl), {}),
    "compiled batch": (jit(lambda x, scale=2.0: scale * ops.sum(ops.square(x - CENTRE), axis=-1)), {"batched": True}),
    "compiled values": (jit(bowl), {"jac": "none"}),
    "compiled, with its slope": (jit(bowl), {"jac": slope}),
}


@pytest.mark.parametrize("way", WAYS)
def test_gradients_come_from_where_jac_says(way):
    fun, options = WAYS[way]
    found = minimize(fun, [3.0, 3.0], (0.5,), **QUICK, **options)
    assert found.success
    assert found.status == 0
    np.testing.assert_allclose(found.x, CENTRE, atol=1e-5)
    assert found.fun == pytest.approx(0.0, abs=1e-9)
    assert len(found.log_lam) == 60
    values_alone = "none" in str(options) or options.get("jac") is False
    assert found.log_lam[-1] == pytest.approx(math.log(3.0 * (1e-4 if values_alone else 3e-3)), rel=1e-12)
    assert ("jac" in found) == (not values_alone)


@pytest.mark.parametrize("jac", [None, "none"])
@pytest.mark.parametrize("args", [(), (0.5,), (np.array(3.0),)])
def test_a_jitted_function_is_minimised_as_the_same_function_is(jac, args):
    traces = []
    found = minimize(jit(lambda x, *args: traces.append(x) or bowl(x, *args)), [3.0, 1.0], args, jac=jac, **QUICK)
    expected = minimize(bowl, [3.0, 1.0], args, jac=jac, **QUICK)
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-9)
    np.testing.assert_allclose(found.log_lam, expected.log_lam, rtol=1e-12)
    assert found.nit == expected.nit
    assert found.nfev == expected.nfev
    assert len(traces) == 1  # for steps of four points and for single ones


def test_a_jitted_function_that_cannot_be_compiled_says_why():
    with pytest.raises(TraceError, match="the truth of a value that is not known while it traces"):
        minimize(jit(lambda x: x[0] if x[0] > 0 else x[1]), CENTRE, **QUICK)


def test_evaluations_are_counted_as_they_are_made():
    calls = []

    def counted(x):
        calls.append(x)
        return plain_bowl(x)

    found = minimize(counted, [3.0, 3.0], jac=slope, **QUICK)
    assert found.nfev == found.njev == len(calls) >= 60 * 2 * 2
    calls.clear()
    found = minimize(counted, [3.0, 3.0], jac="none", **QUICK)
    assert (found.nfev, found.njev) == (len(calls), 0)


def test_values_alone_find_the_minimum_of_a_function_with_others():
    known = test_functions.get("styblinski-tang")
    found = minimize(known.function, known.start, jac="none", batched=True, num_samples=16)
    assert found.fun == pytest.approx(known.value, abs=1e-6)


def test_learned_lambda_stays_under_its_bound_and_can_fall_faster():
    fun = lambda x: ops.sum(ops.square(x))
    scheduled = minimize(fun, [1.0, 1.0], **QUICK)
    learned = minimize(fun, [1.0, 1.0], learning_rate_lam=0.3, beta=0.1, **QUICK)
    assert np.all(learned.log_lam <= scheduled.log_lam + 1e-12)
    assert np.any(learned.log_lam < scheduled.log_lam - 0.5)


def test_the_same_seed_gives_the_same_bits_and_another_gives_others():
    paths = [minimize(bowl, [3.0, 3.0], seed=seed, learning_rate_lam=0.3, **QUICK).log_lam for seed in (4, 4, 5)]
    np.testing.assert_array_equal(paths[0], paths[1])
    assert not np.array_equal(paths[0], paths[2])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_result_keeps_dtype_and_device_and_the_start_is_not_touched(device, dtype):
    start = to_device([3.0, 3.0], device, dtype)
    centre = to_device(CENTRE, device, dtype)
    found = minimize(lambda x: ops.sum(ops.square(x - centre)), start, **QUICK)
    assert found.success
    assert found.x.dtype == getattr(device.namespace, dtype)
    np.testing.assert_allclose(to_host(found.x), CENTRE, atol=1e-3 if dtype == "float32" else 1e-6)
    np.testing.assert_array_equal(to_host(start), [3.0, 3.0])


def test_whole_numbers_and_single_numbers_are_starts():
    assert minimize(lambda x: ops.sum(ops.square(x - 1)), [3, 3], **QUICK).x.dtype == np.float64
    assert minimize(lambda x: ops.sum(ops.square(x - 1)), 3, **QUICK).x == pytest.approx([1.0])


@pytest.mark.parametrize(
    "fun",
    [
        lambda x: np.sum(np.spacing(x)),
        lambda x: math.exp(x[0]) + float(x[1]) ** 2,
        lambda x: np.linalg.norm(np.asarray(x)),
    ],
    ids=["ufunc", "float", "asarray"],
)
def test_a_function_the_engine_cannot_trace_is_one_sentence_that_names_the_ways_out(fun):
    with pytest.raises(InputError, match=r"mcgc\.ops.*jac.*\"none\"") as caught:
        minimize(fun, [1.0, 1.0])
    assert "\n" not in str(caught.value)


def test_a_function_of_numpy_is_minimised_as_the_same_of_operations():
    of_numpy = lambda x: np.sum(np.square(x - np.asarray(CENTRE)))
    of_ops = lambda x: ops.sum(ops.square(x - np.asarray(CENTRE)))
    found, expected = (minimize(fun, [3.0, 3.0], **QUICK) for fun in (of_numpy, of_ops))
    np.testing.assert_array_equal(found.x, expected.x)
    assert found.success


def test_an_error_of_the_function_itself_comes_through():
    def broken(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        minimize(broken, [1.0, 1.0])


def test_an_error_of_the_gradient_itself_comes_through():
    with pytest.raises(ZeroDivisionError):
        minimize(plain_bowl, [1.0, 1.0], jac=lambda x: 1 / 0)


def test_a_function_that_is_not_finite_is_reported_and_not_called_a_success():
    with np.errstate(all="ignore"):
        found = minimize(lambda x: ops.sum(ops.sqrt(x)), [1e-3, 1e-3], **QUICK)
    assert not found.success
    assert found.status == 1
    assert "not finite" in found.message
    assert found.dropped > 0
    assert found.fun <= 2 * math.sqrt(1e-3)
    assert found.fun == np.sum(np.sqrt(found.x))


# ---- what is kept, and what is never returned ----


def of_small_balls(x):
    """A bowl that is known only near its middle and on few other points: NaN elsewhere."""
    return float(np.sum(x**2)) if np.sum(x**2) < 20 else math.nan


@pytest.mark.parametrize("jac", ["2-point", "none"])
@pytest.mark.parametrize("seed", range(5))
def test_failures_are_left_out_and_counted(jac, seed):
    found = minimize(of_small_balls, [3.0, 3.0], jac=jac, seed=seed, maxfev=2000)
    assert found.dropped > 20
    assert found.fun < 1e-9


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("jac", [slope, "none", "2-point"])
def test_the_result_is_the_best_point_that_was_evaluated_and_no_more_are_than_maxfev(jac, seed):
    seen = []

    def fun(x):
        seen.append(plain_bowl(x) + 10 * np.sin(9 * x[0]))
        return seen[-1] if len(seen) % 7 else math.nan

    found = minimize(fun, [3.0, 1.0], jac=jac, seed=seed, maxfev=150)
    assert found.nfev == len(seen) <= 150
    assert found.fun == min(value for i, value in enumerate(seen) if (i + 1) % 7)
    assert found.fun == pytest.approx(plain_bowl(found.x) + 10 * np.sin(9 * found.x[0]))
    assert found.dropped == sum((i + 1) % 7 == 0 for i in range(len(seen)))


def test_steps_draws_and_restarts_follow_from_maxfev():
    rugged = test_functions.get("rastrigin").function
    few, many = (minimize(rugged, [3.0, 3.0], jac="none", maxfev=n, batched=True) for n in (100, 3000))
    assert few.nfev <= 100
    assert 2000 < many.nfev <= 3000
    assert few.status == 3
    assert many.rounds > 1
    few, many = (minimize(rugged, [3.0, 3.0], maxfev=n, batched=True) for n in (100, 3000))
    assert few.nfev <= 100 < 2000 < many.nfev <= 3000
    assert many.rounds > 1


def test_a_smooth_function_of_values_is_searched_before_the_path_and_a_rugged_one_is_not():
    for name, expected in (("rosenbrock", False), ("rastrigin", True)):
        fun, start = test_functions.get(name, 5).function, np.full(5, 3.0)
        box = (np.full(5, -math.inf), np.full(5, math.inf))
        target = Target(fun, None, (), "score", start, np.ones(5), box, True, math.inf)
        found = [rugged(target, 2.0, Key(seed)) for seed in range(20)]
        assert sum(found) >= 6 if expected else sum(found) == 0


def test_the_scale_is_the_unit_of_each_variable():
    stretched = lambda x: ops.sum(ops.square((x - np.array([1.0, 2e6])) / np.array([1.0, 1e6])))
    found = minimize(stretched, [3.0, 3e6], **QUICK)
    np.testing.assert_allclose(found.x, [1.0, 2e6], rtol=1e-6)
    unit = minimize(lambda x: stretched(x * np.array([1.0, 1e6])), [3.0, 3.0], **QUICK)
    np.testing.assert_allclose(found.x, unit.x * [1.0, 1e6], rtol=1e-9)
    paths = {}
    for name, scale in {"default": None, "same": [3.0, 3e6], "other": [1.0, 1e6]}.items():
        paths[name] = []
        minimize(stretched, [3.0, 3e6], scale=scale, callback=paths[name].append, **QUICK)
    np.testing.assert_array_equal(paths["same"], paths["default"])
    assert not np.array_equal(paths["other"], paths["default"])


@pytest.mark.parametrize("jac", [None, "none", "2-point"])
def test_a_function_is_called_within_its_bounds_alone_and_may_end_on_one(jac):
    seen = []

    def fun(x):
        seen.append(np.asarray(getattr(x, "value", x), dtype=float)) if jac else None
        return ops.sum(ops.square(x - np.array([1.0, -2.0, 0.5])))

    bounds = [(2.0, 5.0), (None, -3.0), (0.25, 0.25)]
    found = minimize(fun, [2.0, -4.0, 0.25], jac=jac, bounds=bounds, **QUICK)
    np.testing.assert_allclose(found.x, [2.0, -3.0, 0.25], atol=1e-6)
    for x in seen:
        assert 2 <= x[0] <= 5
        assert x[1] <= -3
        assert x[2] == 0.25


def test_bounds_reflect():
    bounds = (np.array([0.0, -math.inf, 2.0]), np.array([1.0, 4.0, math.inf]))
    start = np.array([0.5, 0.0, 3.0])
    target = Target(lambda x: x[0], None, (), "score", start, np.ones(3), bounds, False, math.inf)
    x, sign = target._reflected(np.array([[0.25, 1.0, 2.0], [0.75, 5.0, -2.0], [-1.75, 4.0, -1.0], [2.0, 0, 0]]))
    expected = [[0.75, 1.0, 5.0], [0.75, 3.0, 3.0], [0.75, 4.0, 2.0], [0.5, 0.0, 3.0]]
    np.testing.assert_allclose(x, expected)
    np.testing.assert_array_equal(sign, [[1, 1, 1], [-1, -1, -1], [1, 1, 1], [1, 1, 1]])


def test_values_alone_are_drawn_from_the_seed_and_no_global_state():
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second, other = (minimize(plain_bowl, [3.0, 1.0], jac="none", seed=seed, maxfev=300) for seed in (1, 1, 2))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.testing.assert_array_equal(first.x, second.x)
    assert not np.array_equal(first.x, other.x)


def test_residuals_are_sent_to_least_squares():
    with pytest.raises(InputError, match=r"1 numbers at points of shape \(\), got .*\(2,\).*mcgc\.least_squares"):
        minimize(lambda x: np.asarray(x) - 1, [3.0, 1.0], jac="none")


def test_a_bar_on_stderr_shows_the_evaluations(capsys):
    minimize(plain_bowl, [3.0, 1.0], jac="none", maxfev=300, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "evaluations" in shown.err


# ---- as a method of SciPy ----


def by_scipy(fun=bowl, **options):
    settings = {**QUICK, **options.pop("options", {})}
    return optimize.minimize(fun, [3.0, 3.0], method=continuation_method, options=settings, **options)


@pytest.mark.parametrize("options", [{}, {"jac": slope, "fun": plain_bowl}, {"args": (0.5,)}, {"tol": 1e-8}])
def test_scipy_gets_the_same_result_through_its_own_interface(options):
    found = by_scipy(**options)
    assert found.success
    np.testing.assert_allclose(found.x, CENTRE, atol=1e-6)


def test_scipy_passes_functions_that_return_both_and_those_without_gradients():
    assert by_scipy(lambda x: (plain_bowl(x), slope(x)), jac=True).success
    found = by_scipy(plain_bowl, options={"gradient_free": True})
    np.testing.assert_allclose(found.x, CENTRE, atol=1e-5)
    assert found.njev == 0


def test_scipys_tol_and_maxiter_are_honoured():
    raised = lambda x: test_functions.get("rosenbrock").function(x) + 1
    rough, fine = by_scipy(raised, tol=1.0), by_scipy(raised, tol=1e-4)
    assert rough.nit < fine.nit
    in_scale = [3 * np.max(np.abs(found.jac)) / found.fun for found in (rough, fine)]
    assert in_scale[1] <= 1e-4 < in_scale[0] <= 1
    assert len(by_scipy(options={"maxiter": 17}).log_lam) == 17


def test_callbacks_see_each_step_and_may_stop_the_run():
    seen = []

    def spoil(xk):
        seen.append(xk.copy())
        xk[:] = 1e9

    np.testing.assert_array_equal(by_scipy(callback=spoil).x, by_scipy().x)
    assert len(seen) == 60
    assert not np.array_equal(seen[0], seen[-1])

    def stop(intermediate_result):
        seen.append(intermediate_result.fun)
        raise StopIteration

    found = by_scipy(callback=stop)
    assert isinstance(seen[-1], float)
    assert (len(found.log_lam), found.success, found.status) == (1, False, 99)
    assert "StopIteration" in found.message
    assert found.fun == pytest.approx(plain_bowl(found.x))


INF = math.inf
NO_BOUNDS = [None, [(None, None)] * 2, [(-INF, INF), (None, INF)], np.asarray([[-INF, INF]] * 2), Bounds(), [],
             Bounds([-INF, -INF], [INF, INF])]  # fmt: skip


@pytest.mark.parametrize("bounds", NO_BOUNDS, ids=repr)
def test_bounds_that_bound_nothing_are_none(bounds):
    np.testing.assert_array_equal(by_scipy(bounds=bounds).x, by_scipy().x)


@pytest.mark.parametrize("constraints", [None, (), [], {}], ids=repr)
def test_constraints_that_constrain_nothing_are_none(constraints):
    np.testing.assert_array_equal(by_scipy(constraints=constraints).x, by_scipy().x)


def test_a_single_argument_needs_no_tuple():
    shifted = lambda x, c: ops.sum(ops.square(x - c))
    one, tuple_of_one = (minimize(shifted, [3.0, 3.0], args, **QUICK).x for args in (2.0, (2.0,)))
    np.testing.assert_array_equal(one, tuple_of_one)
    np.testing.assert_array_equal(by_scipy(shifted, args=2.0).x, one)


def test_scipys_disp_tells_how_the_run_ended(capsys):
    found = by_scipy(options={"disp": True})
    assert capsys.readouterr().out.startswith(f"{found.message}\nf = {found.fun:.6g} after {found.nit} iterations")
    by_scipy(options={"disp": False})
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bounds": [(0, 1), (0, 1)]}, r"x0\[0\] must lie between its bounds 0 and 1, got 3"),
        ({"bounds": [(None, None), (None, 1)]}, r"x0\[1\] must lie between its bounds -inf and 1"),
        ({"bounds": [(0, 9)]}, r"bounds must be 2 pairs"),
        ({"constraints": LinearConstraint([1, 1], 0, 1)}, "no constraints"),
        ({"constraints": {"type": "eq", "fun": np.sum}}, "no constraints"),
        ({"options": {"maxiter": 1e3}}, r"maxiter must be a whole number of at least 1, got 1000\.0"),
        ({"constraints": [{"type": "eq", "fun": np.sum}]}, "no constraints"),
        ({"options": {"temperature": 1}}, "unknown option 'temperature'"),
    ],
)
def test_what_the_method_cannot_do_is_refused_with_a_sentence(options, words):
    with pytest.raises(InputError, match=words):
        by_scipy(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"jac": "3-point"}, "jac"),
        ({"scale": [1.0, 0.0]}, "scale must be"),
        ({"scale": [1.0, 2.0, 3.0]}, "scale must be"),
        ({"maxfev": 0}, "maxfev"),
        ({"x0": [math.nan]}, "x0"),
        ({"x0": [[1.0]]}, "x0"),
        ({"x0": []}, "x0"),
        ({"maxiter": 0}, "maxiter"),
        ({"maxiter": 10, "warmup": 10}, "maxiter"),
        ({"lam0": 0.0}, "lam0"),
        ({"tol": -1.0}, "tol"),
        ({"shrink": 1.0}, "shrink"),
        ({"num_samples": 0}, "num_samples"),
        ({"estimator": "magic"}, "unknown estimator"),
        ({"jac": "none", "estimator": "pathwise"}, "needs gradients"),
        ({"learning_rate": 0.0}, "learning rate"),
        ({"seed": -1}, "seed"),
    ],
)
def test_options_out_of_range_are_one_sentence(options, words):
    with pytest.raises(InputError, match=words):
        minimize(bowl, **{"x0": [1.0, 1.0], **options})


def test_importing_the_library_does_not_import_scipy_or_numba():
    script = "import sys, mcgc; mcgc.minimize; print({'scipy', 'numba'} & {*sys.modules})"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "set()\n"


@pytest.mark.parametrize(
    "x0", [[], [[1.0]], [np.nan], np.ones(2, np.float16), np.ones(2, complex), ["a"], None, np.full((30, 30), np.inf)]
)
def test_a_start_that_is_no_vector_of_finite_numbers_is_one_sentence(x0):
    with pytest.raises(InputError, match="x0") as caught:
        minimize(lambda x: ops.sum(x * x), x0)
    assert "\n" not in str(caught.value)
