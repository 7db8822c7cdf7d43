"""Kernels with blocks of threads that wait for each other, run by threads of the host: the compiler's LLVM code.

The threads of a block are started in random order. The device's functions are those of the C library.
"""

import ctypes
import itertools
import random
import re
import threading
from types import SimpleNamespace
from typing import NamedTuple

import llvmlite.binding as llvm
import numpy as np
from hosted import LIBM, OTHERWISE, for_the_host
from numba.cuda import compiler, dispatcher, types

from mcgc.kernels import launching

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()

here = threading.local()  # the block and the thread of a kernel that this thread is
block = SimpleNamespace(barrier=None, blocks=None, size=None)
integer, nothing = ctypes.CFUNCTYPE(ctypes.c_int32), ctypes.CFUNCTYPE(None)
CALLS = {
    "sreg.tid.x": integer(lambda: here.thread),
    "sreg.ctaid.x": integer(lambda: here.block),
    "sreg.nctaid.x": integer(lambda: block.blocks),
    "sreg.ntid.x": integer(lambda: block.size),
    "barrier0": nothing(lambda: block.barrier.wait()),
}


def symbol(name, function):
    llvm.add_symbol(name, ctypes.cast(function, ctypes.c_void_p).value)


for _name, _function in CALLS.items():
    symbol(f"host.{_name}", _function)


class Far(NamedTuple):
    """An array as a kernel would have it, if what it is about to read came after `before` other elements."""

    array: np.ndarray
    before: int


def passed(x):
    """Return an argument as C has it, a tuple as several."""
    if isinstance(x, Far):
        return [ctypes.c_void_p(x.array.ctypes.data - x.before * x.array.itemsize)]
    if isinstance(x, tuple):
        return [ctypes.c_uint64(word) for word in x]
    if isinstance(x, np.ndarray):
        return [ctypes.c_void_p(x.ctypes.data)]
    return [np.ctypeslib.as_ctypes_type(x.dtype)(x)]


class Host:
    """Compiles kernels for compute capability 9.0, and runs the result on the host."""

    def __init__(self):
        self._made = {}

    def for_processor(self, monkeypatch):
        """Tell numba-cuda of a processor, which its device functions ask for."""
        monkeypatch.setattr(dispatcher, "get_current_device", lambda: SimpleNamespace(compute_capability=(9, 0)))

    def _function(self, kernel, kinds):
        if (kernel, kinds) not in self._made:
            compiled = compiler.compile_cuda(kernel, types.void, launching.signature(kinds).args, cc=(9, 0))
            machine = llvm.Target.from_default_triple().create_target_machine()
            engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
            for text in compiled.library.llvm_strs:
                for name in set(re.findall(r'@"__nv_(\w+)"', text)):
                    symbol(f"__nv_{name}", getattr(LIBM, OTHERWISE.get(name, name)))
                engine.add_module(llvm.parse_assembly(for_the_host(text)))
            engine.finalize_object()
            self._made[kernel, kinds] = engine, engine.get_function_address(compiled.fndesc.llvm_func_name)
        return self._made[kernel, kinds][1]

    def launch(self, kernel, blocks, size, *arguments):
        """Run `blocks` blocks of `size` threads, one block after the other."""
        address = self._function(kernel, tuple(launching.kind(x.array if isinstance(x, Far) else x) for x in arguments))
        values = [ctypes.byref(ctypes.c_void_p()), *itertools.chain.from_iterable(map(passed, arguments))]
        code = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, *map(type, values[1:]))(address)
        found = []

        def thread(number, index):
            here.block, here.thread = number, index
            found.append(code(*values))

        block.blocks, block.barrier, block.size = blocks, threading.Barrier(size), size
        for number in range(blocks):
            threads = [threading.Thread(target=thread, args=(number, i)) for i in range(size)]
            random.shuffle(threads)
            for one in threads:
                one.start()
            for one in threads:
                one.join()
        assert found == [0] * (blocks * size)
