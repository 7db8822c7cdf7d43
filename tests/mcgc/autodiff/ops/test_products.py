"""Products: values equal NumPy's for any shapes that fit, and what does not fit is one sentence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mcgc.autodiff import check_grads, grad, ops
from mcgc.errors import TraceError

QUICK = settings(derandomize=True, max_examples=25, deadline=None, database=None)
MATMUL = hnp.mutually_broadcastable_shapes(signature="(n?,k),(k,m?)->(n?,m?)", max_dims=2, max_side=3)
EINSUMS = (
    *("ij,jk->ik", "ij,jk", "ij,kj->ki", "i,j->ij", "i,i", "ij->ji", "ij->", "ij->j", "ii", "ii->i", "iji->ij"),
    *(
        "bij,bjk->bik",
        "bij,jk->kib",
        "ij,ij->i",
        "ij,jk,kl->il",
        "i,ij,j",
        "a,b,c->cab",
        "ij,i,ij->j",
        " i j , j -> i ",
    ),
    *(
        "...ij,...jk->...ik",
        "...i,i->...",
        "i...,i...->...",
        "...,...",
        "ij...->...ji",
        "...ii->...i",
        "b...i,bi->...b",
    ),
)


def drawn(shape, dtype="float64"):
    return np.cos(np.arange(1, 1 + np.prod(shape, dtype=int))).reshape(shape).astype(dtype)


@QUICK
@given(MATMUL, st.sampled_from(["float32", "float64"]))
def test_matmul_broadcasts_stacks_and_takes_vectors_as_numpys_does(shapes, dtype):
    x, y = (drawn(shape, dtype) for shape in shapes.input_shapes)
    np.testing.assert_array_equal(ops.matmul(x, y), x @ y)
    dx, dy = grad(lambda x, y: ops.sum(x @ y), (0, 1))(x, y)
    assert (dx.shape, dx.dtype, dy.shape, dy.dtype) == (x.shape, x.dtype, y.shape, y.dtype)
    if dtype == "float64":
        check_grads(ops.matmul, x, y, order=1)


@QUICK
@given(st.data(), hnp.array_shapes(max_dims=3, max_side=3), hnp.array_shapes(max_dims=3, max_side=3))
def test_tensordot_sums_over_any_pairs_of_axes(data, shape_x, shape_y):
    pairs = data.draw(st.integers(0, min(len(shape_x), len(shape_y))))
    of_x = data.draw(st.permutations(range(len(shape_x))))[:pairs]
    of_y = data.draw(st.permutations(range(-len(shape_y), 0)))[:pairs]
    sizes = list(shape_y)
    for i, j in zip(of_x, of_y, strict=True):
        sizes[j] = shape_x[i]
    x, y = drawn(shape_x), drawn(sizes)
    f = lambda x, y: ops.tensordot(x, y, axes=(of_x, of_y))
    np.testing.assert_allclose(f(x, y), np.tensordot(x, y, axes=(of_x, of_y)), rtol=1e-13, atol=1e-14)
    check_grads(f, x, y, order=1)


@pytest.mark.parametrize("axes", [0, 1, 2])
def test_tensordot_by_a_number_of_axes(axes):
    x, y = drawn((2, 3, 3)), drawn((3, 3, 4)[2 - axes :] if axes else (2,))
    np.testing.assert_allclose(ops.tensordot(x, y, axes=axes), np.tensordot(x, y, axes=axes), rtol=1e-13)


@pytest.mark.parametrize(
    "shapes", [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((2, 3), (4, 3, 2))]
)
def test_dot_and_outer_and_vecdot_equal_numpys(shapes):
    x, y = (drawn(shape) for shape in shapes)
    np.testing.assert_allclose(ops.dot(x, y), np.dot(x, y), rtol=1e-13)
    np.testing.assert_array_equal(ops.outer(x.ravel(), y.ravel()), np.outer(x, y))
    np.testing.assert_allclose(ops.vecdot(x, x, axis=0), np.sum(x * x, axis=0), rtol=1e-14)


@pytest.mark.parametrize("subscripts", EINSUMS)
@settings(derandomize=True, max_examples=4, deadline=None, database=None)
@given(sizes=st.permutations([1, 2, 3, 2]), more=hnp.array_shapes(min_dims=0, max_dims=2, max_side=2))
def test_einsum_equals_numpys(subscripts, sizes, more):
    length = {letter: sizes[i % 4] for i, letter in enumerate("ijklabc")}
    terms = subscripts.replace(" ", "").partition("->")[0].split(",")
    operands = []
    for number, term in enumerate(terms):
        head, dots, tail = term.partition("...")
        wide = more[number:] if number else more  # later operands have fewer of the axes of an ellipsis
        shape = (*(length[c] for c in head), *(wide if dots else ()), *(length[c] for c in tail))
        operands.append(drawn(shape))
    f = lambda *operands: ops.einsum(subscripts, *operands)
    np.testing.assert_allclose(f(*operands), np.einsum(subscripts, *operands), rtol=1e-12, atol=1e-13)
    check_grads(f, *operands, order=1)


def test_the_axes_of_an_ellipsis_broadcast():
    x, y = drawn((4, 1, 2, 3)), drawn((5, 3))
    np.testing.assert_allclose(
        ops.einsum("...ij,...j->...i", x, y), np.einsum("...ij,...j->...i", x, y), rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ij,jk", [(2, 1), (3, 4)]),
        ("ij,jk->ik", [(2, 3), (1, 4)]),
        ("i,i->i", [(1,), (4,)]),
        ("i,i,i", [(1,), (4,), (1,)]),
        ("ij,ij,jk->ik", [(2, 1), (1, 3), (3, 1)]),
        ("ii,i->i", [(1, 1), (3,)]),
        ("...i,i...->...", [(2, 1), (3, 2)]),
        ("i,i", [(1,), (0,)]),
        ("ij,jk", [(2, 0), (0, 3)]),
        (",i->i", [(), (3,)]),
        ("Ab,bA", [(2, 3), (3, 2)]),
        ("ba", [(2, 3)]),
    ],
)
def test_einsum_stretches_axes_of_length_one_and_takes_none_as_numpys_does(subscripts, shapes):
    operands = [drawn(shape) for shape in shapes]
    f = lambda *operands: ops.einsum(subscripts, *operands)
    np.testing.assert_allclose(f(*operands), np.einsum(subscripts, *operands), rtol=1e-12, atol=1e-13)
    check_grads(f, *operands, order=1)


def test_outer_takes_vectors_only():
    with pytest.raises(TraceError, match="outer multiplies two vectors, got arrays of 2 and 1 axes"):
        ops.outer(np.ones((2, 3)), np.ones(3))


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ij,jk", [(2, 3)]),  # an operand is missing
        ("ijk", [(2, 3)]),
        ("i", [(2, 3)]),
        ("ij->ik", [(2, 3)]),
        ("ij->ii", [(2, 3)]),
        ("i1->i", [(2, 3)]),
        ("i..j->i", [(2, 3)]),
        ("...i->i", [(2, 3)]),
        ("ij,kj", [(2, 3), (2, 4)]),
        ("ii", [(3, 4)]),
        ("ii->i", [(1, 3)]),
        ("ij,jk,kl", [(2, 3), (3, 4), (5, 2)]),
        ("i,i->i", [(2,), (3,)]),
        ("...i,...i->...", [(2, 3), (3, 3)]),
        ("i,i->i", [(0,), (3,)]),
    ],
)
def test_letters_that_do_not_fit_are_one_sentence(subscripts, shapes):
    with pytest.raises(TraceError) as caught:
        ops.einsum(subscripts, *(np.ones(shape) for shape in shapes))
    assert "\n" not in str(caught.value)


def test_axes_of_tensordot_that_differ_in_length_are_reported():
    with pytest.raises(TraceError, match="length 2 in one operand and 3"):
        ops.tensordot(np.ones((2, 3)), np.ones((2, 3)), axes=((0, 1), (1, 0)))
