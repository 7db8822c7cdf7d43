"""What the records of a run say: the gap of the smoothed loss, the noise of the λ-gradient, and hits of the cap."""

from typing import Any

import numpy as np

from mcgc.continuation._step import DECAY
from mcgc.train._task import Task
from mcgc.train.run_file import RunFile

LAST = 0.1  # of the epochs: those that count as the end of a run


def course_of(task: Task, run: RunFile, member: int) -> dict[str, Any]:
    """Return the numbers of a member's course; None where the run has no such number."""
    found: dict[str, Any] = {"gap": None, "lambda_ratio": None, "capped": None}
    if not task.settings.continuation:
        return found
    found["gap"] = _gap(task, run, member)
    state = run.states[0]
    steps = int(state["state/steps"][member])
    if task.settings.schedule != "learned" or steps == 0:
        return found
    moments = np.asarray(state["state/moments"][member], np.float64) / (1 - DECAY**steps)
    variance = moments[2] - moments[1] ** 2
    total = _end(run, "grad_log_lam_total", member)
    if len(total) and variance > 0:
        found["lambda_ratio"] = float(abs(total.mean()) / np.sqrt(variance))
    found["capped"] = float(state["state/capped"][member]) / steps
    return found


def _gap(task: Task, run: RunFile, member: int) -> float | None:
    """Return (smoothed − plain) / plain loss at the end, or None if they are losses of windows of another length."""
    intervals = task.problem.intervals
    whole = 0 if intervals is None else intervals(task.train)
    if run.epochs["horizon"][-1] not in (0, whole):
        return None
    smoothed, plain = (_end(run, name, member) for name in ("smoothed_loss", "train_loss"))
    if len(smoothed) != len(plain) or not len(plain) or not (plain > 0).all():
        return None
    return float(np.median((smoothed - plain) / plain))


def _end(run: RunFile, name: str, member: int) -> np.ndarray:
    """Return what is finite of a column in the last epochs that have the last horizon."""
    last = run.epochs["horizon"] == run.epochs["horizon"][-1]
    values = run.epochs[name][last, member]
    values = values[-max(1, round(LAST * run.epoch)) :]
    return values[np.isfinite(values)]
