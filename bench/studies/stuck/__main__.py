"""Search instances of each class: `python -m bench.studies.stuck [--class NAME] [--method NAME] [--record FILE]`.

An instance is solved by the first evaluation whose cost is at most 1.5 times that of the true parameters. The table
counts the instances solved within 300, 1,000 and 3,000 evaluations, and in brackets the evaluations spent in all, with
3,000 for an instance that is not solved, for each success. Instances have the seeds from 1000; those below were for
tuning.
"""

import argparse
import json
from importlib import import_module
from pathlib import Path

import numpy as np

import mcgc
from bench.studies.stuck.competitors import SEARCHES, attempt

# Classes whose residuals are not smooth: a local search by derivatives is of no use at the end of a path.
ROUGH = "bouncing_ball", "dry_friction", "switched_circuit", "two_bodies", "spiking_neuron"
CLASSES = (*ROUGH, "lorenz", "lotka_volterra", "fitzhugh_nagumo", "repressilator")
BUDGETS = (300, 1000, 3000)


def solved(name, method, seeds):
    """Return for each seed the evaluation at which the instance was solved, or None."""
    polish = None if name in ROUGH and method not in ("horizons", "LM, multi-start") else "lm"
    instance = import_module(f"bench.studies.stuck.{name}").instance
    return [attempt(SEARCHES[method], instance(seed), seed, polish, BUDGETS[-1])[0] for seed in seeds]


def cell(found):
    """Return the numbers solved within each budget, and the evaluations spent for each success."""
    counts = [sum(at is not None and at <= budget for at in found) for budget in BUDGETS]
    return "/".join(map(str, counts)) + (f" ({_spent(found):,.0f})" if counts[-1] else "")


def interval(found, resamples=2000):
    """Return the quantiles 0.05 and 0.95 of the evaluations for each success, by the bootstrap over instances."""
    spent = np.asarray([BUDGETS[-1] if at is None else at for at in found], dtype="float64")
    solved = np.asarray([at is not None for at in found])
    drawn = np.random.default_rng(0).integers(len(found), size=(resamples, len(found)))
    with np.errstate(divide="ignore"):
        each = spent[drawn].sum(axis=1) / solved[drawn].sum(axis=1)
    return tuple(np.quantile(each, [0.05, 0.95], method="inverted_cdf").tolist())


def best_of(record):
    """Return the lines of the table of the cheapest method of each class beside `auto`, each with its interval."""
    lines = ["| | cheapest | evaluations for each success | of auto | ratio |", "|---|---|---|---|---|"]
    for name in CLASSES:
        spent = {method: _spent(list(found.values())) for method, found in record[name].items()}
        best = min(spent.keys() - {"auto"}, key=spent.__getitem__)
        shown = [
            f"{spent[method]:,.0f} ({low:,.0f} to {high:,.0f})"
            for method in (best, "auto")
            for low, high in [interval(list(record[name][method].values()))]
        ]
        lines.append(f"| {name.replace('_', ' ')} | {best} | {' | '.join(shown)} | {spent['auto'] / spent[best]:.2f} |")
    return lines


def _spent(found):
    counted = sum(at is not None for at in found)
    return sum(BUDGETS[-1] if at is None else at for at in found) / counted if counted else np.inf


def table(record, methods):
    """Return the lines of the table of a record: for each class, the evaluation at success by method and seed."""
    lines = [f"| | {' | '.join(methods)} |", f"|{'---|' * (len(methods) + 1)}"]
    for name in CLASSES:
        cells = [cell(list(record[name][method].values())) if method in record[name] else "–" for method in methods]
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |")
    return lines


def main():
    """Print the table, and write the evaluations at success if asked."""
    parser = argparse.ArgumentParser(prog="python -m bench.studies.stuck", description=__doc__)
    parser.add_argument("--class", dest="classes", choices=CLASSES, action="append", help="may be repeated [all]")
    parser.add_argument("--method", choices=list(SEARCHES), action="append", help="may be repeated [all]")
    parser.add_argument("--instances", type=int, default=30, help="instances of each class [30]")
    parser.add_argument("--first", type=int, default=1000, help="the seed of the first instance [1000]")
    parser.add_argument("--record", type=Path, help="read and write the evaluations at success in this file")
    told = parser.parse_args()
    record = json.loads(told.record.read_text(encoding="utf-8")) if told.record and told.record.exists() else {}
    methods, seeds = told.method or list(SEARCHES), range(told.first, told.first + told.instances)
    print(f"| | {' | '.join(methods)} |\n|{'---|' * (len(methods) + 1)}", flush=True)
    for name in told.classes or CLASSES:
        cells = []
        for method in methods:
            found = solved(name, method, seeds)
            record.setdefault(name, {})[method] = dict(zip(map(str, seeds), found, strict=True))
            cells.append(cell(found))
            if told.record:
                record["mcgc"] = mcgc.__version__
                told.record.write_text(json.dumps(record) + "\n", encoding="utf-8")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
