"""Kernels of generated programs run on the host: the LLVM code that numba-cuda hands to libnvvm, thread after thread.

The device's functions are those of the C library.
"""

import ctypes
import ctypes.util
import re
from types import SimpleNamespace

import llvmlite.binding as llvm
import numpy as np
from numba.cuda import compiler, dispatcher, types

from mcgc._jit import _cuda, _rows
from mcgc.kernels import launching
from mcgc.ode import _jitted

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()

LIBM = ctypes.CDLL(ctypes.util.find_library("m"))
OTHERWISE = {"isfinited": "finite", "finitef": "finitef"}  # names of the C library that are not the device's
now = SimpleNamespace(tid=0, ctaid=0, ntid=1, nctaid=1)  # the thread that runs, and the launch that it is of
REGISTERS = {name: ctypes.CFUNCTYPE(ctypes.c_int32)(lambda name=name: getattr(now, name)) for name in vars(now)}


def for_the_host(text):
    """Return a module of numba-cuda with the host's names, one kind of memory, and pointers without types."""
    text = re.sub(r"^target .*$", "", text, flags=re.M)
    text = re.sub(r"llvm\.nvvm\.(?:read\.ptx\.)?(sreg\.\w+\.x|barrier0)", r"host.\1", text)
    text = text.replace("addrspacecast", "bitcast").replace(" addrspace(3)", "")
    pointer = r"(?:\{[^{}()=]*\}|\[[^\[\]()=]*\]|[if]\d+|float|double|ptr)\*+"
    while re.search(pointer, text):
        text = re.sub(pointer, "ptr", text)
    return text


def on_host(loop, kinds):
    """Return the kernel of a loop for the host, which is launched as CuPy launches one."""
    compiled = compiler.compile_cuda(loop, types.void, launching.signature(kinds).args, cc=(9, 0))
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    for text in compiled.library.llvm_strs:
        for name in set(re.findall(r'@"__nv_(\w+)"', text)):
            function = getattr(LIBM, OTHERWISE.get(name, name))
            llvm.add_symbol(f"__nv_{name}", ctypes.cast(function, ctypes.c_void_p).value)
        engine.add_module(llvm.parse_assembly(for_the_host(text)))
    engine.finalize_object()
    address = engine.get_function_address(compiled.fndesc.llvm_func_name)

    def kernel(grid, block, arguments, engine=engine):
        values = [ctypes.byref(ctypes.c_void_p()), *map(passed, arguments)]
        code = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, *map(type, values[1:]))(address)
        (now.nctaid,), (now.ntid,) = grid, block
        for thread in range(now.nctaid * now.ntid):
            now.ctaid, now.tid = divmod(thread, now.ntid)
            assert code(*values) == 0

    return kernel


def passed(x):
    """Return an argument of a kernel as C has it."""
    if isinstance(x, np.ndarray):
        return ctypes.c_void_p(x.ctypes.data)
    return {"int64": ctypes.c_int64, "float64": ctypes.c_double}[x.dtype.name](x)


def install(monkeypatch, threads=3):
    """Make every array of NumPy one of a device whose kernels the host runs. Return the list of what was launched."""
    for name, function in REGISTERS.items():
        llvm.add_symbol(f"host.sreg.{name}.x", ctypes.cast(function, ctypes.c_void_p).value)
    launched, made = [], {}

    def load(loop, kinds, processor):
        assert processor == "90"
        if (loop, kinds) not in made:
            made[loop, kinds] = on_host(loop, kinds)

        def kernel(grid, block, arguments):
            launched.append(loop.__name__)
            made[loop, kinds](grid, block, arguments)

        return kernel

    monkeypatch.setattr(dispatcher, "get_current_device", lambda: SimpleNamespace(compute_capability=(9, 0)))
    monkeypatch.setattr(launching, "device", lambda: 0)
    monkeypatch.setattr(launching, "processor", lambda: "90")
    monkeypatch.setattr(launching, "_kernels", {})
    monkeypatch.setattr(launching, "load", load)
    monkeypatch.setattr(_cuda, "THREADS", threads)
    monkeypatch.setattr(_rows, "compiler", lambda array: "cuda")
    monkeypatch.setattr(_jitted, "platform", lambda array: "cuda")
    return launched
