"""`mcgc completion`: what makes a shell complete commands, options, and their values."""

import os
from collections.abc import Callable
from pathlib import Path

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    get_completion_class,
)

from mcgc.errors import InputError, unknown
from mcgc_cli.values import Name


class _Bash(BashComplete):
    """As click has it, but for --option=value, of which bash makes three words."""

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        return [arg for arg in args if arg != "="], incomplete


class _Whole(ShellComplete):
    """As click has it, but for --option=value, which is one word to be replaced."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        found = super().get_completions(args, incomplete)
        option, equals, _ = incomplete.partition("=")
        if option.startswith("-") and equals:
            for item in found:
                item.value = item.value if item.type != "plain" else f"{option}={item.value}"
        return found


class _Zsh(_Whole, ZshComplete):
    pass


class _Fish(_Whole, FishComplete):
    pass


for _kind in (_Bash, _Zsh, _Fish):
    add_completion_class(_kind)


def _home(variable: str, *default: str) -> Path:
    """Return the directory that a variable of the environment names, which XDG wants absolute, or else the default."""
    named = Path(os.environ.get(variable, ""))
    try:
        return named if named.is_absolute() else Path.home().joinpath(*default)
    except RuntimeError:
        raise InputError("the home directory is not known: set HOME, or leave out --install") from None


def _bash() -> Path:
    own = os.environ.get("BASH_COMPLETION_USER_DIR")
    directory = Path(own) if own else _home("XDG_DATA_HOME", ".local", "share") / "bash-completion"
    return directory / "completions" / "mcgc"


# where the script of each shell is looked for, and what is to be done for that
_PLACES: dict[str, tuple[Callable[[], Path], str]] = {
    "bash": (_bash, "the package bash-completion loads it in new shells; without that add to ~/.bashrc: . {quoted}"),
    "zsh": (
        lambda: _home("XDG_DATA_HOME", ".local", "share") / "zsh" / "site-functions" / "_mcgc",
        "add to ~/.zshrc, before compinit: fpath=({above} $fpath)",
    ),
    "fish": (
        lambda: _home("XDG_CONFIG_HOME", ".config") / "fish" / "completions" / "mcgc.fish",
        "fish loads it in new shells",
    ),
}


@click.command()
@click.argument("shell", type=Name(lambda ctx: _PLACES))
@click.option("--install", is_flag=True, help="Write the script to where the shell looks for it.")
@click.pass_context
def completion(ctx: click.Context, shell: str, install: bool) -> None:
    """Print what makes SHELL, which is bash, zsh or fish, complete the command.

    It completes commands, options, and values: of problems, recipes, solvers and all else that has a name.
    """
    import shlex

    from mcgc.files import write

    kind = get_completion_class(shell) if shell in _PLACES else None
    if kind is None:
        raise InputError(unknown("shell", shell, _PLACES))
    made = kind(ctx.find_root().command, {}, "mcgc", "_MCGC_COMPLETE")
    script = ShellComplete.source(made)  # not its own, which runs bash for its version
    if not install:
        click.echo(script)
        return
    find, remedy = _PLACES[shell]
    path = find()
    content = f"{script.strip()}\n".encode()
    same = path.is_file() and path.read_bytes() == content
    if not same:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, content)
    click.echo(f"{path} {'is as it should be' if same else 'was written'}")
    click.echo(remedy.format(quoted=shlex.quote(str(path)), above=shlex.quote(str(path.parent))))
