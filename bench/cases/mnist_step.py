"""One training step with continuation of the paper's MNIST net: noise, loss, gradient, λ-gradient, Adam on θ and φ.

The net is 784–(29 × 50)–10, the batch 250 rows, the loss the cross-entropy of the softmax's output taken as logits.
Pixels and labels are random: their values do not change the work.
"""

from typing import Any

import numpy as np

from bench.comparison import Plan, Row, compare
from bench.timing import Side
from bench.transfers import transfers_to

DEPTH, WIDTH, BATCH, PIXELS, CLASSES = 30, 50, 250, 784, 10
RATE, RATE_LAM, BETA, LOG_LAM0, CAP = 1e-4, 1e-2, 1e-3, -13.0, 2.0
DECAYS, EPSILON = (0.9, 0.999), 1e-8
STEPS = 16  # steps a run, each with a batch of its own


def start(depth: int, width: int, batch: int) -> tuple:
    """Return the layer sizes, θ, and the pixels (steps, batch, 784) and labels (steps, batch)."""
    from mcgc import nets
    from mcgc.random import Key

    sizes = layer_sizes(depth, width)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (STEPS, batch, PIXELS), np.uint8).astype(np.float32) / 255
    return sizes, nets.init(Key(0), sizes), images, rng.integers(0, CLASSES, (STEPS, batch))


def layer_sizes(depth: int = DEPTH, width: int = WIDTH) -> tuple[int, ...]:
    """Return the sizes of the net."""
    return (PIXELS, *(width,) * (depth - 1), CLASSES)


def ours(depth: int = DEPTH, width: int = WIDTH, batch: int = BATCH, num_samples: int = 1, device: str = "cpu") -> Side:
    """Take the steps with mcgc."""
    from mcgc import Key, fold_in, value_and_grad
    from mcgc.arrays import to_host
    from mcgc.continuation import continuation
    from mcgc.losses import cross_entropy_of_softmax
    from mcgc.nets import apply
    from mcgc.optim import adam

    sizes, theta, images, labels = start(depth, width, batch)
    transfers = transfers_to(device)
    theta, batches = (
        transfers.put(theta),
        [tuple(map(transfers.put, pair)) for pair in zip(images, labels, strict=True)],
    )

    def objective(theta: Any, batch: tuple) -> Any:
        pixels, classes = batch
        return cross_entropy_of_softmax(apply(theta, pixels, sizes), classes)

    options = {"log_lam0": LOG_LAM0, "beta": BETA, "cap": CAP, "num_samples": num_samples}
    method = continuation(objective, adam(RATE), adam(RATE_LAM), **options)
    state = method.init(theta)

    def run() -> None:
        nonlocal state
        for batch in batches:
            state, _ = method.step(state, batch, fold_in(Key(0), state.steps), donate=True)
        transfers.wait(state.log_lam)

    loss, gradient = map(to_host, value_and_grad(objective)(theta, batches[0]))  # a run overwrites θ
    return Side(run, STEPS, {"loss": loss, "gradient": gradient})


def by_jax(
    depth: int = DEPTH, width: int = WIDTH, batch: int = BATCH, num_samples: int = 1, members: int | None = None
) -> Side:
    """Take the steps with JAX and optax, all of them inside one compiled scan; θ is a list of layers.

    Members, if there are any, are mapped over (vmap).
    """
    import jax
    import jax.numpy as jnp
    import optax
    from jax.flatten_util import ravel_pytree

    from mcgc.nets import unpack

    sizes, flat, images, labels = start(depth, width, batch)
    m = flat.size
    theta = [(jnp.asarray(w), jnp.asarray(b)) for w, b in unpack(flat, sizes)]
    images, labels = jnp.asarray(images), jnp.asarray(labels)
    optimizer, optimizer_lam = optax.adam(RATE), optax.adam(RATE_LAM)

    def objective(theta: Any, batch: tuple) -> Any:
        x, classes = batch
        *hidden, (weights, biases) = theta
        for w, b in hidden:
            x = jax.nn.relu(x @ w + b)
        outputs = jax.nn.softmax(x @ weights + biases)
        return optax.softmax_cross_entropy_with_integer_labels(outputs, classes).mean()

    def sample(theta: Any, log_lam: Any, batch: tuple, key: Any) -> tuple:
        leaves, structure = jax.tree.flatten(theta)
        keys = jax.random.split(key, len(leaves))
        eps = [jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
        root = jnp.exp(log_lam / 2)
        perturbed = structure.unflatten([leaf + root * e for leaf, e in zip(leaves, eps, strict=True)])
        loss, gradient = jax.value_and_grad(objective)(perturbed, batch)
        return gradient, (sum(jnp.vdot(e, e) for e in eps) - m) / 2 * loss

    def step(state: tuple, batch: tuple) -> tuple:
        theta, log_lam, inner, inner_lam, key = state
        key, *keys = jax.random.split(key, 1 + num_samples)
        drawn = [sample(theta, log_lam, batch, k) for k in keys]
        gradient, gradient_lam = jax.tree.map(lambda *parts: sum(parts) / num_samples, *drawn)
        updates, inner = optimizer.update(gradient, inner)
        grad_log_lam_total = gradient_lam + BETA * m * jnp.exp(log_lam - LOG_LAM0)
        update, inner_lam = optimizer_lam.update(grad_log_lam_total, inner_lam)
        log_lam = jnp.minimum(log_lam + update, LOG_LAM0 + CAP)
        return (optax.apply_updates(theta, updates), log_lam, inner, inner_lam, key), None

    def steps(state: tuple) -> tuple:
        return jax.lax.scan(step, state, (images, labels))[0]

    log_lam = jnp.asarray(LOG_LAM0, jnp.float32)
    state = (theta, log_lam, optimizer.init(theta), optimizer_lam.init(log_lam), jax.random.key(0))
    epoch = jax.jit(steps if members is None else jax.vmap(steps))
    if members is not None:
        state = jax.tree.map(lambda x: jnp.stack([x] * members), state)

    def run() -> None:
        nonlocal state
        state = jax.block_until_ready(epoch(state))

    loss, gradient = jax.jit(jax.value_and_grad(objective))(theta, (images[0], labels[0]))
    return Side(run, STEPS, {"loss": np.asarray(loss), "gradient": np.asarray(ravel_pytree(gradient)[0])})


def by_torch(depth: int = DEPTH, width: int = WIDTH, batch: int = BATCH) -> Side:
    """Take the steps with PyTorch, eagerly, a tensor for each weight and bias and the foreach Adam, as its users do."""
    return _by_torch(depth, width, batch, flat=False)


def by_torch_flat(depth: int = DEPTH, width: int = WIDTH, batch: int = BATCH) -> Side:
    """Take the steps with PyTorch as fast as it goes: θ is one tensor, the layers its views, and Adam is fused."""
    return _by_torch(depth, width, batch, flat=True)


def _by_torch(depth: int, width: int, batch: int, flat: bool) -> Side:
    import torch
    from torch.nn import functional

    from mcgc.nets import unpack

    sizes, start_theta, images, labels = start(depth, width, batch)
    layers = [torch.tensor(x) for layer in unpack(start_theta, sizes) for x in layer]
    shapes, lengths, m = [x.shape for x in layers], [x.numel() for x in layers], start_theta.size
    theta = [torch.tensor(start_theta)] if flat else layers
    log_lam = torch.tensor(LOG_LAM0)
    images, labels = torch.from_numpy(images), torch.from_numpy(labels)
    kind = {"fused": True} if flat else {"foreach": True}
    optimizer = torch.optim.Adam(theta, RATE, **kind)
    optimizer_lam = torch.optim.Adam([log_lam], RATE_LAM, **kind)

    def evaluate(theta: Any, x: Any, classes: Any) -> tuple:
        for part in theta:
            part.requires_grad_()
        parts = theta
        if flat:
            parts = [part.view(shape) for part, shape in zip(theta[0].split(lengths), shapes, strict=True)]
        for w, b in zip(parts[:-2:2], parts[1:-2:2], strict=True):
            x = torch.addmm(b, x, w).relu()
        outputs = torch.addmm(parts[-1], x, parts[-2]).softmax(-1)
        loss = functional.cross_entropy(outputs, classes)
        return loss.detach(), torch.autograd.grad(loss, theta)

    def run() -> None:
        for x, classes in zip(images, labels, strict=True):
            eps, root = torch.randn(m), torch.exp(log_lam / 2)
            noise = [eps] if flat else [e.view(s) for e, s in zip(eps.split(lengths), shapes, strict=True)]
            perturbed = torch._foreach_add(theta, torch._foreach_mul(noise, root))
            loss, gradients = evaluate(perturbed, x, classes)
            for part, gradient in zip(theta, gradients, strict=True):
                part.grad = gradient
            score = (torch.dot(eps, eps) - m) / 2 * loss
            log_lam.grad = score + BETA * m * torch.exp(log_lam - LOG_LAM0)
            optimizer.step()
            optimizer_lam.step()
            log_lam.clamp_(max=LOG_LAM0 + CAP)

    loss, gradients = evaluate([part.clone() for part in theta], images[0], labels[0])
    gradient = torch.cat([part.ravel() for part in gradients])
    return Side(run, STEPS, {"loss": loss.item(), "gradient": gradient.numpy()})


def by_autograd(depth: int = DEPTH, width: int = WIDTH, batch: int = BATCH) -> Side:
    """Take the steps with autograd and NumPy; θ is one vector, and the net sees views of it."""
    import autograd.numpy as anp
    from autograd import value_and_grad

    from mcgc.nets import unpack

    sizes, theta, images, labels = start(depth, width, batch)
    m, chosen = theta.size, np.eye(CLASSES, dtype=np.float32)[labels]
    rng = np.random.default_rng(0)

    def softmax(x: Any) -> Any:
        e = anp.exp(x - anp.max(x, axis=-1, keepdims=True))
        return e / anp.sum(e, axis=-1, keepdims=True)

    def objective(layers: Any, x: Any, chosen: Any) -> Any:
        for w, b in layers[:-1]:
            x = anp.maximum(anp.dot(x, w) + b, 0)
        outputs = softmax(anp.dot(x, layers[-1][0]) + layers[-1][1])  # in (0, 1): its logarithm needs no shift
        return anp.mean(anp.log(anp.sum(anp.exp(outputs), axis=-1)) - anp.sum(outputs * chosen, axis=-1))

    evaluate = value_and_grad(objective)

    def adam(x: Any, g: Any, state: tuple, rate: float) -> tuple:
        count, mean, square = state
        count, mean, square = (
            count + 1,
            DECAYS[0] * mean + (1 - DECAYS[0]) * g,
            DECAYS[1] * square + (1 - DECAYS[1]) * g**2,
        )
        corrected = square / (1 - DECAYS[1] ** count)
        return x - rate / (1 - DECAYS[0] ** count) * mean / (np.sqrt(corrected) + EPSILON), (count, mean, square)

    def flat(gradient: Any) -> Any:
        return np.concatenate([part.ravel() for layer in gradient for part in layer])

    log_lam = np.float32(LOG_LAM0)
    state, state_lam = (0, np.zeros_like(theta), np.zeros_like(theta)), (0, np.float32(0), np.float32(0))
    first = evaluate(unpack(theta, sizes), images[0], chosen[0])

    def run() -> None:
        nonlocal theta, log_lam, state, state_lam
        for x, classes in zip(images, chosen, strict=True):
            eps = rng.standard_normal(m, np.float32)
            loss, gradient = evaluate(unpack(theta + np.exp(log_lam / 2) * eps, sizes), x, classes)
            theta, state = adam(theta, flat(gradient), state, RATE)
            grad_log_lam_total = (eps @ eps - m) / 2 * loss + BETA * m * np.exp(log_lam - LOG_LAM0)
            log_lam, state_lam = adam(log_lam, np.float32(grad_log_lam_total), state_lam, RATE_LAM)
            log_lam = np.float32(min(log_lam, LOG_LAM0 + CAP))

    return Side(run, STEPS, {"loss": first[0], "gradient": flat(first[1])})


SIDES = {"mcgc": ours, "jax": by_jax, "torch": by_torch, "torch flat": by_torch_flat, "autograd": by_autograd}
TOLERANCES = {"loss": 1e-4, "gradient": 1e-4}
TARGETS = {"jax": {1: 2.5, 2: 4.0}, "torch": 3.0, "autograd": 5.0}


def rows(plan: Plan) -> list[Row]:
    """Time a step."""
    return compare(plan, "mnist-step", __name__, list(SIDES), TOLERANCES, TARGETS)
