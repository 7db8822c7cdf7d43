"""The choice of a device, and what is said where one cannot be used."""

import builtins
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

import mcgc.kernels
from mcgc import devices
from mcgc.arrays import HOST, _cupy
from mcgc.devices import select_device, slow_on_gpu
from mcgc.errors import DeviceError
from mcgc.random import normal
from mcgc.train import problems


def test_the_cpu_is_taken_by_name():
    device, sentence = select_device("cpu")
    assert device is HOST
    assert "CPU" in sentence


def test_auto_without_cupy_takes_the_cpu_and_says_why(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    device, sentence = select_device("auto")
    assert device is HOST
    assert "CuPy is not installed" in sentence
    assert "pip install '.[cuda12]' or '.[cuda13]'" in sentence


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_cuda_without_cupy_is_refused_with_the_reason(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match=f"'{name}' cannot be used: CuPy is not installed"):
        select_device(name)


@pytest.mark.parametrize("name", ["banana", "cuda:x", "cuda:", "gpu", "cuda:-1", ""])
def test_an_unknown_device_is_answered_with_the_names(name):
    with pytest.raises(DeviceError, match="choose auto, cpu, cuda or cuda:N"):
        select_device(name)


class CUDARuntimeError(RuntimeError):
    """As CuPy names what the runtime returns."""


class CompileException(Exception):
    """As CuPy names what NVRTC does not compile."""


class OutOfMemoryError(MemoryError):
    """As CuPy names an allocation that fails."""


class NvvmSupportError(ImportError):
    """As numba-cuda names what it lacks."""


class CudaSupportError(RuntimeError):
    """As numba-cuda names a driver that it does not find."""


OLD = "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
REASONS = {  # the driver's version, what CuPy or numba-cuda raises, and of which the user hears
    "no driver": (0, CUDARuntimeError(OLD), "there is no NVIDIA driver"),
    "no GPU": (12090, CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected"), "lists no GPU"),
    "CUDA major": (11080, CUDARuntimeError(OLD), "the driver is for CUDA 11, and the installed CuPy for CUDA 12"),
    "new GPU": (
        13000,
        CUDARuntimeError("cudaErrorNoKernelImageForDevice: no kernel image is available for execution on the device"),
        "a CUDA that does not know GPU 0",
    ),
    "NVRTC": (
        12090,
        RuntimeError("CuPy failed to load libnvrtc.so.12: OSError: libnvrtc.so.12: cannot open shared object file"),
        "NVRTC or the CUDA headers are missing",
    ),
    "headers": (
        12090,
        CompileException('/tmp/a.cu(3): catastrophic error: cannot open source file "vector_types.h"\n\n1 error'),
        "NVRTC or the CUDA headers are missing",
    ),
    "NVVM": (12090, NvvmSupportError("libNVVM cannot be found"), "NVRTC or the CUDA headers are missing"),
    "numba-cuda": (12090, ImportError("NVIDIA CUDA Python bindings not found."), "numba-cuda does not load"),
    "numba-cuda's driver": (12090, CudaSupportError("\nError at driver init: \n\nand more"), "Error at driver init"),
    "memory": (12090, OutOfMemoryError("Out of memory allocating 4,096 bytes"), "GPU 0 is out of memory"),
    "memory of the context": (
        12090,
        CUDARuntimeError("cudaErrorMemoryAllocation: out of memory"),
        "GPU 0 is out of memory",
    ),
    "anything else": (12090, RuntimeError(""), "the start-up probe failed: RuntimeError"),
}


@pytest.fixture
def cupy(monkeypatch):
    """Give a CuPy with one GPU, numba-cuda beside it."""
    runtime = SimpleNamespace(getDeviceCount=lambda: 1, runtimeGetVersion=lambda: 12090)
    fake = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime, Device=lambda index: nullcontext()))
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(devices, "find_spec", lambda name: SimpleNamespace())
    return fake


def raising(error):
    def call(*args):
        raise error

    return call


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("what", REASONS)
def test_what_a_gpu_lacks_is_one_sentence_for_auto_and_an_error_by_name(cupy, monkeypatch, what, early):
    version, error, reason = REASONS[what]
    cupy.cuda.runtime.driverGetVersion = lambda: version
    if early:
        cupy.cuda.runtime.getDeviceCount = raising(error)
    else:
        monkeypatch.setattr(devices, "_computes", raising(error))
    device, sentence = select_device("auto")
    assert device is HOST
    assert sentence.startswith("running on the CPU (NumPy): no usable GPU, ")
    assert reason in sentence
    assert "\n" not in sentence
    with pytest.raises(DeviceError, match=f"^device 'cuda' cannot be used: .*{reason}"):
        select_device("cuda")


SETTLED = {  # the problem and the members, and whether a GPU is faster
    ("mnist", 1): False,
    ("mnist", 3): False,
    ("mnist", 4): True,
    ("mnist", 10): True,
    ("lorenz", 1): False,
    ("lorenz", 100): False,
    ("lotka-volterra", 10): False,
}


@pytest.mark.parametrize(("run", "faster"), SETTLED.items())
def test_auto_takes_a_gpu_only_where_it_has_enough_to_do(monkeypatch, run, faster):
    probed = []
    gpu = HOST._replace(name="cuda:0")
    monkeypatch.setattr(devices, "_probe_cuda", lambda index: probed.append(index) or (gpu, "a GPU"))
    name, members = run
    problem = problems.get(name)
    device, sentence = select_device("auto", problem, members)
    assert (device is gpu) == faster == bool(probed)
    assert bool(slow_on_gpu(problem, members)) == (not faster)
    assert sentence.startswith("running on cuda:0" if faster else "running on the CPU (NumPy): ")
    assert faster or sentence.endswith("--device cuda takes a GPU nevertheless")
    assert select_device("cuda", problem, members)[0] is gpu
    assert select_device("cpu", problem, members)[0] is HOST
    assert select_device("auto")[0] is gpu  # for no problem in particular


def test_a_problem_whose_members_do_not_advance_together_is_for_the_cpu():
    assert "mnist do not advance together" in slow_on_gpu(problems.get("mnist")._replace(stacked=False), 10)


def test_every_reason_is_told_from_the_others():
    assert len({reason for _, _, reason in REASONS.values()}) == len(REASONS) - 3  # compilers and memory are alike


def test_without_numba_cuda_a_gpu_is_not_taken(cupy, monkeypatch):
    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    with pytest.raises(DeviceError, match=r"numba-cuda is not installed .*'\.\[cuda12\]'"):
        select_device("cuda")


def test_a_gpu_that_computes_wrong_numbers_is_not_taken(cupy, monkeypatch):
    monkeypatch.setattr(devices, "_computes", lambda cupy: False)
    with pytest.raises(DeviceError, match="GPU 0 computed wrong numbers"):
        select_device("cuda")


def test_a_cupy_that_does_not_load_is_told_from_one_that_is_not_installed(monkeypatch):
    real = builtins.__import__

    def broken(name, *args, **kwargs):
        if name == "cupy":
            raise ImportError("CuPy is not correctly installed.\n\nand more")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(DeviceError, match="CuPy does not load: CuPy is not correctly installed"):
        select_device("cuda")


def test_a_gpu_that_is_not_there_is_named(cupy):
    with pytest.raises(DeviceError, match="no GPU 3, the driver lists 1"):
        select_device("cuda:3")


class Current:
    """As CuPy has it: a GPU that is current within its block, or from `use` on."""

    current = 0

    def __init__(self, index):
        self.index, self.before = index, None

    def __enter__(self):
        self.before, Current.current = Current.current, self.index

    def __exit__(self, *error):
        Current.current = self.before

    def use(self):
        Current.current = self.index


@pytest.mark.parametrize(("index", "right", "left"), [(0, True, 0), (2, True, 2), (2, False, 0)])
def test_a_gpu_is_current_in_its_probe_and_from_then_on_if_it_is_taken(cupy, monkeypatch, index, right, left):
    monkeypatch.setattr(Current, "current", 0)
    monkeypatch.setattr(devices, "_computes", lambda cupy: Current.current == index and right)
    monkeypatch.setattr(_cupy, "namespace", lambda: "the namespace")
    cupy.cuda.Device, runtime = Current, cupy.cuda.runtime
    runtime.getDeviceCount, runtime.getDeviceProperties = lambda: 3, lambda index: {"name": b"GPU"}
    if right:
        device, sentence = select_device(f"cuda:{index}")
        assert (device.name, device.namespace, device.handle.index) == (f"cuda:{index}", "the namespace", index)
        assert sentence == f"running on cuda:{index} (GPU)"
    else:
        with pytest.raises(DeviceError, match="wrong numbers"):
            select_device(f"cuda:{index}")
    assert Current.current == left


@pytest.mark.parametrize(("factor", "shift", "right"), [(1, 0, True), (2, 0, False), (1, 1e-3, False)])
def test_the_probe_compares_a_product_and_a_kernel_s_noise(cupy, monkeypatch, factor, shift, right):
    class OnDevice(SimpleNamespace):
        def __matmul__(self, other):
            return OnDevice(x=factor * (self.x @ other.x))

        def get(self):
            return self.x

    kernels = SimpleNamespace(perturb=lambda theta, scale, key: (OnDevice(x=normal(key, theta.shape) + shift), None))
    monkeypatch.setattr(mcgc.kernels, "cuda", kernels, raising=False)
    cupy.ones, cupy.zeros, cupy.float32 = lambda *a, **k: OnDevice(x=np.ones(*a, **k)), np.zeros, np.float32
    assert devices._computes(cupy) is right
