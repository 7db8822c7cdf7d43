"""Draw lorenz.png beside this file from two run files: python lorenz.py WITH.h5 WITHOUT.h5."""

import sys
from pathlib import Path

import matplotlib

from mcgc import runs

matplotlib.use("agg")


def main(paths: list[str]) -> None:
    """Draw the test loss of both runs, and the λ of the first; every member faint, their mean in bold."""
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for path, name, colour in zip(paths, ("with continuation", "without"), ("tab:blue", "tab:orange"), strict=True):
        epochs = runs.load(path).epochs
        curves(left, epochs["epoch"], epochs["test_loss"], colour, name)
        if name == "with continuation":
            curves(right, epochs["epoch"], epochs["log_lam"], colour, name)
    left.set(yscale="log", xlabel="epoch", ylabel="mean squared error, test series")
    right.set(xlabel="epoch", ylabel="log λ")
    left.legend(frameon=False)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=120)


def curves(axes, epochs, values, colour, name) -> None:
    """Draw one line a member, and the mean over the members."""
    axes.plot(epochs, values, color=colour, alpha=0.3, linewidth=0.8)
    axes.plot(epochs, values.mean(axis=1), color=colour, label=name)


main(sys.argv[1:])
