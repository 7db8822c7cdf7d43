"""A GPU that computes nothing and counts what it is asked for: CuPy as it is, without a device, a driver or a compiler.

Import it before CuPy. The modules of CuPy call CUDA through C functions, whose addresses they take from each other
when they are imported. Here these functions are replaced by machine code of llvmlite's that counts the call and
returns. Memory is that of the host: it is allocated, set and copied for real. A launch writes down its kernel, grid
and stream, and does nothing.

CuPy's kernels are not compiled: that takes NVRTC half a second each. CUB, whose launches are hidden in binaries, is
off, and sorts by Thrust are no more than a count.
"""

# ruff: noqa: E402 - the order of the imports is that of the replacements
import ctypes
import os
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable
from itertools import count
from types import ModuleType
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np
from cuda.pathfinder import load_nvidia_dynamic_lib

assert "cupy" not in sys.modules, "the null GPU is to be imported before CuPy"
os.environ["CUPY_ACCELERATORS"] = ""
os.environ["CUPY_CACHE_IN_MEMORY"] = "1"  # a cache on disk would hold kernels that are none
load_nvidia_dynamic_lib("cublas")

import cupy_backends.cuda.api.driver as driver
import cupy_backends.cuda.api.runtime as runtime

GPUS = 2
ATTRIBUTES = {  # of devices, by the numbers of CUDA, 1 for the rest; those of an H100
    **{1: 1024, 2: 1024, 3: 1024, 4: 64, 5: 2**31 - 1, 6: 65535, 7: 65535},  # threads and blocks, at most
    **{8: 49152, 10: 32, 16: 132, 75: 9, 76: 0},  # shared memory, threads of a warp, processors, compute capability
}
WIDTH, LAUNCHES = 9, 2**16  # numbers of a launch: its kernel, grid, block, shared memory, stream; launches written down
PRODUCTS = re.compile(r"[sd](gemm|gemv|ger|dot)|gemm")
TYPES = {"int": "i32", "float": "float"}  # what else is returned has 64 bits

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()


class Launch(NamedTuple):
    """A launch: the name of its kernel, the blocks and threads of each axis, and the stream."""

    name: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    stream: int


class Counts(NamedTuple):
    """What was asked of the GPU."""

    launches: int = 0
    products: int = 0
    waits: int = 0
    to_device: int = 0
    to_host: int = 0
    on_device: int = 0
    memsets: int = 0
    allocations: int = 0
    sorts: int = 0

    @property
    def operations(self) -> int:
        """Return how many things the device has to do, one after the other."""
        return sum(self) - self.waits - self.allocations


# ---- functions ----

_names: list[str] = []  # of all functions, in the order of their counts
_counts = np.zeros(512, np.int64)
_calls = Counter[Any]()  # of functions of Python's, by their names, and of copies by their direction
_kernels: list[str] = []
_launched = np.zeros((LAUNCHES, WIDTH), np.int64)
_kept: list[Any] = []  # what C holds the addresses of
_memory: dict[int, Any] = {}
_streams = count(4096)
_here = threading.local()  # the GPU that is current

_api = ctypes.pythonapi
_api.PyCapsule_GetName.restype, _api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
_api.PyCapsule_New.restype = ctypes.py_object
_api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


def _code(name: str, result: str, at: int) -> str:
    """Return the LLVM code of a function that adds one to its count and returns zero, or None."""
    kind = TYPES.get(result, "i64")
    finish = f"ret {kind} {'0.0' if kind == 'float' else 0}"
    if result.startswith("PyObject"):
        finish = f"""%incref = inttoptr i64 {ctypes.cast(_api.Py_IncRef, ctypes.c_void_p).value} to void (i64)*
  call void %incref(i64 {id(None)})
  ret i64 {id(None)}"""
    arguments, store = _written_down() if name == "launchKernel" else ("", "")
    return f"""
define {kind} @"{name}"({arguments}) {{
  %count = inttoptr i64 {_counts.ctypes.data + 8 * at} to i64*
  %n = load i64, i64* %count
  %more = add i64 %n, 1
  store i64 %more, i64* %count
  {store}
  {finish}
}}
"""


def _written_down() -> tuple[str, str]:
    """Return the first arguments of a launch, and what writes them down in the row of its number %n."""
    kinds = ["i64", *["i32"] * (WIDTH - 2), "i64"]
    lines = [f"%row = and i64 %n, {LAUNCHES - 1}", f"%first = mul i64 %row, {8 * WIDTH}"]
    for i, kind in enumerate(kinds):
        lines += [
            f"%wide{i} = {'zext i32' if kind == 'i32' else 'add i64 0,'} %a{i}{' to i64' if kind == 'i32' else ''}",
            f"%to{i} = add i64 %first, {_launched.ctypes.data + 8 * i}",
            f"%at{i} = inttoptr i64 %to{i} to i64*",
            f"store i64 %wide{i}, i64* %at{i}",
        ]
    return ", ".join(f"{kind} %a{i}" for i, kind in enumerate(kinds)), "\n  ".join(lines)


def _replace(module: ModuleType, own: dict[str, Any]) -> None:
    """Replace the C functions of a module, and what Python calls by their names: by those of `own`, else by counts."""
    signatures = {}
    for name, capsule in module.__pyx_capi__.items():
        signature = _api.PyCapsule_GetName(capsule)
        found = re.fullmatch(r"(PyObject \*|\w+) ?\((.*)\)", signature.decode())
        if found and found[1] in ("PyObject *", "int", "float", "intptr_t", "size_t"):
            signatures[name] = signature, found[1], [x.strip() for x in found[2].split(",") if x.strip() != "void"]
    text = ""
    for name, (_, result, _) in signatures.items():
        if name not in own:
            text += _code(name, result, len(_names))
            _names.append(name)
    assert len(_names) <= len(_counts)
    machine = llvm.Target.from_default_triple().create_target_machine(opt=2)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), machine)
    engine.finalize_object()
    _kept.append(engine)
    for name, (signature, result, arguments) in signatures.items():
        if name in own:
            of_python = _noted(name, own[name])
            function = _c_function(result, arguments)(_without_last(of_python))
            address = ctypes.cast(function, ctypes.c_void_p).value
        else:
            address = engine.get_function_address(name)
            function = ctypes.PYFUNCTYPE(_C.get(result, ctypes.c_int64))(address)
            of_python = lambda *args, function=function, **options: function()
        _kept.extend([signature, function])
        module.__pyx_capi__[name] = _api.PyCapsule_New(address, signature, None)
        if hasattr(module, name):
            setattr(module, name, of_python)


_C = {"PyObject *": ctypes.py_object, "int": ctypes.c_int, "unsigned int": ctypes.c_uint, "float": ctypes.c_float}


def _c_function(result: str, arguments: list[str]) -> Any:
    kinds = [_C.get(x.removesuffix("__pyx_skip_dispatch").strip(), ctypes.c_int64) for x in arguments]
    return ctypes.PYFUNCTYPE(_C.get(result, ctypes.c_int64), *kinds)


def _noted(name: str, function: Callable) -> Callable:
    def noted(*args: Any) -> Any:
        _calls[name] += 1
        return function(*args)

    return noted


def _without_last(function: Callable) -> Callable:
    """Return `function` without the last argument, which Cython adds to those of a method."""
    return lambda *args: function(*args[:-1])


# ---- what is more than a count ----


def _allocate(size: int, *_: Any) -> int:
    block = np.zeros(size + 512, np.uint8)
    _memory[block.ctypes.data] = block
    return block.ctypes.data


def _copy(to: int, source: int, size: int, kind: int, *_: Any) -> None:
    _calls["copy", kind] += 1
    ctypes.memmove(to, source, size)


def _set(to: int, value: int, size: int, *_: Any) -> None:
    ctypes.memset(to, value, size)


def _function(_: int, name: Any) -> int:
    _kernels.append(name.decode() if isinstance(name, bytes) else name)
    return len(_kernels)


_replace(
    runtime,
    {
        "getDeviceCount": lambda: GPUS,
        "getDevice": lambda: getattr(_here, "gpu", 0),
        "setDevice": lambda gpu: setattr(_here, "gpu", gpu),
        "deviceGetAttribute": lambda attribute, gpu: ATTRIBUTES.get(attribute, 1),
        "getDeviceProperties": lambda gpu: {"name": b"null GPU", "warpSize": 32, "multiProcessorCount": 132},
        "memGetInfo": lambda: (80 * 10**9, 80 * 10**9),
        "malloc": _allocate,
        "free": lambda at: _memory.pop(at, None) and None,
        "hostAlloc": lambda size, flags: _allocate(size),
        "freeHost": lambda at: _memory.pop(at, None) and None,
        "memcpy": _copy,
        "memcpyAsync": _copy,
        "memset": _set,
        "memsetAsync": _set,
        "eventCreateWithFlags": lambda flags: 1,
        "eventCreate": lambda: 1,
        "streamCreate": lambda: next(_streams),
        "streamCreateWithFlags": lambda flags: next(_streams),
        "streamCreateWithPriority": lambda flags, priority: next(_streams),
        "eventQuery": lambda event: 0,
        "streamQuery": lambda stream: 0,
    },
)
_replace(
    driver,
    {
        "ctxGetCurrent": lambda: 1,
        "ctxGetDevice": lambda: getattr(_here, "gpu", 0),
        "moduleLoadData": lambda code: 1,
        "moduleLoad": lambda path: 1,
        "moduleGetFunction": _function,
        "funcGetAttribute": lambda attribute, function: 1024 if attribute == 0 else 32,
        "occupancyMaxActiveBlocksPerMultiprocessor": lambda function, threads, shared: 8,
        "occupancyMaxPotentialBlockSize": lambda function, shared, limit: (1056, 256),
    },
)

import cupy_backends.cuda.libs.cublas as cublas  # which imports of the two, and so comes after

_replace(cublas, {"create": lambda: 5})

import cupy
import cupy.cuda.compiler
import cupy.cuda.thrust


def _compile_nothing(*_: Any) -> tuple[bytes, dict]:
    return b"", {}


cupy.cuda.compiler._compile_using_nvrtc_no_warning = _compile_nothing
for _name in ("sort", "argsort", "lexsort"):
    setattr(cupy.cuda.thrust, _name, _noted("sorts", lambda *_: None))

# ---- counts ----


def _count(*names: str) -> int:
    return int(sum(_counts[i] for i, name in enumerate(_names) if name in names)) + sum(_calls[x] for x in names)


def _now() -> Counts:
    return Counts(
        launches=_count("launchKernel", "launchCooperativeKernel"),
        products=_count(*filter(PRODUCTS.match, _names)),
        waits=_count("streamSynchronize", "deviceSynchronize", "eventSynchronize", "memcpy"),
        to_device=_calls["copy", 1],
        to_host=_calls["copy", 2],
        on_device=_calls["copy", 3],
        memsets=_count("memset", "memsetAsync"),
        allocations=_count("malloc"),
        sorts=_calls["sorts"],
    )


def counted(function: Callable[[], Any]) -> tuple[Counts, list[Launch]]:
    """Call a function, and return what it asked of the GPU and its launches, at most `LAUNCHES`, in their order."""
    before = _now()
    function()
    counts = Counts(*np.subtract(_now(), before).tolist())
    numbers = (_launched[i % LAUNCHES].tolist() for i in range(before.launches, before.launches + counts.launches))
    return counts, [Launch(_kernels[n[0] - 1], tuple(n[1:4]), tuple(n[4:7]), n[8]) for n in numbers]
