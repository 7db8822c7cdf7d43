"""An ablation of the best recipe of a problem of series: one part is changed at a time, with some seeds each.

    python -m bench.studies.ablation lorenz lines.jsonl --seeds 0 1 2 3 4

Each run is a line of JSON, so a study that was stopped goes on where it was. `--table` prints the lines as a table.
"""

import argparse
import json
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "as it is": {},
    "without continuation": {"continuation": False},
    "lambda begun anew at each horizon": {"log_lam0": -12.0, "learning_rate_lam": 0.03, "restart_lam": True},
    "geometric lambda": {"log_lam0": -12.0, "schedule": "geometric", "gamma": 0.998},
    "antithetic": {"estimator": "antithetic", "learning_rate_lam": 0.03},
    "score": {"estimator": "score", "learning_rate_lam": 0.03},
    "without weight decay": {"optimizer": "adam", "weight_decay": None},
    "twice the weight decay": {"weight_decay": 0.2},
    "not standardised": {"standardize": False},
    "whole series from the start": {"horizons": None},
    "a constant learning rate": {"rate_schedule": "constant", "learning_rate_end": None},
    "clipped at the norm 1": {"clip": 1.0},
    "half of the epochs": {"epochs": 0.5},
}


def run(problem: str, variant: str, seed: int) -> dict[str, Any]:
    """Train one member and return what its best epoch has."""
    from mcgc_datasets import load

    from mcgc import train
    from mcgc.arrays import HOST
    from mcgc.paper.comparison import best_records
    from mcgc.train import problems

    recipe = problems.get(problem).recipe_of("best")
    changes = dict(VARIANTS[variant])
    if "epochs" in changes:
        changes["epochs"] = round(recipe.epochs * changes["epochs"])
    settings = recipe._replace(seed=seed, **changes)
    records = [record for record, _ in train.fit(settings, load(problem), HOST)]
    (best,) = best_records(records)
    last = records[-1]
    found = {name: getattr(best, name)[0] for name in ("train_loss", "test_loss", "log_lam")}
    end = {f"last_{name}": getattr(last, name)[0] for name in ("train_loss", "test_loss", "log_lam")}
    seconds = sum(record.seconds for record in records)
    return {"variant": variant, "seed": seed, "epoch": best.epoch, **found, **end, "seconds": seconds}


def table(lines: list[dict[str, Any]]) -> str:
    """Return the mean losses of each variant, and its test loss as a multiple of that of the recipe.

    The multiple is the geometric mean over seeds, with its 95 % interval by Student's t.
    """
    from scipy.stats import t

    head = ("variant", "seeds", "train MSE", "test MSE", "largest", "test MSE, times the recipe's")
    rows = [head, ("---",) * len(head)]
    by = {variant: {line["seed"]: line for line in lines if line["variant"] == variant} for variant in VARIANTS}
    for variant, runs in by.items():
        if not runs:
            continue
        train, test = ([line[name] for line in runs.values()] for name in ("train_loss", "test_loss"))
        logs = [math.log(line["test_loss"] / by["as it is"][seed]["test_loss"]) for seed, line in runs.items()]
        mean, count = statistics.fmean(logs), len(logs)
        ratio = "1"
        if variant != "as it is" and count > 1:
            error = t.ppf(0.975, count - 1) * statistics.stdev(logs) / math.sqrt(count)
            ratio = f"{math.exp(mean):.2g} ({math.exp(mean - error):.2g} to {math.exp(mean + error):.2g})"
        numbers = (f"{x:.3g}" for x in (statistics.fmean(train), statistics.fmean(test), max(test)))
        rows.append((variant, str(count), *numbers, ratio))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Run what is not in the file yet, or print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", choices=("lorenz", "lotka-volterra"))
    parser.add_argument("lines", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    lines = [json.loads(line) for line in args.lines.read_text().splitlines()] if args.lines.exists() else []
    if args.table:
        print(table(lines))
        return
    done = {(line["variant"], line["seed"]) for line in lines}
    for variant in args.variants:
        for seed in args.seeds:
            if (variant, seed) not in done:
                with args.lines.open("a") as file:
                    file.write(json.dumps(run(args.problem, variant, seed)) + "\n")


if __name__ == "__main__":
    main()
