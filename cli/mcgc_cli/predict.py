"""`mcgc predict`, `evaluate` and `info`: what a run file knows."""

import csv
import io
from typing import Any

import click

from mcgc_cli.options import json_option
from mcgc_cli.summary import as_json, as_table
from mcgc_cli.tables import shown
from mcgc_cli.values import FILE, numbers_of

_level = click.option("--level", type=float, default=0.9, show_default=True, help="Share that the bands shall cover.")


@click.command()
@click.argument("run", type=FILE)
@click.option(
    "--inputs", metavar="FILE", type=FILE, help="Table to predict for: rows of features; or starts, inputs and times."
)
@click.option("--until", metavar="TIME", help="Predict series from their starts to this time, a number or a date.")
@click.option("--every", type=float, help="Time between two predictions.  [default: a hundredth of the whole]")
@click.option("--start", metavar="A=1,B=2", help="Simulate from these states, in place of a table.")
@click.option("--constant", metavar="U=1", help="Inputs of the simulation.")
@_level
@click.option("-o", "--output", metavar="FILE", type=FILE, help="CSV file.  [default: printed]")
@click.option("--force", is_flag=True, help="Replace the output file if it exists.")
def predict(
    run: str,
    inputs: str | None,
    until: Any,
    every: float | None,
    start: str | None,
    constant: str | None,
    level: float,
    output: str | None,
    force: bool,
) -> None:
    """Predict with the run file RUN, and print or write a CSV with means and bands.

    Without a table, the series of the run are continued from their own starts up to --until. Of an estimate they are
    its experiments, with the estimated parameters. The columns are then a state, its standard error (_se), its band
    (_low, _high), and the band of a new measurement of it (_data_low, _data_high).
    """
    from mcgc_datasets import read_table

    from mcgc import estimation, files, load

    if start is not None and inputs is not None:
        raise click.UsageError("--start is in place of a table: leave out --inputs")
    if start is None and constant is not None:
        raise click.UsageError("--constant has the inputs of a simulation: give --start too")
    if start is not None and until is None:
        raise click.UsageError("--start needs --until: until when to simulate")
    if output is not None:
        files.check_writable(output, force)
    until = time_of(until)
    if estimation.is_estimate(run):
        from mcgc_cli.estimates import predicted

        if inputs is not None:
            raise click.UsageError("An estimate predicts its experiments, or from --start: leave out --inputs.")
        _written(csv_of(predicted(estimation.read_estimate(run), until, every, start, constant, level)), output, force)
        return
    fitted = load(run)
    if start is not None and until is not None:
        values = numbers_of(start, "--start"), numbers_of(constant or "", "--constant")
        found = fitted.simulate(*values, until=until, every=every, level=level)
    else:
        table = None if inputs is None else read_table(inputs)
        found = fitted.predict(table, until=until, every=every, level=level)
    _written(csv_of(found, getattr(fitted.dates, "utc", False)), output, force)


def _written(text: str, output: str | None, force: bool) -> None:
    """Print a text, or write it to a file."""
    from mcgc import files

    if output is None:
        click.echo(text, nl=False)
    else:
        files.write(output, text.encode(), force)


def time_of(text: str | None) -> Any:
    """Return a number, or the text as it is: it may be a date."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def csv_of(columns: dict[str, Any], utc: bool = False) -> str:
    """Return columns as CSV, with the fewest digits that give the same numbers, and dates as ISO 8601 has them."""
    from mcgc.tables._dates import as_text

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    cells = [as_text(values, utc) if values.dtype.kind == "M" else values.tolist() for values in columns.values()]
    writer.writerows(zip(*cells, strict=True))
    return text.getvalue()


@click.command()
@click.argument("run", type=FILE)
@click.option("--data", metavar="FILE", type=FILE, help="Table to score.  [default: what the run scored at its end]")
@_level
@json_option
def evaluate(run: str, data: str | None, level: float, json: bool) -> None:
    """Print the scores of the run file RUN beside its baselines, or those on another table."""
    from mcgc_datasets import read_table

    from mcgc import load

    fitted = load(run)
    if data is None:
        results = {key: value for key, value in fitted.results.items() if key != "starts"}
        if not results:
            click.echo("the run is not done: it has no scores yet" if not json else "{}")
            return
        click.echo(as_json(results) if json else shown(results))
        return
    found = fitted.score(read_table(data), level)
    if json:
        click.echo(as_json(found))
        return
    if fitted.task == "classification":
        click.echo("\n".join(f"{name.replace('_', ' '):<10}{value:.4g}" for name, value in found.items()))
        return
    names = list(found["rmse"])
    rows = [[measure, *(_shown(values[name]) for name in names)] for measure, values in found.items()]
    click.echo(as_table(["", *names], rows))


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _readable(model: Any) -> dict[str, Any]:
    """Return the model of a run with its equations as their source, in place of what is computed."""
    known = model.get("known")
    if known is None:
        return dict(model)
    source = known["source"].rstrip() or "(their source is not known)"
    starts = {name: one["value"] for name, one in known["parameters"].items()}
    of_known = {f"equations {known['name']}": f"begin at {starts}\n{source}"}
    return {key: value for key, value in model.items() if key != "known"} | of_known


@click.command()
@click.argument("run", type=FILE)
@json_option
def info(run: str, json: bool) -> None:
    """Describe the run file RUN: its data, model, settings and versions. Of an estimate it prints the report."""
    from mcgc import estimation

    if estimation.is_estimate(run):
        saved = estimation.read_estimate(run)
        click.echo(as_json(saved.summary) if json else saved.report)
        return
    from mcgc.train import run_file

    found = run_file.load(run)
    described = {
        "problem": found.settings.get("problem"),
        "model": found.model if json else _readable(found.model),
        "epochs": found.epoch,
        "finished": found.finished,
        "members": len(found.theta),
        "parameters": int(found.theta.shape[-1]),
        "dataset": found.dataset,
        "device": found.device,
        "settings": {name: value for name, value in found.settings.items() if value is not None},
        "versions": found.versions,
        "changes": list(found.changes),
    }
    if json:
        click.echo(as_json(described))
        return
    for name, value in described.items():
        if not isinstance(value, dict):
            click.echo(f"{name:<12} {', '.join(value) if isinstance(value, list) else value}")
            continue
        click.echo(name)
        for key, each in value.items():
            if each not in ([], {}, "", None):
                click.echo(f"  {key:<18} {', '.join(map(str, each)) if isinstance(each, list) else each}")
