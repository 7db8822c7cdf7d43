"""Perturbed parameters ϑ = θ + √λ ε with ‖ε‖², for the MNIST net's 111,160 parameters and for ten million."""

import math
from typing import Any

import numpy as np

from bench.comparison import Plan, Row, compare
from bench.timing import Side
from bench.transfers import transfers_to

SIZES = (111_160, 10**7)
SCALE = 0.5
TOLERANCES = {"squared norm": 1e-4, "calibrated": 0}
TARGETS = {"numpy": 5.0}


def _values(theta: np.ndarray, perturbed: Any, sqnorm: Any) -> dict:
    """Return what can be compared of different draws: whether ‖ε‖² is that of ϑ − θ, and like a normal ε's."""
    m = theta.size
    recovered = np.sum(((np.asarray(perturbed, np.float64) - theta) / SCALE) ** 2)
    z = (recovered - m) / math.sqrt(2 * m)
    return {"squared norm": float(sqnorm) / recovered, "calibrated": float(abs(z) < 5), **_EXPECTED}


_EXPECTED = {"reference squared norm": 1.0, "reference calibrated": 1.0}


def _theta(m: int) -> np.ndarray:
    return np.zeros(m, np.float32)


def ours(m: int, device: str = "cpu") -> Side:
    """Perturb with mcgc's kernel."""
    from mcgc.arrays import to_host
    from mcgc.kernels import perturb
    from mcgc.random import Key, fold_in

    transfers = transfers_to(device)
    theta, step = transfers.put(_theta(m)), 0

    def run() -> None:
        nonlocal step
        step += 1
        transfers.wait(perturb(theta, SCALE, fold_in(Key(0), step))[1])

    return Side(run, 1, _values(_theta(m), *map(to_host, perturb(theta, SCALE, Key(0)))))


def by_numpy(m: int) -> Side:
    """Perturb with NumPy's default generator."""
    theta, rng = _theta(m), np.random.default_rng(0)

    def perturb() -> tuple:
        eps = rng.standard_normal(m, np.float32)
        return theta + np.float32(SCALE) * eps, eps @ eps

    return Side(perturb, 1, _values(theta, *perturb()))


def by_torch(m: int) -> Side:
    """Perturb with PyTorch's default generator."""
    import torch

    torch.manual_seed(0)
    theta = torch.from_numpy(_theta(m))

    def perturb() -> tuple:
        eps = torch.randn(m)
        return torch.add(theta, eps, alpha=SCALE), torch.dot(eps, eps), eps

    perturbed, _, eps = (
        perturb()
    )  # on some machines 10⁷ squares in float32 are 3e-4 off: the values are those in float64
    return Side(perturb, 1, _values(_theta(m), perturbed, torch.dot(eps.double(), eps.double())))


def by_jax(m: int) -> Side:
    """Perturb with JAX's default generator, compiled."""
    import jax
    import jax.numpy as jnp

    theta, step = jnp.asarray(_theta(m)), 0

    @jax.jit
    def perturb(theta: Any, scale: Any, step: Any) -> tuple:
        eps = jax.random.normal(jax.random.fold_in(jax.random.key(0), step), theta.shape)
        return theta + scale * eps, jnp.vdot(eps, eps)

    def run() -> None:
        nonlocal step
        step += 1
        jax.block_until_ready(perturb(theta, SCALE, step))

    return Side(run, 1, _values(_theta(m), *perturb(theta, SCALE, 0)))


SIDES = {"mcgc": ours, "numpy": by_numpy, "torch": by_torch, "jax": by_jax}


def rows(plan: Plan) -> list[Row]:
    """Time both sizes."""
    found = []
    for m in SIZES[:1] if plan.quick else SIZES:
        targets = TARGETS if m == SIZES[0] else {}
        found += compare(plan, f"noise {m:,}", __name__, list(SIDES), TOLERANCES, targets, {"m": m})
    return found
