"""Baselines: what a prediction without a net would be."""

from collections.abc import Sequence

import numpy as np

RIDGE = 1e-9  # relative to the mean square of the columns: least squares of equal columns then have one answer


def linear(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the coefficients (features + 1, targets) of the linear model by least squares, the constant last."""
    x = np.column_stack([features, np.ones(len(features))])
    return _least_squares(x, targets)


def _least_squares(x: np.ndarray, targets: np.ndarray) -> np.ndarray:
    square = x.T @ x
    return np.linalg.solve(square + RIDGE * np.trace(square) / len(square) * np.eye(len(square)), x.T @ targets)


def apply_linear(coefficients: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Return the predictions of a linear model."""
    return features @ coefficients[:-1] + coefficients[-1]


def linear_dynamics(
    times: Sequence[np.ndarray], states: Sequence[np.ndarray], inputs: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrix and the inputs' matrix of dy/dt = A y + B (u, 1), by least squares over all intervals.

    In an interval, y and u count as the means of both ends. Each series has times (n,), states (n, D) without gaps, and
    inputs (n, P).
    """
    rows, targets = [], []
    for t, y, u in zip(times, states, inputs, strict=True):
        step = np.diff(t)[:, None]
        middle = np.column_stack([(y[1:] + y[:-1]) / 2, (u[1:] + u[:-1]) / 2, np.ones(len(step))])
        rows.append(step * middle)
        targets.append(np.diff(y, axis=0))
    x, z = np.concatenate(rows), np.concatenate(targets)
    found = _least_squares(x, z).T
    d = z.shape[1]
    return found[:, :d], found[:, d:]


def linear_course(
    matrix: np.ndarray, inputs_matrix: np.ndarray, times: np.ndarray, start: np.ndarray, inputs: np.ndarray
) -> np.ndarray:
    """Return the states (n, D) of dy/dt = A y + B (u, 1) from `start` on.

    In an interval, u is the mean of both ends.
    """
    from scipy.linalg import expm

    d, course = len(start), [start]
    for i, step in enumerate(np.diff(times)):
        drive = inputs_matrix @ np.append((inputs[i] + inputs[i + 1]) / 2, 1.0)
        block = np.zeros((d + 1, d + 1))
        block[:d, :d], block[:d, d] = matrix * step, drive * step
        course.append((expm(block) @ np.append(course[-1], 1.0))[:d])
    return np.stack(course)
