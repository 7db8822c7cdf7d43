"""The CUDA path without a GPU: simulated, compiled without a toolkit, counted, and where CuPy finds no driver."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MISSING = [name for name in ("cupy", "numba_cuda") if find_spec(name) is None]

if MISSING:
    pytest.skip(f"not installed (extra test-cuda): {', '.join(MISSING)}", allow_module_level=True)


def without_toolkit():
    """Return the environment without the places where a CUDA toolkit would be found."""
    hidden = re.compile(r"^(CUDA|NVCC|NUMBA_(CUDA|ENABLE)|LD_|CPATH|PYTHONPATH)")
    kept = {name: value for name, value in os.environ.items() if not hidden.match(name)}
    paths = [path for path in kept.get("PATH", "").split(os.pathsep) if not (Path(path) / "nvcc").exists()]
    return kept | {"PATH": os.pathsep.join(paths)}


def run(environment, *command):
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, timeout=600)


def passed(environment, *files):
    """Run the tests of some files in a process of its own, and return how many passed."""
    found = run(environment, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(str(HERE / file) for file in files))
    assert found.returncode == 0, found.stdout[-8000:] + found.stderr[-2000:]
    summary = re.search(r"^(\d+) passed(.*)$", found.stdout, re.M)
    assert "skipped" not in summary[2]
    return int(summary[1])


def test_simulated_kernels_agree_with_their_meaning():
    files = "simulated.py", "dense_simulated.py", "losses_simulated.py"
    assert passed(without_toolkit() | {"NUMBA_ENABLE_CUDASIM": "1"}, *files) > 90


def test_kernels_compile_for_four_processors_from_the_wheels_alone():
    assert passed(without_toolkit(), "compiled.py", "solved_compiled.py") > 30


def test_the_compiler_s_code_gives_the_numbers_of_the_meaning():
    assert passed(without_toolkit(), "lowered.py") == 8


def test_whole_solutions_of_nets_are_those_of_the_cpu():
    assert passed(without_toolkit(), "solved.py") == 11


def test_kernels_of_generated_programs_give_the_numbers_of_the_cpu():
    assert passed(without_toolkit(), "generated.py") > 12


def test_kernels_of_generated_programs_compile_for_four_processors():
    assert passed(without_toolkit(), "generated_compiled.py") > 20


def test_what_solutions_and_training_steps_ask_of_a_gpu_and_of_which():
    assert passed(without_toolkit(), "counted.py", "placed.py") >= 15


def test_cupy_takes_the_calls_of_every_operation_and_of_its_derivatives():
    assert passed(without_toolkit(), "null_operations.py") > 250


def driver():
    """Return the version of the machine's NVIDIA driver, 0 where there is none."""
    found = run(os.environ, "-c", "import cupy; print(cupy.cuda.runtime.driverGetVersion())")
    return int(found.stdout)


needs_none = pytest.mark.skipif(driver() > 0, reason="there is an NVIDIA driver here")


@needs_none
def test_cupy_without_a_driver_is_refused_by_name_with_the_reason():
    found = run(os.environ, "-m", "mcgc_cli", "fit", "--problem", "lorenz", "--device", "cuda")
    assert found.returncode == 2
    assert "'cuda' cannot be used: there is no NVIDIA driver on this machine" in found.stderr
    assert "Traceback" not in found.stderr


@needs_none
def test_auto_takes_the_cpu_where_cupy_has_no_driver_and_says_why():
    found = run(os.environ, "-c", "from mcgc.devices import select_device; print(select_device()[1])")
    assert found.stdout.strip() == (
        "running on the CPU (NumPy): no usable GPU, there is no NVIDIA driver on this machine"
    )


def test_the_library_and_its_kernels_for_numpy_arrays_import_no_cuda():
    code = (
        "import sys, json, mcgc, numpy; from mcgc.kernels import noise_dot; noise_dot.body(numpy.ones(1));"
        "print(json.dumps([name for name in ('cupy', 'numba_cuda', 'numba.cuda.dispatcher') if name in sys.modules]))"
    )
    found = run(os.environ, "-c", code)
    assert json.loads(found.stdout) == []
