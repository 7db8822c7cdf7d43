"""`mcgc fit`: train on a problem, show the epochs, save the run."""

import os
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path
from typing import Any, NoReturn

import click

from mcgc.errors import McgcError
from mcgc_cli.options import recipe_options, settings_of
from mcgc_cli.progress import Show, progress
from mcgc_cli.sentences import FAILURE, INTERRUPTED, Stopped
from mcgc_cli.summary import as_json, as_text, result_of


@click.command()
@click.option("--problem", required=True, help="Problem to train on: mnist, lotka-volterra, or lorenz.")
@click.option(
    "--dataset",
    metavar="FILE",
    help="HDF5 file of the data; without it the problem's own are taken from the cache, built, or downloaded.",
)
@recipe_options
@click.option("--device", default="auto", show_default=True, help="Device: auto, cpu, cuda, or cuda:N.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Run file, HDF5.  [default: <problem>-seed<seed>.h5, or the next free name]",
)
@click.option("--force", is_flag=True, help="Replace the output file if it exists.")
@click.option("--quiet", is_flag=True, help="No device and no progress on stderr.")
@click.option("--json", "json", is_flag=True, help="Print the result as one line of JSON.")
def fit(
    problem: str,
    dataset: str | None,
    device: str,
    output: str | None,
    force: bool,
    quiet: bool,
    json: bool,
    **given: Any,
) -> None:
    """Train on a problem, with the recipe of the paper where no option says otherwise."""
    # imported here, since help and mistakes of spelling should not wait for it
    from mcgc_datasets import load

    from mcgc import problems, runs, training
    from mcgc.arrays import select_device, to_host

    settings = settings_of(problems.get(problem), given)
    place, taken = select_device(device)
    path = output if output is not None else free(f"{problem}-seed{settings.seed}.h5")
    runs.check_writable(path, force)
    data = load(problem, dataset)
    epochs = training.fit(settings, data, place)
    if not quiet:
        click.echo(taken, err=True)
    with progress(settings.epochs, quiet) as show:
        records, theta, failure = _train(epochs, show)
    if records:
        table = runs.columns(records)
        run = runs.Run(
            settings=settings._asdict(),
            versions=runs.versions(),
            dataset={"source": data.source, "sha256": data.sha256},
            device=place.name,
            finished=failure is None,
            epochs=table,
            theta=to_host(theta),
            log_lam=table["log_lam"][-1],
        )
        path = path if force else free(path)  # a file made meanwhile must not cost a long run
        runs.save(path, run, force)
    if failure is not None:
        _stop(failure, f"the epochs so far are saved in {path}" if records else "nothing was saved")
    result = result_of(settings, records, data.num_examples, place.name, path)
    click.echo(as_json(result) if json else as_text(result))


def free(path: str) -> str:
    """Return `path`, or the first of path-2, path-3, ... where there is something already."""
    whole = Path(path)
    numbered = (str(whole.with_name(f"{whole.stem}-{number}{whole.suffix}")) for number in count(2))
    return next(name for name in chain([path], numbered) if not os.path.lexists(name))


def _train(epochs: Iterator, show: Show) -> tuple[list, Any, BaseException | None]:
    """Show every epoch; return the records, the last θ, and what ended the run before its time."""
    records: list = []
    theta = None
    try:
        for epoch in epochs:
            record, theta = epoch
            records.append(record)
            show(record)
    except (Exception, KeyboardInterrupt) as failure:
        return records, theta, failure
    return records, theta, None


def _stop(failure: BaseException, saved: str) -> NoReturn:
    # in compiled code an interrupt comes out as a SystemError, with the interrupt as its cause
    if isinstance(failure, KeyboardInterrupt) or isinstance(failure.__cause__, KeyboardInterrupt):
        raise Stopped(f"interrupted, {saved}", INTERRUPTED) from None
    if isinstance(failure, McgcError):
        raise Stopped(f"{failure}; {saved}", FAILURE) from None
    raise failure
