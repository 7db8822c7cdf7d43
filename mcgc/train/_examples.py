"""Problems of examples without order: a dense net names images, or predicts numbers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mcgc import losses, nets
from mcgc.arrays import Array, Device, as_floats, namespace_of, to_device
from mcgc.errors import InputError, unknown
from mcgc.train._problem import Problem, init_of
from mcgc.train.settings import Settings

Loss = Callable[..., Array]  # one of `mcgc.losses`: (prediction, target, members) -> the mean


class Images(NamedTuple):
    """Labelled images as examples: `pixels` (batch, pixels) from 0 to 255, and `labels` (batch,), both uint8."""

    pixels: Array
    labels: Array


def classifier(recipe: Settings, sizes: Sequence[int], activation: str = "relu", summary: str = "") -> Problem:
    """Return the problem of naming what images show: logits = net(pixels / 255).

    Images stay bytes on the device, and only those of a batch become numbers.

    Parameters
    ----------
    recipe : Settings
        The recipe. Its `problem` is the name of the problem. Its `loss` is "cross-entropy", which is that of the
        logits, or "softmax-cross-entropy", which takes the softmax of the logits as if it were the logits, as the paper
        does.
    sizes : sequence of int
        The sizes of the dense net, from the number of pixels to the number of classes.
    activation : str
        Its activation, one of `mcgc.nets.ACTIVATIONS`.
    summary : str
        What the problem is in a few words.

    Returns
    -------
    Problem
        The problem. Its data have `images` (S, height, width), uint8, and `labels` (S,), integers from 0 to the number
        of classes less one.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> from mcgc import train
    >>> recipe = train.Settings("stripes", 0.01, -8.0, 0.01, 0.01, epochs=50, batch_size=9, loss="cross-entropy")
    >>> problem = train.problems.classifier(recipe, (4, 8, 2))
    >>> images = np.array([[[255, 0], [255, 0]], [[0, 255], [0, 255]]] * 10, np.uint8)
    >>> data = SimpleNamespace(images=images, labels=np.array([0, 1] * 10, np.uint8))
    >>> *_, (record, theta) = train.fit(recipe, data, problem=problem)
    >>> print(record.test_accuracy[0])
    1.0
    """
    sizes = tuple(sizes)
    known: dict[str, Loss] = {
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

    def objective(settings: Settings) -> Callable[[Array, Any], tuple[Array, Any]]:
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

    Parameters
    ----------
    recipe : Settings
        The recipe. Its `problem` is the name of the problem. Its `loss` is "mse" (the default), "mae" or "huber", each
        a mean over rows and targets (`mcgc.losses`).
    sizes : sequence of int
        The sizes of the dense net, from the number of inputs to the number of targets.
    activation : str
        Its activation, one of `mcgc.nets.ACTIVATIONS`.
    summary : str
        What the problem is in a few words.

    Returns
    -------
    Problem
        The problem. Its data have `inputs` (S, inputs) and `targets` (S, targets).

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> from mcgc import train
    >>> recipe = train.Settings("line", 0.01, -12.0, 0.1, 0.01, epochs=50, batch_size=10)
    >>> problem = train.problems.regressor(recipe, (1, 1))
    >>> x = np.linspace(-1, 1, 100)[:, None]
    >>> *_, (record, theta) = train.fit(problem.recipe, SimpleNamespace(inputs=x, targets=2 * x), problem=problem)
    >>> print(theta.round(1) + 0.0)
    [[2. 0.]]
    """
    sizes = tuple(sizes)
    known: dict[str, Loss] = {"mse": losses.mse, "mae": losses.mae, "huber": losses.huber}

    def examples(data: Any, dtype: str, device: Device) -> Rows:
        found = Rows(*(to_device(as_floats(getattr(data, name), name), device, dtype) for name in Rows._fields))
        for (name, array), width in zip(found._asdict().items(), (sizes[0], sizes[-1]), strict=True):
            if array.ndim != 2 or array.shape[1] != width:
                raise InputError(f"{name} must have the shape (rows, {width}), got {tuple(array.shape)}")
        return found

    def objective(settings: Settings) -> Callable[[Array, Any], tuple[Array, Any]]:
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


def _loss(settings: Settings, known: Mapping[str, Loss]) -> Loss:
    """Return the loss that the settings name. Raises `InputError` if the problem does not have it."""
    if settings.loss is None or settings.loss not in known:
        raise InputError(unknown(f"loss of {settings.problem}", settings.loss, known))
    return known[settings.loss]
