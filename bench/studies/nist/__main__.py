"""Fit NIST's nonlinear regression problems from both starts: `python -m bench.studies.nist [--record FILE]`.

Prints, for each method, how many of the 54 fits reach 6 and 4 digits of all certified parameters, how many reach 4
digits of their standard deviations, the median number of evaluations, and the fits that fall short. x_scale is |x0|.
SciPy has its tightest tolerances and x_scale="jac", and its standard errors are those of its Jacobian.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
from scipy import optimize

import mcgc
from bench.studies.nist.problems import digits, problems
from mcgc.continuation import ScaleWarning

TIGHT = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15, "x_scale": "jac"}


def ours(method):
    """Return the fit by a method of mcgc, as parameters, standard errors and evaluations."""

    def fit(problem, start):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ScaleWarning)  # some solutions are orders of magnitude from the start
            found = mcgc.least_squares(problem.residuals, start, np.abs(start), method=method)
        return found.x, found.standard_errors, found.nfev

    return fit


def scipy(method):
    """Return the fit by a method of SciPy."""

    def fit(problem, start):
        count = 0

        def counted(x):
            nonlocal count
            count += 1
            return problem.residuals(x)

        try:
            found = optimize.least_squares(counted, start, method=method, max_nfev=5000, **TIGHT)
            covariance = np.linalg.inv(found.jac.T @ found.jac) * 2 * found.cost / (found.fun.size - start.size)
            return found.x, np.sqrt(np.abs(np.diag(covariance))), count
        except (ValueError, np.linalg.LinAlgError):  # a residual is not finite, or the Jacobian has no full rank
            return np.full(start.size, np.nan), np.full(start.size, np.nan), count

    return fit


FITS = {
    "least_squares": ours("continuation"),
    "method='lm'": ours("lm"),
    "method='auto'": ours("auto"),
    "SciPy lm": scipy("lm"),
    "SciPy trf": scipy("trf"),
    "SciPy dogbox": scipy("dogbox"),
}


def fits(method):
    """Return a row for each of the 54 fits: problem, start, digits of the parameters and of the errors, evaluations."""
    rows = []
    for problem in problems():
        for i, start in enumerate(problem.starts):
            x, errors, count = FITS[method](problem, start)
            both = digits(x, problem.certified), digits(errors, problem.deviations)
            rows.append((problem.name, i + 1, *(round(number, 1) for number in both), count))
    return rows


def main():
    """Print the table, and write the rows if asked."""
    parser = argparse.ArgumentParser(prog="python -m bench.studies.nist", description=__doc__)
    parser.add_argument("--record", type=Path, help="write all rows to this file")
    record = parser.parse_args().record
    found = {}
    columns = ("", "6 digits", "4 digits", "errors to 4 digits", "median evaluations", "short of 6 digits")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for method in FITS:
        rows = found[method] = fits(method)
        short = ", ".join(f"{name} {start}" for name, start, six, _, _ in rows if six < 6)
        counts = [sum(row[2] >= 6 for row in rows), sum(row[2] >= 4 for row in rows), sum(row[3] >= 4 for row in rows)]
        cells = [method, *counts, int(np.median([row[4] for row in rows])), short]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
    if record:
        versions = {"mcgc": mcgc.__version__, "numpy": np.__version__}
        fields = ["problem", "start", "digits", "digits of errors", "evaluations"]
        record.write_text(json.dumps({"versions": versions, "columns": fields, "fits": found}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
