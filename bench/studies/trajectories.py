"""Draw a test series, and what two runs predict of it from its first state alone.

    python -m bench.studies.trajectories best.h5 paper.h5 docs/pictures/trajectories.png

Both are runs of `mcgc fit --problem lorenz` on the same data, with the same seed, so that neither has seen the series.
"""

import argparse
import os

import numpy as np
from mcgc_cli.pictures import COLOURS, new, save
from mcgc_datasets import load
from mcgc_datasets.lorenz import BETA
from scipy.integrate import solve_ivp

from mcgc import train
from mcgc.arrays import HOST
from mcgc.train import Settings, predict, run_file

NAMES = ("x", "y", "z")


def _lorenz(t: float, state: np.ndarray, sigma: float, rho: float) -> list[float]:
    x, y, z = state
    return [sigma * (y - x), x * (rho - z) - y, x * y - BETA * z]


def main() -> None:
    """Read the runs, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("best")
    parser.add_argument("paper")
    parser.add_argument("picture")
    parser.add_argument("--series", type=int, default=0, help="which of the series of the test set")
    args = parser.parse_args()
    found = {"mcgc fit --problem lorenz": run_file.load(args.best), "--recipe paper": run_file.load(args.paper)}
    settings = Settings(**{**found["--recipe paper"].settings, "members": 1})
    test = train.bind(settings, load("lorenz"), HOST).test
    times, states, parameters = (part[args.series] for part in (test.times, test.states, test.parameters))
    fine = np.linspace(times[0], times[-1], 400)
    truth = solve_ivp(_lorenz, (times[0], times[-1]), states[0], t_eval=fine, args=tuple(parameters), rtol=1e-9).y
    figure = new(10, 4.2)
    panels = figure.subplots(1, 3)
    for j, (name, axes) in enumerate(zip(NAMES, panels, strict=True)):
        axes.plot(fine, truth[j], color="0.7", lw=4, label="the system itself")
        for (label, run), colour in zip(found.items(), COLOURS, strict=False):
            path = predict(run, states[None, 0], fine, parameters[None])[0, 0]
            axes.plot(fine, path[:, j], color=colour, lw=1.6, label=label)
        axes.plot(times, states[:, j], "o", color="black", ms=4, label="data, not trained on")
        axes.set_title(name)
        axes.set_xlabel("time")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    sigma, rho = parameters
    figure.suptitle(f"A test series of the Lorenz system (σ = {sigma:g}, ρ = {rho:g}), predicted from its first state")
    save(figure, os.fspath(args.picture))


if __name__ == "__main__":
    main()
