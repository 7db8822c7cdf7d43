"""Devices by name: the host, or a GPU that has computed the right numbers."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Protocol

from mcgc.arrays import HOST, Device, _cupy
from mcgc.errors import DeviceError, similar

MEMBERS = 4  # of an ensemble of plain nets, from which on a GPU has enough to do at once


class Trainable(Protocol):
    """What the choice of a device has to know of a `mcgc.train.Problem`."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def options(self) -> tuple[str, ...]:
        """The settings that it has besides those of all problems: "solver" where it solves differential equations."""

    @property
    def stacked(self) -> bool:
        """Whether the members of an ensemble advance together."""


def select_device(name: str = "auto", problem: Trainable | None = None, members: int = 1) -> tuple[Device, str]:
    """Choose a device by name.

    A GPU is taken only after it has allocated, compiled, multiplied and read back. It is then made the current one of
    this thread: for CuPy, and so for Numba, which takes the context that is current.

    Parameters
    ----------
    name : str
        "cpu", "cuda", "cuda:1" for the GPU of that number, or "auto". "auto" takes a GPU that can be used, else the
        CPU.
    problem : Problem, optional
        What is to be trained. "auto" takes the CPU for it if `slow_on_gpu` says so.
    members : int
        How many members are to be trained, 1 by default.

    Returns
    -------
    device : Device
        The device.
    sentence : str
        What was taken and, if "auto" took the CPU, why.

    Raises
    ------
    DeviceError
        If a GPU was asked for by name and cannot be used, or the name is not one of these.

    Examples
    --------
    >>> from mcgc.devices import select_device
    >>> device, sentence = select_device("cpu")
    >>> device.name, sentence
    ('cpu', 'running on the CPU (NumPy)')
    """
    if name == "cpu":
        return HOST, "running on the CPU (NumPy)"
    kind, _, index = name.partition(":")
    if name != "auto" and (kind != "cuda" or (":" in name and not index.isdecimal())):
        hint = similar(name, ("auto", "cpu", "cuda"))
        raise DeviceError(
            f"unknown device {name!r}: choose auto, cpu, cuda or cuda:N with N the number of the GPU{hint}"
        )
    reason = "" if name != "auto" or problem is None else slow_on_gpu(problem, members)
    if reason:
        return HOST, f"running on the CPU (NumPy): {reason}; --device cuda takes a GPU nevertheless"
    device, reason = _probe_cuda(int(index) if index else 0)
    if device is not None:
        return device, f"running on {device.name} ({reason})"
    if name == "auto":
        return HOST, f"running on the CPU (NumPy): no usable GPU, {reason}"
    raise DeviceError(f"device {name!r} cannot be used: {reason}; use --device cpu, or mend that")


def slow_on_gpu(problem: Trainable, members: int) -> str:
    """Return why a GPU would train a problem slower than the CPU.

    This goes by counts of operations, not by measurement: none of this has been run on a GPU. A problem with a solver
    takes one compiled call a solution on the CPU. On a GPU that is one launch, in which a trajectory has one block of
    threads, or hundreds of launches a solver step where the kernels do not fit. Nobody knows yet when that is faster,
    so the CPU is taken. A plain net fills a GPU only if at least `MEMBERS` models advance together.

    Parameters
    ----------
    problem : Problem
        What is to be trained.
    members : int
        How many members are to be trained.

    Returns
    -------
    str
        The reason, or "" if a GPU would not be slower.

    Examples
    --------
    >>> from mcgc.devices import slow_on_gpu
    >>> from mcgc.train import problems
    >>> slow_on_gpu(problems.get("mnist"), 1)
    'fewer than 4 members do not fill a GPU'
    >>> slow_on_gpu(problems.get("mnist"), 10)
    ''
    """
    if "solver" in problem.options:
        return f"{problem.name} has a solver, and no GPU was measured to be faster"
    if not problem.stacked:
        return f"members of {problem.name} do not advance together, and one alone does not fill a GPU"
    if members < MEMBERS:
        return f"fewer than {MEMBERS} members do not fill a GPU"
    return ""


def _probe_cuda(index: int) -> tuple[Device | None, str]:
    """Return CUDA device `index` and its description, or None and why it cannot be used."""
    try:
        import cupy
    except ModuleNotFoundError as error:
        if error.name == "cupy":
            return None, f"CuPy is not installed ({_EXTRAS})"
        return None, f"CuPy does not load: {_line(error)}"
    except ImportError as error:
        return None, f"CuPy does not load: {_line(error)}"
    runtime = cupy.cuda.runtime
    try:
        count = runtime.getDeviceCount()
        if index >= count:
            return None, f"there is no GPU {index}, the driver lists {count}"
        if find_spec("numba_cuda") is None:
            return None, f"numba-cuda is not installed ({_EXTRAS})"
        handle = cupy.cuda.Device(index)
        with handle:
            if not _computes(cupy):
                return None, f"GPU {index} computed wrong numbers in the start-up probe"
            description = runtime.getDeviceProperties(index)["name"].decode()
        handle.use()
    except Exception as error:  # whatever the driver, the compiler or the headers lack is the user's answer
        return None, _reason(error, runtime, index)
    return Device(f"cuda:{index}", _cupy.namespace(), handle), description


def _computes(cupy: Any) -> bool:
    """Tell whether CuPy multiplies a matrix, and numba-cuda compiles and runs a kernel, to the right numbers."""
    from mcgc.kernels import cuda
    from mcgc.random import Key, normal

    ones = cupy.ones((16, 16), dtype=cupy.float32)
    noise, _ = cuda.perturb(cupy.zeros(1000, dtype=cupy.float32), 1.0, Key(0))
    product, difference = (ones @ ones).get(), abs(noise.get() - normal(Key(0), (1000,)))
    return bool((product == 16).all() and difference.max() < 1e-5)


def _reason(error: Exception, runtime: Any, index: int) -> str:
    """Return in one sentence what an error of CuPy, numba-cuda or the libraries below them comes from."""
    line, kind = _line(error), type(error).__name__
    for marks, sentence in _REASONS:
        if any(mark in f"{kind}: {line}" for mark in marks):
            return sentence.format(index=index, line=line, extras=_EXTRAS)
    if "cudaErrorInsufficientDriver" in line:
        driver, own = runtime.driverGetVersion() // 1000, runtime.runtimeGetVersion() // 1000
        if driver == 0:
            return "there is no NVIDIA driver on this machine"
        return f"the driver is for CUDA {driver}, and the installed CuPy for CUDA {own} ({_EXTRAS})"
    return f"the start-up probe failed: {line}"


_EXTRAS = "in a clone of mcgc, pip install '.[cuda12]' or '.[cuda13]', as the driver has it"
# what types or messages of errors hold, and what they come from; a message is CuPy's, or that of numba-cuda after it
_REASONS = (
    (("OutOfMemoryError", "MemoryError", "cudaErrorMemoryAllocation", "ALLOC_FAILED", "OUT_OF_MEMORY"),
     "GPU {index} is out of memory: {line}"),
    (("cudaErrorNoDevice",), "the driver lists no GPU"),
    (("cudaErrorNoKernelImageForDevice", "--gpu-architecture"),
     "the installed CuPy is for a CUDA that does not know GPU {index} ({extras})"),
    (("libnvrtc", "nvrtc64", "NVRTCError", "CompileException", "NvrtcError", "NvvmSupportError", "DynamicLibNotFound",
      "CUDA headers"),
     "NVRTC or the CUDA headers are missing or do not fit ({extras}): {line}"),
    (("ImportError", "ModuleNotFoundError", "CudaSupportError"), "numba-cuda does not load ({extras}): {line}"),
)  # fmt: skip


def _line(error: Exception) -> str:
    """Return the first line of the error's message that says something, or its type."""
    return next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
