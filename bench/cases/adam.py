"""One update by Adam, for the MNIST net's 111,160 parameters and for ten million, in one array."""

from typing import Any

import numpy as np

from bench.comparison import Plan, Row, compare
from bench.timing import Side
from bench.transfers import transfers_to

SIZES = (111_160, 10**7)
RATE = 1e-4
TOLERANCES = {"update": 1e-4}
TARGETS = {"torch foreach": 1.5}


def _start(m: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return np.zeros(m, np.float32), rng.standard_normal(m, np.float32)


def ours(m: int, device: str = "cpu") -> Side:
    """Update with mcgc."""
    from mcgc.arrays import to_host
    from mcgc.optim import adam

    transfers = transfers_to(device)
    theta, gradient = map(transfers.put, _start(m))
    optimizer = adam(RATE)
    state = optimizer.init(theta)

    def run() -> None:
        nonlocal theta, state
        theta, state = optimizer.step(gradient, state, theta)
        transfers.wait(theta[:1])

    return Side(run, 1, {"update": to_host(optimizer.step(gradient, state, theta)[0])})


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


SIDES = {"mcgc": ours, "torch foreach": by_foreach, "torch fused": by_fused, "optax": by_optax}


def rows(plan: Plan) -> list[Row]:
    """Time both sizes."""
    found = []
    for m in SIZES[:1] if plan.quick else SIZES:
        targets = TARGETS if m == SIZES[0] else {}
        found += compare(plan, f"adam {m:,}", __name__, list(SIDES), TOLERANCES, targets, {"m": m})
    return found
