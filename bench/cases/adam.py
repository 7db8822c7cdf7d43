"""One update by Adam, for the MNIST net's 111,160 parameters and for ten million, in one array.

All sides update in place, or are given their state away. `mcgc pure` returns new arrays.
"""

from typing import Any

import numpy as np

from bench.comparison import Plan, Row, compare
from bench.timing import Side
from bench.transfers import transfers_to

SIZES = (111_160, 10**7)
RATE = 1e-4
TOLERANCES = {"update": 1e-4}
TARGETS = {SIZES[0]: {"torch foreach": 1.5, "torch fused": 1.0}, SIZES[1]: {"torch fused": 1.0}}


def _start(m: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return np.zeros(m, np.float32), rng.standard_normal(m, np.float32)


def ours(m: int, device: str = "cpu", donate: bool = True) -> Side:
    """Update with mcgc, the old parameters and state given up for the new."""
    from mcgc.arrays import to_host
    from mcgc.optim import adam

    transfers = transfers_to(device)
    theta, gradient = map(transfers.put, _start(m))
    optimizer = adam(RATE)
    theta, state = optimizer.step(gradient, optimizer.init(theta), theta, donate)
    updated = np.array(to_host(theta))

    def run() -> None:
        nonlocal theta, state
        theta, state = optimizer.step(gradient, state, theta, donate)
        transfers.wait(theta[:1])

    return Side(run, 1, {"update": updated})


def ours_pure(m: int) -> Side:
    """Update with mcgc, into new arrays."""
    return ours(m, donate=False)


def _torch(m: int, **options: bool) -> Side:
    import torch

    theta, gradient = map(torch.from_numpy, _start(m))
    optimizer = torch.optim.Adam([theta], RATE, **options)
    theta.grad = gradient
    optimizer.step()
    return Side(optimizer.step, 1, {"update": theta.numpy().copy()})


def by_foreach(m: int) -> Side:
    """Update with PyTorch's foreach kernels."""
    return _torch(m, foreach=True)


def by_fused(m: int) -> Side:
    """Update with PyTorch's fused kernel."""
    return _torch(m, fused=True)


def by_optax(m: int) -> Side:
    """Update with optax, compiled, the old parameters and state given up for the new."""
    import jax
    import optax

    theta, gradient = map(jax.numpy.asarray, _start(m))
    optimizer = optax.adam(RATE)

    def update(theta: Any, state: Any, gradient: Any) -> tuple:
        change, state = optimizer.update(gradient, state)
        return optax.apply_updates(theta, change), state

    step = jax.jit(update, donate_argnums=(0, 1))
    theta, state = step(theta, optimizer.init(theta), gradient)
    updated = np.array(theta)

    def run() -> None:
        nonlocal theta, state
        theta, state = jax.block_until_ready(step(theta, state, gradient))

    return Side(run, 1, {"update": updated})


SIDES = {
    "mcgc": ours,
    "mcgc pure": ours_pure,
    "torch foreach": by_foreach,
    "torch fused": by_fused,
    "optax": by_optax,
}


def rows(plan: Plan) -> list[Row]:
    """Time both sizes."""
    found = []
    for m in SIZES[:1] if plan.quick else SIZES:
        found += compare(plan, f"adam {m:,}", __name__, list(SIDES), TOLERANCES, TARGETS[m], {"m": m})
    return found
