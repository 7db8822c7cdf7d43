"""The TOML file of a sweep: what is trained, fixed settings, the space, and how it is searched."""

import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mcgc.errors import InputError, similar, unknown
from mcgc_cli.options import ROWS
from mcgc_cli.tables import COLUMNS

SEARCH = ("method", "trials", "members", "metric", "seed", "prune", "storage")
TASKS = ("dynamics", "regression", "classification")
TEXTS = {"field", "parameters", "table", "problem", "dataset", "recipe", "method", "metric", "storage"}
OPTIONS = {row.flag.partition("/")[0].removeprefix("--"): row.field for row in ROWS}
KEYS = ("table", *COLUMNS, "problem", "dataset", "recipe", *SEARCH, "settings", "space")


class Spec(NamedTuple):
    """What a file says.

    Parameters
    ----------
    path : str
        The file.
    keys : mapping
        Its keys but these two. Paths are absolute: in the file they are relative to its directory.
    settings, space : mapping
        Fixed settings, and what is searched, by the field of the settings.
    names : mapping of str to str
        How the file names each of these fields.
    """

    path: str
    keys: Mapping[str, Any]
    settings: Mapping[str, Any]
    space: Mapping[str, Any]
    names: Mapping[str, str]

    def sentence(self, text: str) -> str:
        """Return a sentence of the library with the file's names of settings."""
        import re

        for field, name in self.names.items():
            text = re.sub(rf"(?<![\w-]){field}(?![\w-])", name, text)
        return f"{self.path}: {text}"


def read_spec(path: str) -> Spec:
    """Read the file of a sweep. Raises `InputError` if it is not one: with the key, and the key that was meant."""
    try:
        found = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"the file {path!r} does not exist: check the path") from None
    except OSError as error:
        raise InputError(f"the file {path!r} cannot be read ({error.strerror}): check the path") from None
    except ValueError as error:  # of TOML, and of UTF-8
        raise InputError(f"{path} is not TOML ({error}): mend it") from None
    known = set(KEYS) - {"members", "seed"}
    for key in found:
        if key not in KEYS:
            where = "; give it under [settings] or [space]" if _field(key) else _listed(key, KEYS)
            raise InputError(f"{path} has an unknown key {key!r}{where}")
    names: dict[str, str] = {}
    parts = {part: _settings(path, part, found.pop(part, {}), names) for part in ("settings", "space")}
    for name in ("members", "seed"):
        if name in parts["settings"]:
            raise InputError(f"{path} has {name} under [settings]: give it above, with the trials")
    for key in TEXTS & found.keys() & known:
        if not isinstance(found[key], str):
            raise InputError(f"{path} has {key} as {found[key]!r}: give a text in quotes")
    _check(path, found)
    directory = os.path.dirname(os.path.abspath(path))
    for key in {"table", "dataset"} & found.keys():
        found[key] = os.path.join(directory, found[key])
    for key in ("problem", "field"):
        if found.get(key, "").rpartition(":")[0].endswith(".py"):
            found[key] = os.path.join(directory, found[key])
    return Spec(path, found, parts["settings"], parts["space"], names)


def _check(path: str, found: Mapping[str, Any]) -> None:
    """Raise `InputError` unless the keys name one thing to train."""
    if ("table" in found) == ("problem" in found):
        both = "both a table and a problem" if "table" in found else "neither a table nor a problem"
        raise InputError(f"{path} has {both}: give one of them")
    wrong = [key for key in (("dataset", "recipe") if "table" in found else COLUMNS) if key in found]
    if wrong:
        kind = "problem" if "table" in found else "table"
        raise InputError(f"{path} has {wrong[0]}, which is for a {kind}: leave it out")
    if "table" in found and "task" not in found:
        raise InputError(f"{path} has a table and no task: give dynamics, regression or classification")
    if "table" in found and found["task"] not in TASKS:
        raise InputError(f"{path}: {unknown('task', found['task'], TASKS)}")


def _settings(path: str, part: str, given: Any, names: dict[str, str]) -> dict[str, Any]:
    """Return what a part of the file says by the field of the settings, and note in `names` what it calls them."""
    if not isinstance(given, dict):
        raise InputError(f"{path} has {part} as {given!r}: give it as [{part}]")
    found = {}
    for key, value in given.items():
        field = _field(key)
        if field is None:
            raise InputError(f"{path} has an unknown setting {key!r} under [{part}]{_listed(key, OPTIONS)}")
        if field in found:
            raise InputError(f"{path} has {names[field]} and {key} under [{part}], which are one setting: give one")
        names[field], found[field] = key, value
    return found


def _field(key: str) -> str | None:
    """Return the field of the settings for the name of an option of `mcgc fit`, with hyphens or underscores."""
    plain = key.replace("_", "-")
    fields = {field.replace("_", "-"): field for field in OPTIONS.values()}
    return OPTIONS.get(plain, fields.get(plain))


def _listed(key: str, known: Iterable[str]) -> str:
    known = list(known)
    return f": choose of {', '.join(known)}{similar(key, known)}"
