"""Traced arrays that are stored and come back after their trace has ended are refused, and all other uses go on."""

import threading

import numpy as np
import pytest

from mcgc.autodiff import Body, check_grads, checkpoint, fused, grad, hvp, jacobian, ops, primitive, stop_gradient, vjp
from mcgc.errors import TraceError

X = np.array([0.5, -1.0, 2.0])


def leak(of=lambda x: x):
    """Return the traced array `of(x)` of a trace that has ended."""
    kept = []
    vjp(lambda x: ops.sum(kept.append(of(x)) or x), X)
    return kept[0]


def leak_by_exception():
    kept = []
    with pytest.raises(ZeroDivisionError):
        grad(lambda x: kept.append(x) or 1 / 0)(X)
    return kept[0]


cube = primitive("cube", lambda x: x * x * x, lambda out, x: lambda g: g * (3 * x * x))
pair = primitive("pair", lambda x, y: (x * y, x), joint=lambda out, x, y: lambda g, h: (g * y, g * x))
shifted = fused(lambda x, y: x + y, lambda x, y: Body(lambda x, y: (x + y, None), lambda kept, places, g: (g, g)))

USES = {
    "an operation outside of any trace": lambda old: ops.sin(old),
    "an operator with a plain array": lambda old: X * old,
    "a NumPy function": lambda old: np.sin(old),
    "a method": lambda old: old.sum(),
    "an element": lambda old: old[0],
    "mixed with a live one": lambda old: grad(lambda x: ops.sum(x * old))(X),
    "as the only argument in a later trace": lambda old: grad(lambda x: ops.sum(x) + ops.sum(old * old))(X),
    "two levels down": lambda old: grad(lambda x: ops.sum(x * grad(lambda y: ops.sum(y * old))(x)))(X),
    "returned": lambda old: vjp(lambda x: (x, old), X),
    "returned as a gradient's value": lambda old: grad(lambda x: old[0])(X),
    "returned as aux": lambda old: grad(lambda x: (ops.sum(x), {"kept": old}), has_aux=True)(X),
    "an argument of vjp": lambda old: vjp(lambda x: x, old),
    "an argument of grad": lambda old: grad(lambda x, y: ops.sum(x), 0)(old, X),
    "a cotangent": lambda old: vjp(lambda x: x, X)[1](old),
    "in a jacobian": lambda old: jacobian(lambda x: x * old)(X),
    "the vector of a hvp": lambda old: hvp(lambda x: ops.sum(x**3), X, old),
    "in the function of a hvp": lambda old: hvp(lambda x: ops.sum(old * x**3), X, X),
    "an argument of a checkpointed function": lambda old: checkpoint(lambda x: x * x)(old),
    "beside one, in a trace": lambda old: grad(lambda x: ops.sum(checkpoint(lambda x, y: x * y)(x, old)))(X),
    "closed over by one": lambda old: grad(lambda x: ops.sum(checkpoint(lambda x: x * old)(x)))(X),
    "an argument of a primitive": lambda old: grad(lambda x: ops.sum(cube(old) * x))(X),
    "of a primitive of several outputs": lambda old: grad(lambda x: ops.sum(pair(x, old)[0]))(X),
    "of a fused function": lambda old: grad(lambda x: ops.sum(shifted(x, old)))(X),
    "joined with live ones": lambda old: grad(lambda x: ops.sum(ops.stack([x, old])))(X),
    "checked": lambda old: check_grads(lambda x: x * old, X),
}


@pytest.mark.parametrize("make", [leak, lambda: leak(ops.sin), leak_by_exception], ids=["input", "result", "exception"])
@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_a_traced_array_is_refused_after_its_trace_wherever_it_comes_back(use, make):
    with pytest.raises(TraceError, match=r"outlived the derivative|not among its arguments") as caught:
        use(make())
    assert "\n" not in str(caught.value)


def test_an_array_stored_by_one_gradient_does_not_falsify_the_next():
    kept = []

    def f(x):
        kept.append(x)
        return ops.sum(x * kept[0])

    np.testing.assert_array_equal(grad(f)(X), 2 * X)
    with pytest.raises(TraceError, match="outlived"):
        grad(f)(X)


def test_a_pullback_that_holds_values_of_an_outer_trace_is_refused_after_it():
    kept = []

    def outer(w):
        y, pullback = vjp(lambda x: x * w, X)
        kept.append(pullback)
        return ops.sum(y * pullback(w)[0])

    np.testing.assert_array_equal(grad(outer)(X), 3 * X**3)
    with pytest.raises(TraceError, match="outlived"):
        kept[0](X)


def test_what_an_ended_trace_computed_can_be_taken_out():
    old = leak(ops.sin)
    np.testing.assert_array_equal(stop_gradient(old), np.sin(X))
    np.testing.assert_array_equal(old > 0, X > 0)
    assert old.shape == (3,)


def test_a_pullback_may_be_called_later_and_often_and_within_another_trace():
    _, pullback = vjp(lambda x: x**3, X)
    for scale in (1.0, 2.0):
        np.testing.assert_allclose(pullback(np.full(3, scale))[0], 3 * scale * X**2)
    np.testing.assert_allclose(grad(lambda v: ops.sum(pullback(v * v)[0]))(X), 6 * X**3)


def test_values_of_outer_traces_are_live_in_inner_ones():
    inner = lambda w: grad(lambda x: ops.sum(w * x * x))
    np.testing.assert_allclose(grad(lambda w: ops.sum(inner(w)(w) * w))(X), 6 * X**2)
    f = lambda w: ops.sum(grad(lambda x: ops.sum(checkpoint(lambda x, w: ops.sin(x) * w)(x, w)))(w))
    check_grads(f, X)


def test_a_generator_advanced_within_the_trace_is_live():
    def f(x):
        rows = (ops.sin(row) for row in x)
        return sum(rows, 0.0)

    np.testing.assert_allclose(grad(f)(X), np.cos(X))


def test_traces_in_threads_end_alone():
    inside, others = threading.Barrier(2), []

    def slow(x):
        inside.wait()
        y = ops.sin(x)
        inside.wait()
        return ops.sum(y * y)

    thread = threading.Thread(target=lambda: others.append(grad(slow)(X)))
    thread.start()
    mine = grad(slow)(X)
    thread.join()
    np.testing.assert_array_equal(mine, others[0])
    np.testing.assert_allclose(mine, np.sin(2 * X))


def test_a_trace_may_be_used_by_threads_that_its_function_starts():
    def f(x):
        parts = [None, None]
        threads = [threading.Thread(target=lambda i=i: parts.__setitem__(i, ops.sum(x ** (i + 2)))) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return parts[0] + parts[1]

    np.testing.assert_allclose(grad(f)(X), 2 * X + 3 * X**2)


def test_a_primitive_that_uses_a_traced_array_besides_its_arguments_is_refused():
    scale = primitive("scale", lambda x, by: x * by, lambda out, x, by: lambda g: g * by)
    assert grad(lambda x: scale(x, by=3.0))(2.0) == 3.0
    with pytest.raises(TraceError, match="scale uses a traced array that is not among its positional arguments"):
        grad(lambda x: scale(x, by=x))(2.0)
    with pytest.raises(TraceError, match="closure uses a traced array"):
        grad(lambda x: primitive("closure", lambda y: x * y, lambda out, y: lambda g: g)(x))(2.0)
