"""The studies of the paper on functions whose g has a closed form: figures 1 to 4, and appendix D.

Figures 1 to 4 are without noise: g and its gradients are closed forms. Appendix D draws noise, as `minimize` does.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mcgc.arrays import HOST, Array, to_device
from mcgc.autodiff import ops, value_and_grad
from mcgc.continuation import descent, minimize
from mcgc.continuation.annealing import Point, follow
from mcgc.continuation.smoothing import as_floats_like, bump, power
from mcgc.optim import adam
from mcgc.paper import test_functions
from mcgc.paper.test_functions import Function
from mcgc.random import Key

LAMS = ((0.5, 0.25, 0.1, 0.0), (1.0, 0.3, 0.1, 0.0))  # of figures 1 and 2, whose g are convex at the first
STEPS = tuple((10 - i) / 20 for i in range(11))  # of figure 3, where g is convex above 11/48
WARMUP, ITERATIONS = 1000, 1500  # of figure 4
SADDLES = ("good-saddle", "bad-saddle")
BETAS = (0.0, 0.03)  # of figure 4, in the units of 1/λ of eq. 12: more than −∂g/∂λ/m ever is on the way to λ = 0
LAM0, RATE = 3.0, 0.06  # what `minimize` takes if it is not told
NEAR = 1e-3  # what ends within this distance of a minimum has reached it
FUNCTIONS = ("rastrigin", "styblinski-tang", "levy", "ackley")

Smoothed = Callable[[Array, Any], Array]


class Continued(NamedTuple):
    """Algorithm 1 on one function.

    Parameters
    ----------
    smoothed : function (theta, lam) → value
        g(θ, λ).
    path : sequence of Point
        The minimisers of g, λ after λ.
    best : Point
        The global minimum of f = g(·, 0).
    domain : pair of floats
        The range that is drawn.
    """

    smoothed: Smoothed
    path: Sequence[Point]
    best: Point
    domain: tuple[float, float]

    def numbers(self) -> dict[str, Any]:
        """Return the path, where it ends, and the global minimum, as plain values."""
        points = [{"lam": lam, "theta": float(theta[0]), "g": float(value)} for lam, theta, value in self.path]
        best = {"theta": float(self.best.theta[0]), "f": float(self.best.smoothed)}
        return {"path": points, "global_minimum": best, "reached": abs(points[-1]["theta"] - best["theta"]) < NEAR}


class Path(NamedTuple):
    """θ (n + 1, d) and λ (n + 1,) before each step and after the last, and the value of f at the end."""

    theta: Array
    lam: Array
    value: float

    def end(self) -> dict[str, Any]:
        """Return where the path ends, as plain values."""
        return {"theta": self.theta[-1, :].tolist(), "lam": float(self.lam[-1]), "f": self.value}


def algorithm_1(smoothed: Smoothed, start: Sequence[float], lams: Sequence[float]) -> Sequence[Point]:
    """Return the path of minimisers of g(·, λ), by L-BFGS-B on the exact g (`mcgc.continuation.annealing.follow`).

    Parameters
    ----------
    smoothed : function (theta, lam) → value
        g(θ, λ).
    start : sequence of float
        The first θ.
    lams : sequence of float
        λ₀ > … > λₙ = 0.

    Returns
    -------
    sequence of Point
        One for each λ.

    Raises
    ------
    InputError
        If `lams` do not decrease to 0.

    References
    ----------
    Ilersich and Nair (2024), Deep learning with Gaussian continuation, Algorithm 1.

    Examples
    --------
    >>> from mcgc.paper import studies, test_functions
    >>> path = studies.algorithm_1(test_functions.get("quartic").smoothed, [1.5], [0.5, 0.1, 0.0])
    >>> round(float(path[-1].theta[0]), 3)
    -0.64
    """
    return follow(lambda theta, lam: _minimum(smoothed, theta, lam), to_device(start, HOST, "float64"), lams)


def _minimum(smoothed: Smoothed, theta: Array, lam: float) -> tuple[Array, float]:
    from scipy.optimize import minimize as local

    evaluate = value_and_grad(lambda theta: smoothed(theta, lam))
    found = local(evaluate, theta, jac=True, method="L-BFGS-B", options={"gtol": 1e-12, "ftol": 0.0})
    return found.x, float(found.fun)


def algorithm_2(
    smoothed: Smoothed,
    start: Sequence[float],
    lam0: float,
    *,
    rate: float,
    rate_lam: float,
    iterations: int,
    warmup: int = 0,
    beta: float = 0.0,
) -> Path:
    """Return the path of Algorithm 2 as printed, on the exact g.

    θ ← θ − a ∂g/∂θ and λ ← max(0, λ − b (∂g/∂λ + βm)). The term βm is that of eq. 12.

    Parameters
    ----------
    smoothed : function (theta, lam) → value
        g(θ, λ).
    start : sequence of float
        The first θ.
    lam0 : float
        The first λ.
    rate, rate_lam : float
        a and b.
    iterations : int
        The number of steps.
    warmup : int
        The number of steps at the start in which λ is held.
    beta : float
        β.

    Returns
    -------
    Path
        The path.

    References
    ----------
    Ilersich and Nair (2024), Deep learning with Gaussian continuation, Algorithm 2 and eq. 12.

    Examples
    --------
    >>> from mcgc.paper import studies, test_functions
    >>> g = test_functions.get("quartic").smoothed
    >>> path = studies.algorithm_2(g, [1.5], 0.5, rate=0.02, rate_lam=0.008, iterations=1000, warmup=150)
    >>> round(path.end()["theta"][0], 3), path.end()["lam"]
    (-0.64, 0.0)
    """
    xp, slopes = HOST.namespace, value_and_grad(smoothed, argnums=(0, 1))
    theta, lam = to_device(start, HOST, "float64"), to_device(lam0, HOST, "float64")
    thetas, lams = [theta], [lam]
    for i in range(iterations):
        _, (slope, slope_lam) = slopes(theta, lam)
        theta = theta - rate * slope
        if i >= warmup:
            lam = xp.clip(lam - rate_lam * (slope_lam + beta * theta.shape[0]), 0.0, None)
        thetas.append(theta)
        lams.append(lam)
    return Path(xp.stack(thetas), xp.stack(lams), float(smoothed(theta, 0.0)))


def figure_1() -> Continued:
    """Return Algorithm 1 on the quartic θ⁴ − θ³ − θ² + θ, at four λ: it ends in the global minimum.

    Returns
    -------
    Continued
        The path, the global minimum and the range that is drawn.

    Examples
    --------
    >>> from mcgc.paper import studies
    >>> studies.figure_1().numbers()["reached"]
    True
    """
    quartic, g = test_functions.get("quartic"), _smoothed("quartic")
    best = Point(0.0, to_device(quartic.minimizers[0], HOST, "float64"), quartic.value)
    return Continued(g, algorithm_1(g, quartic.start, LAMS[0]), best, quartic.domain)


def _smoothed(name: str) -> Smoothed:
    smoothed: Any = test_functions.get(name).smoothed
    return smoothed


def narrow(theta: Array, lam: Any) -> Array:
    """Return the g of figure 2: θ²/10 with a narrow deep well at −1 and a wide one, less deep, at 1.

    A well of depth h and width s is −h exp(−(θ − c)²/(2s²)). In g its depth is h s (s² + λ)^(−1/2) and its width
    √(s² + λ). So the deeper well becomes the shallower one once λ is well above the square of its width.

    Parameters
    ----------
    theta : array of shape (..., 1)
        The points.
    lam : float or array of shape ()
        λ.

    Returns
    -------
    array of shape (...)
        g at each point.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.paper.studies import narrow
    >>> points = np.array([[-1.0], [1.0]])
    >>> narrow(points, 0.0).argmin(), narrow(points, 1.0).argmin()
    (np.int64(0), np.int64(1))
    """
    wells = ((-1.0, 0.2, 1.0), (1.0, 0.7, 0.9))
    lam = as_floats_like(lam, theta)
    bowl = ops.sum(power(theta, lam, 2), axis=-1) / 10
    return bowl - sum(h * bump(as_floats_like([c / s], theta), theta / s, lam / s**2) for c, s, h in wells)


def figure_2() -> Continued:
    """Return Algorithm 1 on `narrow`, at four λ: it ends in the local minimum of the wide well.

    Returns
    -------
    Continued
        The path, the global minimum and the range that is drawn.

    Examples
    --------
    >>> from mcgc.paper import studies
    >>> studies.figure_2().numbers()["reached"]
    False
    """
    best = Point(0.0, *_minimum(narrow, to_device([-1.0], HOST, "float64"), 0.0))
    return Continued(narrow, algorithm_1(narrow, (-1.5,), LAMS[1]), best, (-2.0, 2.5))


def figure_3() -> tuple[Sequence[Point], Path]:
    """Return Algorithm 1, at `STEPS`, and Algorithm 2 on the quartic of figure 1, from the same start.

    Returns
    -------
    points : sequence of Point
        The minimisers of Algorithm 1.
    path : Path
        The path of Algorithm 2.

    Examples
    --------
    >>> from mcgc.paper import studies
    >>> points, path = studies.figure_3()
    >>> round(float(points[-1].theta[0]), 3), round(path.end()["theta"][0], 3)
    (-0.64, -0.64)
    """
    quartic, g = test_functions.get("quartic"), _smoothed("quartic")
    descent = algorithm_2(g, quartic.start, STEPS[0], rate=0.02, rate_lam=0.008, iterations=1000, warmup=150)
    return algorithm_1(g, quartic.start, STEPS), descent


def figure_4() -> dict[tuple[str, float], Path]:
    """Return Algorithm 2 on the saddle functions (eq. 9), by the name of the function and β; λ₀ = 3.

    With a = 0.01, "good", the origin is a saddle point of g(·, λ₀), so θ leaves it in the warm-up. With a = 0.02,
    "bad", the origin is the minimum, and the warm-up brings θ very near to it. λ then stops where
    ∂g/∂λ = ½ tr ∂²g/∂θ² = 0. By this identity (eq. 6) g has a direction of negative curvature there. So θ does leave,
    but only after the many iterations in which its small distance grows. With β, λ does not stop.

    Returns
    -------
    dict of (str, float) to Path
        The paths, by the name of the function and β.
    """
    found = {}
    for name in SADDLES:
        for beta in BETAS:
            found[name, beta] = algorithm_2(
                _smoothed(name),
                (3.0, -1.0),
                3.0,
                rate=1.0,
                rate_lam=0.5,
                iterations=ITERATIONS,
                warmup=WARMUP,
                beta=beta,
            )
    return found


def escapes(path: Path) -> dict[str, Any]:
    """Return where a path of figure 4 ends, and when it leaves the origin and when λ is small.

    Parameters
    ----------
    path : Path
        The path.

    Returns
    -------
    dict
        The end, as `Path.end` has it. `leaves` and `lam_small` are the numbers of iterations after the warm-up until
        ‖θ‖ > 1 and until λ < 0.01, or None.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.paper.studies import WARMUP, Path, escapes
    >>> theta, lam = np.zeros((WARMUP + 2, 2)), np.ones(WARMUP + 2)
    >>> theta[-1, :] = 2.0
    >>> escapes(Path(theta, lam, 0.5))
    {'theta': [2.0, 2.0], 'lam': 1.0, 'f': 0.5, 'leaves': 1, 'lam_small': None}
    """
    xp = HOST.namespace

    def first(holds: Array) -> int | None:
        found = xp.nonzero(holds[WARMUP:])[0]
        return int(found[0]) if found.shape[0] else None

    return {**path.end(), "leaves": first(xp.sum(path.theta**2, axis=1) > 1), "lam_small": first(path.lam < 0.01)}


class Searches(NamedTuple):
    """A test function, and the paths on it: with continuation, one for each seed, and without."""

    function: Function
    continued: Sequence[Path]
    plain: Path

    def distance(self, path: Path) -> float:
        """Return how far the path ends from the nearest global minimiser."""
        return min(math.dist(path.theta[-1, :].tolist(), minimizer) for minimizer in self.function.minimizers)

    def numbers(self) -> dict[str, Any]:
        """Return the ends of the paths, their distances, and how many have reached a minimum, as plain values."""
        groups = {"with": self.continued, "without": [self.plain]}
        described = lambda path: {**path.end(), "distance": self.distance(path)}
        ends = {group: [described(path) for path in paths] for group, paths in groups.items()}
        reached = {group: sum(end["distance"] < NEAR for end in found) for group, found in ends.items()}
        return {"minimum": self.function.value, "reached": reached, "paths": ends}


def appendix_d(name: str, seeds: int) -> Searches:
    """Return the paths on a test function of 2 dimensions from (3, 3), by `minimize` and by its Adam without noise.

    Both have the same number of steps and the same learning rate at their start.

    Parameters
    ----------
    name : str
        One of `test_functions.names()`.
    seeds : int
        The number of seeds of `minimize`: 0, 1, …

    Returns
    -------
    Searches
        The paths.

    Raises
    ------
    InputError
        If there is no function of that name.

    Examples
    --------
    >>> from mcgc.paper import studies
    >>> studies.appendix_d("rastrigin", seeds=1).numbers()["reached"]
    {'with': 1, 'without': 0}
    """
    xp, chosen = HOST.namespace, test_functions.get(name)
    start = to_device(chosen.start, HOST, "float64")
    continued = []
    for seed in range(seeds):
        thetas = [start]
        found = minimize(chosen.function, start, batched=True, seed=seed, callback=thetas.append)
        lams = xp.concat([xp.asarray([LAM0]), xp.exp(found.log_lam), xp.asarray([0.0])])
        continued.append(Path(xp.stack([*thetas, found.x]), lams, float(found.fun)))
    method = descent(lambda theta, batch: chosen.function(theta), adam(RATE * math.sqrt(LAM0)))
    state, thetas = method.init(start), [start]
    for _ in range(len(continued[0].lam) - 2):
        state, _ = method.step(state, None, Key(0))
        thetas.append(state.theta)
    plain = Path(xp.stack(thetas), xp.zeros(len(thetas)), float(chosen.function(state.theta)))
    return Searches(chosen, continued, plain)
