"""`mcgc report`: one page that needs no network, with all that a run file and its table tell."""

import os
from typing import TYPE_CHECKING

import click

from mcgc_cli.errors import tell
from mcgc_cli.values import FILE

if TYPE_CHECKING:
    from mcgc.tables import Table
    from mcgc.train.run_file import RunFile
    from mcgc_cli.report._findings import Finding


@click.command()
@click.argument("run", type=FILE)
@click.option("-o", "--output", metavar="FILE", type=FILE, required=True, help="Page: .html.")
@click.option("--data", metavar="FILE", type=FILE, help="Table to compare with.  [default: that of the run]")
@click.option("--force", is_flag=True, help="Replace the page if it exists.")
def report(run: str, output: str, data: str | None, force: bool) -> None:
    """Write a page on the run file RUN: what to do next, scores beside baselines, charts to zoom, data and settings.

    Of an estimate it has the parameters, their errors and correlations, and the fit beside the data.
    The page is one file that needs no network. Any browser shows it.
    """
    from importlib.util import find_spec

    from mcgc import estimation, files
    from mcgc.errors import InputError
    from mcgc.train import run_file
    from mcgc_cli.tables import with_table

    if not output.endswith((".html", ".htm")):
        raise InputError(f"a report ends in .html, got {output!r}: give it this ending")
    if find_spec("plotly") is None:
        raise InputError("a report needs plotly, which is not installed: pip install 'mcgc[report]'")
    files.check_writable(output, force)
    if estimation.is_estimate(run):
        from mcgc_cli.estimates import page_of

        if data is not None:
            raise InputError("the file of an estimate has its data: leave out --data")
        text = page_of(estimation.read_estimate(run), os.path.basename(run))
        files.write(output, text.encode(), force)
        return
    from mcgc_cli.report._page import page

    found = run_file.load(run)
    fitted, table, note = with_table(found, data)
    if note:
        tell(f"{note}; the page is without data (--data gives a table)")
    if fitted is None and data is not None:
        raise InputError("--data is for a run on a table: leave it out")
    more = [] if table is None else _diagnosed(found, table)
    text = page(found, os.path.basename(run), fitted, table, more, note)
    files.write(output, text.encode(), force)


def _diagnosed(run: "RunFile", table: "Table") -> "list[Finding]":
    """Return the causes that a diagnosis on the table of the run finds; none on another table."""
    from mcgc.errors import InputError
    from mcgc.train import diagnose
    from mcgc_cli.diagnose import advice_of
    from mcgc_cli.report._findings import Finding

    try:
        found = diagnose(run, table).findings
    except InputError:
        return []
    return [
        Finding(
            f"{each.name.replace('-', ' ').capitalize()}: {each.meaning} "
            f"(measured {each.measured:.3g}, threshold {each.threshold:g}).",
            f"{advice_of(each)[:1].upper()}{advice_of(each)[1:]}.",
        )
        for each in found
        if not each.explained
    ]
