"""Problems of examples without order: a dense net names images, or predicts numbers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mcgc import losses, nets
from mcgc.arrays import Array, Device, as_floats, namespace_of, to_device
from mcgc.errors import InputError, unknown
from mcgc.train._problem import Problem, init_of
from mcgc.train.settings import Settings


class Images(NamedTuple):
    """Labelled images as examples: `pixels` (batch, pixels) from 0 to 255, and `labels` (batch,), both uint8."""

    pixels: Array
    labels: Array


def classifier(recipe: Settings, sizes: Sequence[int], activation: str = "relu", summary: str = "") -> Problem:
    """Return the problem of naming what images show: logits = net(pixels / 255).

    `sizes` are those of a dense net, from the pixels to the classes. The problem has the name `recipe.problem`. Data
    have `images` (S, height, width), uint8, and `labels` (S,), whole numbers below the number of classes.

    Images stay bytes on the device, and only those of a batch become numbers. The loss "cross-entropy" is that of
    the logits; "softmax-cross-entropy" takes the softmax of the logits as if it were the logits, as the paper does.
    """
    sizes = tuple(sizes)
    known: dict[str, Callable] = {
        "cross-entropy": losses.cross_entropy,
        "softmax-cross-entropy": losses.cross_entropy_of_softmax,
    }

    def examples(data: Any, dtype: str, device: Device) -> Images:
        count = data.images.shape[0]
        return Images(to_device(data.images.reshape(count, -1), device), to_device(data.labels, device))

    def logits(theta: Array, pixels: Array) -> Array:
        x = namespace_of(pixels).astype(pixels, theta.dtype)
        x /= 255
        return nets.apply(theta, x, sizes, activation)

    def objective(settings: Settings) -> Callable:
        loss = _loss(settings, known)
        return lambda theta, batch: (loss(logits(theta, batch.pixels), batch.labels, theta.ndim - 1), None)

    def accuracy(theta: Array, batch: Images) -> Array:
        return losses.accuracy(logits(theta, batch.pixels), batch.labels, theta.ndim - 1)

    def confusion(theta: Array, batch: Images) -> Array:
        return losses.confusion(logits(theta, batch.pixels), batch.labels)

    return Problem(
        recipe.problem,
        summary,
        recipe,
        examples,
        init_of(sizes),
        objective,
        options=("loss",),
        shuffled=True,
        accuracy=accuracy,
        stacked=True,
        confusion=confusion,
        model={"kind": "classifier", "sizes": list(sizes), "activation": activation},
    )


class Rows(NamedTuple):
    """Rows of a table as examples: `inputs` (batch, inputs) and `targets` (batch, targets)."""

    inputs: Array
    targets: Array


def regressor(recipe: Settings, sizes: Sequence[int], activation: str = "relu", summary: str = "") -> Problem:
    """Return the problem of predicting numbers from numbers: targets = net(inputs).

    `sizes` are those of a dense net, from the inputs to the targets. The problem has the name `recipe.problem`. Data
    have `inputs` (S, inputs) and `targets` (S, targets). The loss is "mse" (the default), "mae" or "huber", each a mean
    over rows and targets (`mcgc.losses`).
    """
    sizes = tuple(sizes)
    known: dict[str, Callable] = {"mse": losses.mse, "mae": losses.mae, "huber": losses.huber}

    def examples(data: Any, dtype: str, device: Device) -> Rows:
        found = Rows(*(to_device(as_floats(getattr(data, name), name), device, dtype) for name in Rows._fields))
        for (name, array), width in zip(found._asdict().items(), (sizes[0], sizes[-1]), strict=True):
            if array.ndim != 2 or array.shape[1] != width:
                raise InputError(f"{name} must have the shape (rows, {width}), got {tuple(array.shape)}")
        return found

    def objective(settings: Settings) -> Callable:
        loss = _loss(settings, known)

        def of(theta: Array, batch: Rows) -> tuple[Array, None]:
            return loss(nets.apply(theta, batch.inputs, sizes, activation), batch.targets, members=theta.ndim - 1), None

        return of

    return Problem(
        recipe.problem,
        summary,
        recipe if recipe.loss else recipe._replace(loss="mse"),
        examples,
        init_of(sizes),
        objective,
        options=("loss",),
        shuffled=True,
        stacked=True,
        model={"kind": "regressor", "sizes": list(sizes), "activation": activation},
    )


def _loss(settings: Settings, known: Mapping[str, Callable]) -> Callable:
    """Return the loss that the settings name. Raises `InputError` if the problem does not have it."""
    if settings.loss is None or settings.loss not in known:
        raise InputError(unknown(f"loss of {settings.problem}", settings.loss, known))
    return known[settings.loss]
