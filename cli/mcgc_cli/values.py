"""The types of options whose values a shell can complete. The library checks the values."""

from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem


class PathName(click.ParamType):
    """A path that the shell completes, of the kind "file" or "dir"."""

    def __init__(self, kind: str) -> None:
        self.name = self.kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Let the shell complete the path."""
        return [CompletionItem(incomplete, type=self.kind)]


class Name(click.ParamType):
    """One of the names `known(context)`, which is called only if a shell completes."""

    name = "text"

    def __init__(self, known: Callable[[click.Context], Iterable[str]]) -> None:
        self.known = known

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the names that begin with the typed letters."""
        return [CompletionItem(name) for name in self.known(ctx) if name.startswith(incomplete)]


class Columns(Name):
    """Columns of the table that the command was given, with commas between."""

    def __init__(self) -> None:
        super().__init__(_columns)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the last name."""
        before, comma, begun = incomplete.rpartition(",")
        return [CompletionItem(before + comma + found.value) for found in super().shell_complete(ctx, param, begun)]


def _columns(ctx: click.Context) -> Iterable[str]:
    """Return the names in the first line of the table, if it is a text file.

    While an option lacks its value, click leaves arguments where they are.
    """
    try:
        with open(ctx.params.get("table") or (ctx.args or [""])[-1], encoding="utf-8-sig") as file:
            first = file.readline(2**16)
    except (OSError, UnicodeDecodeError):
        return []
    return [name.strip().strip('"') for name in first.split(max(",;\t|", key=first.count))]


def _problems(ctx: click.Context) -> Iterable[str]:
    from mcgc.train import problems

    return problems.names()


def _recipes(ctx: click.Context) -> Iterable[str]:
    from mcgc.train import problems

    chosen = [name for name in problems.names() if ctx.params.get("problem") in (None, name)]
    return dict.fromkeys(recipe for name in chosen for recipe in problems.get(name).recipes())


def _test_functions(ctx: click.Context) -> Iterable[str]:
    from mcgc.paper import test_functions

    return test_functions.names()


def _studies(ctx: click.Context) -> Iterable[str]:
    from mcgc.paper import ensembles
    from mcgc_cli import figures

    return sorted([*figures.names(), *ensembles.names()])


FILE, DIRECTORY = PathName("file"), PathName("dir")
PROBLEM, RECIPE, FUNCTION, STUDY = Name(_problems), Name(_recipes), Name(_test_functions), Name(_studies)
DEVICE = Name(lambda ctx: ("auto", "cpu", "cuda"))
CLUSTER = Name(lambda ctx: ("local:2", "tcp://", "tls://"))


def choice(field: str) -> Any:
    """Return the type of an option that sets `field` of the settings to one of a few names."""

    def known(ctx: click.Context) -> Iterable[str]:
        from mcgc.train.settings import CHOICES

        return CHOICES.get(field, ())

    return Name(known)


def numbers_of(text: str, flag: str) -> dict[str, float]:
    """Return the numbers of a text such as "A=1,B=2"."""
    found = {}
    for entry in text.split(",") if text.strip() else []:
        name, _, value = entry.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            raise click.UsageError(
                f"{flag} has the entry {entry.strip()!r}: give NAME=NUMBER, with commas between"
            ) from None
    return found
