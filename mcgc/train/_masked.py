"""Losses over targets of which some are missing."""

from mcgc.arrays import Array, namespace_of
from mcgc.autodiff import ops


def masked_mean(residual: Array, seen: Array, name: str, members: int) -> Array:
    """Return the mean of a loss over the targets that are there, for each member; 0 where none is.

    `seen` is 1 where a target is there, else 0, in the dtype of the residuals. `name` is "mse", "mae" or "huber"
    (`mcgc.losses`). The first `members` axes of the residuals are those of members; `seen` may lack them.
    """
    if name == "mse":
        losses = ops.square(residual)
    elif name == "mae":
        losses = ops.abs(residual)
    else:
        near = ops.clip(residual, -1, 1)
        losses = near * (residual - near / 2)
    axes = tuple(range(members, residual.ndim))
    xp = namespace_of(seen)
    total = xp.sum(seen, axis=tuple(range(seen.ndim - len(axes), seen.ndim)))
    return ops.sum(losses * seen, axis=axes) / xp.maximum(total, xp.ones_like(total))
