"""Optimisers as pure functions that return updates, rules to chain with them, and schedules of the learning rate."""

from mcgc.optim import schedules
from mcgc.optim._decay import decay_weights
from mcgc.optim._optimizer import Init, Optimizer, Update, apply_updates, chain, from_step, stateless
from mcgc.optim._optimizers import (
    OPTIMIZERS,
    AdamState,
    MomentumState,
    RmspropState,
    SgdState,
    adam,
    adamw,
    momentum,
    nesterov,
    rmsprop,
    sgd,
)
from mcgc.optim._transformations import (
    ScheduleState,
    add_decayed_weights,
    clip_by_global_norm,
    scale,
    scale_by_adam,
    scale_by_learning_rate,
    scale_by_schedule,
)

__all__ = [
    "OPTIMIZERS",
    "AdamState",
    "Init",
    "MomentumState",
    "Optimizer",
    "RmspropState",
    "ScheduleState",
    "SgdState",
    "Update",
    "adam",
    "adamw",
    "add_decayed_weights",
    "apply_updates",
    "chain",
    "clip_by_global_norm",
    "decay_weights",
    "from_step",
    "momentum",
    "nesterov",
    "rmsprop",
    "scale",
    "scale_by_adam",
    "scale_by_learning_rate",
    "scale_by_schedule",
    "schedules",
    "sgd",
    "stateless",
]
