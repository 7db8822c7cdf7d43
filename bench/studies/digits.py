"""Digits of scikit-learn: mcgc.sklearn beside MLPClassifier, fold by fold: `python -m bench.studies.digits`.

All train on the same folds in turn, on one thread, with their defaults but for the hidden layers. Times are processor
times of `fit`. The folds of seeds 7 and 8 were used to choose the defaults, so these begin at 100.
"""

import os
import sys
import time

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
SHAPES = {"10 x 16": (16,) * 10, "1 x 100": (100,)}
FIRST_SEED = 100


def models(seed, epochs=None):
    """Return the models by name, ready to be trained; `epochs` makes them short."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from mcgc.sklearn import ContinuationClassifier

    theirs, ours = ({}, {}) if epochs is None else ({"max_iter": epochs}, {"epochs": epochs})
    found = {}
    for name, shape in SHAPES.items():
        mlp = lambda shape=shape: MLPClassifier(shape, random_state=seed, **theirs)
        found[f"MLPClassifier, {name}"] = mlp()
        found[f"MLPClassifier, {name}, scaled"] = make_pipeline(StandardScaler(), mlp())
        variants = {"": {}, ", no continuation": {"continuation": False}}
        if len(shape) > 1:
            variants[", skip"] = {"skip": True}
        for label, how in variants.items():
            model = ContinuationClassifier(shape, random_state=seed, **how, **ours)
            found[f"ContinuationClassifier, {name}{label}"] = model
    return found


def study(repeats, epochs=None):
    """Return the accuracies and the processor times of each model, one for each fold of each repeat."""
    import warnings

    from sklearn.datasets import load_digits
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import StratifiedKFold

    x, y = load_digits(return_X_y=True)
    found = {name: ([], []) for name in models(0)}
    for repeat in range(repeats):
        folds = StratifiedKFold(5, shuffle=True, random_state=FIRST_SEED + repeat).split(x, y)
        for fold, (train, test) in enumerate(folds):
            for name, model in models(10 * (FIRST_SEED + repeat) + fold, epochs).items():
                began = time.process_time()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    model.fit(x[train], y[train])
                found[name][1].append(time.process_time() - began)
                found[name][0].append(float(model.score(x[test], y[test])))
    return found


def table(found):
    """Return the table of a study in Markdown: means, and standard errors over the folds."""
    import numpy as np

    lines = ["| model | accuracy | seconds of the processor |", "|---|---|---|"]
    for name, columns in found.items():
        cells = [
            f"{np.mean(x):.{d}f} ± {np.std(x, ddof=1) / len(x) ** 0.5:.{d}f}"
            for x, d in zip(columns, (4, 3), strict=True)
        ]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if any(os.environ.get(name) != "1" for name in THREADS):  # they count when libraries are loaded
        os.execve(
            sys.executable, [sys.executable, "-m", "bench.studies.digits"], os.environ | dict.fromkeys(THREADS, "1")
        )
    study(1, epochs=1)  # what is compiled, is compiled
    print(table(study(4)))
