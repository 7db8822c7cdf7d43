"""The page of the command names every option of every command, and no others."""

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from mcgc_cli import main

PAGE = (Path(__file__).parents[2] / "docs/commands.md").read_text(encoding="utf-8")


def commands(command, path="mcgc"):
    """Return the commands that do something, by what is typed for them."""
    if not isinstance(command, click.Group):
        return {path: command}
    return {p: c for name, sub in command.commands.items() for p, c in commands(sub, f"{path} {name}").items()}


COMMANDS = commands(main)


def rows(path):
    """Return the rows of the table under the heading of a command."""
    after = re.split(rf"^## `{path}(?: [A-Z.]+)*`$", PAGE, flags=re.M)[1]
    return re.findall(r"^\| `(.*?)` \|", after.split("\n## ")[0], re.M)


def test_every_command_has_a_section_and_nothing_else_has():
    assert re.findall(r"^## `(mcgc [a-z -]+?)(?: [A-Z.]+)*`$", PAGE, re.M) == list(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS)
def test_the_options_are_those_of_the_help(path):
    done = CliRunner().invoke(main, [*path.split()[1:], "--help"])
    assert done.exit_code == 0
    helped = re.findall(r"^  (-.*?)(?:  |$)", done.output, re.M)
    flags = {flag for row in helped for flag in re.findall(r"--?[a-z][\w-]*", row)}
    assert "--help" in flags
    assert flags - {"-h", "--help"} == {flag for row in rows(path) for flag in re.findall(r"--?[a-z][\w-]*", row)}
