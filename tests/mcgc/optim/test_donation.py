"""Donated states: the bits of the pure step, in place where that is safe, and nothing else is overwritten."""

from itertools import combinations

import numpy as np
import pytest
from small import bound

from mcgc import Key, fold_in, ops, train
from mcgc.arrays import HOST
from mcgc.autodiff import flatten, tree_map
from mcgc.continuation import continuation, descent
from mcgc.optim import OPTIMIZERS, Optimizer, adam, adamw, chain, clip_by_global_norm, decay_weights, momentum, scale
from mcgc.random import normal
from mcgc.train import problems

RULES = {
    **{name: make(0.01) for name, make in OPTIMIZERS.items()},
    "undecayed": decay_weights(0.1, adam(0.01), undecayed=3),
    "clipped adam": chain(clip_by_global_norm(1.0), adam(0.01)),
    "clipped adamw": chain(clip_by_global_norm(1.0), adamw(0.01)),
    "scaled adam": chain(adam(0.01), scale(0.5)),
    "two with states": chain(momentum(0.1), adam(0.01)),
    "nothing": chain(),
}
IN_PLACE = {"adam", "clipped adam"}
SIZE = 70  # no multiple of a vector


def copied(tree):
    return tree_map(np.copy, tree)


def assert_equal(found, expected):
    found, expected = flatten(found)[0], flatten(expected)[0]
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(SIZE,), (3, SIZE), (1,), (0,)], ids=str)
@pytest.mark.parametrize("name", RULES)
def test_a_donated_step_has_the_bits_of_the_pure_one_and_leaves_the_gradient(name, shape, dtype):
    rule, theta = RULES[name], normal(Key(0), shape, dtype)
    kept, given = (theta, rule.init(theta)), (theta.copy(), rule.init(theta))
    for n in range(1, 6):
        gradient = normal(Key(n), shape, dtype) * np.asarray(1e-20 if n == 4 else 1.0, dtype)  # of which g² vanishes
        before = gradient.copy()
        kept = rule.step(gradient, kept[1], kept[0])
        given = rule.step(gradient, given[1], given[0], donate=True)
        assert_equal(given, kept)
        np.testing.assert_array_equal(gradient, before)


@pytest.mark.parametrize("name", RULES)
def test_a_step_is_in_place_where_it_is_said_to_be_and_pure_where_nothing_is_donated(name):
    rule, gradient, theta = RULES[name], normal(Key(1), (SIZE,)), normal(Key(0), (SIZE,))
    state = rule.init(theta)
    before = copied((theta, state))
    rule.step(gradient, state, theta)
    rule.update(gradient, state, theta)
    assert_equal((theta, state), before)
    new, after = rule.step(gradient, state, theta, donate=True)
    assert (new is theta) == (name in IN_PLACE)
    if name in IN_PLACE:
        assert (after.mean is state.mean, after.square is state.square) == (True, True)
    elif name not in ("adamw", "undecayed", "clipped adamw"):  # these overwrite their moments
        assert_equal((theta, state), before)


def unaligned(x):
    out = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype)
    out[...] = x
    return out


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize(
    "layout",
    [lambda x: np.repeat(x, 2)[::2], lambda x: x[::-1].copy()[::-1], read_only, unaligned, lambda x: x.view(np.memmap)],
    ids=["strided", "reversed", "read-only", "unaligned", "memory map"],
)
def test_arrays_that_cannot_be_overwritten_are_not(layout, place):
    rule, gradient = adam(0.1), normal(Key(9), (SIZE,))
    arrays = [normal(Key(0), (SIZE,)), normal(Key(1), (SIZE,)), normal(Key(2), (SIZE,)) ** 2]
    state = rule.init(arrays[0])
    theta, mean, square = (layout(x) if i == place else x.copy() for i, x in enumerate(arrays))
    state = state._replace(mean=mean, square=square)
    expected, found = (rule.step(gradient, state, theta, donate=donate) for donate in (False, True))
    assert_equal(found, expected)
    assert_equal((theta, mean, square), tuple(arrays))  # all or none is overwritten


def test_a_number_as_theta_and_integers_are_not_overwritten():
    rule = adam(0.1)
    for theta in (np.asarray(1.0), np.asarray([1, 2])):
        before = theta.copy()
        found, expected = (rule.step(before, rule.init(theta), theta, donate)[0] for donate in (True, False))
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(theta, before, strict=True)


def alias(arrays, i, j):
    return [arrays[i] if k == j else x for k, x in enumerate(arrays)]


def overlap(arrays, i, j):
    memory = np.concatenate([arrays[i], arrays[j][:3]])
    views = {i: memory[:SIZE], j: memory[3:]}
    return [views.get(k, x) for k, x in enumerate(arrays)]


@pytest.mark.parametrize(("i", "j"), list(combinations(range(4), 2)))
@pytest.mark.parametrize("how", [alias, overlap])
def test_arrays_that_share_memory_are_not_overwritten(how, i, j):
    rule = adam(0.1)
    arrays = how([normal(Key(k), (SIZE,)) ** 2 for k in range(4)], i, j)
    theta, gradient, mean, square = arrays
    state = rule.init(theta)._replace(mean=mean, square=square)
    before = copied(arrays)
    expected = rule.step(gradient, state, theta)
    assert_equal(rule.step(gradient, state, theta, donate=True), expected)
    assert_equal(arrays, before)


def test_a_state_that_keeps_theta_keeps_it_in_a_chain():
    keeping = Optimizer(lambda theta: theta, lambda gradient, state, theta: (gradient, theta))
    rule, theta = chain(keeping, adam(0.1)), normal(Key(0), (SIZE,))
    before = theta.copy()
    _, (kept, _) = rule.step(theta, rule.init(theta), theta, donate=True)
    np.testing.assert_array_equal(kept, before)


METHODS = {
    "continuation": lambda f: continuation(f, adam(0.1), adam(0.1), log_lam0=-2.0, has_aux=True),
    "scaled": lambda f: continuation(f, adam(0.1), adam(0.1), log_lam0=-2.0, has_aux=True, scaled=True, gap=True),
    "descent": lambda f: descent(f, adam(0.1), has_aux=True),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_that_is_given_its_states_has_the_bits_of_one_that_is_not(name):
    method = METHODS[name](lambda theta, batch: (ops.sum(ops.cos(theta) * batch), None))
    theta = normal(Key(0), (SIZE,))
    kept, given = method.init(theta), method.init(theta.copy())
    for n in range(4):
        batch, key = normal(Key(n), (SIZE,)), fold_in(Key(5), n)
        (kept, info), (given, seen) = method.step(kept, batch, key), method.step(given, batch, key, donate=True)
        assert_equal((given, tuple(seen)), (kept, tuple(info)))
    assert (given.theta is method.step(given, batch, key, donate=True)[0].theta) == (name != "scaled")


def test_a_loss_or_an_aux_that_is_a_view_of_theta_keeps_its_value():
    for f in (lambda theta, batch: (theta[0, ...], None), lambda theta, batch: (ops.sum(theta), theta[:2])):
        method, theta = descent(f, adam(0.1), has_aux=True), np.asarray([1.0, 2.0, 3.0])
        _, info = method.step(method.init(theta), None, Key(0), donate=True)
        assert float(info.smoothed) in (1.0, 6.0)
        assert info.aux[0] is None or info.aux[0].tolist() == [1.0, 2.0]


def bowl(**changes):
    """Give a run of 12 parameters, of 3 epochs."""
    settings = train.Settings("bowl", 0.01, -6.0, 0.05, 0.1, epochs=3, batch_size=2, **changes)
    problem = problems.Problem(
        "bowl",
        "the distance of θ from the rows",
        settings,
        examples=lambda data, dtype, device: data,
        init=lambda key, dtype, device: normal(key, (12,), dtype),
        objective=lambda settings: lambda theta, rows: (ops.mean(ops.square(theta - rows)), None),
    )
    return settings, normal(Key(3), (8, 12)), HOST, problem


STEPS = 4  # of an epoch of it: one of its 8 rows is for the tests


class Keeping(train.Hook):
    """Keeps the members of every epoch, beside copies of them."""

    def __init__(self):
        self.members = []

    def after_member(self, advanced, epoch):
        self.members.append((advanced.member, copied(advanced.member)))


@pytest.mark.parametrize("continued", [True, False])
@pytest.mark.parametrize("policy", ["skip-step", "restore", "stop"])
def test_a_training_run_donates_what_nobody_keeps_and_has_the_same_bits(policy, continued):
    ends, asked = {}, []
    for allowed in (True, False):
        task, members = bound(*bowl(on_divergence=policy, continuation=continued))
        method = task.method()

        def step(state, batch, key, donate=False, method=method, allowed=allowed):
            asked.append(donate)
            return method.step(state, batch, key, donate and allowed)

        stepping = method._replace(step=step)
        task, hook = task._replace(method=lambda *past, stepping=stepping: stepping), Keeping()
        start = copied(members)
        yielded = [found for _, found in train.epochs(task, members, hooks=[hook])]
        assert_equal(tuple(members), tuple(start))
        assert len(hook.members) == 3
        for kept, copy in hook.members:
            assert_equal(kept, copy)
        ends[allowed] = [copy for _, copy in hook.members]
        assert_equal([found[0] for found in yielded], ends[allowed])
    assert asked == 2 * [n % STEPS > 0 and policy != "skip-step" for n in range(3 * STEPS)]
    assert_equal(ends[True], ends[False])
