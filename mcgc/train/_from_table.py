"""`mcgc.fit`: from a table in memory to a trained model, in one call."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from mcgc._cluster import client_of
from mcgc.errors import SolveError
from mcgc.train._cluster import Cluster
from mcgc.train._fit import epochs
from mcgc.train._fitted import Fitted, load
from mcgc.train._hooks import Hook, Hooks
from mcgc.train._own import Names, prepare
from mcgc.train._resume import pack
from mcgc.train._run import Run, header_of, results_of
from mcgc.train._strategies import Strategy
from mcgc.train._task import Task, bind
from mcgc.train.run_file import columns


def fit_table(
    data: Any,
    task: str,
    *,
    time: str | None = None,
    group: str | None = None,
    states: Names = None,
    inputs: Names = None,
    interpolation: str | None = None,
    target: Names = None,
    features: Names = None,
    field: Callable[..., Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    output: str | os.PathLike | None = None,
    overwrite: bool = False,
    device: str = "cpu",
    hooks: Sequence[Hook] = (),
    client: Any = None,
    **settings: Any,
) -> Fitted:
    """Train on a table of one's own, and return what was learned.

    Parameters
    ----------
    data : Any
        A DataFrame of pandas, polars or pyarrow, a mapping of names to columns, a list of records, a structured array,
        or a `mcgc.tables.Table`.
    task : {"dynamics", "regression", "classification"}
        What is learned: the field of time series, or a column from others.
    time, group : str, optional
        For dynamics: the column of times ("time" or "t" by default), and the column that tells which series a row is
        of. For others, columns by which rows may be divided (`split`).
    states, inputs : str or sequence of str, optional
        For dynamics: the columns of states (all that are left, by default), and of inputs.
    interpolation : {"linear", "cubic", "previous"}, optional
        How inputs go on between times.
    target, features : str or sequence of str, optional
        For a regression or a classification: the column to predict, and those to predict it from (all others, by
        default).
    field : function, optional
        For dynamics: equations that are known. It takes the time, the state (states,) and a dict of parameters, and
        with inputs a dict of them, and returns the derivatives, all in the units of the table: `field(t, y, p)` or
        `field(t, y, p, u)`. It is written with `mcgc.ops`, operators or NumPy's functions. Alone, its parameters are
        fitted. With `hidden`, a net is added to it, which learns what the equations leave out. The run file holds what
        it computes, and not its code.
    parameters : dict of Parameter or float, optional
        The starts of the parameters by name, with bounds, scale, log and fixed (`mcgc.Parameter`).
    output : str or path, optional
        A run file to write while training. By default none is written.
    overwrite : bool
        Whether to replace it.
    device : str
        "cpu", "cuda", "cuda:N" or "auto".
    hooks : sequence of Hook
        What is called while the run goes.
    client : distributed.Client or str, optional
        A Dask cluster that trains the members (`mcgc.train.Cluster`), or its address, `tcp://HOST:PORT` or `local:N`.
        The result does not depend on it. Needs the extra `cluster`.
    **settings
        Settings in place of those of the task's recipe (`mcgc.train.Settings`), such as `hidden=(32, 32)`, `members=3`,
        `seed=1`.

    Returns
    -------
    Fitted
        The model, with `predict`, `simulate`, `score` and `results`.

    Raises
    ------
    InputError
        If the table, a name of a column or a setting cannot be used: one sentence with the row or the name.
    SolveError
        If training diverges for good. The epochs so far are in the file `output`. Without one, the attribute `fitted`
        of the error has what was learned, None if no epoch was done.

    Examples
    --------
    >>> import numpy as np
    >>> import mcgc
    >>> t = np.tile(np.linspace(0, 2, 9), 6)
    >>> run = np.repeat(np.arange(6), 9)
    >>> y = (1 + run) * np.exp(-t)
    >>> found = mcgc.fit({"t": t, "run": run, "y": y}, "dynamics", group="run", hidden="8", epochs=40)
    >>> found.simulate({"y": 3.0}, until=1.0, every=0.5)["y"].shape
    (3,)
    """
    names: dict[str, Any] = {
        "time": time,
        "group": group,
        "states": states,
        "inputs": inputs,
        "interpolation": interpolation,
        "field": field,
        "parameters": parameters,
    }
    problem, checked, own = prepare(data, task, **names, target=target, features=features, **settings)
    from mcgc.devices import select_device

    used = select_device(device, problem, checked.members)[0]
    bound = bind(checked, own, used, problem)
    with ExitStack() as stack:
        strategy = None if client is None else Cluster(stack.enter_context(client_of(client)))
        if output is None:
            return in_memory(bound, hooks, strategy=strategy)
        with Run.create(output, bound, overwrite=overwrite) as run:
            try:
                for _ in run.epochs(strategy, hooks):
                    pass
            except SolveError as error:
                saved = f"the epochs so far are saved in {run.path}" if run.records else "nothing was saved"
                raise SolveError(f"{error}; {saved}") from error
            path = run.path
        return load(path)


def in_memory(
    task: Task, hooks: Sequence[Hook] = (), assessed: bool = True, strategy: Strategy | None = None
) -> Fitted:
    """Train without a file, and return what was learned: with its results, if it is to be `assessed`."""
    records: list[Any] = []
    last: Any = None
    so_far = lambda: header_of(task)._replace(epochs=columns(records), states=[pack(last)])
    try:
        for record, last in epochs(task, strategy=strategy, hooks=hooks):  # noqa: B007 - the last ones are used
            records.append(record)
    except SolveError as error:
        error.fitted = Fitted(so_far()) if records else None
        raise
    file = so_far()._replace(finished=True)
    results = results_of(task, file) if assessed else {}
    Hooks(hooks).after_run(results)
    return Fitted(file._replace(results=results))
