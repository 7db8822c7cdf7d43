"""Suggest an option for one that does not exist."""

from difflib import get_close_matches

import click

from mcgc_cli.values import Name

SYNONYMS = {
    "--learning-rate": "--lr",
    "--learning-rate-lam": "--lr-lam",
    "--lambda-lr": "--lr-lam",
    "--lambda0": "--log-lam0",
    "--lam0": "--log-lam0",
    "--batch": "--batch-size",
    "--bs": "--batch-size",
    "--epoch": "--epochs",
    "--passes": "--epochs",
    "--iters": "--iterations",
    "--maxiter": "--iterations",
    "--samples": "--num-samples",
    "--warmup": "--warmup-epochs",
    "--tol": "--rtol",
    "--dt": "--step-size",
    "--method": "--solver",
    "--precision": "--dtype",
    "--gpu": "--device",
    "--cuda": "--device",
    "--models": "--members",
    "--ensemble": "--members",
    "--random-seed": "--seed",
    "--jobs": "--workers",
    "--processes": "--workers",
    "--data": "--dataset",
    "--dataset": "--data",
    "--file": "--dataset",
    "--out": "--output",
    "--output": "--out",
    "--output-dir": "--out",
    "--overwrite": "--force",
    "--silent": "--quiet",
    "--continue": "--resume",
    "--save-every": "--checkpoint-every",
}


def corrected(error: click.ClickException) -> str:
    """Return the sentence of `error`, with a suggestion for an unknown option, or the names for a missing argument."""
    kind = getattr(getattr(error, "param", None), "type", None)
    if isinstance(error, click.MissingParameter) and isinstance(kind, Name) and error.ctx is not None:
        return f"{error.format_message()} Choose one of {', '.join(kind.known(error.ctx))}."
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return error.format_message()
    given, params = error.option_name, error.ctx.command.get_params(error.ctx)
    if given.lstrip("-") in (param.name for param in params if isinstance(param, click.Argument)):
        return f"{error.message} Give it without a name: {error.ctx.get_usage().removeprefix('Usage: ')}"
    flags = [flag for param in params for flag in (*param.opts, *param.secondary_opts) if flag.startswith("--")]
    meant = {name: flag for name, flag in SYNONYMS.items() if flag in flags and name not in flags}
    if given in meant:
        return f"{error.message} Did you mean {meant[given]!r}?"
    found = dict.fromkeys(meant.get(name, name) for name in get_close_matches(given, [*flags, *meant], n=2))
    return f"{error.message} Did you mean {' or '.join(map(repr, found))}?" if found else error.message
