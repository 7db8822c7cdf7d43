"""Dense nets over one flat parameter vector θ: its layout, its initial values, and the net as a function of it.

A net of `sizes` (n₀, n₁, …, n_L) computes h₀ = x, hₗ = a(hₗ₋₁ Wₗ + bₗ) for l < L, and y = h_{L−1} W_L + b_L. θ holds,
layer after layer, Wₗ of shape (nₗ₋₁, nₗ) in row-major order and then bₗ of shape (nₗ,). With skip connections,
hₗ = hₗ₋₁ + a(hₗ₋₁ Wₗ + bₗ) for each l < L with nₗ = nₗ₋₁ (He et al. 2016).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from mcgc._integers import whole
from mcgc._shapes import Array, Float, Real
from mcgc.arrays import HOST, Device, as_floats, is_host
from mcgc.autodiff import ops
from mcgc.autodiff.extend import fused
from mcgc.errors import InputError, unknown
from mcgc.kernels import Kernel
from mcgc.random import Key, fold_in, normal, uniform

ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "relu": ops.relu,
    "tanh": ops.tanh,
    "silu": ops.silu,
    "gelu": ops.gelu,
    "softplus": ops.softplus,
    "sigmoid": ops.sigmoid,
}

FUSED_ON_GPU = ("relu", "tanh")  # the activations that the fused kernel for GPUs knows
WIDEST = 256  # layer of the fused kernel for GPUs; cuBLAS multiplies wider ones faster

# the variance of a weight, by how many numbers go into its layer and how many come out
VARIANCES: Mapping[str, Callable[[int, int], float]] = {
    "xavier": lambda n_in, n_out: 2 / (n_in + n_out),
    "he": lambda n_in, n_out: 2 / n_in,
    "lecun": lambda n_in, n_out: 1 / n_in,
}

SCHEMES = tuple(f"{name}-{law}" for name in VARIANCES for law in ("uniform", "normal"))


def num_parameters(sizes: Sequence[int]) -> int:
    """Return m, the length of θ: the sum over layers of nₗ₋₁ nₗ + nₗ.

    Parameters
    ----------
    sizes : sequence of int
        The widths (n₀, n₁, …, n_L) of the layers, the input first.

    Returns
    -------
    int
        m.

    Raises
    ------
    InputError
        If there are fewer than two sizes or one is not a positive integer.

    Examples
    --------
    >>> from mcgc import nets
    >>> nets.num_parameters((2, 8, 1))
    33
    """
    return _count(_sizes(sizes))


def _sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    try:
        given = tuple(sizes)
    except TypeError:
        raise InputError(f"a net needs a sequence of layer sizes, got {sizes!r}") from None
    try:
        return _whole(given)
    except TypeError:  # arrays of no dimension have no hash
        return _whole(tuple(whole(n, "the size of a layer") for n in given))


@lru_cache
def _count(sizes: tuple[int, ...]) -> int:
    return sum(n_in * n_out + n_out for n_in, n_out in _layers(sizes))


@lru_cache
def _whole(sizes: tuple[int, ...]) -> tuple[int, ...]:
    if len(sizes) < 2:
        raise InputError(f"a net needs at least two layer sizes, got {sizes}")
    return tuple(whole(n, "the size of a layer") for n in sizes)


def init(
    key: Key,
    sizes: Sequence[int],
    dtype: Any = "float32",
    device: Device = HOST,
    scheme: str = "xavier-uniform",
) -> Float[Array, "m"]:
    """Return initial parameters θ: random weights and zero biases.

    The weights Wₗ have mean 0 and a variance v. They are drawn from U(−√(3v), √(3v)) or from N(0, v).

    Parameters
    ----------
    key : Key
        The random key. Equal keys give equal parameters.
    sizes : sequence of int
        The widths (n₀, n₁, …, n_L) of the layers, the input first.
    dtype : {"float32", "float64"}
        The dtype of θ.
    device : Device
        The device of θ.
    scheme : str
        One of `SCHEMES`. The first word gives v: "xavier" 2 / (nₗ₋₁ + nₗ) [1]_, "he" 2 / nₗ₋₁ [2]_, "lecun"
        1 / nₗ₋₁ [3]_. The second word gives the law: "uniform" or "normal".

    Returns
    -------
    array of shape (m,)
        The parameters, in the layout of `unpack`.

    Raises
    ------
    InputError
        If the sizes are impossible, the scheme or the dtype is unknown, or `key` is no key.

    References
    ----------
    .. [1] Glorot and Bengio (2010), Understanding the difficulty of training deep feedforward neural networks.
    .. [2] He et al. (2015), Delving deep into rectifiers.
    .. [3] LeCun et al. (1998), Efficient backprop.

    Examples
    --------
    >>> from mcgc import Key, nets
    >>> nets.init(Key(0), (2, 8, 1)).shape
    (33,)
    """
    num_parameters(sizes)
    if not isinstance(key, Key):
        raise InputError(f"initial parameters are drawn from one key, such as Key(0), got {key!r}")
    if scheme not in SCHEMES:
        raise InputError(unknown("scheme of initial weights", scheme, SCHEMES))
    name, law = scheme.split("-")
    parts = []
    for index, (n_in, n_out) in enumerate(_layers(sizes)):
        variance, drawn = VARIANCES[name](n_in, n_out), (fold_in(key, index), (n_in * n_out,), dtype, device)
        if law == "uniform":
            weights = (2 * uniform(*drawn) - 1) * math.sqrt(3 * variance)
        else:
            weights = normal(*drawn) * math.sqrt(variance)
        parts += [weights, device.namespace.zeros(n_out, dtype=weights.dtype, device=device.handle)]
    return ops.concat(parts)


def unpack(
    theta: Real[Array, "*members m"], sizes: Sequence[int]
) -> list[tuple[Float[Array, "*members n_in n_out"], Float[Array, "*biases n_out"]]]:
    """Return the weights and biases (Wₗ, bₗ) of every layer, as views of θ.

    Parameters
    ----------
    theta : array of shape (m,) or (..., m)
        The parameters. Leading axes are members, each with parameters of its own.
    sizes : sequence of int
        The widths (n₀, n₁, …, n_L) of the layers, the input first.

    Returns
    -------
    list of pairs of arrays
        Wₗ has shape (..., nₗ₋₁, nₗ). bₗ has shape (nₗ,), or with members (..., 1, nₗ), which broadcasts over rows.

    Raises
    ------
    InputError
        If θ does not have the length that `sizes` needs, or `mcgc.arrays.as_floats` refuses it.

    Examples
    --------
    >>> from mcgc import Key, nets
    >>> sizes = (2, 8, 1)
    >>> [(w.shape, b.shape) for w, b in nets.unpack(nets.init(Key(0), sizes), sizes)]
    [((2, 8), (8,)), ((8, 1), (1,))]
    """
    m, theta = num_parameters(sizes), as_floats(theta, "theta")
    if theta.shape[-1:] != (m,):
        raise InputError(f"a net of sizes {tuple(sizes)} has {m} parameters, but theta has shape {theta.shape}")
    members = theta.shape[:-1]
    layers = _layers(sizes)
    parts = ops.split(theta, [n for n_in, n_out in layers for n in (n_in * n_out, n_out)], axis=-1)
    return [
        (
            ops.reshape(weights, (*members, n_in, n_out)),
            ops.reshape(biases, (*members, 1, n_out)) if members else biases,
        )
        for (n_in, n_out), weights, biases in zip(layers, parts[::2], parts[1::2], strict=True)
    ]


def _layers(sizes: Sequence[int]) -> list[tuple[int, int]]:
    return list(pairwise(_sizes(sizes)))


def _definition(theta: Array, x: Array, sizes: tuple[int, ...], activation: str, skip: bool) -> Array:
    *hidden, (weights, biases) = unpack(theta, sizes)
    for w, b in hidden:
        h = ACTIVATIONS[activation](_product(x, w) + b)
        x = x + h if skip and w.shape[-2] == w.shape[-1] else h
    return _product(x, weights) + biases


def _product(x: Array, weights: Array) -> Array:
    """Return x W, so that stacks have the same leading axes on both sides.

    cuBLAS multiplies such stacks in one strided call. Where an axis is broadcast, CuPy (14, `matmul`) makes arrays of
    pointers first, so rows that all members share are multiplied by all their weights as one matrix. It copies a
    stack that is not contiguous, as weights are within θ and transposes are in the derivative, one launch each; the
    matrices of a single net it hands over as they lie, transposed by a flag.
    """
    return ops.einsum("ri,...io->...ro", x, weights) if x.ndim == 2 < weights.ndim else x @ weights


def _fits(theta: Array, x: Array, sizes: tuple[int, ...], activation: str, skip: bool) -> bool:
    if theta.dtype != x.dtype or is_host(theta) != is_host(x):
        return False
    if x.shape[-1] != sizes[0] or theta.shape[-1] != num_parameters(sizes):
        return False
    if is_host(x):
        return (theta.ndim, x.ndim) == (1, 2)
    known = activation in FUSED_ON_GPU and not skip and max(sizes[1:]) <= WIDEST
    return known and (theta.ndim, x.ndim) in ((1, 2), (2, 2), (2, 3))


_dense = Kernel(_definition, _fits, cpu="mcgc.kernels.cpu_dense:BODY", cuda="mcgc.kernels.cuda_dense:BODY")
_fused = fused(_definition, _dense.body)


def apply(
    theta: Real[Array, "*members m"],
    x: Real[Array, "*rows n_0"],
    sizes: Sequence[int],
    activation: str = "relu",
    skip: bool = False,
) -> Float[Array, "*out n_L"]:
    """Return the net's output y. Differentiable in θ and x.

    Parameters
    ----------
    theta : array of shape (m,) or (..., m)
        The parameters. Leading axes are members, each with parameters of its own.
    x : array of shape (n₀,), (rows, n₀) or (..., rows, n₀)
        The input. Members share an x without leading axes.
    sizes : sequence of int
        The widths (n₀, n₁, …, n_L) of the layers, the input first.
    activation : str
        The function a between the layers, one of `ACTIVATIONS`. There is none at the output.
    skip : bool
        Whether hidden layers that keep the width add their input to their output (He et al. 2016).

    Returns
    -------
    array of shape (n_L,), (rows, n_L) or (..., rows, n_L)
        The output. Its leading axes are the members.

    Raises
    ------
    InputError
        If shapes do not fit, the activation is unknown, or θ or x is neither float32 nor float64.

    Notes
    -----
    Each of θ and x may be a sequence of numbers, or an array of integers. It then gets the dtype of the other
    (`mcgc.arrays.as_floats`).

    Examples
    --------
    >>> from mcgc import Key, nets
    >>> sizes = (2, 8, 1)
    >>> nets.apply(nets.init(Key(0), sizes), [[0.0, 0.0], [1.0, 2.0]], sizes, "tanh").shape
    (2, 1)
    """
    sizes = _sizes(sizes)
    theta = as_floats(theta, "theta", x)
    x = as_floats(x, "x", theta)
    if activation not in ACTIVATIONS:
        raise InputError(unknown("activation", activation, ACTIVATIONS))
    if x.shape[-1:] != (sizes[0],):
        raise InputError(f"a net of sizes {sizes} takes rows of {sizes[0]} numbers, but x has shape {x.shape}")
    members = zip(theta.shape[-2::-1], x.shape[-3::-1], strict=False) if theta.ndim > 1 else ()
    if any(a != b and 1 not in (a, b) for a, b in members):
        raise InputError(f"theta of shape {theta.shape} and x of shape {x.shape} do not have the same members")
    if x.ndim == 1:
        return ops.squeeze(apply(theta, ops.expand_dims(x, axis=0), sizes, activation, skip), axis=-2)
    return _fused(theta, x, sizes=sizes, activation=activation, skip=skip)
