"""Help with the options of a command in groups, in the order of a fit."""

from collections.abc import Callable
from typing import Any

import click

OTHERS = "Output"  # the group of options without a group
ORDER = "Table", "Data", "Model", "Continuation", "Search", "Training", "Solver", "Cluster", OTHERS
WIDTH = 22  # of the column of flags; the text has the rest of 80


class GroupedOption(click.Option):
    """An option that belongs to a group."""

    def __init__(self, *args: Any, group: str = OTHERS, **options: Any) -> None:
        super().__init__(*args, **options)
        self.group = group


def in_group(group: str, *flags: str, **how: Any) -> Callable:
    """Return a decorator like `click.option`, for an option in a group."""
    return click.option(*flags, cls=GroupedOption, group=group, **how)


class Grouped(click.Command):
    """A command whose help has a heading for each group of options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, group by group."""
        groups: dict[str, list[tuple[str, str]]] = {group: [] for group in ORDER}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                groups[getattr(param, "group", OTHERS)].append(record)
        for group, records in groups.items():
            if not records:
                continue
            with formatter.section(group):
                formatter.write_dl(records, col_max=WIDTH)
