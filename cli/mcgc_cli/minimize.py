"""`mcgc minimize`: find the minimum of a test function by continuation."""

import math
import re
from typing import Any

import click

from mcgc.errors import InputError
from mcgc_cli.options import json_option
from mcgc_cli.summary import as_json
from mcgc_cli.values import SURFACE, choice

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


class SurfaceOption(click.Option):
    """An option that shows the default of `mcgc.minimize` in its help."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        """Return the flag and the help with the default."""
        import inspect

        from mcgc import minimize

        flag, text = super().get_help_record(ctx) or ("", "")
        default = inspect.signature(minimize).parameters[str(self.name)].default
        return flag, text if default is None else f"{text}  [default: {default}]"


def _option(flag: str, kind: Any, text: str) -> Any:
    return click.option(flag, FIELDS[flag], type=kind, help=text, cls=SurfaceOption)


@click.command()
@click.argument("surface", type=SURFACE)
@click.option("--dimension", type=int, help="Number of variables.  [default: 2; quartic: 1]")
@click.option("--start", metavar="X,Y,...", help="Point to start from.  [default: the function's own]")
@_option("--seed", int, "Seed of the noise.")
@_option("--iterations", int, "Steps of the continuation.")
@_option("--warmup", int, "Steps at the start in which lambda is held.  [default: a quarter of them]")
@_option("--estimator", choice("estimator"), "How the gradient of log lambda is estimated.  [default: antithetic]")
@_option("--num-samples", int, "Draws of the noise a step.")
@_option("--lam0", float, "Lambda, the variance of the noise, at the start.")
@_option("--shrink", float, "Lambda at the end, as a part of that at the start.")
@_option("--lr", float, "Learning rate of the variables, in units of the noise.")
@_option("--lr-lam", float, "Learn log lambda at this rate; without it lambda follows its schedule.")
@_option("--beta", float, "Weight of the pull towards less smoothing, in units of 1/lambda0, where lambda is learned.")
@_option("--tol", float, "Largest element of the gradient at the end.")
@json_option
def minimize(surface: str, dimension: int | None, start: str | None, json: bool, **given: Any) -> None:
    """Minimise a test function by continuation, for example rastrigin."""
    # imported here, since help and mistakes of spelling should not wait for it
    from mcgc import minimize
    from mcgc.paper import test_functions

    chosen = test_functions.get(surface, dimension)
    try:
        found = minimize(
            chosen.function,
            _point(start, chosen.dimension) if start is not None else chosen.start,
            batched=True,
            **{name: value for name, value in given.items() if value is not None},
        )
    except InputError as error:  # the library speaks of arguments, the user of flags
        flags = {name: flag for flag, name in FIELDS.items()}
        raise InputError(
            re.sub(rf"(?<!a )\b({'|'.join(flags)})\b", lambda match: flags[match[0]], str(error))
        ) from None
    x = found.x.tolist()
    result = {
        "surface": chosen.name,
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
        raise InputError(f"--start must be {dimension} numbers with commas between them, got {text!r}")
    return point


def _text(result: dict[str, Any]) -> str:
    return "\n".join(
        [
            f"{result['surface']}, dimension {result['dimension']}: {result['message']}",
            f"x         {', '.join(f'{value:.6g}' for value in result['x'])}",
            f"f(x)      {result['fun']:.6g}, the global minimum is {result['minimum']:.6g}",
            f"distance  {result['distance']:.3g} from the nearest global minimizer",
            f"lambda    {math.exp(result['log_lam']):.3g} at the end of the continuation",
            f"effort    {result['nit']} iterations, {result['nfev']} evaluations",
        ]
    )
