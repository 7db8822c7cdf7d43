"""`mcgc export`: the nets of a run file, for other programs."""

from pathlib import Path

import click

from mcgc_cli.values import FILE

FORMATS = ("onnx", "npz")


@click.command()
@click.argument("run", type=FILE)
@click.option("--to", "form", type=click.Choice(FORMATS), help="Format.  [default: the ending of the output]")
@click.option("-o", "--output", metavar="FILE", type=FILE, required=True, help="File to write.")
@click.option("--force", is_flag=True, help="Replace the output file if it exists.")
def export(run: str, form: str | None, output: str, force: bool) -> None:
    """Write the nets of the run file RUN as ONNX, or as arrays of NumPy.

    RUN is of a table. The nets have their scaling, and of dynamics they are the field d state/dt.
    """
    from mcgc import files, load

    form = Path(output).suffix.removeprefix(".") if form is None else form
    if form not in FORMATS:
        raise click.UsageError(f"the ending of {output!r} is no format: add --to onnx or --to npz")
    files.check_writable(output, force)
    fitted = load(run)
    write = fitted.to_onnx if form == "onnx" else fitted.to_npz
    write(output, overwrite=force)
    click.echo(f"saved to {output}")
