"""One training step with continuation of the paper's Lorenz problem, at the parameters after 30 epochs.

The net is 5–(19 × 50)–3, the batch 4 series, the solver dopri5 with rtol 1e-7 and atol 1e-9, in float32. The steps of
the solvers differ, so each side's loss and gradient are held against those of a float64 solution at 1e-10.
"""

import hashlib
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.comparison import Plan, Row, compare
from bench.timing import Side

BATCH, EPOCHS = 4, 30
DRAWS = 4  # steps a run, all from the same θ: what a solution takes depends on the draw of the noise
TIGHT = 1e-10
STAGES = 6  # evaluations a step of dopri5, whose last stage is the next step's first
TOLERANCES = {
    "loss": 1e-4,
    "gradient": 5e-2,
}  # the kinks of the net and float32 leave the gradients 0.4 % to 1.5 % apart
TARGETS = {"diffrax": 7.0, "torchdiffeq": 12.0}


class Start(NamedTuple):
    """θ; the batch of the first step, with the problem's settings; loss and gradient by the float64 solution."""

    theta: np.ndarray
    batch: Any
    settings: Any
    loss: float
    gradient: np.ndarray


def start(epochs: int) -> Start:
    """Return the state after `epochs` epochs of the recipe of the paper, and the first series."""
    from mcgc.train import problems

    return trained(problems.get("lorenz").recipe, epochs, lambda problem, series: [x[:BATCH] for x in series])


def trained(recipe: Any, epochs: int, batch_of: Callable[[Any, Any], Sequence[Any]]) -> Start:
    """Train for `epochs` epochs with seed 0, or find what was trained before in the user's cache directory.

    `batch_of(problem, series)` returns the times, parameters and states of the batch.
    """
    import platformdirs
    from mcgc_datasets import load

    from mcgc import files, train, value_and_grad
    from mcgc.arrays import HOST
    from mcgc.random import Key
    from mcgc.train import problems

    problem, data = problems.get("lorenz"), load("lorenz")
    settings, series = recipe._replace(epochs=max(epochs, 1)), problem.examples(data, "float32", HOST)
    batch = type(series)(*batch_of(problem, series))
    print_of = hashlib.sha256(f"{settings} {data.sha256} {epochs} {batch.states.shape}".encode()).hexdigest()[:16]
    path = Path(platformdirs.user_cache_dir("mcgc", appauthor=False), "bench", f"lorenz-{print_of}.npz")
    if not path.exists():
        theta = problem.init(Key(0), "float32", HOST)
        if epochs:
            *_, (_, stack) = train.fit(settings, data, HOST)
            theta = stack[0]
        exact = problem.objective(settings._replace(rtol=TIGHT, atol=TIGHT))
        wide = type(batch)(*(x.astype(np.float64) for x in batch))
        (loss, _), gradient = value_and_grad(exact, has_aux=True)(theta.astype(np.float64), wide)
        path.parent.mkdir(parents=True, exist_ok=True)
        image = BytesIO()
        np.savez(image, theta=theta, loss=loss, gradient=gradient)
        files.write(path, image.getvalue())
    with np.load(path) as found:
        return Start(found["theta"], batch, settings, float(found["loss"]), found["gradient"])


def ours(epochs: int = EPOCHS) -> Side:
    """Take a step with mcgc."""
    return our_step(start(epochs))


def our_step(begun: Start) -> Side:
    """Take a step with mcgc from there."""
    from mcgc import Key, value_and_grad
    from mcgc.continuation import continuation
    from mcgc.optim import adam, adamw
    from mcgc.train import problems

    theta, batch, settings, *exact = begun
    objective, rate = problems.get("lorenz").objective(settings), settings.learning_rate
    method = continuation(
        objective,
        adamw(rate, settings.weight_decay) if settings.optimizer == "adamw" else adam(rate),
        adam(settings.learning_rate_lam),
        log_lam0=settings.log_lam0,
        estimator=settings.estimator,
        beta=settings.beta,
        has_aux=True,
    )
    state = method.init(theta)
    (loss, _), gradient = value_and_grad(objective, has_aux=True)(theta, batch)
    values = {"loss": loss, "gradient": gradient, "reference loss": exact[0], "reference gradient": exact[1]}

    def run() -> None:
        infos = [method.step(state, batch, Key(draw))[1] for draw in range(DRAWS)]
        found = [info.aux[0] for info in infos]
        values["evaluations"] = sum(stats.evaluations for stats in found) / DRAWS
        values["accepted"], values["rejected"] = (
            sum(int(counts.sum()) for counts in column) / DRAWS
            for column in ([stats.accepted for stats in found], [stats.rejected for stats in found])
        )

    return Side(run, DRAWS, values)


def by_diffrax(epochs: int = EPOCHS) -> Side:
    """Take a step with JAX, diffrax and optax, mapped over the trajectories: one batched state is slower."""
    return diffrax_step(start(epochs))


def diffrax_step(begun: Start, batched: bool = False) -> Side:
    """Take a step from there with JAX, diffrax and optax, compiled whole.

    Trajectories are mapped over (vmap), each with steps of its own, or are one `batched` state, with steps in common.
    """
    import diffrax
    import jax
    import jax.numpy as jnp
    import optax
    from jax.flatten_util import ravel_pytree

    from mcgc.nets import unpack

    flat, batch, settings, *_ = begun
    sizes, m = layer_sizes(), flat.size
    theta = [(jnp.asarray(w), jnp.asarray(b)) for w, b in unpack(flat, sizes)]
    times = jnp.asarray(batch.times[0], jnp.float32)
    parameters, states = jnp.asarray(batch.parameters), jnp.asarray(batch.states)
    optimizer, optimizer_lam = optax.adam(settings.learning_rate), optax.adam(settings.learning_rate_lam)
    if settings.optimizer == "adamw":
        optimizer = optax.adamw(settings.learning_rate, weight_decay=settings.weight_decay)
    controller = diffrax.PIDController(rtol=settings.rtol, atol=settings.atol)

    def field(t: Any, y: Any, inputs: tuple) -> Any:
        layers, parameters = inputs
        x = jnp.concatenate([y, parameters], -1)
        for w, b in layers[:-1]:
            x = jax.nn.relu(x @ w + b)
        return x @ layers[-1][0] + layers[-1][1]

    def solve(theta: Any, y0: Any, parameters: Any) -> tuple:
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            diffrax.Dopri5(),
            times[0],
            times[-1],
            None,
            y0,
            (theta, parameters),
            saveat=diffrax.SaveAt(ts=times),
            stepsize_controller=controller,
            adjoint=diffrax.RecursiveCheckpointAdjoint(),
        )
        return solution.ys, solution.stats["num_steps"]

    def objective(theta: Any) -> tuple:
        if batched:
            found, steps = solve(theta, states[:, 0], parameters)
            found = jnp.swapaxes(found, 0, 1)
        else:
            found, steps = jax.vmap(solve, (None, 0, 0))(theta, states[:, 0], parameters)
        return jnp.mean((found - states) ** 2), steps

    evaluate = jax.value_and_grad(objective, has_aux=True)
    structure = ravel_pytree(theta)[1]

    @jax.jit
    def step(state: tuple, key: Any) -> tuple:
        theta, log_lam, inner, inner_lam = state
        eps = jax.random.normal(key, (m,))
        perturbed = jax.tree.map(lambda x, e: x + jnp.exp(log_lam / 2) * e, theta, structure(eps))
        (loss, steps), gradient = evaluate(perturbed)
        updates, inner = optimizer.update(gradient, inner, theta)
        if settings.estimator == "pathwise":
            slope = jnp.exp(log_lam / 2) / 2 * (ravel_pytree(gradient)[0] @ eps)
        else:
            slope = (eps @ eps - m) / 2 * loss
        slope += settings.beta * m * jnp.exp(log_lam - settings.log_lam0)
        update, inner_lam = optimizer_lam.update(slope, inner_lam)
        log_lam = jnp.minimum(log_lam + update, settings.log_lam0 + 2)
        return (optax.apply_updates(theta, updates), log_lam, inner, inner_lam), 1 + STAGES * steps.max()

    log_lam = jnp.asarray(settings.log_lam0, jnp.float32)
    state = theta, log_lam, optimizer.init(theta), optimizer_lam.init(log_lam)
    (loss, _), gradient = jax.jit(evaluate)(theta)
    values = {"loss": np.asarray(loss), "gradient": np.asarray(ravel_pytree(gradient)[0])}

    def run() -> None:
        evaluations = [jax.block_until_ready(step(state, jax.random.key(draw)))[1] for draw in range(DRAWS)]
        values["evaluations"] = sum(map(int, evaluations)) / DRAWS

    return Side(run, DRAWS, values)


def by_torchdiffeq(epochs: int = EPOCHS) -> Side:
    """Take a step with PyTorch and torchdiffeq, the batch as one state, back-propagated through the solver."""
    import torch
    from torch.nn import functional
    from torchdiffeq import odeint

    from mcgc.nets import unpack

    flat, batch, settings, *_ = start(epochs)
    sizes, m = layer_sizes(), flat.size
    # linear layers of torch hold the transpose
    theta = [torch.tensor(np.ascontiguousarray(x.T)) for layer in unpack(flat, sizes) for x in layer]
    log_lam = torch.tensor(settings.log_lam0)
    times = torch.tensor(batch.times[0], dtype=torch.float32)
    parameters, states = torch.tensor(batch.parameters), torch.tensor(batch.states)
    optimizer = torch.optim.Adam(theta, settings.learning_rate, foreach=True)
    optimizer_lam = torch.optim.Adam([log_lam], settings.learning_rate_lam, foreach=True)
    initial, evaluations = [x.clone() for x in theta], 0

    def objective(theta: Any) -> Any:
        def field(t: Any, y: Any) -> Any:
            nonlocal evaluations
            evaluations += 1
            x = torch.cat([y, parameters], -1)
            for w, b in zip(theta[:-2:2], theta[1:-2:2], strict=True):
                x = functional.linear(x, w, b).relu()
            return functional.linear(x, theta[-2], theta[-1])

        found = odeint(field, states[:, 0], times, rtol=settings.rtol, atol=settings.atol, method="dopri5")
        return (found.transpose(0, 1) - states).square().mean()

    def evaluate(theta: Any) -> tuple:
        inputs = [x.requires_grad_() for x in theta]
        loss = objective(inputs)
        return loss.detach(), torch.autograd.grad(loss, inputs)

    loss, gradients = evaluate([x.clone() for x in theta])
    values = {"loss": loss.item(), "gradient": np.concatenate([g.numpy().T.ravel() for g in gradients])}

    def step() -> None:
        torch._foreach_copy_(theta, initial)
        log_lam.fill_(settings.log_lam0)
        noise = torch.randn(m)
        eps = [part.view_as(x) for part, x in zip(noise.split([x.numel() for x in theta]), theta, strict=True)]
        loss, gradients = evaluate(torch._foreach_add(theta, torch._foreach_mul(eps, torch.exp(log_lam / 2))))
        for x, gradient in zip(theta, gradients, strict=True):
            x.grad = gradient
        penalty = settings.beta * m * torch.exp(log_lam - settings.log_lam0)
        log_lam.grad = (torch.dot(noise, noise) - m) / 2 * loss + penalty
        optimizer.step()
        optimizer_lam.step()

    def run() -> None:
        nonlocal evaluations
        torch.manual_seed(0)
        evaluations = 0
        for _ in range(DRAWS):
            step()
        values["evaluations"] = evaluations / DRAWS

    return Side(run, DRAWS, values)


def layer_sizes() -> tuple[int, ...]:
    """Return the sizes of the recipe's net."""
    return (5, *(50,) * 19, 3)


SIDES = {"mcgc": ours, "diffrax": by_diffrax, "torchdiffeq": by_torchdiffeq}


def rows(plan: Plan) -> list[Row]:
    """Time a step, at the initial parameters if in a hurry."""
    options = {"epochs": 0 if plan.quick else EPOCHS}
    start(**options)  # the sides find it in the cache
    return compare(plan, "lorenz-step", __name__, list(SIDES), TOLERANCES, TARGETS, options)
