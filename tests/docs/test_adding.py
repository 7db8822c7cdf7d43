"""What CONTRIBUTING.md says it takes to add something: the examples run alone, and names take so many files."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/adding.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
SECTIONS = {
    title: "\n".join(BLOCK.findall(body))
    for title, body in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
}
HEAD = "\n".join(BLOCK.findall(PAGE.partition("\n## ")[0]))
FIT = """
from types import SimpleNamespace

import numpy as np

from mcgc import train
from mcgc.arrays import HOST
from mcgc.train import Settings
from mcgc.train.problems import neural_ode

times, rates = np.linspace(0, 1, 3), np.linspace(0.5, 2, 5)[:, None]
data = SimpleNamespace(times=times, parameters=rates, series=np.exp(-rates[:, :, None] * times[:, None]))
recipe = Settings("decay", 1e-2, -8.0, 1e-2, 1e-1, epochs=2, batch_size=4, rtol=1e-3, atol=1e-3)
problem = neural_ode(recipe._replace({}), sizes=(2, 3, 1))
records = [record for record, *_ in train.fit(problem.recipe, data, HOST, problem)]
assert len(records) == 2 and np.isfinite(records[-1].train_loss).all()
"""


def run(code, directory):
    """Run `code` in a process of its own, in `directory`, whose modules come first, without compiled kernels."""
    path = os.pathsep.join(filter(None, (str(directory), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": path}  # also under PYTHONSAFEPATH
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=directory, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def definition(name):
    """Return the source of what the page defines as `name`."""
    code = "\n".join(SECTIONS.values())
    for node in ast.parse(code).body:
        if name in {
            getattr(node, "name", None),
            *(getattr(target, "id", None) for target in getattr(node, "targets", [])),
        }:
            return ast.get_source_segment(code, node)
    raise KeyError(name)


class Library:
    """A copy of the library. `add` puts lines before the line that matches, `changed` lists the files that differ."""

    def __init__(self, directory):
        self.directory = directory
        shutil.copytree(ROOT / "mcgc", directory / "mcgc", ignore=shutil.ignore_patterns("__pycache__"))

    def add(self, path, anchor, lines):
        text, count = re.subn(rf"^(?={anchor})", lambda match: lines, self.read(path), count=1, flags=re.M)
        assert count == 1, f"{path} has no line like {anchor}"
        (self.directory / path).write_text(text, encoding="utf-8")

    def read(self, path):
        return (self.directory / path).read_text(encoding="utf-8")

    def changed(self):
        paths = [path.relative_to(self.directory) for path in (self.directory / "mcgc").rglob("*.py")]
        return [path for path in paths if self.read(path) != (ROOT / path).read_text(encoding="utf-8")]

    def run(self, code):
        run(f"import mcgc\nassert mcgc.__file__.startswith({str(self.directory)!r})\n{code}", self.directory)


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path)


@pytest.mark.parametrize("title", SECTIONS)
def test_an_example_needs_no_other_section_and_no_change_of_the_library(title, tmp_path):
    run(f"{HEAD}\n{SECTIONS[title]}", tmp_path)


def test_an_operation_takes_two_files(library):
    row = (
        'sinc = unary("sinc", lambda out, x: lambda g: g * (cos(x) - out) / x, lambda x: namespace_of(x).sin(x) / x)\n'
    )
    library.add("mcgc/autodiff/ops/elementwise.py", "cos: Primitive", row)
    library.add("mcgc/autodiff/ops/__init__.py", "    sinh,", "    sinc,\n")
    assert len(library.changed()) == 2
    library.run(
        "import numpy as np, mcgc\nmcgc.check_grads(lambda x: mcgc.ops.sum(mcgc.ops.sinc(x)), np.asarray([0.5, -2.0]))"
    )


def test_a_solver_takes_one_file_and_fit_has_it(library):
    row = definition("ralston").removeprefix("ralston = ")
    library.add("mcgc/ode/_tableaux.py", r'    Tableau\("heun"', f"    {row},\n")
    assert len(library.changed()) == 1
    library.run(FIT.format("solver='ralston', step_size=0.25, rtol=None, atol=None"))


def test_an_optimiser_takes_one_file_and_fit_has_it(library):
    library.add("mcgc/optim/_optimizers.py", "OPTIMIZERS", f"{definition('sign_descent')}\n\n\n")
    library.add("mcgc/optim/_optimizers.py", '    "sgd": sgd', '    "sign-descent": sign_descent,\n')
    assert len(library.changed()) == 1
    library.run(FIT.format("optimizer='sign-descent'"))


def test_an_estimator_takes_one_file_and_fit_has_it(library):
    formula = "lambda sample: (_score(sample) + _pathwise(sample)) / 2"
    library.add(
        "mcgc/continuation/estimators.py", '    "pathwise": ', f'    "mixed": Estimator({formula}, baseline=True),\n'
    )
    assert len(library.changed()) == 1
    library.run(FIT.format("estimator='mixed'"))
