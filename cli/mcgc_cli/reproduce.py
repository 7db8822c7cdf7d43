"""`mcgc reproduce`: run a study of the paper, and write its run files, numbers and figure."""

import json
import os
import shlex
from collections.abc import Collection
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from mcgc.errors import InputError, OutputError, unknown
from mcgc_cli.errors import tell
from mcgc_cli.options import chosen_options, debug_option, device_option, json_option, quiet_option, workers_option
from mcgc_cli.summary import as_json
from mcgc_cli.values import DIRECTORY, FILE, STUDY

RESULTS = "results.json"


@click.command()
@click.argument("name", type=STUDY)
@click.option("--data", metavar="FILE", type=FILE, help="HDF5 file of the data, as --dataset of mcgc fit.")
@click.option("--epochs", type=int, help="Passes over the training set.  [default: those of the paper]")
@click.option(
    "--members", type=int, help="Models in each group, or seeds of test-functions.  [default: 10 for figure-5, else 5]"
)
@chosen_options("seed", "estimator", "on_divergence", "rtol", "atol")
@workers_option
@device_option
@click.option(
    "--out",
    "-o",
    metavar="DIR",
    type=DIRECTORY,
    help="Directory for all output.  [default: the name of the study]",
)
@click.option("--resume", is_flag=True, help="Continue the study in the directory.")
@quiet_option
@json_option
@debug_option
@click.pass_context
def reproduce(
    ctx: click.Context,
    name: str,
    data: str | None,
    workers: int,
    device: str | None,
    out: str | None,
    resume: bool,
    quiet: bool,
    json: bool,
    debug: bool,
    **given: Any,
) -> None:
    """Run a study of the paper: figure-1 to figure-7, or test-functions."""
    # imported here, so that help and mistakes of spelling are fast
    from mcgc import files
    from mcgc.paper import ensembles
    from mcgc_cli import ensembles as trained
    from mcgc_cli import figures, pictures

    ctx.meta["debug"] = debug
    names = sorted([*figures.names(), *ensembles.names()])
    if name not in names:
        raise InputError(unknown("study", name, names))
    message = (lambda sentence: None) if quiet else tell
    directory = out or name
    if name in figures.names():
        text = figures.as_text
        own = None if ctx.get_parameter_source("workers") is ParameterSource.DEFAULT else workers
        members = figures.count(name, {**given, "data": data, "device": device, "workers": own})
        _prepare(directory, resume, name, [f"{group}.h5" for group in ensembles.GROUPS])
        results, figure = figures.reproduce(name, members)
    else:
        text, study = trained.as_text, ensembles.get(name)
        settings = trained.settings_of_groups(study, given)
        _prepare(directory, resume, name)
        results, figure = trained.reproduce(
            study,
            settings,
            directory,
            data,
            device_name=device,
            workers=workers,
            quiet=quiet,
            message=message,
            command=_resume_command(ctx),
        )
    for ending in (".png", ".svg"):
        pictures.save(figure, Path(directory, name + ending))
    files.write(Path(directory, RESULTS), f"{as_json(results, indent=2)}\n".encode())
    click.echo(as_json(results) if json else f"{text(results)}\nsaved to {directory}")


def _prepare(directory: str, resume: bool, name: str, foreign: Collection[str] = ()) -> None:
    """Make the directory of the study `name`.

    Raises `OutputError` if that fails, or if the directory has files of another study, such as those in `foreign`.
    """
    try:
        os.makedirs(directory, exist_ok=True)
        used = os.listdir(directory)
    except OSError as error:
        raise OutputError(
            f"directory {directory!r} cannot be used ({error.strerror}): choose another with --out"
        ) from error
    if used and not resume:
        raise OutputError(
            f"directory {directory!r} is not empty: choose another with --out, or continue its study with --resume"
        )
    others = [file for file in used if file in foreign or (file == RESULTS and _study(directory) != name)]
    if others:
        raise OutputError(
            f"directory {directory!r} has {min(others)} of another study than {name}: choose another with --out"
        )


def _study(directory: str) -> Any:
    """Return the name of the study of the results in `directory`, or None if there is no such study."""
    from mcgc.hdf5 import check_file

    path = Path(directory, RESULTS)
    try:
        check_file(path, "results")
        return json.loads(path.read_bytes())["study"]
    except (InputError, OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _resume_command(ctx: click.Context) -> str:
    """Return the command that resumes this one."""
    words = ["mcgc", "reproduce", ctx.params["name"]]
    for option in ctx.command.params:
        value = ctx.params.get(str(option.name))
        if isinstance(option, click.Option) and option.name != "resume" and value not in (None, False, option.default):
            words += [option.opts[0]] if option.is_flag else [option.opts[0], str(value)]
    return shlex.join([*words, "--resume"])
