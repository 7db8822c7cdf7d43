"""`mcgc fit`: train on a problem, show the epochs, save the run, and continue a stopped run."""

import os
import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from mcgc_cli.errors import tell
from mcgc_cli.grouped import Grouped, in_group
from mcgc_cli.options import (
    dask_option,
    debug_option,
    device_of,
    device_option,
    json_option,
    quiet_option,
    recipe_options,
    resumed,
    settings_of,
    workers_option,
)
from mcgc_cli.progress import progress
from mcgc_cli.summary import as_json, as_text, result_of, warn
from mcgc_cli.tables import COLUMNS, column_options, is_own, prepared, shown, taken_up, told
from mcgc_cli.values import DIRECTORY, FILE, PROBLEM, RECIPE


@click.command(cls=Grouped)
@click.argument("table", metavar="[DATA]", type=FILE, required=False)
@column_options
@in_group(
    "Data",
    "--problem",
    type=PROBLEM,
    help="Problem to train on: mnist, lotka-volterra, lorenz, or one of your own, FILE.py:NAME.",
)
@in_group(
    "Data",
    "--dataset",
    metavar="FILE",
    type=FILE,
    help="HDF5 file of the data.  [default: the problem's own, from the cache, or else made or downloaded]",
)
@in_group(
    "Model",
    "--recipe",
    metavar="NAME",
    type=RECIPE,
    help="Settings to start from: best, paper, or the name of an estimator.  [default: paper for mnist, else best]",
)
@recipe_options
@device_option
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=FILE,
    help="Run file, HDF5.  [default: <problem or table>-seed<seed>.h5, or the next free name]",
)
@click.option("--force", is_flag=True, help="Replace the output file if it exists.")
@click.option(
    "--resume", metavar="FILE", type=FILE, help="Continue this run file. --epochs may change the number of epochs."
)
@click.option("--allow-changed", is_flag=True, help="Continue even if something that changes the numbers differs.")
@click.option(
    "--checkpoint-every",
    metavar="N",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Save after every N epochs, but at most every 2 seconds.",
)
@click.option(
    "--tensorboard",
    metavar="DIR",
    type=DIRECTORY,
    help="Write event files for TensorBoard to DIR/<name of the run file>: losses, lambda and scores.",
)
@workers_option
@dask_option
@in_group(
    "Cluster",
    "--log",
    metavar="FILE",
    type=FILE,
    help="Write a line of JSON for each epoch of each member to FILE: its number, the worker, losses and seconds.",
)
@quiet_option
@json_option
@debug_option
@click.pass_context
def fit(
    ctx: click.Context,
    table: str | None,
    problem: str | None,
    dataset: str | None,
    recipe: str | None,
    device: str | None,
    output: str | None,
    force: bool,
    resume: str | None,
    allow_changed: bool,
    checkpoint_every: int,
    tensorboard: str | None,
    workers: int,
    dask: str | None,
    log: str | None,
    quiet: bool,
    json: bool,
    debug: bool,
    **given: Any,
) -> None:
    """Train on a table of yours, DATA, or on a problem.

    DATA is a CSV, Parquet, NPZ or HDF5 file. The settings are those of the recipe of the task or problem, unless an
    option changes them.
    """
    # imported here, so that help and mistakes of spelling are fast
    from mcgc_datasets import load

    from mcgc._cluster import client_of, parse
    from mcgc.train import Cluster, Run, TensorBoard, bind, free_path, problems
    from mcgc_cli.elsewhere import MemberLog, Progress
    from mcgc_cli.finish import by, finish

    ctx.meta["debug"] = debug
    if resume is not None and (output is not None or force):
        raise click.UsageError("--resume writes to its own file: leave out --output and --force")
    if resume is not None and recipe is not None:
        raise click.UsageError("--resume uses the settings of its file: leave out --recipe")
    if dask is not None and workers > 1:
        raise click.UsageError("--dask gives the members to a cluster: leave out --workers")
    if dask is not None:
        parse(dask)
    columns = {name: given.pop(name) for name in COLUMNS}
    named = [name for name, value in columns.items() if value is not None]
    if table is not None and (problem, dataset, recipe) != (None, None, None):
        raise click.UsageError("DATA is a table of your own: leave out --problem, --dataset and --recipe")
    if table is None and resume is None and named:
        raise click.UsageError(f"--{named[0]} is for a table: give the file DATA")
    if resume is not None and named:
        raise click.UsageError(f"--resume uses the columns of its file: leave out --{named[0]}")
    message = (lambda sentence: None) if quiet else tell
    usual = None if dask is None else "cpu"  # which device a worker has is not known here

    def task_of(known: Any, settings: Any, dataset: str | None, device: str | None, done: int = 0) -> Any:
        """Return the task of a problem and its settings; `done` epochs are done."""
        used, sentence = device_of(device or usual, workers, known, settings.members)
        data = load(known, dataset)
        if done < settings.epochs:
            message(sentence)
        return bind(settings, data, used, known)

    def bound(known: Any, settings: Any, data: Any, device: str | None) -> Any:
        """Return the task of a table."""
        used, sentence = device_of(device or usual, workers, known, settings.members)
        message(told(data))
        message(sentence)
        return bind(settings, data, used, known)

    def task_of_file(old: Any) -> Any:
        """Return the task of the run file `old` and the options."""
        if is_own(old.model):
            known, settings, data = taken_up(old, table or dataset, given)
            return bound(known, settings, data, device or old.device)
        name, own_dataset, own_device = resumed(old, problem, dataset, device)
        known = problems.get(name)
        return task_of(known, settings_of(known, given, old), own_dataset, own_device, old.epoch)

    how: dict[str, Any] = {"checkpoint_every": checkpoint_every, "message": message}
    if resume is not None:
        run = Run.resume(resume, task_of_file, allow_changed=allow_changed, **how)
    elif table is not None:
        known, settings, data = prepared(table, columns, given)
        path = free_path(f"{Path(table).stem}-seed{settings.seed}.h5") if output is None else output
        run = Run.create(path, lambda: bound(known, settings, data, device), overwrite=force, **how)
    elif problem is None:
        raise click.UsageError("Missing a table, or option '--problem'.")
    else:
        known = problems.get(problem)
        start = known.recipe_of(recipe)._replace(problem=_absolute(problem))
        settings = settings_of(known, given, recipe=start)
        path = free_path(f"{known.name}-seed{settings.seed}.h5") if output is None else output
        run = Run.create(path, lambda: task_of(known, settings, dataset, device), overwrite=force, **how)
    traffic = None
    with run, ExitStack() as stack:
        hooks: list[Any] = [] if tensorboard is None else [TensorBoard(Path(tensorboard) / Path(run.path).stem)]
        if log is not None:
            hooks.append(MemberLog(stack.enter_context(open(log, "a", encoding="utf-8"))))
        if run.finished:
            more = "--epochs to add some" if run.epoch == run.task.settings.epochs else "a larger --patience to go on"
            message(f"{run.path} is finished with all {run.epoch} epochs: give {more}")
        else:
            where = "" if dask is None else f" --dask {dask}"
            command = lambda path: f"mcgc fit --resume {shlex.quote(path)}{where}"
            strategy: Any = by(workers)
            if dask is not None:
                strategy = Cluster(stack.enter_context(client_of(dask)))
            with progress(run.task.settings.epochs, quiet) as show:
                hooks += [Progress(run, show.note)] if dask is not None else []
                finish(run, strategy, show, message, command, hooks=hooks)
            traffic = strategy.traffic._asdict() if dask is not None else None
        _report(run, json, traffic)


def _absolute(problem: str) -> str:
    """Return the name of a problem, with the absolute path if it is in a file."""
    path, colon, name = problem.rpartition(":")
    return f"{os.path.abspath(path)}:{name}" if colon else problem


def _report(run: Any, json: bool, traffic: dict[str, int] | None) -> None:
    result = result_of(run) | ({} if traffic is None else {"cluster": traffic})
    warn(result)
    text = as_json(result) if json else as_text(result)
    if not json and run.header.results:
        text = f"{text}\n{shown(run.header.results)}"
    click.echo(text)
