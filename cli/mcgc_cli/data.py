"""`mcgc data`: make, import, describe and check the datasets that problems are trained on."""

import json as jsonlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from mcgc.errors import DatasetError, OutputError
from mcgc_cli.errors import FAILURE, Stopped
from mcgc_cli.options import json_option
from mcgc_cli.values import FILE, PROBLEM

if TYPE_CHECKING:
    from mcgc_datasets.registry import Data

_output = click.option(
    "-o", "--output", metavar="FILE", type=FILE, help="Dataset file, HDF5.  [default: the one in the cache]"
)
_force = click.option("--force", is_flag=True, help="Replace the output file if it exists.")
_problem = click.option("--problem", type=PROBLEM, help="Problem that the file is for.  [default: what the file says]")


@click.group()
def data() -> None:
    """Make, import, describe and check datasets."""


@data.command()
@click.argument("problem", type=PROBLEM)
@_output
@_force
@json_option
def make(problem: str, output: str | None, force: bool, json: bool) -> None:
    """Integrate, or for mnist download, the data of PROBLEM, and write them to a file."""
    import mcgc_datasets

    _write(problem, output, force, json, lambda: mcgc_datasets.make(problem, output))


@data.command("import")
@click.argument("problem", type=PROBLEM)
@click.option(
    "--from", "source", metavar="PATH", type=FILE, required=True, help="Directory of the idx files, or an HDF5 file."
)
@_output
@_force
@json_option
def import_(problem: str, source: str, output: str | None, force: bool, json: bool) -> None:
    """Check published data of PROBLEM, which is mnist, and write them to a file.

    PATH is the directory with the four idx files, train-images-idx3-ubyte and so on, packed (.gz) or not; or an HDF5
    file with train/images and train/labels.
    """
    import mcgc_datasets

    _write(problem, output, force, json, lambda: mcgc_datasets.take(problem, source, output))


@data.command()
@click.argument("file", type=FILE)
@_problem
@json_option
def info(file: str, problem: str | None, json: bool) -> None:
    """Describe the dataset FILE: its problem, its arrays and its SHA-256."""
    from mcgc_datasets import load, problem_of

    problem = problem_of(file) if problem is None else problem
    _show(_description(problem, load(problem, file)), json)


@data.command()
@click.argument("file", type=FILE)
@_problem
@json_option
def validate(file: str, problem: str | None, json: bool) -> None:
    """Tell whether a problem can be trained on the dataset FILE.

    The exit status is 0 if so, 1 if what the file holds is not as it should be, and 2 if there is no such file, it
    may not be read, or the problem is unknown.
    """
    from mcgc_datasets import load, problem_of

    from mcgc.hdf5 import check_file
    from mcgc.train import problems

    check_file(file, f"dataset file {file!r}")
    if problem is not None:
        problems.get(problem)
    try:
        problem = problem_of(file) if problem is None else problem
        load(problem, file)
    except DatasetError as error:
        if json:
            _show({"file": file, "problem": problem, "valid": False, "reason": str(error)}, json)
        raise Stopped(str(error), FAILURE) from None
    if json:
        _show({"file": file, "problem": problem, "valid": True, "reason": None}, json)
    else:
        click.echo(f"{problem} can be trained on {file}")


def _write(problem: str, output: str | None, force: bool, json: bool, write: Callable[[], "Data"]) -> None:
    """Write a dataset with `write` and describe it."""
    from mcgc import files
    from mcgc.train import problems

    problems.get(problem)  # before anything of the user's is touched
    if output is not None:
        files.check_writable(output, force)
    try:
        written = write()
    except OutputError as error:
        raise OutputError(f"{error}; --output names another place") from None
    _show(_description(problem, written), json)


def _description(problem: str, data: "Data") -> dict[str, Any]:
    arrays = {name: array for name, array in data._asdict().items() if hasattr(array, "shape")}
    return {
        "problem": problem,
        "file": os.fspath(data.source),
        "sha256": data.sha256,
        "arrays": {name: {"shape": list(a.shape), "dtype": a.dtype.name} for name, a in arrays.items()},
    }


def _show(result: dict[str, Any], json: bool) -> None:
    if json:
        click.echo(jsonlib.dumps(result))
        return
    arrays = result.pop("arrays", {})
    shapes = {name: f"{' × '.join(map(str, entry['shape']))} {entry['dtype']}" for name, entry in arrays.items()}
    for name, value in (result | shapes).items():
        click.echo(f"{name:<12} {value}")
