"""Pytrees: taking apart and putting together are inverse, and derivatives keep the structure."""

from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mcgc.autodiff import flatten, grad, ops, tree_map, unflatten, vjp

QUICK = settings(derandomize=True, max_examples=40, deadline=None, database=None)


class Pair(NamedTuple):
    first: object
    second: object


LEAVES = hnp.arrays(
    st.sampled_from(["float32", "float64"]), hnp.array_shapes(min_dims=0, max_dims=2, max_side=2), elements=st.just(2)
)
TREES = st.recursive(
    LEAVES | st.none(),
    lambda children: (
        st.lists(children, max_size=3)
        | st.tuples(children, children)
        | st.builds(Pair, children, children)
        | st.dictionaries(st.sampled_from("abc"), children, max_size=3)
    ),
    max_leaves=6,
)


@QUICK
@given(TREES)
def test_a_tree_is_put_together_again_as_it_was(tree):
    leaves, structure = flatten(tree)
    again, same = flatten(unflatten(structure, leaves))
    assert structure == same
    assert all(a is b for a, b in zip(leaves, again, strict=True))


@QUICK
@given(TREES)
def test_gradients_have_the_structure_shapes_and_dtypes_of_any_tree(tree):
    energy = lambda tree: sum((ops.sum(ops.astype(leaf, np.float64) ** 2) for leaf in flatten(tree)[0]), 0.0)
    gradient = grad(energy)(tree)
    assert flatten(gradient)[1] == flatten(tree)[1]
    for x, g in zip(flatten(tree)[0], flatten(gradient)[0], strict=True):
        assert (g.shape, g.dtype) == (x.shape, x.dtype)
        np.testing.assert_array_equal(g, 2 * x)


@QUICK
@given(TREES)
def test_the_pullback_of_a_function_on_trees_takes_a_tree_like_its_output(tree):
    out, pullback = vjp(lambda tree: tree_map(lambda x: 3 * x, tree), tree)
    (pulled,) = pullback(out)
    assert flatten(pulled)[1] == flatten(tree)[1]
    for x, g in zip(flatten(tree)[0], flatten(pulled)[0], strict=True):
        np.testing.assert_array_equal(g, 9 * x)


def test_leaves_of_a_dict_come_in_the_order_of_its_sorted_keys():
    assert flatten({"b": 1, "a": {"d": 2, "c": 3}})[0] == [3, 2, 1]
