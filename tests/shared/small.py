"""Small problems of the library's two kinds, and data for them: a classifier of images, and a neural ODE of decays."""

from typing import NamedTuple

import numpy as np

from mcgc import train
from mcgc.train import problems


class Series(NamedTuple):
    times: np.ndarray
    parameters: np.ndarray
    series: np.ndarray


class Labelled(NamedTuple):
    images: np.ndarray
    labels: np.ndarray


IMAGES = Labelled(np.arange(60, dtype=np.uint8).reshape(10, 2, 3), np.arange(10, dtype=np.uint8) % 3)


def bound(*args):
    """Return the task of a run, and its members as they are drawn."""
    task = train.bind(*args)
    return task, train.draw(task)


def decays(count=7, end=1.0):
    """Give `count` series of two exponentials, of two rates each."""
    times, rates = np.linspace(0, end, 4), np.linspace(0.5, 2, 2 * count).reshape(count, 2)
    return Series(times, rates, np.exp(-rates[:, None, :] * times[:, None]))


def net(*hidden, epochs):
    """Return a classifier of `IMAGES` with such hidden layers, and the recipe of mnist but for its sizes."""
    return problems.classifier(problems.get("mnist").recipe._replace(batch_size=4, epochs=epochs), (6, *hidden, 3))


def ode(*hidden):
    """Return a neural ODE of `decays` with such hidden layers, and the recipe of lorenz but for its sizes."""
    recipe = problems.get("lorenz").recipe._replace(epochs=1, warmup_epochs=0, batch_size=4)
    return problems.neural_ode(recipe, (4, *hidden, 2))
