"""The command `mcgc`. It reads options, calls the library, and shows the results."""

import click

from mcgc import __version__
from mcgc_cli.check import check
from mcgc_cli.compare import compare
from mcgc_cli.completion import completion
from mcgc_cli.data import data
from mcgc_cli.diagnose import diagnose
from mcgc_cli.doctor import doctor
from mcgc_cli.errors import ErrorGroup
from mcgc_cli.estimate import estimate
from mcgc_cli.export import export
from mcgc_cli.fit import fit
from mcgc_cli.minimize import minimize
from mcgc_cli.plot import plot
from mcgc_cli.predict import evaluate, info, predict
from mcgc_cli.report import report
from mcgc_cli.reproduce import reproduce
from mcgc_cli.sweep import sweep
from mcgc_cli.watch import watch


@click.group(cls=ErrorGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mcgc")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Train models that get stuck, with Monte Carlo Gaussian continuation."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


main.add_command(fit)
main.add_command(predict)
main.add_command(evaluate)
main.add_command(export)
main.add_command(plot)
main.add_command(report)
main.add_command(watch)
main.add_command(info)
main.add_command(diagnose)
main.add_command(data)
main.add_command(estimate)
main.add_command(minimize)
main.add_command(reproduce)
main.add_command(compare)
main.add_command(sweep)
main.add_command(check)
main.add_command(doctor)
main.add_command(completion)
