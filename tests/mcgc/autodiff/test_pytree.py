"""Pytrees: taking apart and putting together are inverse, and derivatives keep the structure."""

from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mcgc.autodiff import flatten, grad, hvp, jacobian, ops, tree_map, unflatten, value_and_grad, vjp
from mcgc.autodiff.pytree import leaf_names
from mcgc.errors import TraceError

QUICK = settings(derandomize=True, max_examples=40, deadline=None, database=None)


class Pair(NamedTuple):
    first: object
    second: object


@dataclass
class Layer:
    weights: Any
    bias: Any = None
    scheme: ClassVar[str] = "a constant of the class"

    def __post_init__(self):
        if not isinstance(self.weights, np.ndarray):
            raise TypeError("put together by __init__")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    scale: Any
    derived: Any = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "derived", 2 * self.scale)


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
        | st.dictionaries(st.sampled_from("abc"), children, max_size=3).map(OrderedDict)
    ),
    max_leaves=6,
)


@QUICK
@given(TREES)
def test_a_tree_is_put_together_again_as_it_was(tree):
    leaves, structure = flatten(tree)
    again, same = flatten(unflatten(structure, leaves))
    assert structure == same
    assert hash(structure) == hash(same)
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


CONTAINERS = {
    "dict": {"b": np.ones(2), "a": np.full(3, 2.0)},
    "OrderedDict": OrderedDict(b=np.ones(2), a=np.full(3, 2.0)),
    "defaultdict": defaultdict(list, b=np.ones(2), a=np.full(3, 2.0)),
    "dict of keys that do not compare": {1: np.ones(2), "a": np.full(3, 2.0), (2, "b"): np.ones(())},
    "NamedTuple": Pair(np.ones(2), {"x": 3.0}),
    "dataclass": Layer(np.ones((2, 2)), np.zeros(2)),
    "dataclass with nothing": Layer(np.ones((2, 2))),
    "frozen dataclass": Frozen(scale=np.ones(2)),
    "nested": {"first": Layer(np.ones(2), Pair(np.ones(()), None)), "all": OrderedDict(z=[2.0], y=(np.ones(1),))},
}


def keys_in_order(tree):
    if isinstance(tree, dict):
        return [(key, keys_in_order(value)) for key, value in tree.items()]
    return type(tree).__name__ if isinstance(tree, Pair | Layer | Frozen) else None


@pytest.mark.parametrize("tree", CONTAINERS.values(), ids=CONTAINERS.keys())
def test_derivatives_are_containers_like_the_argument_with_its_keys_in_their_order(tree):
    energy = lambda tree: sum((ops.sum(leaf**3) for leaf in flatten(tree)[0]), 0.0)
    _, gradient = value_and_grad(energy)(tree)
    for found in (gradient, hvp(energy, tree, tree), tree_map(lambda x: x, tree)):
        assert type(found) is type(tree)
        assert keys_in_order(found) == keys_in_order(tree)
    for x, g in zip(flatten(tree)[0], flatten(gradient)[0], strict=True):
        np.testing.assert_array_equal(g, 3 * np.asarray(x) ** 2)
    assert len(leaf_names(tree)) == len(flatten(tree)[0])


def test_a_dict_whose_keys_come_in_another_order_is_of_the_same_structure():
    _, pullback = vjp(lambda x: {"b": x, "a": 2 * x}, np.ones(1))
    np.testing.assert_array_equal(pullback({"a": np.ones(1), "b": np.full(1, 10.0)})[0], [12.0])
    one, other = (flatten(dict.fromkeys(keys, 1.0))[1] for keys in ("ab", "ba"))
    assert {one: "the same"}[other] == "the same"


def test_a_jacobian_by_a_dataclass_nests_it_in_the_output():
    found = jacobian(lambda layer: layer.weights @ layer.bias)(Layer(np.eye(2), np.array([3.0, 4.0])))
    assert isinstance(found, Layer)
    np.testing.assert_array_equal(found.bias, np.eye(2))
    np.testing.assert_array_equal(found.weights, np.einsum("ik,l->ikl", np.eye(2), [3.0, 4.0]))


def test_leaves_are_named_by_keys_fields_and_numbers():
    tree = OrderedDict(layers=[Layer(np.ones(1), np.ones(1)), Pair(np.ones(1), None)], c={1: 2.0})
    assert leaf_names(tree) == ["c/1", "layers/0/weights", "layers/0/bias", "layers/1/first"]


def test_what_is_no_container_is_refused_by_its_type():
    class Box:
        x = 1.0

    with pytest.raises(TraceError, match="a value of type Box"):
        grad(lambda box: box.x)(Box())


def test_equal_structures_have_equal_hashes():
    trees = ({"a": 1.0, "b": [2.0, None]}, {"b": [3.0, None], "a": 4.0}, {"a": 1.0, "b": [2.0, 3.0]})
    first, same, other = (flatten(tree)[1] for tree in trees)
    assert (hash(first), first) == (hash(same), same)
    assert first != other
