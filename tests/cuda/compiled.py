"""What the CUDA kernels compile to, for four processors: `test_cuda.py` runs this where no CUDA toolkit is in sight.

Nothing here runs a kernel: libnvvm makes PTX, and nvJitLink the machine's code, of the wheels that pip installs.
"""

import os
import re
import shutil
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cuda.bindings import nvjitlink
from cupy._core import core
from cupy.cuda import nvrtc
from numba import cuda
from numba.cuda import compiler, dispatcher, types
from ptx import PROCESSORS, atomics, float64s, resources

from mcgc.kernels import cuda as kernels
from mcgc.kernels import cuda_dense as dense
from mcgc.kernels import cuda_losses, launching
from mcgc.random import Key, split

REGISTERS = {"float32": 64, "float64": 96}  # of a thread, at most
FILE, SHARED = 65536, 48 * 1024  # registers of a processor's file, and bytes of shared memory that a block may have


@pytest.fixture
def launches(monkeypatch):
    """Give a function from a dtype and a number of members to {name: (kernel, kinds of arguments)} of all launches."""

    def record(dtype, members):
        found = {}

        def launch(kernel, blocks, *arguments):
            numbers = (np.int64(x) if type(x) is int else x for x in arguments)
            found[kernel.__name__] = kernel, tuple(map(launching.kind, numbers))

        monkeypatch.setattr(kernels, "_launch", launch)
        theta, keys = np.ones((members, 3 * kernels.TILE * kernels.THREADS), dtype), split(Key(0), members)
        kernels.perturb(theta, np.ones(members, dtype), keys)
        kernels.noise_dot(theta, keys)
        kernels.adam(theta, theta, theta, theta, 7, 0.01, 0.9, 0.999, 1e-8)
        assert set(found) == {"_perturb", "_noise_dot", "_total", "_adam"}
        return found

    return record


def to_ptx(function, kinds, processor, monkeypatch):
    """Compile for a processor; the device functions that it calls ask for that of the machine, which has none."""
    here = SimpleNamespace(compute_capability=processor)
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: here)
    return launching.to_ptx(function, kinds, processor)


def shared_bytes(ptx):
    return sum(int(n) for n in re.findall(r"\.shared \.align \d+ \.b8 \w+\[(\d+)\]", ptx))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("processor", PROCESSORS, ids=str)
def test_kernels_of_nets_and_of_the_cross_entropy_fit_and_hold_no_atomics_no_spills_and_no_float64_of_float32(
    processor, dtype, monkeypatch
):
    found = {}

    def launch(kernel, blocks, *arguments):
        numbers = (np.int64(x) if type(x) is int else x for x in arguments)
        found[kernel.__name__] = kernel, tuple(map(launching.kind, numbers))

    for module in (dense, kernels):
        monkeypatch.setattr(module, "_launch", launch)
    sizes = (3, 5, 2)
    theta, x, y = (np.ones(shape, dtype) for shape in ((2, 32), (2, 40, 3), (2, 40, 2)))
    dense.dense_vjp(theta, x, dense.dense_forward(theta, x, sizes, "relu")[1], sizes, "relu", y)
    cuda_losses.cross_entropy(y, np.zeros((2, 40), np.uint8), True, 1)
    assert set(found) == {"_dense_forward", "_dense_backward", "_dense_total", "_cross_entropy", "_total"}
    for name, (kernel, kinds) in found.items():
        ptx = to_ptx(kernel, kinds, processor, monkeypatch)
        needs = resources(ptx, processor)
        print(f"{processor} {dtype} {name:15} {needs.registers} registers, {needs.stack} bytes of stack")
        assert not atomics(ptx)
        assert bool(float64s(ptx)) == (dtype == "float64")
        assert (needs.spilled, needs.stack) == (0, 0)
        assert needs.registers * dense.THREADS <= FILE
        assert shared_bytes(ptx) == 0 or name == "_total"
        assert ".nc" not in ptx  # loads that may miss what other threads of the block have written


@pytest.mark.parametrize("members", [1, kernels.MEMBERS])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("processor", PROCESSORS, ids=str)
def test_kernels_fit_and_hold_no_atomics_no_spills_and_no_float64_of_float32(
    processor, dtype, members, launches, monkeypatch
):
    for name, (kernel, kinds) in launches(dtype, members).items():
        ptx = to_ptx(kernel, kinds, processor, monkeypatch)
        assert f".target sm_{''.join(map(str, processor))}" in ptx
        found = resources(ptx, processor)
        print(f"{processor} {dtype} {members:2} {name:10} {found.registers} registers, {found.stack} bytes of stack")
        assert not atomics(ptx)
        assert bool(float64s(ptx)) == (dtype == "float64")
        assert found.spilled == 0
        assert found.registers <= REGISTERS[dtype]
        assert found.registers * kernels.THREADS <= FILE / 2  # two blocks at once at least
        assert found.stack == 0 or dtype == "float64"  # whose sine may have to reduce an angle that is never so large
        assert shared_bytes(ptx) == (0 if name == "_adam" else kernels.THREADS * np.dtype(dtype).itemsize)
        assert shared_bytes(ptx) <= SHARED


def test_the_launch_has_a_power_of_two_of_threads_in_whole_warps():
    assert kernels.THREADS.bit_count() == 1
    assert 32 <= kernels.THREADS <= 1024
    assert kernels.BLOCKS <= 2**16
    assert kernels.MEMBERS * 8 + 512 <= 4096  # bytes of arguments, of which every processor takes so many


def scaled_by_a_python_float(out, x):
    out[0] = 0.1 * x[0]


def added_atomically(out, x):
    cuda.atomic.add(out, 0, x[0])


SINGLE = ("float32*", "float32*")


def test_a_float64_in_a_float32_kernel_is_found(launches, monkeypatch):
    assert float64s(to_ptx(scaled_by_a_python_float, SINGLE, (9, 0), monkeypatch))
    kernel, kinds = launches("float32", 1)["_adam"]
    assert float64s(to_ptx(kernel, (*kinds[:-1], "float64"), (9, 0), monkeypatch))


def test_an_atomic_addition_is_found():
    array = types.Array(types.float32, 1, "C")
    ptx, _ = cuda.compile(
        added_atomically, types.void(array, array), cc=(9, 0), device=False, abi="numba", output="ptx"
    )
    assert atomics(ptx)


def test_a_spill_is_found(launches, monkeypatch):
    kernel, kinds = launches("float64", 1)["_perturb"]
    ptx = to_ptx(kernel, kinds, (9, 0), monkeypatch)
    assert resources(ptx, (9, 0), "-maxrregcount=24").spilled > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_indices_have_64_bits(dtype, launches, monkeypatch):
    here = SimpleNamespace(compute_capability=(9, 0))
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: here)
    for kernel, kinds in launches(dtype, 2).values():
        compiled = compiler.compile_cuda(kernel, types.void, launching.signature(kinds).args, cc=(9, 0))
        found = {name.split(".")[0]: kind for name, kind in compiled.type_annotation.typemap.items()}
        indices = found.keys() & {"i", "row", "start", "philox", "place", "member", "block", "blocks", "m", "first"}
        assert len(indices) >= 2
        assert {found[name] for name in indices} == {types.int64}


@pytest.mark.parametrize("members", [1, 5])
def test_a_kernel_takes_an_address_for_each_array_and_the_other_arguments_by_value(members, launches, monkeypatch):
    for kernel, kinds in launches("float32", members).values():
        ptx = to_ptx(kernel, kinds, (9, 0), monkeypatch)
        names = {"float32*": "u64", "int64": "u64", "float32": "f32", "uint64*1": "u64"}
        expected = [names[kind] for kind in kinds if kind in names] + ["u64"] * kernels.MEMBERS * kinds.count(
            f"uint64*{kernels.MEMBERS}"
        )
        entry = re.search(rf"\.entry {kernel.__name__.strip('_')}\(([^)]*)\)", ptx)
        assert re.findall(r"\.param \.(\w+)", entry[1]) == expected


def test_a_kernel_is_compiled_for_one_member_and_for_several_and_no_more_often(monkeypatch):
    seen = {}

    def launch(kernel, blocks, *arguments):
        numbers = (np.int64(x) if type(x) is int else x for x in arguments)
        seen.setdefault(kernel.__name__, set()).add(tuple(map(launching.kind, numbers)))

    monkeypatch.setattr(kernels, "_launch", launch)
    for members in (1, 2, 3, 31, 32, 33, 70):
        theta = np.ones((members, 5), "float32")
        kernels.perturb(theta, np.ones(members, "float32"), split(Key(0), members))
    assert len(seen["_perturb"]) == 2


def test_nothing_is_launched_for_arrays_without_elements(monkeypatch):
    monkeypatch.setattr(kernels, "_launch", None)
    theta, keys = np.zeros((2, 0), np.float32), split(Key(0))
    perturbed, sqnorms = kernels.perturb(theta, np.ones(2, np.float32), keys)
    assert (perturbed.shape, perturbed.dtype) == ((2, 0), np.float32)
    np.testing.assert_array_equal(sqnorms, np.zeros(2, np.float32), strict=True)
    np.testing.assert_array_equal(kernels.noise_dot(theta[0], Key(0)), np.float32(0), strict=True)
    assert [x.shape for x in kernels.adam(theta, theta, theta, theta, 7, 0.01, 0.9, 0.999, 1e-8)] == [(2, 0)] * 3


def test_cupy_compiles_with_the_headers_of_the_wheels():
    options = (*core.assemble_cupy_compiler_options(("-std=c++17",)), "--gpu-architecture=compute_90")
    source = "#include <cupy/complex.cuh>\n#include <cupy/carray.cuh>\n__global__ void halve(float* x) { x[0] /= 2; }"
    program = nvrtc.createProgram(source, "halve.cu", (), ())
    nvrtc.compileProgram(program, options)
    assert b".target sm_90" in nvrtc.getPTX(program)
    wheels = str(Path(sysconfig.get_path("platlib")))
    assert all(option[2:].startswith(wheels) for option in options if option.startswith("-I"))


def test_all_compilers_come_from_the_wheels():
    launching.to_ptx(scaled_by_a_python_float, SINGLE, (9, 0))
    nvjitlink.version()
    nvrtc.getVersion()
    maps = Path("/proc/self/maps").read_text()
    paths = {Path(line.split()[-1]) for line in maps.splitlines() if re.search(r"lib(nv|cu)\w+\.so", line)}
    loaded = {path.name.split(".")[0] for path in paths}
    assert {"libnvvm", "libnvJitLink", "libnvrtc"} <= loaded
    wheels = Path(sysconfig.get_path("platlib")).resolve()
    assert not [path for path in paths if not path.resolve().is_relative_to(wheels)]
    assert shutil.which("nvcc") is None
    assert not [name for name in os.environ if name.startswith(("CUDA", "LD_"))]
