"""A small table to sweep on, hooks that stop a sweep, and what of trials must be equal."""

import numpy as np

from mcgc.sweeps import Range, SweepHook

X = np.linspace(-1, 1, 40)
TABLE = {"x": X, "y": np.sin(3 * X)}
SPACE = {"learning_rate": Range(1e-4, 1e-1, log=True), "hidden": ["4", "8,8"]}
HOW = {"target": "y", "epochs": 3, "members": 2}


class Stopped(Exception):
    """The sweep is to end."""


class Stop(SweepHook):
    """Ends a sweep after so many trials, or epochs; and notes what it is told."""

    def __init__(self, trials=None, epochs=None):
        self.trials, self.epochs, self.told, self.records = trials, epochs, [], []
        self.sentences, self.begun = [], None

    def begin(self, results, count):
        self.begun = len(results.trials), count

    def after_epoch(self, record):
        self.records.append(record)
        if len(self.records) == self.epochs:
            raise Stopped

    def after_trial(self, trial):
        self.told.append(trial)
        if len(self.told) == self.trials:
            raise Stopped

    def message(self, sentence):
        self.sentences.append(sentence)


def bits(trials):
    """Return what of trials depends on no clock."""
    return [trial._replace(seconds=0.0) for trial in trials]
