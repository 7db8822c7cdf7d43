"""Sweeps: many runs of one problem with different settings, in one file.

`mcgc.sweep` is `sweep`. A trial is a run of one member or more with settings from a space. The points of the space are
a grid, random, of Sobol's sequence, or chosen by Optuna from the trials before.

The file of a sweep is HDF5, of the format `mcgc-sweep`, version 1 (root attributes `format` and `version`). `header`
and `sentences` are JSON as bytes: what was swept, and why each trial failed. The group `trials` has a row a trial:
`number`, `status` (0 finished, 1 pruned, 2 failed), `epochs` and `seconds`, (trials,); `key`, the bytes of SHA-256; and
`best_epoch`, `train_loss`, `validation_loss`, `test_loss` and `test_accuracy` at the best epoch of each member,
(trials, members), NaN where there is no such number. The group `values` has an array a searched setting, (trials,): its
value, or the index of its choice. All arrays carry checksums.
"""

from mcgc.sweeps._results import Interval, Results, read
from mcgc.sweeps._setup import METHODS
from mcgc.sweeps._space import Range
from mcgc.sweeps._sweep import SweepHook, sweep
from mcgc.sweeps._trial import Trial

__all__ = ["METHODS", "Interval", "Range", "Results", "SweepHook", "Trial", "read", "sweep"]
