"""How near mcgc comes to what the BLAS can do: bare products of the same shapes, or at the same rate."""

from itertools import pairwise

import numpy as np

from bench.cases import lorenz_step, mnist_step
from bench.comparison import Plan, Row
from bench.timing import Side, measure, ratio, spread

TARGET = 0.70
ROWS, WIDTH = 250, 50  # of the product whose rate bounds lorenz-step


def step_products() -> Side:
    """Compute the products of a step of mnist-step, forward and backward, into arrays that are there."""
    sizes = (mnist_step.PIXELS, *(mnist_step.WIDTH,) * (mnist_step.DEPTH - 1), mnist_step.CLASSES)
    rng = np.random.default_rng(0)
    values = [rng.standard_normal((mnist_step.BATCH, n), np.float32) for n in sizes]
    weights = [rng.standard_normal(shape, np.float32) for shape in pairwise(sizes)]
    products = []
    for layer, w in enumerate(weights):
        x, y = values[layer], values[layer + 1]
        products += [(x, w, np.empty_like(y)), (x.T, y, np.empty_like(w))]
        if layer:  # the pixels need no gradient
            products.append((y, w.T, np.empty_like(x)))

    def run() -> None:
        for a, b, out in products:
            np.matmul(a, b, out=out)

    return Side(run, 1, {})


def product() -> Side:
    """Compute one product of 250 × 50 by 50 × 50."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((ROWS, WIDTH), np.float32), rng.standard_normal((WIDTH, WIDTH), np.float32)
    out = np.empty((ROWS, WIDTH), np.float32)
    return Side(lambda: np.matmul(a, b, out=out), 1, {})


SIDES = {"mnist-step": mnist_step.ours, "products": step_products, "lorenz-step": lorenz_step.ours, "product": product}


def rows(plan: Plan) -> list[Row]:
    """Give both shares, of one thread."""
    seconds = plan.rounds, plan.seconds
    found = measure(__name__, ("mnist-step", "products"), {}, 1, *seconds)
    step, bare = found["mnist-step"].seconds(1), found["products"].seconds(1)
    note = "bare BLAS calls of the same shapes / mnist-step"
    table = [Row("limit", 1, "BLAS of mnist-step", spread(bare), ratio(bare, step), TARGET, note)]

    options = {"epochs": 0 if plan.quick else lorenz_step.EPOCHS}
    lorenz_step.start(**options)
    taken = measure(__name__, ("lorenz-step",), options, 1, *seconds)["lorenz-step"]
    bare = measure(__name__, ("product",), {}, 1, *seconds)["product"].seconds(1)
    rate = 2 * ROWS * WIDTH * WIDTH / spread(bare).median
    weights = sum(a * b for a, b in pairwise(lorenz_step.layer_sizes()))
    # a product forward and two backward for every evaluation of the net on the batch
    operations = 3 * 2 * lorenz_step.BATCH * weights * taken.values["evaluations"]
    bound = [operations / rate] * plan.rounds
    note = f"operations at {rate / 1e9:.0f} GFlop/s, the BLAS's at 250 × 50 × 50 / lorenz-step"
    share = ratio(bound, taken.seconds(1))
    return [*table, Row("limit", 1, "BLAS rate of lorenz-step", spread(bound), share, None, note)]
