"""`mcgc report`: one page that needs no network, with all that a run file and its table tell."""

import os

import click

from mcgc_cli.errors import tell
from mcgc_cli.values import FILE


@click.command()
@click.argument("run", type=FILE)
@click.option("-o", "--output", metavar="FILE", type=FILE, required=True, help="Page: .html.")
@click.option("--data", metavar="FILE", type=FILE, help="Table to compare with.  [default: that of the run]")
@click.option("--force", is_flag=True, help="Replace the page if it exists.")
def report(run: str, output: str, data: str | None, force: bool) -> None:
    """Write a page on the run file RUN: what to do next, scores beside baselines, charts to zoom, data and settings.

    The page is one file that needs no network. Any browser shows it.
    """
    from importlib.util import find_spec

    from mcgc import files
    from mcgc.errors import InputError
    from mcgc.train import Fitted, run_file
    from mcgc_cli.tables import is_own, table_of

    if not output.endswith((".html", ".htm")):
        raise InputError(f"a report ends in .html, got {output!r}: give it this ending")
    if find_spec("plotly") is None:
        raise InputError("a report needs plotly, which is not installed: pip install 'mcgc[report]'")
    files.check_writable(output, force)
    from mcgc_cli.report._page import page

    found = run_file.load(run)
    fitted = table = None
    note = ""
    if is_own(found.model):
        fitted = Fitted(found)
        try:
            table = table_of(found, data)
        except InputError as error:
            if data is not None:
                raise
            note = str(error)
            tell(f"{note}; the page is without data (--data gives a table)")
    elif data is not None:
        raise InputError("--data is for a run on a table: leave it out")
    text = page(found, os.path.basename(run), fitted, table, note=note)
    files.write(output, text.encode(), force)
