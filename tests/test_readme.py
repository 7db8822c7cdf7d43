"""Every block of code in the README runs."""

import re
import shlex
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
SCRIPTS = [code for language, code in BLOCKS if language == "python"]
COMMANDS = [
    shlex.split(command)
    for language, code in BLOCKS
    if language == "sh"
    for line in code.splitlines()
    for command in line.split("&&")
]


def test_the_blocks_are_scripts_and_commands_that_are_tested_here():
    assert {language for language, _ in BLOCKS} == {"python", "sh"}
    assert len(SCRIPTS) == 2
    assert {command[0] for command in COMMANDS} == {"pip", "mcgc", "pytest"}


def test_the_first_script_prints_a_value_a_gradient_and_a_hessian_product(capsys):
    names = {}
    exec(SCRIPTS[0], names)
    assert capsys.readouterr().out
    x, energy, step = names["x"], names["energy"], 1e-5
    basis = step * np.eye(3)
    slopes = [(energy(x + e) - energy(x - e)) / (2 * step) for e in basis]
    assert names["gradient"] == pytest.approx(slopes, rel=1e-8)
    assert names["compiled"] == pytest.approx(names["gradient"], rel=1e-12)
    ahead, behind = (names["value_and_grad"](energy)(x + s * step * names["gradient"])[1] for s in (1, -1))
    assert names["curvature"] == pytest.approx((ahead - behind) / (2 * step), rel=1e-6)


def test_the_second_script_ends_in_the_global_minimum(capsys):
    names = {}
    exec(SCRIPTS[1], names)
    assert capsys.readouterr().out
    assert names["state"].theta == pytest.approx([0, 0], abs=0.1)
    assert names["state"].log_lam < -5


@pytest.mark.parametrize("command", [c for c in COMMANDS if c[:2] == ["mcgc", "fit"]], ids=" ".join)
def test_the_commands_run(command, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mcgc_cli", *command[1:], "--epochs", "1", "--rtol", "1e-3", "--atol", "1e-3"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("*.h5"))) == 1


def test_the_installations_name_extras_that_exist():
    installs = [command[2] for command in COMMANDS if command[:2] == ["pip", "install"]]
    assert installs == [".", ".[test]", ".[cuda12,test]"]
    assert {"test", "cuda12", "cuda13"} <= set(metadata("mcgc").get_all("Provides-Extra"))


def test_the_check_of_a_gpu_passes_or_says_that_there_is_none():
    assert [command for command in COMMANDS if command[0] == "pytest"] == [["pytest"], ["pytest", "-m", "gpu"]]
    (check,) = [command[1:] for command in COMMANDS if command[:2] == ["mcgc", "doctor"]]
    done = subprocess.run([sys.executable, "-m", "mcgc_cli", *check], capture_output=True, text=True)
    none = done.returncode == 1 and done.stderr.startswith("mcgc: there is no GPU to check: ")
    assert done.returncode == 0 or none, done.stderr


def test_the_checks_run_the_readme_s_test_command_on_the_wheel():
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert 'pip install --quiet "$wheel[test]"' in script
    assert re.search(r"^pytest", script, re.M)
