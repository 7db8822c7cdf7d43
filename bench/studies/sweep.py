"""A sweep over what may drive the effect of continuation, at an equal number of gradients.

    python -m bench.studies.sweep mnist --data mnist.h5 --runs 2 --workers 2 --done sweep.jsonl >> sweep.jsonl

It varies the estimator, the learning rate of φ, β, the schedule and the loss.

A run is a line of JSON: what is varied, the seed, and at every tenth of the epochs the loss, the accuracy and φ. Those
that FILE of `--done FILE` has, of the same epochs, are left out, so a study that was stopped goes on.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

RATES = (1e-3, 1e-2, 1e-1, 1.0)
FALLS = (1.0, 3.0, 10.0, 30.0)
TENTHS = 10


class Variant(NamedTuple):
    """What is varied: an estimator ("none" is plain descent), the learning rate of φ, β, the loss, and the schedule.

    A schedule that does not learn λ takes log λ down by `fall` from the start to the end of the run.
    """

    estimator: str
    learning_rate_lam: float
    beta: float
    loss: str | None
    schedule: str = "learned"
    fall: float | None = None


def variants(problem: str) -> Iterator[Variant]:
    """Yield plain descent, then every estimator with every rate, with the β of the recipe and with none.

    Then every schedule with as many falls as there are rates; and a classifier has the ordinary cross-entropy too, with
    the rate and the β of the recipe.
    """
    from mcgc.continuation import ESTIMATORS, SCHEDULES
    from mcgc.train import problems

    recipe = problems.get(problem).recipe
    yield Variant("none", recipe.learning_rate_lam, recipe.beta, recipe.loss)
    for beta in (recipe.beta, 0.0):
        for estimator in ESTIMATORS:
            for rate in RATES:
                yield Variant(estimator, rate, beta, recipe.loss)
    for schedule in SCHEDULES:
        for fall in FALLS:
            yield Variant("score", recipe.learning_rate_lam, recipe.beta, recipe.loss, schedule, fall)
    if recipe.loss is not None:
        yield Variant("none", recipe.learning_rate_lam, recipe.beta, "cross-entropy")
        yield Variant("score", recipe.learning_rate_lam, recipe.beta, "cross-entropy")


def gamma_of(schedule: str, fall: float | None, updates: int) -> float | None:
    """Return the γ with which log λ falls by `fall` in so many updates."""
    if fall is None:
        return None
    return math.exp(-fall / updates) if schedule == "geometric" else fall / math.log(1 + updates)


def settings_of(problem: str, variant: Variant, seed: int, epochs: int | None, steps: int) -> Any:
    """Return the recipe with `variant` in it, with as many epochs as give all estimators equally many gradients.

    An epoch has so many `steps`.
    """
    from mcgc.continuation import ESTIMATORS
    from mcgc.train import problems

    recipe = problems.get(problem).recipe
    epochs = recipe.epochs if epochs is None else epochs
    plain = variant.estimator == "none"
    points = 1 if plain else len(ESTIMATORS[variant.estimator].signs)
    epochs, warmup = max(1, epochs // points), recipe.warmup_epochs // points
    return recipe._replace(
        continuation=not plain,
        schedule=variant.schedule,
        gamma=gamma_of(variant.schedule, variant.fall, steps * max(1, epochs - warmup)),
        estimator=recipe.estimator if plain else variant.estimator,
        learning_rate_lam=variant.learning_rate_lam,
        beta=variant.beta,
        loss=variant.loss,
        epochs=epochs,
        warmup_epochs=warmup,
        seed=seed,
    )


def trained(problem: str, data: str | None, variant: Variant, seed: int, epochs: int | None) -> dict[str, Any]:
    """Train one member, and return its line."""
    from mcgc_datasets import load

    from mcgc import train
    from mcgc.arrays import HOST
    from mcgc.errors import SolveError
    from mcgc.train import problems
    from mcgc.train._epoch import steps

    began, series = time.process_time(), load(problem, data)
    study = train.bind(problems.get(problem).recipe, series, HOST)
    settings = settings_of(problem, variant, seed, epochs, steps(study.train, study.settings))
    records, failure = [], None
    try:
        for record, _ in train.fit(settings, series, HOST):
            records.append(record)
    except SolveError as error:
        failure = str(error)
    step = max(1, len(records) // TENTHS)
    path = [
        {name: getattr(record, name)[0] for name in ("train_loss", "test_loss", "test_accuracy", "log_lam")}
        | {"epoch": record.epoch}
        for record in records[::-step][::-1]
    ]
    return {
        "problem": problem,
        **variant._asdict(),
        "seed": seed,
        "asked": epochs,
        "epochs": settings.epochs,
        "path": path,
        "restored": sum(record.restored[0] for record in records),
        "skipped": sum(record.skipped[0] for record in records),
        "failure": failure,
        "seconds_of_processor": time.process_time() - began,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for every run as it ends, seed by seed."""
    from joblib import Parallel, delayed

    parser = argparse.ArgumentParser(
        prog="python -m bench.studies.sweep", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("problem")
    parser.add_argument("--data", help="dataset of the problem")
    parser.add_argument("--runs", type=int, default=1, help="seeds a variant [1]")
    parser.add_argument("--first", type=int, default=0, help="the first seed [0]")
    parser.add_argument(
        "--epochs", type=int, help="epochs of an estimator that takes one gradient a step [the recipe's]"
    )
    parser.add_argument("--only", help="estimators and schedules, with commas between them [all]")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--done", type=Path, help="file of lines whose runs are left out")
    given = parser.parse_args(arguments)
    lines = given.done.read_text(encoding="utf-8").splitlines() if given.done and given.done.exists() else []
    done = {
        (Variant(*(line[name] for name in Variant._fields)), line["seed"], line["asked"])
        for line in map(json.loads, lines)
        if line["problem"] == given.problem
    }
    only = given.only and given.only.split(",")
    jobs = (
        delayed(trained)(given.problem, given.data, variant, seed, given.epochs)
        for seed in range(given.first, given.first + given.runs)
        for variant in variants(given.problem)
        if (variant, seed, given.epochs) not in done
        and (only is None or (variant.estimator if variant.fall is None else variant.schedule) in only)
    )
    for line in Parallel(n_jobs=given.workers, return_as="generator_unordered")(jobs):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
