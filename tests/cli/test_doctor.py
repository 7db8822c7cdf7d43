"""`mcgc doctor`: what it describes, and that it fails if a kernel is wrong."""

import json
import platform
import sys
from pathlib import Path

import numpy as np
import pytest

import mcgc as library
from mcgc import arrays, devices
from mcgc._jit import _rows
from mcgc.checks import device, speed
from mcgc.checks import kernels as checks
from mcgc.checks.kernels import CASES
from mcgc.kernels import cpu, perturb
from mcgc.train import problems


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Give the cache of datasets, in a home of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "mcgc" / "datasets"


def test_the_installation_is_described_and_every_kernel_agrees(mcgc, cache):
    cache.mkdir(parents=True)
    (cache / "lorenz.h5").write_bytes(b"12345")
    result = mcgc("doctor", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    versions = {"python": platform.python_version(), "mcgc": library.__version__, "numpy": np.__version__}
    assert versions.items() <= found["versions"].items()
    assert {"numba", "llvmlite", "scipy", "h5py"} <= found["versions"].keys()
    assert found["processor"]
    assert found["blas"]
    assert found["threads"] >= 1
    assert found["devices"]["cpu"] == "running on the CPU (NumPy)"
    assert found["devices"]["auto"].startswith("running on ")
    assert found["datasets"] == {
        "directory": str(cache),
        "bytes": {"mnist": None, "lotka-volterra": None, "lorenz": 5},
    }
    assert [(k["kernel"], k["dtype"]) for k in found["kernels"] if k["device"] == "cpu"] == [
        (name, dtype) for name in CASES for dtype in ("float32", "float64")
    ]
    assert found["verdict"].startswith("ready: all comparisons are right on cpu")
    assert all(k["agrees"] and k["difference"] <= k["allowed"] and k["seconds"] > 0 for k in found["kernels"])


def test_the_text_has_a_line_for_everything(mcgc, cache):
    result = mcgc("doctor")
    assert result.exit_code == 0, result.stderr
    assert f"datasets     {cache}: mnist missing, lotka-volterra missing, lorenz missing" in result.stdout
    (place,) = [line.split(None, 2)[2] for line in result.stdout.splitlines() if line.startswith("Numba cache")]
    assert any(Path(place).glob("cpu_matmul.*.nbi"))
    assert result.stdout.splitlines()[-1].startswith("verdict      ready: all comparisons are right on cpu")
    rows = [line.split()[:4] for line in result.stdout.splitlines() if " cpu " in line and "ok" in line]
    assert rows == [[name, "cpu", dtype, "ok"] for name in CASES for dtype in ("float32", "float64")]


def test_a_wrong_kernel_and_one_that_raises_fail(mcgc, monkeypatch):
    right = cpu.noise_dot

    def broken(*args):
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(cpu, "noise_dot", lambda gradient, key: right(gradient, key) * gradient.dtype.type(1.001))
    monkeypatch.setattr(cpu, "adam", broken)
    result = mcgc("doctor")
    assert result.exit_code == 1
    lines = {tuple(line.split()[:3]): line for line in result.stdout.splitlines()}
    assert "WRONG" in lines["noise_dot", "cpu", "float64"]
    assert lines["adam", "cpu", "float32"].endswith("RuntimeError: no such instruction")
    assert "ok" in lines["perturb", "cpu", "float32"]
    names = ", ".join(f"{name} in {dtype} on cpu" for name in ("noise_dot", "adam") for dtype in ("float32", "float64"))
    verdict = f"do not trust on this machine: {names}; please report it"
    assert result.stderr == f"mcgc: {verdict}\n"
    assert result.stdout.splitlines()[-1] == f"verdict      {verdict}"


def test_a_wrong_compiled_function_is_in_the_verdict(mcgc, monkeypatch):
    right = _rows.run
    monkeypatch.setattr(checks, "CASES", {"jit": CASES["jit"]})
    assert mcgc("doctor").exit_code == 0
    monkeypatch.setattr(_rows, "run", lambda *args: [x * x.dtype.type(1.001) for x in right(*args)])
    result = mcgc("doctor", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (
        found["verdict"]
        == "do not trust on this machine: jit in float32 on cpu, jit in float64 on cpu; please report it"
    )
    assert all(k["seconds"] > 0 and not k["agrees"] for k in found["kernels"])


@pytest.fixture
def one_case(monkeypatch):
    """Leave one kernel and one problem to compare."""
    monkeypatch.setattr(checks, "CASES", {"perturb": CASES["perturb"]})
    monkeypatch.setattr(device, "CASES", {})
    monkeypatch.setattr(device, "STEPS_ALLOWED", {"lotka-volterra": 1024.0})
    monkeypatch.setattr(speed, "SAMPLES", 1)
    monkeypatch.setattr(speed, "LEAST", 0.0)
    monkeypatch.setattr(speed, "MEMBERS", (1, 2))


@pytest.mark.usefixtures("one_case")
def test_a_gpu_is_checked_by_its_kernels_and_by_whole_computations(mcgc, monkeypatch, strict):
    place = strict._replace(name="cuda:0")
    monkeypatch.setattr(devices, "select_device", lambda name: (arrays.HOST if name == "cpu" else place, f"on {name}"))
    result = mcgc("doctor", "--gpu", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["devices"] == {"cpu": "on cpu", "cuda": "on cuda"}
    steps = [f"lotka-volterra{how}" for how in ("", ", repeated", ", stacked")]
    assert [(k["kernel"], k["device"]) for k in found["kernels"] if k["dtype"] == "float32"] == [
        ("perturb", "cpu"),
        *((name, "cuda:0") for name in ["perturb", *steps]),
    ]
    computations = [f"{name} {what}" for name in problems.names() for what in ("loss", "step", "step")]
    assert [row["computation"] for row in found["speed"]] == computations
    assert [row["members"] for row in found["speed"]] == [1, 1, 2] * 3
    assert all(row["times"] == row["host_seconds"] / row["device_seconds"] > 0 for row in found["speed"])
    assert found["launch_seconds"] > 0
    last = found["speed"][-1]
    assert found["verdict"].endswith(f"{last['times']:.2g} times the CPU on lorenz step (2 members)")
    right = perturb.meaning
    monkeypatch.setattr(perturb, "meaning", lambda *args: (right(*args)[0] * 1.001, right(*args)[1]))
    result = mcgc("doctor", "--gpu")
    assert result.exit_code == 1
    assert "do not trust on this machine: perturb in float32 on c" in result.stderr
    assert "lotka-volterra in float64 on cuda:0" in result.stderr
    assert "repeated" not in result.stderr


def test_doctor_gpu_without_a_gpu_is_one_sentence(mcgc, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    result = mcgc("doctor", "--gpu")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("mcgc: there is no GPU to check: device 'cuda' cannot be used: CuPy is not instal")
    assert result.stderr.count("\n") == 1
