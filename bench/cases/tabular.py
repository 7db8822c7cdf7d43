"""An epoch of a small net on a table: nine minibatches of the 1,797 handwritten digits of scikit-learn.

The net is 64–(10 × 16)–10 with rectifiers, the loss the cross-entropy, the batch 200 rows, which is the default of
`MLPClassifier`, and the optimiser Adam with the rate 10⁻³. The rows are shuffled before each epoch. There is neither
noise nor a penalty. Without scikit-learn the rows are random: their values do not change the work.
"""

import warnings
from itertools import pairwise
from typing import Any

import numpy as np

from bench.comparison import Plan, Row, compare
from bench.timing import Side

FEATURES, LAYERS, WIDTH, CLASSES = 64, 10, 16, 10
ROWS, BATCH, RATE = 1797, 200, 1e-3
EPOCHS = 20  # a run, always from the same θ: small gradients may take longer
TOLERANCES = {"loss": 1e-4, "gradient": 1e-4}
TARGETS = {"sklearn": 5.0}


def start() -> tuple:
    """Return the layer sizes, θ, the rows (n, 64), their labels (n,), and where the minibatches begin and end."""
    from mcgc import nets
    from mcgc.random import Key

    try:
        from sklearn.datasets import load_digits

        rows, labels = load_digits(return_X_y=True)
    except ModuleNotFoundError:
        rng = np.random.default_rng(0)
        rows, labels = rng.integers(0, 17, (ROWS, FEATURES)), rng.integers(0, CLASSES, ROWS)
    sizes = layer_sizes()
    bounds = [*range(0, len(rows), BATCH), len(rows)]
    return sizes, nets.init(Key(0), sizes), (rows / 16).astype(np.float32), labels, bounds


def layer_sizes() -> tuple[int, ...]:
    """Return the sizes of the net."""
    return (FEATURES, *(WIDTH,) * LAYERS, CLASSES)


def ours() -> Side:
    """Train with the functions of mcgc."""
    from mcgc import Key, fold_in, nets, value_and_grad
    from mcgc.losses import cross_entropy
    from mcgc.optim import adam
    from mcgc.random import permutation

    sizes, begun, rows, labels, bounds = start()
    evaluate = value_and_grad(lambda theta, x, y: cross_entropy(nets.apply(theta, x, sizes), y))
    optimizer = adam(RATE)
    loss, gradient = evaluate(begun, rows[:BATCH], labels[:BATCH])

    def run() -> None:
        theta = begun.copy()
        state = optimizer.init(theta)
        for epoch in range(EPOCHS):
            order = permutation(fold_in(Key(0), epoch), len(rows))
            for a, b in pairwise(bounds):
                chosen = order[a:b]
                _, slope = evaluate(theta, rows[chosen], labels[chosen])
                theta, state = optimizer.step(slope, state, theta, donate=True)

    return Side(run, EPOCHS, {"loss": loss, "gradient": gradient})


def by_sklearn() -> Side:
    """Train with scikit-learn's `MLPClassifier`, in one call of `fit`: its checks of the rows are made once.

    The gradient is the update of plain descent with the rate 2¹⁰.
    """
    from sklearn.neural_network import MLPClassifier

    from mcgc.nets import unpack

    warnings.simplefilter("ignore")  # that it has not converged
    sizes, theta, rows, labels, _ = start()
    same = {"hidden_layer_sizes": sizes[1:-1], "alpha": 0.0, "batch_size": BATCH}
    descent = MLPClassifier(
        **same, solver="sgd", learning_rate_init=2.0**10, momentum=0.0, nesterovs_momentum=False, shuffle=False
    )
    first = {"X": rows[:BATCH], "y": labels[:BATCH], "classes": range(CLASSES)}
    descent.partial_fit(**first)  # makes its weights, which become θ
    before = unpack(theta, sizes)
    for (weights, biases), w, b in zip(before, descent.coefs_, descent.intercepts_, strict=True):
        w[...], b[...] = weights, biases
    descent.partial_fit(**first)
    after = zip(descent.coefs_, descent.intercepts_, strict=True)
    parts = [(x - y) / 2**10 for pair in zip(before, after, strict=True) for x, y in zip(*pair, strict=True)]
    values = {"loss": descent.loss_, "gradient": np.concatenate([part.ravel() for part in parts])}
    model = MLPClassifier(**same, learning_rate_init=RATE, max_iter=EPOCHS, tol=0.0, n_iter_no_change=EPOCHS + 1)
    return Side(lambda: model.fit(rows, labels), EPOCHS, values)


def by_jax() -> Side:
    """Train with JAX and optax, an epoch in one compiled scan.

    The last minibatch is filled up with rows without weight.
    """
    import jax
    import jax.numpy as jnp
    import optax

    from mcgc.nets import unpack

    sizes, flat, rows, labels, bounds = start()
    theta = [(jnp.asarray(w), jnp.asarray(b)) for w, b in unpack(flat, sizes)]
    rows, labels = jnp.asarray(rows), jnp.asarray(labels)
    steps, optimizer = len(bounds) - 1, optax.adam(RATE)
    weights = (jnp.arange(steps * BATCH) < len(rows)).astype(jnp.float32).reshape(steps, BATCH)

    def objective(theta: Any, x: Any, y: Any, weights: Any) -> Any:
        for w, b in theta[:-1]:
            x = jax.nn.relu(x @ w + b)
        losses = optax.softmax_cross_entropy_with_integer_labels(x @ theta[-1][0] + theta[-1][1], y)
        return jnp.sum(losses * weights) / jnp.sum(weights)

    evaluate = jax.value_and_grad(objective)

    def step(state: tuple, batch: tuple) -> tuple:
        theta, inner = state
        chosen, weights = batch
        _, gradient = evaluate(theta, rows[chosen], labels[chosen], weights)
        updates, inner = optimizer.update(gradient, inner)
        return (optax.apply_updates(theta, updates), inner), None

    @jax.jit
    def epoch(state: tuple, key: Any) -> tuple:
        order = jnp.pad(jax.random.permutation(key, len(rows)), (0, steps * BATCH - len(rows)))
        return jax.lax.scan(step, state, (order.reshape(steps, BATCH), weights))[0]

    loss, gradient = jax.jit(evaluate)(theta, rows[:BATCH], labels[:BATCH], weights[0])

    def run() -> None:
        state = theta, optimizer.init(theta)
        for number in range(EPOCHS):
            state = epoch(state, jax.random.key(number))
        jax.block_until_ready(state)

    parts = [np.asarray(part).ravel() for layer in gradient for part in layer]
    return Side(run, EPOCHS, {"loss": np.asarray(loss), "gradient": np.concatenate(parts)})


def by_torch_flat() -> Side:
    """Train with PyTorch as fast as it goes: θ is one tensor, the layers its views, and Adam is fused."""
    import torch
    from torch.nn import functional

    from mcgc.nets import unpack

    sizes, flat, rows, labels, bounds = start()
    shapes = [x.shape for layer in unpack(flat, sizes) for x in layer]
    lengths = [int(np.prod(shape)) for shape in shapes]
    rows, labels = torch.from_numpy(rows), torch.from_numpy(labels)

    def evaluate(theta: Any, x: Any, y: Any) -> tuple:
        parts = [part.view(shape) for part, shape in zip(theta.split(lengths), shapes, strict=True)]
        for w, b in zip(parts[:-2:2], parts[1:-2:2], strict=True):
            x = torch.addmm(b, x, w).relu()
        loss = functional.cross_entropy(torch.addmm(parts[-1], x, parts[-2]), y)
        return loss, torch.autograd.grad(loss, theta)[0]

    loss, gradient = evaluate(torch.tensor(flat).requires_grad_(), rows[:BATCH], labels[:BATCH])

    def run() -> None:
        theta = torch.tensor(flat).requires_grad_()
        optimizer = torch.optim.Adam([theta], RATE, fused=True)
        for _ in range(EPOCHS):
            order = torch.randperm(len(rows))
            for a, b in pairwise(bounds):
                chosen = order[a:b]
                theta.grad = evaluate(theta, rows[chosen], labels[chosen])[1]
                optimizer.step()

    return Side(run, EPOCHS, {"loss": loss.item(), "gradient": gradient.numpy()})


SIDES = {"mcgc": ours, "sklearn": by_sklearn, "jax": by_jax, "torch flat": by_torch_flat}


def rows(plan: Plan) -> list[Row]:
    """Time an epoch."""
    return compare(plan, "tabular", __name__, list(SIDES), TOLERANCES, TARGETS)
