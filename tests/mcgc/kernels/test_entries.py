"""What the compiled kernels do with arrays that are not as they need them: the same numbers, or one sentence."""

import warnings

import numpy as np
import pytest

from mcgc.arrays import to_device
from mcgc.errors import InputError
from mcgc.kernels import cpu, reference
from mcgc.kernels.cpu_dense import dense_forward, dense_vjp
from mcgc.kernels.cpu_field import field_of
from mcgc.kernels.cpu_losses import cross_entropy
from mcgc.ode import TABLEAUX
from mcgc.ode._compiled import march_dense, vjp_dense
from mcgc.ode._integrate import Method
from mcgc.random import Key, normal

SIZES = (4, 6, 3)
M = 51  # parameters of that net
OPTIONS = (1, 0.1, 0.9, 0.999, 1e-8)
METHOD = Method(TABLEAUX["dopri5"], 1e-4, 1e-6, None, 1000)
TS = np.broadcast_to(np.linspace(0, 1, 4), (5, 4))


def vector(n, dtype="float32", seed=0):
    return normal(Key(seed), (n,), dtype)


def rows(m, n, dtype="float32", seed=1):
    return vector(m * n, dtype, seed).reshape(m, n)


def hidden(theta, x):
    return dense_forward(theta, x, SIZES, "tanh")[1]


def solved(theta, y0, inputs):
    field = field_of(SIZES, "tanh", False, 0, "linear", 3, 1, theta.dtype)
    ys, *_, residuals = march_dense(field, theta, y0, inputs, TS, METHOD, True)
    return (ys, *vjp_dense(residuals, ys))


KERNELS = {  # the arrays of each kernel, and what it makes of them
    "perturb": ([vector(M)], lambda theta: cpu.perturb(theta, 0.5, Key(1))),
    "noise_dot": ([vector(M)], lambda gradient: [cpu.noise_dot(gradient, Key(1))]),
    "adam": ([vector(M), vector(M, seed=1), vector(M, seed=2), vector(M) ** 2], lambda *x: cpu.adam(*x, *OPTIONS)),
    "adam of a matrix": ([rows(5, 7), rows(5, 7), rows(5, 7), rows(5, 7) ** 2], lambda *x: cpu.adam(*x, *OPTIONS)),
    "dense_forward": ([vector(M), rows(5, 4)], lambda *x: dense_forward(*x, SIZES, "tanh")),
    "dense_vjp": (
        [vector(M), rows(5, 4), hidden(vector(M), rows(5, 4)), rows(5, 3)],
        lambda theta, x, values, bar: dense_vjp(theta, x, values, SIZES, "tanh", bar),
    ),
    "cross_entropy": ([rows(5, 4), np.arange(5) % 4], lambda *x: cross_entropy(*x, True)),
    "solve": ([vector(M), rows(5, 3), rows(5, 1)], solved),
}


def unaligned(x):
    memory = np.zeros(x.nbytes + 1, np.uint8)[1:]
    out = memory.view(x.dtype).reshape(x.shape)
    out[...] = x
    return out


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


LAYOUTS = {
    "strided": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "reversed": lambda x: x[..., ::-1].copy()[..., ::-1],
    "Fortran": np.asfortranarray,
    "read-only": read_only,
    "unaligned": unaligned,
    "memory map": lambda x: x.view(np.memmap),
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_of_an_array_changes_no_bit(layout, name):
    arrays, kernel = KERNELS[name]
    for found, expected in zip(kernel(*map(LAYOUTS[layout], arrays)), kernel(*arrays), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_every_layout_is_run_by_the_same_compiled_code():
    arrays = [vector(M) for _ in range(4)]
    cpu.adam(*arrays, *OPTIONS)
    versions = len(cpu._adam.signatures)
    for layout in LAYOUTS.values():
        cpu.adam(*map(layout, arrays), *OPTIONS)
    assert len(cpu._adam.signatures) == versions


SPOILED = {
    "shorter": lambda x: x[..., :-1],
    "one": lambda x: x[..., :1],
    "one axis more": lambda x: x[None],
    "a number": lambda x: x.reshape(-1)[0],
    "float64": lambda x: x.astype(np.float64),
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "float16": lambda x: x.astype(np.float16),
    "int64": lambda x: x.astype(np.int64),
}
ALLOWED = {  # arrays whose spoiled form is one that the kernel takes
    ("perturb", 0): {"shorter", "one", "float64"},
    ("noise_dot", 0): {"shorter", "one", "float64"},
    ("dense_vjp", 3): {"float64", "big-endian", "float16", "int64"},  # a cotangent is converted
    ("cross_entropy", 0): {"shorter", "one", "float64"},
    ("cross_entropy", 1): {"int64"},
    ("solve", 2): {"one"},  # there is but one input
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("spoil", SPOILED)
def test_an_array_that_does_not_fit_the_others_is_one_sentence(spoil, name):
    arrays, kernel = KERNELS[name]
    for place in range(len(arrays)):
        if spoil in ALLOWED.get((name, place), ()):
            continue
        spoiled = [SPOILED[spoil](x) if i == place else x for i, x in enumerate(arrays)]
        with pytest.raises(InputError) as caught:
            kernel(*spoiled)
        assert "\n" not in str(caught.value)


def test_a_cotangent_of_another_dtype_is_taken_in_that_of_the_net():
    arrays, kernel = KERNELS["dense_vjp"]
    *others, bar = arrays
    for found, expected in zip(kernel(*others, bar.astype(np.float64)), kernel(*arrays), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("body", [cpu, reference])
@pytest.mark.parametrize(
    ("shape", "scale", "key", "words"),
    [
        ((3, 5), 1.0, Key(0), "one Key"),
        ((3, 5), 1.0, (Key(0), Key(1)), "2 keys"),
        ((5,), 1.0, (Key(0),), "1 keys"),
        ((5,), 1.0, 7, "the key 7"),
        ((), 1.0, Key(0), "one Key"),
        ((0, 5), 1.0, (), "0 keys"),
        ((5,), None, Key(0), "scale of noise is a number, got None"),
        ((5,), "a", Key(0), "scale of noise is a number, got 'a'"),
        ((5,), np.ones(1), Key(0), "one number"),
        ((2, 5), np.ones(3), (Key(0), Key(1)), "each of the 2 keys"),
    ],
)
def test_keys_and_scales_that_do_not_fit_are_one_sentence(body, shape, scale, key, words):
    with pytest.raises(InputError, match=words):
        body.perturb(np.zeros(shape), scale, key)


def test_one_scale_serves_all_members(device):
    keys, theta = (Key(1), Key(2)), to_device(np.zeros((2, 5)), device)
    for body in (cpu, reference) if device.name == "cpu" else (reference,):
        moved, _ = body.perturb(theta, 0.5, keys)
        assert moved.shape == (2, 5)


def test_a_compiled_net_of_another_activation_is_refused():
    with pytest.raises(InputError, match="silu, gelu, not 'elu'"):
        dense_forward(vector(M), rows(5, 4), SIZES, "elu")
    with pytest.raises(InputError, match="silu, gelu, not 'elu'"):
        field_of(SIZES, "elu", False, 0, "linear", 3, 1, np.dtype("float32"))


def test_a_rate_for_each_member_is_left_to_the_meaning():
    arrays = [abs(rows(2, 5, "float64", seed)) for seed in range(4)]
    rates = np.array([[0.1], [0.2]])
    for found, expected in zip(
        cpu.adam(*arrays, 1, rates, *OPTIONS[2:]), reference.adam(*arrays, 1, rates, *OPTIONS[2:]), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_is_computed_from_no_elements(dtype):
    none = np.empty(0, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [x.shape for x in cpu.adam(none, none, none, none, *OPTIONS)] == [(0,)] * 3
        assert cpu.noise_dot(none, Key(0)) == 0
        y, values = dense_forward(vector(M, dtype), rows(0, 4, dtype), SIZES, "relu")
        assert y.shape == (0, 3)
        theta_bar, x_bar = dense_vjp(vector(M, dtype), rows(0, 4, dtype), values, SIZES, "relu", y)
        assert not theta_bar.any()
        assert x_bar.shape == (0, 4)
