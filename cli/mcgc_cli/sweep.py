"""`mcgc sweep`: train with many settings, show what each came to, and draw it."""

from pathlib import Path
from typing import Any

import click

from mcgc_cli.grouped import Grouped, in_group
from mcgc_cli.options import dask_option, debug_option, device_option, json_option
from mcgc_cli.values import DIRECTORY, FILE, Name

METRICS = ("validation", "train", "test")
metric_option = click.option(
    "--metric",
    type=Name(lambda ctx: METRICS),
    help="Loss to rank by: validation, train or test.  [default: that of the sweep]",
)


class _Sweep(click.Group):
    """A group that takes what is none of its commands as the file of a sweep to run."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Return the command that is named first, or else that which runs a file."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            from mcgc.errors import similar

            if not Path(args[0]).exists() and (meant := similar(args[0], self.commands)):
                raise click.UsageError(f"No such command or file {args[0]!r}{meant}")
            args = ["run", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=_Sweep)
def sweep() -> None:
    """Train with many settings: `mcgc sweep SPEC.toml` is `mcgc sweep run SPEC.toml`."""


@sweep.command(cls=Grouped)
@click.argument("spec", metavar="SPEC", type=FILE)
@in_group(
    "Training",
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Processes that train trials at once. The trials do not depend on it, but for the method optuna.",
)
@dask_option
@device_option
@click.option(
    "-o", "--output", metavar="FILE", type=FILE, help="Results, HDF5.  [default: <name of the spec>-sweep.h5]"
)
@click.option("--force", is_flag=True, help="Begin anew if the output exists.  [default: go on with its sweep]")
@click.option(
    "--runs", metavar="DIR", type=DIRECTORY, help="Keep the run files of all trials here.  [default: they are removed]"
)
@click.option("--retry-failed", is_flag=True, help="Train trials again that failed.")
@click.option("--quiet", is_flag=True, help="Print no progress on stderr.")
@json_option
@debug_option
@click.pass_context
def run(
    ctx: click.Context,
    spec: str,
    workers: int,
    dask: str | None,
    device: str | None,
    output: str | None,
    force: bool,
    runs: str | None,
    retry_failed: bool,
    quiet: bool,
    json: bool,
    debug: bool,
) -> None:
    """Run the sweep that the TOML file SPEC describes, or go on with it.

    A trial that is done is never trained again. Give the same command again after an interrupt.
    """
    ctx.meta["debug"] = debug
    from mcgc_cli.specs import read_spec

    if dask is not None and workers > 1:
        raise click.UsageError("--dask gives the trials to a cluster: leave out --workers")
    found, path = read_spec(spec), output or f"{Path(spec).stem}-sweep.h5"
    from mcgc_cli.sweep_run import run_spec  # after mistakes are found, which are told at once

    how = {
        "output": path,
        "overwrite": force,
        "runs": runs,
        "retry_failed": retry_failed,
        "workers": workers,
        "client": dask,
    }
    results, traffic = run_spec(found, device, how, quiet)
    _print(results, path, None, json, traffic=traffic)


@sweep.command()
@click.argument("results", metavar="RESULTS", type=FILE)
@metric_option
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Trials to show, from the best on.")
@json_option
def show(results: str, metric: str | None, top: int, json: bool) -> None:
    """Show the trials of a sweep, the best one with its interval, and the importance of each setting."""
    from mcgc.sweeps import read

    _print(read(results), results, metric, json, top)


@sweep.command()
@click.argument("results", metavar="RESULTS", type=FILE)
@click.option("-o", "--output", metavar="FILE", type=FILE, required=True, help="Picture: .png, .svg or .pdf.")
@metric_option
@click.option("--force", is_flag=True, help="Replace the picture if it exists.")
def plot(results: str, output: str, metric: str | None, force: bool) -> None:
    """Draw the trials of a sweep in parallel coordinates, and the loss against each setting."""
    from mcgc import files
    from mcgc.sweeps import read
    from mcgc_cli import pictures
    from mcgc_cli.sweep_pictures import of_sweep

    pictures.check_format(output)
    files.check_writable(output, force)
    pictures.save(of_sweep(read(results), metric), output)


def _print(
    found: Any, path: str, metric: str | None, json: bool, top: int | None = None, traffic: dict[str, int] | None = None
) -> None:
    from mcgc_cli import sweep_text
    from mcgc_cli.summary import as_json

    if not json:
        click.echo(sweep_text.text(found, path, metric, top))
        return
    click.echo(as_json(sweep_text.result_of(found, path, metric) | ({} if traffic is None else {"cluster": traffic})))
