"""Eight members of a short Lorenz training: by one worker, and by a worker on every core."""

import time
from typing import Any

from bench.contest import Plan, Row
from bench.timing import cores, environment, ratio, spread, variables

MEMBERS, EPOCHS = 8, 10
TARGET = 1.8


def member(seed: int, epochs: int) -> Any:
    """Train one member, and return its θ."""
    from mcgc_datasets import load

    from mcgc import problems, training
    from mcgc.arrays import HOST

    settings = problems.get("lorenz").recipe._replace(epochs=epochs, seed=seed)
    *_, (_, theta) = training.fit(settings, load("lorenz"), HOST)
    return theta


def rows(plan: Plan) -> list[Row]:
    """Time both, of workers that have started and compiled."""
    try:
        from joblib import Parallel, delayed
    except ModuleNotFoundError:
        return [Row("ensemble", 1, "1 worker", note="not installed: joblib")]
    members, epochs, rounds = (2, 1, 1) if plan.quick else (MEMBERS, EPOCHS, min(plan.rounds, 3))
    every = cores()
    taken: dict[int, list[float]] = {1: [], every: []}
    with variables(environment(1)):
        for turn in range(1 + rounds):  # the first starts the workers, and compiles
            for count in taken:
                began = time.perf_counter()
                Parallel(n_jobs=count)(delayed(member)(seed, epochs) for seed in range(members))
                if turn:
                    taken[count].append(time.perf_counter() - began)
    note = f"{members} members; ratio to all cores"
    return [
        Row("ensemble", 1, "1 worker", spread(taken[1]), ratio(taken[1], taken[every]), TARGET, note),
        Row("ensemble", every, "all cores", spread(taken[every])),
    ]
