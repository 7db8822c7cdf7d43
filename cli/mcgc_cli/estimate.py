"""`mcgc estimate`: parameters of differential equations from a table of series."""

import re
from typing import Any

import click

from mcgc.errors import InputError
from mcgc_cli.equations import METAVAR, PARAMETERS, function_of, parameters_of
from mcgc_cli.grouped import Grouped, in_group
from mcgc_cli.options import dask_option, debug_option, json_option
from mcgc_cli.summary import as_json
from mcgc_cli.values import FILE, Columns, Name, numbers_of

_METHOD = Name(lambda ctx: ("auto", "lm", "continuation", "horizons", "eki"))
_Y0 = Name(lambda ctx: ("known", "fit"))
_PROFILE = Name(lambda ctx: ("all",))
_KIND = Name(lambda ctx: ("linear", "previous"))


@click.command(cls=Grouped)
@click.argument("field", metavar="FIELD", type=FILE)
@click.argument("table", metavar="DATA", type=FILE)
@in_group(
    "Model",
    "--parameters",
    metavar=METAVAR,
    required=True,
    help=PARAMETERS,
)
@in_group(
    "Model", "--y0", type=_Y0, default="known", show_default=True,
    help="Whether starts are known or fit, or the states whose starts are fitted, with commas between.",
)  # fmt: skip
@in_group("Model", "--start", metavar="V=1,R=0", help="States at the start.  [default: the first values of the table]")
@in_group(
    "Model", "--sigma", metavar="FLOAT,...",
    help="Standard deviation of the noise, one or one for each observed state.  [default: estimated]",
)  # fmt: skip
@in_group("Table", "--time", metavar="COLUMN", type=Columns(), help="Column of times.  [default: time or t]")
@in_group("Table", "--group", metavar="COLUMN", type=Columns(), help="Column that tells which experiment a row is of.")
@in_group(
    "Table", "--states", metavar="COLUMNS", type=Columns(),
    help="States of the field, in order. One that is no column is not observed.  [default: all other columns]",
)  # fmt: skip
@in_group("Table", "--inputs", metavar="COLUMNS", type=Columns(), help="Columns of the inputs u of the field.")
@in_group(
    "Table", "--interpolation", type=_KIND, default="linear", show_default=True,
    help="How inputs go on between times: linear or previous.",
)  # fmt: skip
@in_group(
    "Search", "--method", type=_METHOD, default="auto", show_default=True,
    help="How to search: auto, lm, continuation, horizons or eki.",
)  # fmt: skip
@in_group("Search", "--horizons", type=click.IntRange(1), help="Number of growing lengths of time.  [default: 7]")
@in_group("Search", "--restarts", type=click.IntRange(0), default=0, show_default=True, help="Number of further runs.")
@in_group("Search", "--max-nfev", type=click.IntRange(1), help="Most evaluations of the search.")
@in_group("Search", "--seed", type=int, default=0, show_default=True, help="Seed of the noise of the methods.")
@click.option(
    "--profile",
    metavar="NAMES",
    type=_PROFILE,
    help="Print intervals of the profile likelihood, for all or some names.",
)
@click.option("--level", type=float, default=0.95, show_default=True, help="Probability of these intervals.")
@dask_option
@in_group("Cluster", "--timeout", type=click.FloatRange(0, min_open=True), help="Most seconds of a call on a worker.")
@in_group(
    "Cluster", "--repeat", type=click.FloatRange(1, min_open=True),
    help="Give a call that takes so many times the median to another worker too.  [default: no call]",
)  # fmt: skip
@click.option("-o", "--output", metavar="FILE", type=FILE, help="HDF5 file of the result.  [default: none]")
@click.option("--force", is_flag=True, help="Replace the output file if it exists.")
@json_option
@debug_option
@click.pass_context
def estimate(
    ctx: click.Context,
    field: str,
    table: str,
    parameters: str,
    y0: str,
    start: str | None,
    sigma: str | None,
    time: str | None,
    group: str | None,
    states: str | None,
    inputs: str | None,
    interpolation: str,
    dask: str | None,
    profile: str | None,
    level: float,
    output: str | None,
    force: bool,
    json: bool,
    debug: bool,
    **search: Any,
) -> None:
    """Estimate the parameters of the equations FIELD, which is FILE.py:NAME, from the series in DATA."""
    ctx.meta["debug"] = debug
    import warnings

    from mcgc_datasets import read_table

    from mcgc import estimation, files
    from mcgc._cluster import parse
    from mcgc.continuation import ScaleWarning
    from mcgc.tables import SeriesColumns, series_columns, series_of
    from mcgc_cli.errors import tell

    if dask is not None:
        parse(dask)
    elif search["timeout"] or search["repeat"]:
        raise click.UsageError("--timeout and --repeat are for a cluster: give --dask")
    if output is not None:
        files.check_writable(output, force)
    function, parts, starts = function_of(field), parameters_of(parameters), numbers_of(start or "", "--start")
    data = read_table(table)
    named = None if states is None else [name.strip() for name in states.split(",") if name.strip()]
    seen = None if named is None else [name for name in named if name in data.columns]
    if named is not None and not seen:
        raise InputError(f"--states names no column of the table: choose of {', '.join(data.columns)}")
    columns = series_columns(data, time, group, seen, inputs)
    columns = SeriesColumns(columns.time, columns.group, tuple(named or columns.states), columns.inputs)
    series = series_of(data, columns, interpolation)
    if series.dates is not None:
        tell(f"times are {series.dates}")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ScaleWarning)
            found = estimation.estimate(
                function,
                estimation.experiments_of(series, starts),
                parts,
                states=columns.states,
                y0=y0 if y0 in ("known", "fit") else [name.strip() for name in y0.split(",")],
                sigma=_sigmas(sigma, columns.states, data),
                interpolation=interpolation,
                client=dask,
                **search,
            )
        wanted = [] if profile is None else _profiled(profile, found)
        profiles = [found.profile(name, level) for name in wanted]
    except InputError as error:
        raise type(error)(_with_flags(str(error))) from None
    for one in caught:
        tell(f"mcgc: {str(one.message).replace('a larger x_scale', 'wider bounds')}")
    if output is not None:
        found.save(output, force)
    if json:
        result = estimation.summary(found)
        result |= {"cluster": found.traffic} if dask is not None else {}
        result["intervals"] = {one.name: [one.low, one.high] for one in profiles}
        click.echo(as_json(result))
        return
    click.echo(found.report())
    if profiles:
        click.echo(f"Intervals of the profile likelihood, {100 * level:g} %")
        for one in profiles:
            click.echo(f"    {one.name}: {one.low:.6g} to {one.high:.6g}")


def _sigmas(text: str | None, states: tuple[str, ...], table: Any) -> Any:
    """Return the noise of each state; those that are not observed have 1, which nothing depends on."""
    if text is None:
        return None
    try:
        given = [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--sigma must be numbers with commas between, got {text!r}") from None
    seen = [name for name in states if name in table.columns]
    if len(given) not in (1, len(seen)):
        raise InputError(f"--sigma must be one number, or {len(seen)}, one for each observed state, got {text!r}")
    of = dict(zip(seen, given * len(seen) if len(given) == 1 else given, strict=False))
    return [of.get(name, 1.0) for name in states]


def _profiled(text: str, found: Any) -> list[str]:
    if text == "all":
        return [name for name, free in zip(found.names, found.free, strict=True) if free]
    return [name.strip() for name in text.split(",")]


def _with_flags(sentence: str) -> str:
    """Replace the arguments of the library in a sentence by the flags of the command."""
    sentence = sentence.replace("y0='fit'", "--y0 fit").replace("in y0", "in --start")
    return re.sub(r"(?<![\w-])(max_nfev|horizons|restarts|sigma|method|level)(?= must| is|:)",
                  lambda match: f"--{match[1].replace('_', '-')}", sentence)  # fmt: skip
