"""What the kernels of generated programs compile to, for four processors: `test_cuda.py` runs this."""

import re
from types import SimpleNamespace

import cupy
import numpy as np
import pytest
from everything import everything
from numba.cuda import dispatcher
from ptx import PROCESSORS, atomics, float64s, resources

import mcgc
from mcgc import ops
from mcgc._jit import _compile, _cuda, _rows
from mcgc.errors import OutputError
from mcgc.kernels import launching
from mcgc.ode import _jitted, solve

MOST = {"float32": 192, "float64": 255}  # registers of a thread
REDUCTION = "0d3BF921FB54442D19"  # of an angle, by the device's own sinf, cosf and tanf, past 105,615


@pytest.fixture
def kernels(monkeypatch):
    """Give a function that returns (loop, kinds) of all kernels that a function would launch, by their names."""

    def record(function):
        found = {}

        def launch(loop, begin, end, *arguments):
            numbers = (_cuda.number(x) for x in (begin, end, *arguments))
            found[f"{loop.__name__} {len(found)}"] = loop, tuple(map(launching.kind, numbers))
            if loop.__name__ == "forward":  # all goes well, in one step
                counts = next(x for x in arguments if getattr(x, "dtype", None) == np.int64 and hasattr(x, "ravel"))
                counts.reshape(-1, 4)[:] = [1, 0, 0, 1]

        with monkeypatch.context() as patched:
            patched.setattr(_cuda, "launch", launch)
            patched.setattr(_rows, "compiler", lambda array: "cuda")
            patched.setattr(_jitted, "platform", lambda array: "cuda")
            function()
        return found

    return record


def to_ptx(loop, kinds, processor, monkeypatch):
    here = SimpleNamespace(compute_capability=processor)
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: here)
    return launching.to_ptx(loop, kinds, processor)


def report(name, processor, dtype, found):
    line = f"{found.registers} registers, {found.stack} bytes of stack, {found.spilled} of spills"
    print(f"{processor} {dtype} {name:20} {line}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("processor", PROCESSORS, ids=str)
def test_rows_compile_without_atomics_and_without_float64_of_float32(processor, dtype, kernels, monkeypatch):
    x, p = np.ones((4, 1), dtype), np.ones(3, dtype)
    of_all = kernels(lambda: mcgc.jit(everything).rows(0).vjp(x, p)[1](x))
    assert len(of_all) == 2
    for name, (loop, kinds) in of_all.items():
        ptx = to_ptx(loop, kinds, processor, monkeypatch)
        assert f".target sm_{''.join(map(str, processor))}" in ptx
        assert ".entry rows(" in ptx
        assert re.search(r"\.entry rows\(([^)]*)\)", ptx)[1].count(".param") == len(kinds)
        found = resources(ptx, processor)
        report(name, processor, dtype, found)
        assert found.spilled == 0
        assert not atomics(ptx)
        if dtype == "float32":
            assert not outside_reductions(ptx)
            assert found.registers <= 128


def outside_reductions(ptx):
    """Return the instructions in float64 that are not part of the reduction of an angle: three for each."""
    lines = [line for line in float64s(ptx) if ".reg" not in line]
    angles = [line for line in lines if REDUCTION in line]
    names = {name for line in angles for name in re.findall(r"%fd\d+", line)}
    return [line for line in lines if line not in angles and not names & set(re.findall(r"%fd\d+", line))]


def test_a_float64_in_a_program_of_float32_is_found(kernels, monkeypatch):
    x = np.ones((4, 1), np.float32)
    wide = lambda x: ops.astype(ops.exp(ops.astype(x, np.float64)), np.float32) + ops.sin(x)
    ((loop, kinds),) = kernels(lambda: mcgc.jit(wide).rows(0)(x)).values()
    assert outside_reductions(to_ptx(loop, kinds, (9, 0), monkeypatch))


def lotka_volterra(t, y, p):
    return ops.stack([y[..., 0] * (p[0] - p[1] * y[..., 1]), y[..., 1] * (p[2] * y[..., 0] - p[3])], axis=-1)


def lorenz(t, y, p):
    x, y, z = y[..., 0], y[..., 1], y[..., 2]
    return ops.stack([p[0] * (y - x), x * (p[1] - z) - y, x * y - p[2] * z], axis=-1)


FIELDS = {"lotka-volterra": (lotka_volterra, 2, 4), "lorenz": (lorenz, 3, 3)}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("processor", "name", "solver"),
    [*((processor, "lotka-volterra", "dopri5") for processor in PROCESSORS), ((9, 0), "lorenz", "dopri8")],
    ids=str,
)
def test_whole_solutions_compile_and_do_not_spill_in_float32(processor, name, solver, dtype, kernels, monkeypatch):
    field, n, m = FIELDS[name]
    y0, p = np.ones((5, n), dtype), np.ones(m, dtype)
    call = lambda y0: solve(mcgc.jit(field), y0, [0.0, 1.0, 2.0], p, solver=solver).ys
    found = kernels(lambda: mcgc.vjp(call, y0)[1](np.ones((5, 3, n), dtype)))
    assert len(found) == 2
    for kernel, (loop, kinds) in found.items():
        ptx = to_ptx(loop, kinds, processor, monkeypatch)
        needs = resources(ptx, processor)
        report(f"{name} {solver} {kernel}", processor, dtype, needs)
        assert not atomics(ptx)
        assert needs.registers <= MOST[dtype]
        assert needs.registers * _cuda.THREADS <= 65536
        assert needs.spilled == 0 or dtype == "float64"
        assert float64s(ptx)  # of which the controller is made, whatever the dtype of the states


def test_machine_code_is_kept_beside_the_module_and_found_again(kernels, monkeypatch, tmp_path):
    read = []
    monkeypatch.setattr(_compile, "directory", lambda: tmp_path)
    monkeypatch.setattr(launching, "directory", lambda: tmp_path)
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: SimpleNamespace(compute_capability=(9, 0)))
    monkeypatch.setattr(
        cupy, "RawModule", lambda path: SimpleNamespace(get_function=lambda name: read.append((path, name)))
    )
    ((loop, kinds),) = kernels(lambda: mcgc.jit(lambda x: 3 * x).rows(0)(np.ones((2, 1)))).values()
    launching.load(loop, kinds, "90")
    (file,) = tmp_path.glob("*_sm90.cubin")
    assert read == [(str(file), "rows")]
    assert file.read_bytes()[:4] == b"\x7fELF"
    monkeypatch.setattr(launching, "to_ptx", None)
    launching.load(loop, kinds, "90")
    assert read[1] == read[0]


def test_a_cache_that_cannot_be_written_is_said_in_a_sentence(kernels, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(launching, "directory", lambda: tmp_path / "file" / "jit")
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: SimpleNamespace(compute_capability=(9, 0)))
    monkeypatch.setattr(cupy, "RawModule", None)
    ((loop, kinds),) = kernels(lambda: mcgc.jit(lambda x: 5 * x).rows(0)(np.ones((2, 1)))).values()
    with pytest.raises(OutputError, match=r"cannot be stored in .*file/jit': set XDG_CACHE_HOME"):
        launching.load(loop, kinds, "90")


def test_a_launch_has_a_thread_for_every_row_and_bare_arguments(monkeypatch):
    loaded, launched = [], []
    monkeypatch.setattr(launching, "device", lambda: 0)
    monkeypatch.setattr(launching, "processor", lambda: "90")
    monkeypatch.setattr(launching, "_kernels", {})
    monkeypatch.setattr(launching, "load", lambda *key: loaded.append(key) or (lambda *given: launched.append(given)))
    x = np.ones(300, np.float32)
    for _ in range(2):
        _cuda.launch("loop", 0, 300, x, 3, 0.5, True, np.ones(1, bool))
    kinds = ("int64", "int64", "float32*", "int64", "float64", "int64", "uint8*")
    assert loaded == [("loop", kinds, "90")]
    (grid, block, arguments), _ = launched
    assert (grid, block) == ((3,), (_cuda.THREADS,))
    assert arguments[2] is x
    assert [type(arguments[i]) for i in (0, 1, 3, 4, 5)] == [np.int64, np.int64, np.int64, np.float64, np.int64]
    _cuda.launch("loop", 0, 300, x.astype(np.float64), 3, 0.5, True, np.ones(1, bool))
    assert [kinds[2] for _, kinds, _ in loaded] == ["float32*", "float64*"]
