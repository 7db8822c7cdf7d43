"""What the CUDA kernels compile to, for four processors: `test_cuda.py` runs this where no CUDA toolkit is in sight.

Nothing here runs a kernel: libnvvm makes PTX, and nvJitLink the machine's code, of the wheels that pip installs.
"""

import os
import re
import shutil
import sysconfig
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import cupy
import numpy as np
import pytest
from cuda.bindings import nvjitlink
from cuda.core.utils import StridedMemoryView
from cupy._core import core
from cupy.cuda import nvrtc
from numba import cuda
from numba.cuda import compiler, dispatcher, types
from numba.cuda.cudadrv import devicearray, devices
from numba.cuda.typing.typeof import typeof
from ptx import PROCESSORS, atomics, float64s, resources

from mcgc.kernels import cuda as kernels
from mcgc.random import Key, split

REGISTERS = {"float32": 64, "float64": 96}  # of a thread: fewer than these
FILE, SHARED = 65536, 48 * 1024  # registers of a processor's file, and bytes of shared memory that a block may have


@pytest.fixture
def launches(monkeypatch):
    """Give a function from a dtype and a number of members to {name: (kernel, arguments)} of all launches."""

    def record(dtype, members):
        found = {}

        def launch(kernel, blocks, *arguments):
            found[kernel.py_func.__name__] = kernel, arguments

        monkeypatch.setattr(kernels, "_launch", launch)
        theta, keys = np.ones((members, 3 * kernels.TILE * kernels.THREADS), dtype), split(Key(0), members)
        kernels.perturb(theta, np.ones(members, dtype), keys)
        kernels.noise_dot(theta, keys)
        kernels.adam(theta, theta, theta, theta, 7, 0.01, 0.9, 0.999, 1e-8)
        assert set(found) == {"_perturb", "_noise_dot", "_total", "_adam"}
        return found

    return record


def to_ptx(function, signature, processor, monkeypatch):
    """Compile for a processor; the device functions that it calls ask for that of the machine, which has none."""
    here = SimpleNamespace(compute_capability=processor)
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: here)
    ptx, _ = cuda.compile(function, types.void(*signature), cc=processor, device=False, abi="numba", output="ptx")
    return ptx


def shared_bytes(ptx):
    return sum(int(n) for n in re.findall(r"\.shared \.align \d+ \.b8 \w+\[(\d+)\]", ptx))


@pytest.mark.parametrize("members", [1, kernels.MEMBERS])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("processor", PROCESSORS, ids=str)
def test_kernels_fit_and_hold_no_atomics_no_spills_and_no_float64_of_float32(
    processor, dtype, members, launches, monkeypatch
):
    for name, (kernel, arguments) in launches(dtype, members).items():
        ptx = to_ptx(kernel.py_func, [typeof(x) for x in arguments], processor, monkeypatch)
        assert f".target sm_{''.join(map(str, processor))}" in ptx
        found = resources(ptx, processor)
        print(f"{processor} {dtype} {members:2} {name:10} {found.registers} registers, {found.stack} bytes of stack")
        assert not atomics(ptx)
        assert bool(float64s(ptx)) == (dtype == "float64")
        assert found.spilled == 0
        assert found.registers < REGISTERS[dtype]
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


SINGLE = types.Array(types.float32, 1, "C")


def test_a_float64_in_a_float32_kernel_is_found(launches, monkeypatch):
    assert float64s(to_ptx(scaled_by_a_python_float, (SINGLE, SINGLE), (9, 0), monkeypatch))
    kernel, arguments = launches("float32", 1)["_adam"]
    signature = [typeof(x) for x in arguments[:-1]] + [typeof(float(arguments[-1]))]
    assert float64s(to_ptx(kernel.py_func, signature, (9, 0), monkeypatch))


def test_an_atomic_addition_is_found(monkeypatch):
    assert atomics(to_ptx(added_atomically, (SINGLE, SINGLE), (9, 0), monkeypatch))


def test_a_spill_is_found(launches, monkeypatch):
    kernel, arguments = launches("float64", 1)["_perturb"]
    ptx = to_ptx(kernel.py_func, [typeof(x) for x in arguments], (9, 0), monkeypatch)
    assert resources(ptx, (9, 0), "-maxrregcount=24").spilled > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_indices_have_64_bits(dtype, launches, monkeypatch):
    here = SimpleNamespace(compute_capability=(9, 0))
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: here)
    for kernel, arguments in launches(dtype, 2).values():
        signature = tuple(typeof(x) for x in arguments)
        compiled = compiler.compile_cuda(kernel.py_func, types.void, signature, cc=(9, 0))
        found = {name.split(".")[0]: kind for name, kind in compiled.type_annotation.typemap.items()}
        indices = found.keys() & {"i", "row", "start", "philox", "place", "member", "block", "blocks", "m", "first"}
        assert len(indices) >= 2
        assert {found[name] for name in indices} == {types.int64}


def device_array(host):
    """Return what `_View` reads of a CuPy array, with the address of one on the host."""
    return SimpleNamespace(size=host.size, dtype=host.dtype, data=SimpleNamespace(ptr=host.ctypes.data))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_view_of_a_device_array_has_the_type_that_is_compiled_for_and_names_no_stream(dtype):
    host = np.zeros(12, dtype)
    view = kernels._View(device_array(host))
    assert typeof(view) == typeof(host)
    assert view.__cuda_array_interface__["stream"] is None
    assert not hasattr(view, "__dlpack__")


@pytest.mark.parametrize("members", [1, 5])
def test_numba_makes_of_the_arguments_of_a_launch_the_parameters_of_the_kernel(members, launches, monkeypatch):
    given, viewed = [], []

    def view_of(view, stream_ptr):
        viewed.append(view.__cuda_array_interface__)
        return StridedMemoryView.from_any_interface(hosts[viewed[-1]["data"][0]], stream_ptr=-1)

    monkeypatch.setattr(dispatcher, "launch", lambda stream, config, kernel, *found: given.extend(found))
    # of the driver this would ask on which device the address lies
    monkeypatch.setattr(devicearray, "StridedMemoryView", type("", (), {"from_cuda_array_interface": view_of}))
    library = SimpleNamespace(get_cufunc=lambda: SimpleNamespace(kernel=None))
    for kernel, arguments in launches("float32", members).values():
        given.clear()
        signature = [typeof(x) for x in arguments]
        hosts = {x.ctypes.data: x for x in arguments if isinstance(x, np.ndarray)}
        views = [kernels._View(device_array(x)) if isinstance(x, np.ndarray) else x for x in arguments]
        bound = SimpleNamespace(_codelibrary=library, debug=False, cooperative=False, extensions=())
        bound.argument_types = signature
        bound._prepare_args = lambda *args, bound=bound: dispatcher._Kernel._prepare_args(bound, *args)
        dispatcher._Kernel.launch(bound, views, (1, 1, 1), (kernels.THREADS, 1, 1), stream=0)
        ptx = to_ptx(kernel.py_func, signature, (9, 0), monkeypatch)
        assert len(given) == len(re.findall(r"^\s*\.param ", ptx, re.M))
    assert viewed


def test_a_launch_goes_to_the_current_stream_of_cupy_and_waits_for_nothing(monkeypatch):
    class Kernel:
        def __getitem__(self, configuration):
            return lambda *arguments: launched.append((configuration, arguments))

    launched, streams = [], iter([0, 4096, 4096])
    array = device_array(np.zeros(12, np.float32))
    array.device = SimpleNamespace(id=0)
    monkeypatch.setattr(cupy, "ndarray", SimpleNamespace)
    monkeypatch.setattr(cupy.cuda, "get_current_stream", lambda: SimpleNamespace(ptr=next(streams)))
    monkeypatch.setattr(cuda, "external_stream", lambda address: f"the stream at {address}")
    kernel = Kernel()
    for _ in range(3):
        kernels._launch(kernel, 7, array, 12, (np.uint64(1),))
    of = [configuration for configuration, _ in launched]
    assert of == [(7, kernels.THREADS, stream) for stream in (0, "the stream at 4096", "the stream at 4096")]
    assert all(type(view) is kernels._View and rest == [12, (1,)] for _, (view, *rest) in launched)


def test_a_launch_is_configured_once_for_a_grid_and_a_stream_and_does_not_warn_of_a_small_one():
    with pytest.warns(match="Grid size 1"):
        kernels._total[1, kernels.THREADS]
    first = kernels._configured(kernels._total, 1, 0, 0)
    assert (first.griddim, first.blockdim) == ((1, 1, 1), (kernels.THREADS, 1, 1))
    assert kernels._configured(kernels._total, 1, 0, 0) is first
    assert kernels._configured(kernels._total, 2, 0, 0) is not first


def test_numba_takes_the_context_of_the_gpu_that_cupy_made_current(monkeypatch):
    contexts = [SimpleNamespace(handle=4096 + number, prepare_for_use=lambda: None) for number in range(2)]
    gpus = [SimpleNamespace(get_primary_context=lambda context=context: context) for context in contexts]
    current = SimpleNamespace(devnum=1, context_handle=contexts[1].handle)  # as the driver has it after cudaSetDevice
    monkeypatch.setattr(devices._runtime, "gpus", gpus)
    monkeypatch.setattr(devices.driver, "get_active_context", lambda: nullcontext(current))
    assert devices.get_context() is contexts[1]
    current.devnum, current.context_handle = 0, contexts[0].handle
    assert devices.get_context() is contexts[0]


def test_a_kernel_is_compiled_for_one_member_and_for_several_and_no_more_often(monkeypatch):
    seen = {}

    def launch(kernel, blocks, *arguments):
        seen.setdefault(kernel.py_func.__name__, set()).add(tuple(typeof(x) for x in arguments))

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
    cuda.compile(scaled_by_a_python_float, types.void(SINGLE, SINGLE), cc=(9, 0), device=False, abi="numba")
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
