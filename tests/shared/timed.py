"""A problem that other processes import: a mean by steps, which take some time and are noted in a file."""

import os
import time

import numpy as np

from mcgc.arrays import to_device
from mcgc.autodiff import ops
from mcgc.train import Problem, Settings

SETTINGS = Settings("timed", 0.1, -2.0, 0.05, 0.1, epochs=6, batch_size=5, members=12, continuation=True)
DATA = np.linspace(0, 1, 11)


def problem(sleep=0.0, log=None, crash=None):
    """Return a problem whose loss takes `sleep` seconds, and notes its process in the file `log`."""

    def loss(theta, rows):
        time.sleep(sleep)
        if log is not None:
            with open(log, "a") as file:
                file.write(f"{os.getpid()}\n")
        return ops.mean(ops.square(theta - rows)), None

    return Problem(
        "timed",
        "a mean, not quickly",
        SETTINGS,
        examples=lambda data, dtype, device: to_device(data, device, dtype),
        init=lambda key, dtype, device: to_device([key.bits % 7], device, dtype),
        objective=lambda settings: loss,
        load=lambda path: DATA,
    )
