"""`mcgc.sweep`: many runs of one problem with different settings, in one file."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mcgc._integers import whole
from mcgc.sweeps._elsewhere import OnCluster
from mcgc.sweeps._go import Output, closing, go
from mcgc.sweeps._plans import Listed, Plan, Trials
from mcgc.sweeps._pools import pool_for
from mcgc.sweeps._results import Results
from mcgc.sweeps._setup import Setup, check_metric, setup_of
from mcgc.sweeps._space import Range
from mcgc.sweeps._study import Guided, Where
from mcgc.sweeps._trial import Trial
from mcgc.train import Hook, Problem
from mcgc.train._hooks import Hooks
from mcgc.train._own import Names

APART = {"loss", "split", "test", "validation", "rotate"}  # settings that change what a loss is, or what it is of


class SweepHook(Hook):
    """What a sweep calls while it goes. The methods do nothing: override those that you need.

    `before_step` is called before each step, or with workers ten times a second. An exception that it raises ends the
    sweep, which can go on later. `after_epoch` is called without workers only.
    """

    def begin(self, results: Results, count: int) -> None:
        """Is called first, with the trials that are done already, and how many there will be at most."""

    def after_trial(self, trial: Trial) -> None:
        """Is called when a trial is done."""

    def after_cluster(self, traffic: Mapping[str, int]) -> None:
        """Is called at the end on a cluster, with the numbers of workers and calls, and the sizes of the messages."""


def sweep(
    data: Any,
    task: str | Problem,
    space: Mapping[str, Range | Mapping[str, Any] | Sequence[Any]],
    *,
    method: str = "sobol",
    trials: int | None = None,
    members: int | None = None,
    metric: str | None = None,
    seed: int = 0,
    recipe: str | None = None,
    time: str | None = None,
    group: str | None = None,
    states: Names = None,
    inputs: Names = None,
    interpolation: str | None = None,
    target: Names = None,
    features: Names = None,
    field: Callable[..., Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    prune: bool | int = False,
    storage: str | None = None,
    output: str | os.PathLike | None = None,
    overwrite: bool = False,
    runs: str | os.PathLike | None = None,
    retry_failed: bool = False,
    workers: int = 1,
    device: str = "cpu",
    client: Any = None,
    hooks: Sequence[SweepHook] = (),
    **settings: Any,
) -> Results:
    """Train with many settings, and return what each came to.

    A trial is a run with settings from the space, of one member or more. All trials have the same seed, so that their
    members begin alike. What decides a trial are its settings, the data and the versions: a trial that is done is never
    trained again. A sweep that was stopped or killed goes on when it is called again with the same output, and ends
    with the same bits.

    Parameters
    ----------
    data : Any
        A table (`mcgc.tables.as_table`), or the data of the problem.
    task : {"dynamics", "regression", "classification"}, or str, or Problem
        What is learned from the table, or a problem or its name.
    space : mapping of str to Range or sequence
        For each searched setting (`mcgc.train.Settings`) its range, or a list of choices. None or "none" is the choice
        to leave a setting out.
    method : {"sobol", "grid", "random", "optuna"}
        How points of the space are chosen: Sobol's sequence, all combinations, independently, or guided by the trials
        before (TPE of Optuna, extra `sweep`).
    trials : int, optional
        The number of trials, 16 by default. A grid has its own.
    members : int, optional
        The members of each trial, 1 by default.
    metric : {"validation", "train", "test"}, optional
        The loss that trials are ranked by, at the best epoch, as the mean of the members. By default that of the
        validation set, or of the training set where there is none. Ranked by the test loss, the best one is too good.
    seed : int
        The seed of the points and of the training.
    recipe : str, optional
        The recipe of a problem.
    time, group, states, inputs, interpolation, target, features : str or sequence of str, optional
        The columns of a table, as for `mcgc.fit`.
    field : function, optional
        Equations of dynamics that are known, as for `mcgc.fit`. The choice None of `hidden` is the equations alone.
    parameters : dict of Parameter or float, optional
        The parameters of the equations.
    prune : bool or int
        With Optuna: whether a trial ends that is worse than the median of those before at the same epoch; or from which
        epoch on.
    storage : str, optional
        With Optuna: the URL of its storage. By default a file of SQLite beside the output.
    output : str or path, optional
        The file of the sweep, HDF5, written after each trial. By default none is written.
    overwrite : bool
        Whether to begin anew where the output is there. By default its sweep goes on.
    runs : str or path, optional
        A directory that keeps the run files of all trials. By default they are removed when their trial is done.
    retry_failed : bool
        Whether to train trials again that failed. Not with Optuna.
    workers : int
        Processes that train trials at once, each with one thread.
    device : str
        "cpu", "cuda", "cuda:N" or "auto".
    client : distributed.Client or str, optional
        A Dask cluster whose workers train the trials, each with one thread: a client, "tcp://HOST:PORT" or "local:N".
        A trial that is lost with a worker, or with this process, begins again. The numbers are the same.
    hooks : sequence of SweepHook
        What is called while the sweep goes.
    **settings
        Settings that all trials have, in place of those of the recipe, such as `epochs=50`.

    Returns
    -------
    Results
        All trials, with `best`, `interval` and `importance`.

    Raises
    ------
    InputError
        If a name, a value or the space cannot be used, or the output is of another sweep.
    OutputError
        If a file cannot be written, or another process writes it.

    Examples
    --------
    >>> import numpy as np
    >>> import mcgc
    >>> x = np.linspace(-1, 1, 60)
    >>> space = {"learning_rate": mcgc.sweeps.Range(1e-4, 1e-1, log=True), "hidden": ["4", "8,8"]}
    >>> found = mcgc.sweep({"x": x, "y": x**2}, "regression", space, target="y", trials=4, members=2, epochs=3)
    >>> best = found.best()
    >>> len(found.trials), best.status, len(best.validation_loss), found.interval(best).low < best.value("validation")
    (4, 'finished', 2, True)
    """
    names = {"time": time, "group": group, "states": states, "inputs": inputs, "interpolation": interpolation}
    columns = {**names, "target": target, "features": features, "field": field, "parameters": parameters}
    seed = whole(seed, "seed", 0, bits=64)
    fixed = {"seed": seed, "members": members, **settings}
    setup = setup_of(
        data,
        task,
        space,
        method=method,
        trials=trials,
        metric=metric,
        seed=seed,
        recipe=recipe,
        columns=columns,
        fixed=fixed,
        prune=prune,
        device=device,
        workers=workers,
    )
    setup.check_ways(storage, retry_failed, workers, runs is not None, client)
    hook, path = _Hooks(hooks), None if output is None else os.fspath(output)
    with Output(path, overwrite, None if runs is None else os.fspath(runs), setup.header, hook.message) as out:
        if not out.trials:
            check_metric(setup)
        with closing(_plan(setup, out, storage, retry_failed)) as plan:
            hook.begin(out.results(), plan.count)
            for name in {one.name for one in setup.space} & APART:
                hook.message(f"{name} is searched: losses of trials that differ in it are hard to compare")

            def record(trial: Trial) -> None:
                out.record(trial)
                hook.after_trial(trial)

            with pool_for(setup.source, setup.metric, workers, setup.device, hook, client) as pool:
                go(plan, pool, record)
                if isinstance(pool, OnCluster):
                    hook.after_cluster(pool.calls.traffic._asdict())
            if plan.equal:
                hook.message(f"{plan.equal} points are equal to others, so there are {len(out.trials)} trials")
        out.save(True)
        return out.results()


def _plan(setup: Setup, out: Output, storage: str | None, retry_failed: bool) -> Plan:
    trials = Trials(setup.source, setup.keys, out.run_file)
    if setup.method != "optuna":
        return Listed(setup.points, trials, out.trials, retry_failed)
    beside = Path(out.runs, "study.db") if out.path is None else Path(out.path).with_suffix(".optuna.db")
    where = Where(storage or f"sqlite:///{os.path.abspath(beside)}", setup.name)
    return Guided(setup, trials, out.trials, where, out.anew)


class _Hooks(Hooks):
    """Several hooks as one."""

    hooks: Sequence[SweepHook]

    def begin(self, results: Results, count: int) -> None:
        """Call all hooks."""
        for hook in self.hooks:
            hook.begin(results, count)

    def after_trial(self, trial: Trial) -> None:
        """Call all hooks."""
        for hook in self.hooks:
            hook.after_trial(trial)

    def after_cluster(self, traffic: Mapping[str, int]) -> None:
        """Call all hooks."""
        for hook in self.hooks:
            hook.after_cluster(traffic)
