"""Whole numbers: NumPy's integers are as good as Python's everywhere, and what is none is one sentence."""

from types import SimpleNamespace

import numpy as np
import pytest

from mcgc import minimize, nets, ode, ops, random
from mcgc._integers import whole
from mcgc.arrays import HOST
from mcgc.autodiff import flatten
from mcgc.continuation import adapt_samples, continuation, smoothing
from mcgc.errors import InputError
from mcgc.optim import schedules, sgd
from mcgc.paper import test_functions
from mcgc.random import Key, fold_in, split
from mcgc.train import Hook, Processes, Settings, validate

SIZES = (3, 70, 2)
SETTINGS = Settings("mnist", 0.1, -2.0, 0.1, 0.1, 2, 4, loss="cross-entropy")


def bowl(theta, batch=None):
    return ops.sum((theta - 1) ** 2, axis=-1)


def step(n):
    method = continuation(bowl, sgd(0.1), sgd(0.1), log_lam0=0.0, num_samples=n, warmup=n)
    return method.step(method.init(np.ones(2)), None, Key(0))[0].theta


def solution(**options):
    y0, ts = np.ones((1, 1)), np.asarray([0.0, 1.0])
    return ode.solve(lambda t, y, p: -y, y0, ts, (), solver="rk4", step_size=0.3, **options).ys


# a use of a whole number: the function, and a number that it takes
USES = {
    "a key": (lambda n: random.normal(Key(n), (4,)), 200),
    "fold_in": (lambda n: fold_in(Key(1), n), 200),
    "split": (lambda n: split(Key(1), n), 3),
    "words": (lambda n: random.bits(Key(1), n), 200),
    "a shape": (lambda n: random.normal(Key(1), (n, n)), 20),
    "a shape of one number": (lambda n: random.uniform(Key(1), n), 200),
    "uniform": (lambda n: random.uniform(Key(1), (n, 2), "float64"), 200),
    "permutation": (lambda n: random.permutation(Key(1), n), 200),
    "the sizes of a net": (lambda n: nets.num_parameters((n, n, 2)), 200),
    "initial weights": (lambda n: nets.init(Key(0), (3, n, 2)), 70),
    "a net": (lambda n: nets.apply(nets.init(Key(0), SIZES), np.ones((1, 3), np.float32), (3, n, 2), "tanh"), 70),
    "quadrature": (lambda n: smoothing.smoothed(bowl, np.ones(2), 0.3, n), 9),
    "a test function": (lambda n: test_functions.get("levy", n).function(np.ones(n)), 3),
    "a rate": (lambda n: schedules.warmup(n, 0.1)(2), 9),
    "num_samples": (step, 2),
    "adapt_samples": (lambda n: adapt_samples(n, 0.0, most=n + n), 50),
    "steps of a solution": (lambda n: solution(max_steps=n), 9),
    "checkpoints of a solution": (lambda n: solution(checkpoints=n), 3),
    "settings": (lambda n: validate(SETTINGS._replace(epochs=n, members=n, seed=n), ("loss",)), 3),
    "minimize": (lambda n: minimize(bowl, [3.0, 3.0], maxiter=10 * n, warmup=n, seed=n, num_samples=n).x, 2),
}
KINDS = (np.int64, np.int32, np.uint8)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("use", "n"), USES.values(), ids=USES.keys())
def test_numpys_integers_are_as_good_as_pythons(use, n, kind):
    for found, expected in zip(flatten(use(kind(n)))[0], flatten(use(n))[0], strict=True):
        np.testing.assert_array_equal(found, expected)
        assert type(found) is type(expected)


@pytest.mark.parametrize("value", [2.0, True, np.True_, np.float64(2), "2", None, -1], ids=repr)
@pytest.mark.parametrize(
    "use", [use for name, (use, _) in USES.items() if name not in ("adapt_samples", "minimize", "a net")]
)
def test_what_is_no_whole_number_is_one_sentence(use, value):
    if value is None and use is USES["a test function"][0]:
        pytest.skip("a test function has a dimension of its own")
    with pytest.raises(InputError, match="must be a whole number") as caught:
        use(value)
    assert "\n" not in str(caught.value)


def test_the_number_of_workers_is_a_whole_one():
    with pytest.raises(InputError, match=r"workers must be a whole number of at least 1, got 2\.0"):
        Processes(2.0).start(SimpleNamespace(device=HOST), Hook()).__enter__()


def test_a_whole_number_is_pythons_in_its_range():
    assert type(whole(np.uint8(255), "n")) is int
    assert whole(0, "n", 0) == 0
    assert whole(np.uint64(2**64 - 1), "n", 0, bits=64) == 2**64 - 1
    for value, sentence in ((0, "n must be a whole number of at least 1, got 0"), (np.bool_(1), "got np.True_")):
        with pytest.raises(InputError, match=sentence):
            whole(value, "n")
    with pytest.raises(InputError, match=r"from 0 to 2\*\*64 - 1, got 18446744073709551616"):
        whole(2**64, "n", 0, bits=64)
