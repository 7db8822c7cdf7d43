"""What a record shows: the share of instances that is solved by each number of evaluations, a panel for each class.

`python -m bench.studies.stuck.curves [RECORD] [-o FILE]`
"""

import argparse
import json
from pathlib import Path

import numpy as np

from bench.studies.stuck.__main__ import BUDGETS, CLASSES
from bench.studies.stuck.competitors import SEARCHES

OURS = "continuation", "horizons", "auto", "DFGN", "EKI"  # methods of `mcgc.least_squares`, whose lines are thick
COLORS = *(f"C{i}" for i in range(10)), "k", "navy"


def draw(record):
    """Return the figure of a record."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 9), layout="constrained")
    axes = figure.subplots(3, 3, sharex=True, sharey=True).ravel()
    for ax, name in zip(axes, CLASSES, strict=True):
        for number, method in enumerate(SEARCHES):
            if method not in record[name]:
                continue
            found = list(record[name][method].values())
            at = np.sort([x for x in found if x is not None])
            x = np.concatenate([[10], np.repeat(at, 2), [BUDGETS[-1]]])
            y = np.repeat(np.arange(at.size + 1), 2) / len(found)
            style = {"lw": 2.2} if method in OURS else {"lw": 1.1, "ls": "--"}
            ax.plot(x, y, color=COLORS[number], label=method, **style)
        ax.set(title=name.replace("_", " "), xscale="log", xlim=(10, BUDGETS[-1]), ylim=(0, 1.02))
    for ax in axes[6:]:
        ax.set_xlabel("evaluations")
    for ax in axes[::3]:
        ax.set_ylabel("share solved")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def main():
    """Draw the record to a file."""
    parser = argparse.ArgumentParser(prog="python -m bench.studies.stuck.curves", description=__doc__)
    parser.add_argument("record", nargs="?", type=Path, default=Path(__file__).with_name("results.json"))
    parser.add_argument("-o", "--output", type=Path, default=Path("stuck.png"), help="an image file [stuck.png]")
    told = parser.parse_args()
    draw(json.loads(told.record.read_text(encoding="utf-8"))).savefig(told.output, dpi=110)


if __name__ == "__main__":
    main()
