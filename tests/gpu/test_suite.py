"""`pytest -m gpu`: what it holds, and what it says where there is no GPU."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mcgc.devices import select_device
from mcgc.errors import DeviceError

ROOT = Path(__file__).parents[2]
HOLDS = {  # files of the suite, and at least how many tests of each it has
    "tests/mcgc/autodiff/ops/test_table.py": 250,
    "tests/mcgc/checks/test_kernels.py": 1,
    "tests/mcgc/ode/test_solve.py": 8,
    "tests/mcgc/checks/test_device.py": 2,
    "tests/mcgc/test_transfers.py": 40,
    "tests/gpu/test_launches.py": 15,
    "tests/gpu/test_generated.py": 13,
}


def run(*arguments):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-m", "gpu", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_the_suite_has_the_operations_the_kernels_the_solvers_the_steps_and_the_transfers():
    found = run("--collect-only", *HOLDS)
    names = re.findall(r"^(tests/[\w/]+\.py)::.*\bcuda\b", found.stdout, re.M)
    for file, number in HOLDS.items():
        assert names.count(file) >= number, file
    assert not re.search(r"\[(numpy|strict)\b", found.stdout)


def test_without_a_gpu_all_is_skipped_for_one_reason_said_once():
    try:
        select_device("cuda")
    except DeviceError as lacking:
        reason = str(lacking)
    else:
        pytest.skip("there is a GPU here")
    found = run("tests/gpu", "tests/mcgc/checks/test_kernels.py")
    assert found.returncode == 0, found.stdout
    assert re.search(r"^\d+ skipped, \d+ deselected", found.stdout, re.M)
    assert found.stdout.count(f"no test ran on a GPU: {reason}\n") == found.stdout.count(reason) == 1
