"""What compiled dense nets ask of their layers: lengths, what is stored, and where inputs are added."""

from functools import cache

import numpy as np

from mcgc.kernels.compiled import compiled
from mcgc.kernels.cpu_activations import ACTIVATIONS, keeps_z


@cache
def as_array(sizes: tuple[int, ...]) -> np.ndarray:
    """Return `sizes` as an array: one type for every net, so that none is compiled anew."""
    return np.asarray(sizes, dtype=np.int64)


@cache
def stored(sizes: tuple[int, ...], activation: str, skip: bool) -> int:
    """Return how many values of a row are stored for the way back."""
    return sum(sizes[1:]) * (2 if keeps(ACTIVATIONS.index(activation), skip) else 1)


@compiled
def lengths(sizes):
    """Return how many parameters a net has, and how many values its layers give a row."""
    parameters = values = 0
    for layer in range(1, sizes.size):
        parameters += (sizes[layer - 1] + 1) * sizes[layer]
        values += sizes[layer]
    return parameters, values


@compiled
def keeps(activation, skip):
    """Tell whether slopes are computed from values of their own, and not from those of h."""
    return skip or keeps_z(activation)


@compiled
def adds(sizes, layer, skip):
    """Tell whether the hidden layer `layer`, from 1, adds its input."""
    return skip and 0 < layer < sizes.size - 1 and sizes[layer] == sizes[layer - 1]
