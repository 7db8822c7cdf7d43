"""In how many directions the test images differ after the layers of a deep plain net: the participation ratio.

    python -m bench.studies.participation_ratio with.h5 without.h5 --data mnist.h5

A line for each member: its accuracy, how many classes it names, and of the values after every fifth layer the
participation ratio (Σ s)² / Σ s² of the eigenvalues s of their covariance: 1 if they lie on a line, n if they are
spread evenly in n directions.
"""

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

EVERY = 5


class Found(NamedTuple):
    """Of a member: the fraction right, the number of classes named, and the participation ratios."""

    accuracy: float
    classes: int
    ratios: tuple[float, ...]


def participation(values: np.ndarray) -> float:
    """Return the participation ratio of `values`, (examples, units): NaN if all examples have the same."""
    s = np.linalg.svd(np.asarray(values - values.mean(axis=0), np.float64), compute_uv=False) ** 2
    return float(s.sum() ** 2 / (s**2).sum()) if s.any() else float("nan")


def found_of(problem: Any, theta: np.ndarray, test: Any) -> Found:
    """Return what the net of `problem`, a classifier, with the parameters `theta` makes of the images of `test`."""
    from mcgc import nets

    sizes, pixels, ratios = problem.sizes, np.asarray(test.pixels, theta.dtype) / 255, []
    for layers in range(EVERY, len(sizes) - 1, EVERY):  # the parameters of the first layers come first
        head = sizes[: layers + 1]
        ratios.append(participation(np.maximum(nets.apply(theta[: nets.num_parameters(head)], pixels, head), 0)))
    counts = problem.confusion(theta, test)
    return Found(float(counts.trace() / counts.sum()), int(counts.any(axis=0).sum()), tuple(ratios))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each member of each run."""
    from mcgc_datasets import load

    from mcgc import train
    from mcgc.arrays import HOST
    from mcgc.train import Settings, problems, run_file

    parser = argparse.ArgumentParser(
        prog="python -m bench.studies.participation_ratio", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("runs", nargs="+", help="run files of mnist")
    parser.add_argument("--data", required=True, help="dataset that they were trained on")
    given = parser.parse_args(arguments)
    problem, data = problems.get("mnist"), load("mnist", given.data)
    for path in given.runs:
        run = run_file.load(path)
        test = train.bind(Settings(**{**run.settings, "members": 1}), data, HOST).test
        for member, theta in enumerate(run.theta):
            found = found_of(problem, theta, test)
            ratios = " ".join(f"{ratio:.1f}" for ratio in found.ratios)
            print(f"{path} {member}: {found.accuracy:.1%} right, {found.classes} classes named; {ratios}")


if __name__ == "__main__":
    main()
