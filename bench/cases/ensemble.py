"""Eight members of a short Lorenz training: by one worker, and by a worker on every core."""

import time

from bench.comparison import Plan, Row
from bench.timing import cores, environment, ratio, spread, variables

MEMBERS, EPOCHS = 8, 10
TARGET = 1.8


def rows(plan: Plan) -> list[Row]:
    """Time both, of workers that have started and compiled."""
    from mcgc_datasets import load

    from mcgc import train
    from mcgc.arrays import HOST
    from mcgc.train import Hook, Processes, problems

    members, epochs, rounds = (2, 1, 1) if plan.quick else (MEMBERS, EPOCHS, min(plan.rounds, 3))
    settings, data = problems.get("lorenz").recipe._replace(members=members, epochs=epochs), load("lorenz")
    task, every = train.bind(settings, data, HOST), cores()
    taken: dict[int, list[float]] = {1: [], every: []}
    with (
        variables(environment(1)),
        Processes(1).start(task, Hook()) as one,
        Processes(every).start(task, Hook()) as all_,
    ):
        for turn in range(1 + rounds):  # the first starts the workers, and compiles
            for count, advance in ((1, one), (every, all_)):
                began = time.perf_counter()
                after = dict(enumerate(train.draw(task)))
                for epoch in range(1, epochs + 1):
                    after = {found.number: found.member for found in advance(after, epoch)}
                if turn:
                    taken[count].append(time.perf_counter() - began)
    note = f"{members} members; ratio to all cores"
    return [
        Row("ensemble", 1, "1 worker", spread(taken[1]), ratio(taken[1], taken[every]), TARGET, note),
        Row("ensemble", every, "all cores", spread(taken[every])),
    ]
