"""`mcgc diagnose`: why a run is stuck."""

import re
from typing import Any

import click

from mcgc_cli.options import json_option, resumed, with_flags
from mcgc_cli.summary import as_json
from mcgc_cli.tables import is_own, table_of
from mcgc_cli.values import FILE


@click.command()
@click.argument("run", type=FILE)
@click.option(
    "--data", metavar="FILE", type=FILE, help="What the run was trained on.  [default: where it was at the time]"
)
@json_option
def diagnose(run: str, data: str | None, json: bool) -> None:
    """Tell why the run file RUN is stuck: what is wrong, the number that shows it, and what to do.

    It measures on the training data, and says so if nothing is found.
    """
    from mcgc import train

    file = train.run_file.load(run)
    found = train.diagnose(file, table_of(file, data) if is_own(file.model) else _dataset(file, data))
    if json:
        click.echo(as_json(as_object(found)))
        return
    click.echo(text_of(found, len(file.theta)))


def _dataset(file: Any, path: str | None) -> Any:
    """Return the dataset at `path`, or that of a run on a problem, from where it was."""
    from mcgc_datasets import load

    from mcgc.train import problems

    name, own, _ = resumed(file, None, path, None)
    return load(problems.get(name), own)


def as_object(found: Any) -> dict[str, Any]:
    """Return a diagnosis as an object for JSON."""
    return {
        "causes": list(found.causes),
        "findings": [{**finding._asdict(), "advice": advice_of(finding)} for finding in found.findings],
        "measured": [dict(numbers) for numbers in found.measured],
    }


def advice_of(finding: Any) -> str:
    """Return what to do, with the options of the command in place of settings."""
    return re.sub(r"`(.*?)`", lambda setting: with_flags(setting[1]).replace("=", " "), finding.advice)


def text_of(found: Any, members: int) -> str:
    """Return a diagnosis as text: a paragraph for each cause, and a line for each finding that one explains."""
    if not found.findings:
        return "nothing found"
    lines = []
    for finding in found.findings:
        which = "" if members == 1 else f" (members {', '.join(map(str, finding.members))})"
        sign = "explained by " + finding.explained if finding.explained else "cause"
        lines.append(f"{finding.name}{which}: {finding.meaning}")
        lines.append(f"  {sign}; measured {finding.measured:.3g}, threshold {finding.threshold:g}")
        if not finding.explained:
            lines.append(f"  what to do: {advice_of(finding)}")
        lines.append(f"  see {finding.page}")
    return "\n".join(lines)
