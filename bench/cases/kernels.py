"""What the low-level kernels gain over what is simpler, each alone, on one thread.

- product: the products of a net's layers with their biases and rectifiers, against the BLAS (called from a compiled
  loop, and by NumPy) and against plain loops compiled by Numba.
- gradient: the products that give the gradients of the weights of the same layers.
- adam: an update of the MNIST net's parameters, against the same loop that computes with subnormal numbers, and against
  one that replaces them where it stores a moment. In `dead` a quarter of the means has decayed to them, as those of
  units that are zero for every row do. In `vanishing` the gradients are from 1 to 10⁻³⁰, so their squares are.
- arrays: a step of mnist-step, noise, and Adam, against new arrays for all results.
"""

import math
from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np

from bench.cases import adam as adam_case
from bench.cases import mnist_step, noise
from bench.comparison import Plan, Row, compare
from bench.timing import Side

LAYERS = 30
PARAMETERS = 111_160
SHAPES = ((250, 50), (4, 50), (250, 512))  # rows and width: of mnist-step, of lorenz-step, and of a wide net
STATES = ("dead", "vanishing", "normal")
DEAD, VANISHING = 0.25, -30  # the share of dead units; the exponent of ten of the smallest gradient
LOOPS = {"error_model": "numpy", "fastmath": {"contract"}}  # fused multiply-adds, as in the kernel


def _layers(rows: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return room for the values of all layers, the first filled, the weights, and the biases."""
    rng = np.random.default_rng(0)
    values = np.zeros((LAYERS + 1, rows, width), np.float32)
    values[0] = rng.standard_normal((rows, width))
    weights = rng.standard_normal((LAYERS, width, width), np.float32) * np.float32(math.sqrt(2 / width))
    return values, weights, rng.standard_normal((LAYERS, width), np.float32) / 10


def product(side: str, rows: int, width: int) -> Side:
    """Compute h ← max(0, b + h W) for all layers."""
    from numba import njit

    from mcgc.kernels.cpu_matmul import matmul

    @njit
    def ours(h: Any, w: Any, b: Any, rows: int, n: int) -> None:
        for i in range(LAYERS):
            at, none = i * rows * n, h.dtype.type(0)
            matmul(h, at + rows * n, n, b, i * n, 0, 1, none, h, at, n, 1, w, i * n * n, n, rows, n, n, h, -1)

    @njit(**LOOPS)
    def by_blas(h: Any, w: Any, b: Any) -> None:
        for i in range(LAYERS):
            c = h[i + 1]
            np.dot(h[i], w[i], c)
            for r in range(c.shape[0]):
                for j in range(c.shape[1]):
                    c[r, j] = max(c[r, j] + b[i, j], np.float32(0))

    @njit(**LOOPS)
    def by_loops(h: Any, w: Any, b: Any) -> None:
        for i in range(LAYERS):
            a, c = h[i], h[i + 1]
            for r in range(c.shape[0]):
                for j in range(c.shape[1]):
                    c[r, j] = b[i, j]
                for p in range(a.shape[1]):
                    x = a[r, p]
                    for j in range(c.shape[1]):
                        c[r, j] += x * w[i, p, j]
                for j in range(c.shape[1]):
                    c[r, j] = max(c[r, j], np.float32(0))

    def by_numpy(h: Any, w: Any, b: Any) -> None:
        for i in range(LAYERS):
            c = h[i + 1]
            np.matmul(h[i], w[i], out=c)
            c += b[i]
            np.maximum(c, 0, out=c)

    h, w, b = _layers(rows, width)
    flat = [x.reshape(-1) for x in (h, w, b)]
    bodies: dict[str, Callable] = {
        "mcgc": lambda: ours(*flat, rows, width),
        "BLAS": lambda: by_blas(h, w, b),
        "loops": lambda: by_loops(h, w, b),
        "NumPy": lambda: by_numpy(h, w, b),
    }
    return _measured(bodies[side], h[-1])


def gradient(side: str, rows: int, width: int) -> Side:
    """Compute W̄ = hᵀ g for all layers; g are the values of the layer after."""
    from numba import njit

    from mcgc.kernels.cpu_matmul import matmul

    @njit
    def ours(bars: Any, h: Any, zeros: Any, rows: int, n: int) -> None:
        for i in range(LAYERS):
            at, none = i * rows * n, h.dtype.type(-np.inf)
            matmul(bars, i * n * n, n, zeros, 0, 0, 1, none, h, at, 1, n, h, at + rows * n, n, n, n, rows, h, -1)

    @njit(**LOOPS)
    def by_blas(bars: Any, h: Any) -> None:
        for i in range(LAYERS):
            np.dot(h[i].T, h[i + 1], bars[i])

    @njit(**LOOPS)
    def by_loops(bars: Any, h: Any) -> None:
        for i in range(LAYERS):
            a, g, c = h[i], h[i + 1], bars[i]
            c[:] = 0
            for r in range(a.shape[0]):
                for p in range(a.shape[1]):
                    x = a[r, p]
                    for j in range(g.shape[1]):
                        c[p, j] += x * g[r, j]

    def by_numpy(bars: Any, h: Any) -> None:
        for i in range(LAYERS):
            np.matmul(h[i].T, h[i + 1], out=bars[i])

    h, w, b = _layers(rows, width)
    for i in range(LAYERS):
        h[i + 1] = np.maximum(h[i] @ w[i] + b[i], 0)
    bars, zeros = np.empty_like(w), np.zeros(width, np.float32)
    flat = bars.reshape(-1), h.reshape(-1), zeros
    bodies: dict[str, Callable] = {
        "mcgc": lambda: ours(*flat, rows, width),
        "BLAS": lambda: by_blas(bars, h),
        "loops": lambda: by_loops(bars, h),
        "NumPy": lambda: by_numpy(bars, h),
    }
    return _measured(bodies[side], bars)


def _measured(body: Callable, result: np.ndarray) -> Side:
    body()
    return Side(body, LAYERS, {"result": result.copy()})


def _adam_start(state: str) -> tuple[np.ndarray, ...]:
    """Return θ, the gradient, and its means, with the numbers that `state` names."""
    rng = np.random.default_rng(0)
    theta, slope = (rng.standard_normal(PARAMETERS, np.float32) for _ in range(2))
    if state == "vanishing":
        slope *= (10.0 ** rng.uniform(VANISHING, 0, PARAMETERS)).astype(np.float32)
    mean, square = slope.copy(), slope * slope
    if state == "dead":
        units = rng.random(PARAMETERS) < DEAD
        slope[units], mean[units], square[units] = 0, 4 * np.finfo(np.float32).smallest_subnormal, 1e-30
    return theta, slope, mean, square


def adam(side: str, state: str) -> Side:
    """Update by Adam, always with the same gradient."""
    from numba import njit

    from mcgc.kernels import cpu

    @njit
    def nothing() -> int:
        return 0

    @njit
    def ignored(mode: int) -> None:
        pass

    @njit(error_model="numpy")
    def replacing(
        theta_out, mean_out, square_out, theta, slope, mean, square,
        keep_mean, new_mean, keep_square, new_square, step, correction, epsilon,
    ):  # fmt: skip
        none, tiny = theta.dtype.type(0), theta.dtype.type(2.0**-126)
        for i in range(theta.size):
            g = slope[i]
            m = keep_mean * mean[i] + new_mean * g
            v = keep_square * square[i] + new_square * (g * g)
            m, v = m if abs(m) >= tiny else none, v if v >= tiny else none
            mean_out[i], square_out[i] = m, v
            theta_out[i] = theta[i] - step * m / (np.sqrt(v) * correction + epsilon)

    loop = cpu._adam.py_func
    names = {**loop.__globals__, "flush": nothing, "restore": ignored}
    bodies = {
        "mcgc": cpu._adam,
        "subnormal": njit(error_model="numpy")(FunctionType(loop.__code__, names)),
        "replaced": replacing,
    }
    theta, slope, mean, square = _adam_start(state)
    constants = [np.float32(x) for x in (0.9, 0.1, 0.999, 0.001, 1e-4, 0.5, 1e-8)]
    new, old, body = [np.empty_like(theta) for _ in range(3)], [theta, mean, square], bodies[side]

    def run() -> None:
        nonlocal new, old
        body(*new, old[0], slope, *old[1:], *constants)
        new, old = old, new

    run()
    return Side(run, 1, {"result": old[0].copy()})


def arrays(side: str, job: str, **options: Any) -> Side:
    """Do what another case does, with or without the arrays that are used again."""
    from mcgc.kernels import buffers

    if side == "new arrays":
        buffers.empty = np.empty  # in this process, which times nothing else
    return {"mnist-step": mnist_step, "noise": noise, "adam": adam_case}[job].ours(**options)


KINDS = {"product": product, "gradient": gradient, "adam": adam, "arrays": arrays}


def _side(side: str, kind: str, **options: Any) -> Side:
    return KINDS[kind](side, **options)


PRODUCTS = ("mcgc", "BLAS", "loops", "NumPy")
UPDATES = ("mcgc", "subnormal", "replaced")
ARRAYS = ("mcgc", "new arrays")
SIDES = {side: partial(_side, side) for side in (*PRODUCTS, *UPDATES[1:], *ARRAYS[1:])}


def rows(plan: Plan) -> list[Row]:
    """Time every kernel on one thread, which is what each computes on."""
    plan, found = plan._replace(threads=[1]), []

    def add(case: str, sides: tuple[str, ...], tolerances: dict, **options: Any) -> None:
        found.extend(compare(plan, f"kernels {case}", __name__, sides, tolerances, {}, options))

    for number, width in SHAPES[:1] if plan.quick else SHAPES:
        for kind in ("product", "gradient"):
            add(f"{kind} {number} × {width}", PRODUCTS, {"result": 1e-4}, kind=kind, rows=number, width=width)
    for state in STATES[:1] if plan.quick else STATES:
        add(f"adam {state}", UPDATES, {"result": 1e-6}, kind="adam", state=state)
    if not plan.quick:
        add("arrays mnist-step", ARRAYS, {"loss": 0, "gradient": 0}, kind="arrays", job="mnist-step")
    for m in noise.SIZES[:1] if plan.quick else noise.SIZES:
        for job, tolerances in (("noise", noise.TOLERANCES), ("adam", adam_case.TOLERANCES)):
            options = {"donate": False} if job == "adam" else {}
            add(f"arrays {job} {m:,}", ARRAYS, tolerances, kind="arrays", job=job, m=m, **options)
    return found
