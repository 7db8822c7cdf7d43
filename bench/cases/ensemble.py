"""Eight members of a short Lorenz training: by one worker, and by a worker on every core."""

import time
from typing import Any

from bench.contest import Plan, Row
from bench.timing import cores, environment, ratio, spread, variables

MEMBERS = 8
TARGET = 1.8


def member(seed: int) -> Any:
    """Train one member for an epoch, and return its θ."""
    from mcgc_datasets import load

    from mcgc import problems, training
    from mcgc.arrays import HOST

    settings = problems.get("lorenz").recipe._replace(epochs=1, seed=seed)
    *_, (_, theta) = training.fit(settings, load("lorenz"), HOST)
    return theta


def rows(plan: Plan) -> list[Row]:
    """Time both, of workers that have started and compiled."""
    try:
        from joblib import Parallel, delayed
    except ModuleNotFoundError:
        return [Row("ensemble", 1, "1 worker", note="not installed: joblib")]
    members = 2 if plan.quick else MEMBERS
    counts = (1, cores())
    taken: dict[int, list[float]] = {count: [] for count in counts}
    with variables(environment(1)):
        for turn in range(1 + (1 if plan.quick else plan.rounds)):
            for count in dict.fromkeys(counts):
                with Parallel(n_jobs=count, backend="loky", prefer="processes") as pool:
                    pool(delayed(member)(seed) for seed in range(count))  # starts and compiles
                    began = time.perf_counter()
                    pool(delayed(member)(seed) for seed in range(members))
                    if turn:
                        taken[count].append(time.perf_counter() - began)
    one, every = taken[1], taken[counts[1]]
    target = None if plan.quick else TARGET
    return [
        Row("ensemble", 1, "1 worker", spread(one), ratio(one, every), target, f"{members} members; over all cores"),
        Row("ensemble", counts[1], "all cores", spread(every)),
    ]
