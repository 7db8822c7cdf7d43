"""Optimisers as pairs of pure functions, and schedules of the learning rate."""

from mcgc.optim import schedules
from mcgc.optim._optimizers import (
    OPTIMIZERS,
    AdamState,
    MomentumState,
    Optimizer,
    RmspropState,
    SgdState,
    adam,
    adamw,
    clip_by_global_norm,
    decay_weights,
    momentum,
    nesterov,
    rmsprop,
    sgd,
)

__all__ = [
    "OPTIMIZERS",
    "AdamState",
    "MomentumState",
    "Optimizer",
    "RmspropState",
    "SgdState",
    "adam",
    "adamw",
    "clip_by_global_norm",
    "decay_weights",
    "momentum",
    "nesterov",
    "rmsprop",
    "schedules",
    "sgd",
]
