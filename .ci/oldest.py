"""Prints, as constraints for pip, the oldest versions that pyproject.toml allows of what mcgc and its tests import."""

import re
import tomllib
from pathlib import Path

TOOLS = {"ruff", "mypy"}  # these judge the sources, whatever else is installed
EXTRA = ["pyparsing<3.3"]  # which warns of what the oldest matplotlib calls


def required(extra, extras):
    """Return what an extra requires, and what the extras of mcgc that it names require."""
    found = []
    for line in extras[extra]:
        named = re.fullmatch(r"mcgc\[([\w-]+)\]", line)
        found += required(named[1], extras) if named else [line]
    return found


def constraints(project):
    """Return `name==version` for each `name>=version` of the dependencies and of the extra `test`, and `EXTRA`."""
    declared = [*project["dependencies"], *required("test", project["optional-dependencies"])]
    pairs = [re.fullmatch(r"([\w-]+)>=([\d.]+)", line).groups() for line in declared]
    return [f"{name}=={version}" for name, version in pairs if name not in TOOLS] + EXTRA


if __name__ == "__main__":
    pyproject = Path(__file__).parents[1] / "pyproject.toml"
    print(*constraints(tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]), sep="\n")
