"""The page of the command names every option of every command, and none that there is not."""

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


def section(path):
    """Return what stands under the heading of a command."""
    return re.split(rf"^## `{path}`.*$", PAGE, flags=re.M)[1].split("\n## ")[0]


def test_every_command_has_a_section_and_no_other_thing():
    assert re.findall(r"^## `(mcgc [a-z ]+?)(?: [A-Z]+)*`$", PAGE, re.M) == sorted(COMMANDS, key=list(COMMANDS).index)


@pytest.mark.parametrize("path", COMMANDS)
def test_the_options_are_those_of_the_help(path):
    done = CliRunner().invoke(main, [*path.split()[1:], "--help"])
    assert done.exit_code == 0
    shown = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)|^  --[\w-]+ / (--[\w-]+)", done.output, re.M))
    flags = {flag for pair in shown for flag in pair if flag} | set(re.findall(r"/ (--[\w-]+)", done.output))
    assert flags - {"--help"} == set(re.findall(r"^\| `(?:-\w, )?(--[\w-]+)", _rows(path), re.M)) | set(
        re.findall(r"/ (--[\w-]+)", _rows(path))
    )
    assert flags - {"--help"} == {
        flag for param in COMMANDS[path].params for flag in (*param.opts, *param.secondary_opts) if flag[:2] == "--"
    }


def _rows(path):
    return "\n".join(re.findall(r"^\| `.*$", section(path), re.M))
