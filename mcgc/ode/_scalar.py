"""The step size control of one trajectory, in numbers: `mcgc.ode._control` has its meaning, for batches.

The source is plain Python: it is compiled for the march of dense nets, and written into that of jitted fields.
"""

# mypy: disable-error-code="name-defined"
import math

from numpy import floor

from mcgc.ode._control import GROW, INTEGRAL, PROPORTIONAL, SAFETY, SHRINK


def adapt(norm, last, was_rejected, order):
    """Compute `control.adapt` for one trajectory: accepted, factor, last error."""
    finite = math.isfinite(norm)
    norm = min(max(norm, 1e-10), 1e10) if finite else 1e10
    accepted = finite and norm <= 1
    factor = SAFETY * norm ** (-INTEGRAL / order)
    if accepted:
        factor *= last ** (PROPORTIONAL / order)
        last = min(max(norm, 1e-4), 1.0)
    highest = 1.0 if was_rejected and accepted else GROW
    return accepted, min(max(math.floor(1024 * factor) / 1024, SHRINK), highest), last


def growth(steepest, h0, order):
    """Return by how much a first step is larger than the trial step h0, from the steepest slope that was found."""
    return min(max(floor((0.01 / max(steepest, 1e-15)) ** (1 / order) * 1024 / h0) / 1024, 1 / 1024), 100.0)
