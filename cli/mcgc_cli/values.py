"""The types of options whose values a shell can complete; whether a value is right is for the library to say."""

from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem


class Place(click.ParamType):
    """A path, of which the shell completes what is there: "file" or "dir"."""

    def __init__(self, kind: str) -> None:
        self.name = self.kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Leave it to the shell."""
        return [CompletionItem(incomplete, type=self.kind)]


class Name(click.ParamType):
    """A name out of those that `known(context)` gives when a shell asks, for nothing should wait for them before."""

    name = "text"

    def __init__(self, known: Callable[[click.Context], Iterable[str]]) -> None:
        self.known = known

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the names that begin as what was typed."""
        return [CompletionItem(name) for name in self.known(ctx) if name.startswith(incomplete)]


def _problems(ctx: click.Context) -> Iterable[str]:
    from mcgc.train import problems

    return problems.names()


def _recipes(ctx: click.Context) -> Iterable[str]:
    from mcgc.train import problems

    chosen = [name for name in problems.names() if ctx.params.get("problem") in (None, name)]
    return dict.fromkeys(recipe for name in chosen for recipe in problems.get(name).recipes())


def _surfaces(ctx: click.Context) -> Iterable[str]:
    from mcgc.paper import test_functions

    return test_functions.names()


def _studies(ctx: click.Context) -> Iterable[str]:
    from mcgc.paper import ensembles
    from mcgc_cli import figures

    return sorted([*figures.names(), *ensembles.names()])


FILE, DIRECTORY = Place("file"), Place("dir")
PROBLEM, RECIPE, SURFACE, STUDY = Name(_problems), Name(_recipes), Name(_surfaces), Name(_studies)
DEVICE = Name(lambda ctx: ("auto", "cpu", "cuda"))


def choice(field: str) -> Any:
    """Return the type of an option that sets `field` of the settings to one of a few names."""

    def known(ctx: click.Context) -> Iterable[str]:
        from mcgc.train.settings import CHOICES

        return CHOICES.get(field, ())

    return Name(known)
