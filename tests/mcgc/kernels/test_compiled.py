"""Where compiled kernels are kept, what happens where there is no place for them, and kernels that are not compiled."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mcgc

SCRIPT = """
import sys
from mcgc import kernels
kernels.when_compiling(lambda: print("compiling"))
from mcgc.kernels.cpu_dense import as_array, lengths
{before}
print(*lengths(as_array((3, 4, 2))))
print(*lengths(as_array((3, 4, 2))))
print("numba", getattr(lengths, "stats", None) and lengths.stats.cache_path)
"""
RESULT = ["26 6", "26 6"]


@pytest.fixture
def tree(tmp_path):
    """Copy the package to where nothing can be kept beside the source, for that directory's name is a file's."""
    home = tmp_path / "tree"
    shutil.copytree(Path(mcgc.__file__).parent, home / "mcgc", ignore=shutil.ignore_patterns("__pycache__"))
    (home / "mcgc/kernels/__pycache__").write_text("")
    return home


def run(tree, before="", **variables):
    """Run the script as a user without a home, and return its lines, where the kernel is kept, and stderr's lines."""
    names = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment |= {"HOME": os.devnull, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"} | variables
    command = [sys.executable, "-c", SCRIPT.format(before=before)]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, cwd=tree)
    assert found.returncode == 0, found.stderr
    *lines, place = found.stdout.splitlines()
    return lines, place.removeprefix("numba "), found.stderr.splitlines()


def test_without_a_place_for_them_kernels_are_compiled_each_time_and_one_line_says_so(tree):
    for _ in range(2):
        lines, place, said = run(tree)
        assert (lines, place) == (["compiling", *RESULT], "None")
        (line,) = said
        assert "compiled kernels are not cached" in line
        assert "NUMBA_CACHE_DIR" in line


def test_where_numba_finds_no_place_the_cache_directory_of_mcgc_is_taken(tree, tmp_path):
    (tmp_path / "numba").write_text("")  # in the place of Numba's own
    lines, place, said = run(tree, XDG_CACHE_HOME=str(tmp_path))
    assert Path(place).is_relative_to(tmp_path / "mcgc")
    assert (lines, said) == (["compiling", *RESULT], [])
    assert run(tree, XDG_CACHE_HOME=str(tmp_path)) == (RESULT, place, [])


def test_the_directory_that_the_user_names_comes_first(tree, tmp_path):
    lines, place, said = run(tree, NUMBA_CACHE_DIR=str(tmp_path / "mine"), XDG_CACHE_HOME=str(tmp_path))
    assert Path(place).is_relative_to(tmp_path / "mine")
    assert (lines, said) == (["compiling", *RESULT], [])


def test_a_place_that_is_lost_while_the_process_runs_costs_a_line_and_no_result(tree, tmp_path):
    mine = tmp_path / "mine"
    lose = f"import shutil, pathlib; shutil.rmtree({str(mine)!r}); pathlib.Path({str(mine)!r}).write_text('')"
    lines, _, said = run(tree, lose, NUMBA_CACHE_DIR=str(mine))
    assert lines == ["compiling", *RESULT]
    assert len(said) == 1
    assert "compiled kernels are not cached" in said[0]


def test_a_damaged_cache_is_replaced(tree, tmp_path):
    options = {"NUMBA_CACHE_DIR": str(tmp_path / "mine")}
    run(tree, **options)
    for ending in ("nbi", "nbc"):
        for content in (b"", b"no cache at all", bytes(range(256))):
            (file,) = (tmp_path / "mine").rglob(f"*lengths*.{ending}")
            file.write_bytes(content)
            assert run(tree, **options)[0] == ["compiling", *RESULT]
            assert run(tree, **options)[0] == RESULT


def test_code_is_compiled_anew_when_the_source_of_any_kernel_has_changed(tree, tmp_path):
    options = {"NUMBA_CACHE_DIR": str(tmp_path / "mine")}
    run(tree, **options)
    assert run(tree, **options)[0] == RESULT
    with open(tree / "mcgc/kernels/cpu_matmul.py", "a") as file:
        file.write("# changed\n")
    assert run(tree, **options)[0] == ["compiling", *RESULT]


def test_nothing_but_the_one_decorator_asks_for_a_cache():
    sources = {path.name: path.read_text() for path in Path(mcgc.__file__).parent.rglob("*.py")}
    assert [name for name, text in sources.items() if "cache=True" in text] == []
    assert [name for name, text in sources.items() if "njit(" in text or "@njit" in text] == ["compiled.py"]


@pytest.mark.parametrize(
    ("tests", "chosen"),
    [
        ("tests/mcgc/kernels/test_entries.py", "not compiled_code"),
        ("tests/mcgc/kernels/test_cpu_matmul.py", "1 or 2"),
        ("tests/mcgc/kernels/test_cpu_dense.py", "nan or refuses or no_hidden"),
        ("tests/mcgc/kernels/test_kernels.py", "words or mutate or extreme or members or (agree and 257)"),
        ("tests/mcgc/checks/test_kernels.py", "all_kernels"),
        ("tests/mcgc/test_nets.py", "definition and numpy"),
    ],
)
def test_without_a_compiler_the_numbers_are_the_same(tests, chosen):
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests, "-k", chosen]
    found = subprocess.run(
        command, env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True, timeout=300, cwd=root
    )
    assert found.returncode == 0, found.stdout[-3000:]


def test_without_a_compiler_a_solution_is_that_of_the_generic_code(tree):
    before = """
import numpy as np
from mcgc import nets, Key, vjp
from mcgc.kernels.cpu_field import field_of
from mcgc.ode import DenseField
from mcgc.ode import _compiled
from mcgc.ode import TABLEAUX, solve
from mcgc.ode._integrate import Method
sizes = (3, 5, 2)
theta = 2 * nets.init(Key(0), sizes, "float64")
y0, inputs, ts = np.ones((2, 2)), np.ones((2, 1)), np.linspace([0, 0], [1, 2], 4).T
expected, pullback = vjp(lambda *x: solve(DenseField(sizes, "tanh"), x[1], ts, (x[0], x[2]), rtol=1e-3, atol=1e-3).ys,
    theta, y0, inputs)
method = Method(TABLEAUX["dopri5"], 1e-3, 1e-3, None, 100)
field = field_of(sizes, "tanh", False, 0, "linear", 2, 1, theta.dtype)
ys, *_, residuals = _compiled.march_dense(field, theta, y0, inputs, ts, method, True)
np.testing.assert_allclose(ys, expected, rtol=1e-13)
for bar, other in zip(_compiled.vjp_dense(residuals, ys), pullback(ys)):
    np.testing.assert_allclose(bar, other, rtol=1e-10, atol=1e-12)
"""
    assert run(tree, before, NUMBA_DISABLE_JIT="1") == (RESULT, "None", [])
