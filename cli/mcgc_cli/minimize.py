"""`mcgc minimize`: minimise a test function by continuation."""

import math
import re
from typing import Any

import click

from mcgc.errors import InputError
from mcgc_cli.options import json_option
from mcgc_cli.summary import as_json
from mcgc_cli.values import FUNCTION, choice

FIELDS = {
    "--seed": "seed",
    "--iterations": "maxiter",
    "--warmup": "warmup",
    "--estimator": "estimator",
    "--num-samples": "num_samples",
    "--lam0": "lam0",
    "--shrink": "shrink",
    "--lr": "learning_rate",
    "--lr-lam": "learning_rate_lam",
    "--beta": "beta",
    "--tol": "tol",
}


class MinimizeOption(click.Option):
    """An option whose help shows the default of `mcgc.minimize`."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        """Return the flag and the help with the default."""
        import inspect

        from mcgc import minimize

        flag, text = super().get_help_record(ctx) or ("", "")
        default = inspect.signature(minimize).parameters[str(self.name)].default
        return flag, text if default is None else f"{text}  [default: {default}]"


def _option(flag: str, kind: Any, text: str) -> Any:
    return click.option(flag, FIELDS[flag], type=kind, help=text, cls=MinimizeOption)


@click.command()
@click.argument("function", type=FUNCTION)
@click.option("--dimension", type=int, help="Number of variables.  [default: 2, for quartic 1]")
@click.option("--start", metavar="X,Y,...", help="Start point.  [default: that of the function]")
@_option("--seed", int, "Seed of the noise.")
@_option("--iterations", int, "Number of steps.  [default: 1000]")
@_option("--warmup", int, "Steps at the start in which lambda stays constant.  [default: a quarter of all]")
@_option("--estimator", choice("estimator"), "Estimator of the gradient of log lambda.  [default: antithetic]")
@_option("--num-samples", int, "Monte Carlo samples in each step.  [default: 4]")
@_option("--lam0", float, "Variance of the noise (lambda) at the start.")
@_option("--shrink", float, "Lambda at the end, as a fraction of lambda at the start.  [default: 0.003]")
@_option("--lr", float, "Learning rate of the variables, in units of the noise.")
@_option("--lr-lam", float, "Learning rate of log lambda.  [default: lambda is not learned but follows its schedule]")
@_option("--beta", float, "Weight of the penalty that draws a learned lambda towards zero, in units of 1/lambda0.")
@_option("--tol", float, "Largest element of the gradient at the end, relative to f.")
@json_option
def minimize(function: str, dimension: int | None, start: str | None, json: bool, **given: Any) -> None:
    """Minimise a test function by continuation, for example rastrigin."""
    # imported here, so that help and mistakes of spelling are fast
    from mcgc import minimize
    from mcgc.paper import test_functions

    chosen = test_functions.get(function, dimension)
    try:
        found = minimize(
            chosen.function,
            _point(start, chosen.dimension) if start is not None else chosen.start,
            batched=True,
            scale=1.0,
            **{name: value for name, value in given.items() if value is not None},
        )
    except InputError as error:  # with the flags of the command in place of the arguments of the library
        flags = {name: flag for flag, name in FIELDS.items()}
        raise InputError(
            re.sub(rf"(?<!a )\b({'|'.join(flags)})\b", lambda match: flags[match[0]], str(error))
        ) from None
    x = found.x.tolist()
    result = {
        "function": chosen.name,
        "dimension": chosen.dimension,
        "x": x,
        "fun": float(found.fun),
        "minimum": chosen.value,
        "distance": min(math.dist(x, minimizer) for minimizer in chosen.minimizers),
        "log_lam": float(found.log_lam[-1]),
        "nit": int(found.nit),
        "nfev": found.nfev,
        "success": found.success,
        "message": found.message,
    }
    click.echo(as_json(result) if json else _text(result))


def _point(text: str, dimension: int) -> list[float]:
    try:
        point = [float(part) for part in text.split(",")]
    except ValueError:
        point = []
    if len(point) != dimension:
        raise InputError(f"--start must be {dimension} numbers separated by commas, got {text!r}")
    return point


def _text(result: dict[str, Any]) -> str:
    return "\n".join(
        [
            f"{result['function']}, dimension {result['dimension']}: {result['message']}",
            f"x         {', '.join(f'{value:.6g}' for value in result['x'])}",
            f"f(x)      {result['fun']:.6g}, the global minimum is {result['minimum']:.6g}",
            f"distance  {result['distance']:.3g} from the nearest global minimizer",
            f"lambda    {math.exp(result['log_lam']):.3g} at the end of the continuation",
            f"effort    {result['nit']} iterations, {result['nfev']} evaluations",
        ]
    )
