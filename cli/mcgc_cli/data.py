"""`mcgc data`: make, import, describe and check datasets."""

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
_problem = click.option("--problem", type=PROBLEM, help="Problem of the file.  [default: the one that the file names]")


@click.group()
def data() -> None:
    """Make, import, describe and check datasets."""


@data.command()
@click.argument("problem", type=PROBLEM)
@_output
@_force
@json_option
def make(problem: str, output: str | None, force: bool, json: bool) -> None:
    """Make the data of PROBLEM and write them to a file.

    Series are integrated. MNIST is downloaded.
    """
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
    """Check published data of PROBLEM and write them to a file. The only such problem is mnist.

    PATH is the directory with the four idx files, such as train-images-idx3-ubyte, compressed (.gz) or not. It may also
    be an HDF5 file with train/images and train/labels.
    """
    import mcgc_datasets

    _write(problem, output, force, json, lambda: mcgc_datasets.import_published(problem, source, output))


@data.command("from-table")
@click.argument("table", type=FILE)
@click.option("--units", metavar="A=mol/l,t=s", default="", help="Units of columns.")
@click.option("-o", "--output", metavar="FILE", type=FILE, required=True, help="Dataset file, HDF5.")
@_force
@json_option
def from_table(table: str, units: str, output: str, force: bool, json: bool) -> None:
    """Write the table TABLE, such as a CSV, to an HDF5 file with names, units, and the hash of TABLE."""
    from mcgc_datasets import read_table, write_table

    from mcgc import files

    files.check_writable(output, force)
    found = read_table(table)
    named = {}
    for entry in units.split(",") if units.strip() else []:
        name, equals, unit = (part.strip() for part in entry.partition("="))
        if not (equals and name and unit):
            raise click.UsageError(f"--units has the entry {entry.strip()!r}: give COLUMN=UNIT, with commas between")
        named[name] = unit
    write_table(output, found, named)
    described = {"file": output, "source": found.source, "source_sha256": found.sha256, "rows": found.num_rows}
    columns = {name: named.get(name, found.units.get(name, "")) for name in found.columns}
    if json:
        click.echo(jsonlib.dumps(described | {"columns": columns}))
        return
    for key, value in described.items():
        click.echo(f"{key:<14} {value}")
    click.echo(f"{'columns':<14} {', '.join(f'{name} [{unit}]' if unit else name for name, unit in columns.items())}")


@data.command()
@click.argument("file", type=FILE)
@_problem
@json_option
def info(file: str, problem: str | None, json: bool) -> None:
    """Print the problem, the arrays and the SHA-256 of the dataset FILE."""
    from mcgc_datasets import load, problem_of

    problem = problem_of(file) if problem is None else problem
    _show(_description(problem, load(problem, file)), json)


@data.command()
@click.argument("file", type=FILE)
@_problem
@json_option
def validate(file: str, problem: str | None, json: bool) -> None:
    """Check whether a problem can be trained on the dataset FILE.

    The exit status is 0 if it can. It is 1 if the contents of the file are wrong. It is 2 if the file does not exist or
    cannot be read, or if the problem is unknown.
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

    problems.get(problem)  # before a file of the user is touched
    if output is not None:
        files.check_writable(output, force)
    try:
        written = write()
    except OutputError as error:
        raise OutputError(f"{error}; choose another file with --output") from None
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
