"""`mcgc fit`: train on a problem, show the epochs, save the run, and go on with one that was stopped."""

import os
import shlex
from contextlib import ExitStack
from typing import Any

import click

from mcgc_cli.grouped import Grouped, in_group
from mcgc_cli.options import (
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
from mcgc_cli.sentences import tell
from mcgc_cli.signals import noted
from mcgc_cli.summary import as_json, as_text, result_of, warn
from mcgc_cli.values import FILE, PROBLEM, RECIPE


@click.command(cls=Grouped)
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
    help="HDF5 file of the data; without it the problem's own are taken from the cache, built, or downloaded.",
)
@in_group(
    "Model",
    "--recipe",
    metavar="NAME",
    type=RECIPE,
    help="Settings to begin with: best, paper, or an estimator's.  [default: paper for mnist, else best]",
)
@recipe_options
@device_option
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=FILE,
    help="Run file, HDF5.  [default: <problem>-seed<seed>.h5, or the next free name]",
)
@click.option("--force", is_flag=True, help="Replace the output file if it exists.")
@click.option(
    "--resume", metavar="FILE", type=FILE, help="Go on with this run file; --epochs may give it a new number of epochs."
)
@click.option("--allow-changed", is_flag=True, help="Go on though something differs that changes the numbers.")
@click.option(
    "--checkpoint-every",
    metavar="N",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Save after every N epochs, but not more than every 2 seconds.",
)
@workers_option
@quiet_option
@json_option
@debug_option
@click.pass_context
def fit(
    ctx: click.Context,
    problem: str | None,
    dataset: str | None,
    recipe: str | None,
    device: str | None,
    output: str | None,
    force: bool,
    resume: str | None,
    allow_changed: bool,
    checkpoint_every: int,
    workers: int,
    quiet: bool,
    json: bool,
    debug: bool,
    **given: Any,
) -> None:
    """Train on a problem, with the settings of its recipe where no option says otherwise."""
    # imported here, since help and mistakes of spelling should not wait for it
    from mcgc_datasets import load

    from mcgc import files, problems, runs
    from mcgc._lock import locked
    from mcgc.hdf5 import check_file
    from mcgc_cli.saving import begun, free, same_run
    from mcgc_cli.train import train

    ctx.meta["debug"] = debug
    if resume is not None and (output is not None or force):
        raise click.UsageError("--resume goes on in its own file: leave out --output and --force")
    if resume is not None and recipe is not None:
        raise click.UsageError("--resume goes on with the settings of its file: leave out --recipe")
    say = (lambda sentence: None) if quiet else tell
    with ExitStack() as stack:
        old = None
        if resume is not None:
            check_file(resume, f"run file {resume!r}")
            stack.enter_context(locked(resume, say))  # before it is read, since another process may be about to save
            old, force = runs.load(resume), True
            problem, dataset, device = resumed(old, problem, dataset, device)
        if problem is None:
            raise click.UsageError("Missing option '--problem'.")
        known = problems.get(problem)
        own = known.name != problem  # a problem of a file, which a run that goes on has to find from anywhere
        settings = settings_of(known, given, old, known.recipe_of(recipe)._replace(problem=_found_again(problem)))
        place, taken = device_of(device, workers, known, settings.members)
        path = resume if output is None else output
        path = free(f"{known.name}-seed{settings.seed}.h5") if path is None else path
        files.check_writable(path, force)
        if resume is None:
            stack.enter_context(locked(path, say))
        data = load(known if own else problem, dataset)
        saver = begun(path, force, checkpoint_every, settings, data, place)
        if old is not None:
            saver = same_run(saver, old, allow_changed)
            if old.epoch == settings.epochs:
                say(f"{path} is finished, all {old.epoch} epochs of it: give --epochs to go on")
                _report(settings, saver.records, place.name, path, json)
                return
        say(taken)
        heed = stack.enter_context(noted())
        show = stack.enter_context(progress(settings.epochs, quiet))
        again = lambda path: f"mcgc fit --resume {shlex.quote(path)}"
        train(saver, settings, data, place, workers=workers, heed=heed, show=show, say=say, again=again)
    _report(settings, saver.records, place.name, saver.path, json)


def _found_again(problem: str) -> str:
    """Return the name of a problem, with the whole path of the file that it is in, if it is in one."""
    path, colon, name = problem.rpartition(":")
    return f"{os.path.abspath(path)}:{name}" if colon else problem


def _report(settings: Any, records: list, device: str, path: str, json: bool) -> None:
    result = result_of(settings, records, device, path)
    warn(result)
    click.echo(as_json(result) if json else as_text(result))
