"""`mcgc completion`: what shells complete, also in bash itself, and where the script is installed."""

import os
import shutil
import subprocess
import sys
import time

import click
import pytest
from mcgc_cli import main
from mcgc_cli.options import ROWS
from mcgc_cli.values import Name, PathName

from mcgc.paper import test_functions
from mcgc.train import problems
from mcgc.train.settings import CHOICES

COMMAND = (sys.executable, "-c", "from mcgc_cli import main; main(prog_name='mcgc')")


def complete(shell, words):
    """Return what is completed, as click's scripts ask for it: words with blanks between, the last one unfinished."""
    typed = words.split(" ")
    last = typed[-1] if shell == "fish" else str(len(typed) - 1)
    environment = {"COMP_WORDS": " ".join(typed[:-1] if shell == "fish" else typed), "COMP_CWORD": last}
    found = subprocess.run(
        COMMAND,
        env=os.environ | environment | {"_MCGC_COMPLETE": f"{shell}_complete"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.stderr == ""
    lines = found.stdout.splitlines()
    if shell == "zsh":
        return list(zip(lines[::3], lines[1::3], strict=True))
    return [tuple(line.split("\t")[0].split(",", 1)) for line in lines]


def names(values):
    return [("plain", value) for value in values]


ASKED = {
    "mcgc fi": ["fit"],
    "mcgc fit --prob": ["--problem"],
    "mcgc fit --problem ": problems.names(),
    "mcgc fit --problem lor": ["lorenz"],
    "mcgc fit --problem lorenz --recipe b": ["best"],
    "mcgc fit --problem lotka-volterra --recipe ": ["paper", "best"],
    "mcgc fit --solver dop": ["dopri5", "dopri8"],
    "mcgc reproduce figure-7 --estimator path": ["pathwise"],
    "mcgc minimize ras": ["rastrigin"],
    "mcgc minimize ": test_functions.names(),
    "mcgc reproduce test": ["test-functions"],
    "mcgc reproduce figure-5 --device c": ["cpu", "cuda"],
    "mcgc check --estimator path": ["pathwise"],
    "mcgc check --problem mn": ["mnist"],
    "mcgc data make lot": ["lotka-volterra"],
    "mcgc completion ": ["bash", "zsh", "fish"],
}


@pytest.mark.parametrize("words", ASKED)
def test_commands_options_and_values_are_completed(words):
    assert complete("bash", words) == names(ASKED[words])


@pytest.mark.parametrize("shell", ["zsh", "fish"])
@pytest.mark.parametrize("words", ["mcgc fit --problem ", "mcgc fit --solver dop", "mcgc minimize ras"])
def test_other_shells_complete_the_same(shell, words):
    assert complete(shell, words) == names(ASKED[words])


@pytest.mark.parametrize(("field", "known"), CHOICES.items())
def test_every_setting_that_is_a_name_is_completed(field, known):
    (flag,) = (row.flag for row in ROWS if row.field == field)
    assert complete("bash", f"mcgc fit {flag} ") == names(known)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("mcgc fit --dataset ", "file"),
        ("mcgc fit --resume ru", "file"),
        ("mcgc compare a.h5 ", "file"),
        ("mcgc data info ", "file"),
        ("mcgc data import mnist --from ", "file"),
        ("mcgc reproduce figure-1 --out ", "dir"),
    ],
)
def test_files_and_directories_are_left_to_the_shell(words, kind):
    assert complete("bash", words) == [(kind, words.split(" ")[-1])]


def test_columns_of_a_table_are_those_of_its_first_line(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("run;time;temp\n1;2;3\n")
    fit = f"mcgc fit {path}"
    assert complete("bash", f"{fit} --time t") == [("plain", "time"), ("plain", "temp")]
    assert complete("bash", f"{fit} --states run,te") == [("plain", "run,temp")]
    assert complete("bash", "mcgc fit none.csv --time t") == [("",)]
    assert complete("bash", f"mcgc estimate model.py:f {path} --group r") == [("plain", "run")]


def test_every_option_except_numbers_and_every_argument_is_completed():
    free = {"start", "constant", "units", "parameters", "sigma", "until", "dask", "help", "version"}

    def params(command):
        yield from command.params
        for each in getattr(command, "commands", {}).values():
            yield from params(each)

    for param in params(main):
        numbers = click.types.IntParamType | click.types.FloatParamType
        typed = isinstance(param.type, Name | PathName | click.Choice | numbers)
        assert typed or getattr(param, "is_flag", False) or param.name in free, param


def test_a_completion_is_quick_and_imports_nothing_heavy():
    script = (
        "import sys\nfrom mcgc_cli import main\n"
        "try:\n    main(prog_name='mcgc')\nfinally:\n"
        "    print('heavy', {'numba', 'cupy', 'matplotlib', 'scipy', 'rich', 'h5py'} & {*sys.modules})"
    )
    environment = {"COMP_WORDS": "mcgc fit --solver ", "COMP_CWORD": "3", "_MCGC_COMPLETE": "bash_complete"}
    spent = []
    for _ in range(3):
        began = time.perf_counter()
        found = subprocess.run(
            [sys.executable, "-c", script], env=os.environ | environment, capture_output=True, text=True, timeout=60
        )
        spent.append(time.perf_counter() - began)
        assert found.stdout.splitlines()[-1] == "heavy set()"
    assert min(spent) < 1.5  # 0.3 s on an idle machine


BASH = """
mcgc() { "$PYTHON" -c "from mcgc_cli import main; main(prog_name='mcgc')" "$@"; }
export -f mcgc
env() {
    local words=()
    while [[ $1 == *=* ]]; do words+=("$1"); shift; done
    command env "${words[@]}" bash -c mcgc
}
compopt() { printf 'compopt %s %s\\n' "$@"; }
. "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_mcgc_completion mcgc
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["mcgc", "fit", "--problem", "lo"], ["lotka-volterra", "lorenz"]),
        (["mcgc", "fit", "--problem", "=", "lo"], ["lotka-volterra", "lorenz"]),  # as bash parts --problem=lo
        (["mcgc", "fit", "--problem", "=", "lorenz", "--solver", "="], list(CHOICES["solver"])),
        (["mcgc", "fit", "--problem", "lorenz", "--recipe", "be"], ["best"]),
        (["mcgc", "fit", "--dataset", ""], ["compopt -o default", ""]),
    ],
)
def test_bash_completes_with_the_script(mcgc, tmp_path, words, expected):
    (tmp_path / "script").write_text(mcgc("completion", "bash").stdout)
    environment = os.environ | {"PYTHON": sys.executable}
    found = subprocess.run(
        ["bash", "-c", BASH, "bash", tmp_path / "script", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.stderr == ""
    assert found.stdout.splitlines() == expected


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_a_value_that_is_one_word_with_its_option_is_replaced_with_it(shell):
    assert complete(shell, "mcgc fit --solver=dop") == names(["--solver=dopri5", "--solver=dopri8"])


FILES = {
    "bash": "data/bash-completion/completions/mcgc",
    "zsh": "data/zsh/site-functions/_mcgc",
    "fish": "config/fish/completions/mcgc.fish",
}


@pytest.mark.parametrize("shell", FILES)
def test_the_script_is_installed_once_where_the_shell_looks_for_it(mcgc, tmp_path, monkeypatch, shell):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("BASH_COMPLETION_USER_DIR", raising=False)
    printed, path = mcgc("completion", shell), tmp_path / FILES[shell]
    assert printed.exit_code == 0
    assert not path.parent.exists()
    first = mcgc("completion", shell, "--install")
    assert (first.exit_code, first.stderr) == (0, "")
    assert first.stdout.splitlines()[0] == f"{path} was written"
    assert path.read_text().strip() == printed.stdout.strip()
    when = path.stat().st_mtime_ns
    second = mcgc("completion", shell, "--install")
    assert second.stdout.splitlines() == [f"{path} is up to date", first.stdout.splitlines()[1]]
    assert path.stat().st_mtime_ns == when
    path.write_text("old")
    assert "was written" in mcgc("completion", shell, "--install").stdout
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_without_xdg_the_script_is_in_the_home_directory_and_relative_paths_are_ignored(mcgc, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", "relative")  # which the specification says to pass over
    monkeypatch.delenv("BASH_COMPLETION_USER_DIR", raising=False)
    mcgc("completion", "bash", "--install")
    assert (tmp_path / "home/.local/share/bash-completion/completions/mcgc").is_file()
    monkeypatch.setenv("BASH_COMPLETION_USER_DIR", str(tmp_path / "own"))
    mcgc("completion", "bash", "--install")
    assert (tmp_path / "own/completions/mcgc").is_file()


def test_a_directory_that_cannot_be_written_is_one_sentence(mcgc, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    result = mcgc("completion", "zsh", "--install")
    assert result.exit_code == 1
    assert "cannot be read or written" in result.stderr
    assert result.stderr.count("\n") == 1


def test_another_shell_is_answered_with_the_list(mcgc):
    result = mcgc("completion", "bsh")
    assert result.exit_code == 2
    assert result.stderr.startswith("mcgc: unknown shell 'bsh': choose one of bash, zsh, fish; did you mean 'bash'")
