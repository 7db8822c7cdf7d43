"""The LLVM code of the CUDA kernels, as numba-cuda hands it to libnvvm, run on the host: `test_cuda.py` runs this.

The simulator runs Python, whose integers are not the compiler's; this is the compiler's code. The threads of a block
are threads, which wait for each other where it says so, and the device's functions are those of the C library.
"""

import ctypes
import ctypes.util
import itertools
import random
import threading
from functools import partial
from types import SimpleNamespace
from typing import NamedTuple

import llvmlite.binding as llvm
import numpy as np
import pytest
from hosted import for_the_host
from numba.cuda import compiler, dispatcher, types

from mcgc import nets
from mcgc.kernels import cpu_dense, launching, reference
from mcgc.kernels import cuda as kernels
from mcgc.kernels import cuda_dense as dense
from mcgc.random import Key, normal, split

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
MATH = {"sqrtf", "fminf", "sqrt", "log", "sin", "cos", "fmin", "tanh", "tanhf"}


def symbol(name, function):
    llvm.add_symbol(name, ctypes.cast(function, ctypes.c_void_p).value)


for name, function in CALLS.items():
    symbol(f"host.{name}", function)
for name in MATH:
    symbol(f"__nv_{name}", getattr(ctypes.CDLL(ctypes.util.find_library("m")), name))


@pytest.fixture
def engine():
    """Give an engine for the host, which has the symbols of `CALLS` and `MATH`."""
    machine = llvm.Target.from_default_triple().create_target_machine()
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)


@pytest.fixture
def launch(engine, monkeypatch):
    """Give a stand-in for `_launch` that compiles for compute capability 9.0, and runs the result on the host."""
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: SimpleNamespace(compute_capability=(9, 0)))
    made = {}

    def function(kernel, kinds):
        if (kernel, kinds) not in made:
            compiled = compiler.compile_cuda(kernel, types.void, launching.signature(kinds).args, cc=(9, 0))
            for text in compiled.library.llvm_strs:
                engine.add_module(llvm.parse_assembly(for_the_host(text)))
            engine.finalize_object()
            made[kernel, kinds] = engine.get_function_address(compiled.fndesc.llvm_func_name)
        return made[kernel, kinds]

    def run(kernel, blocks, *arguments, size=kernels.THREADS):
        arguments = [np.int64(x) if type(x) is int else x for x in arguments]
        address = function(kernel, tuple(launching.kind(x.array if isinstance(x, Far) else x) for x in arguments))
        values = [ctypes.byref(ctypes.c_void_p()), *itertools.chain.from_iterable(map(flat, arguments))]
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

    monkeypatch.setattr(kernels, "_launch", run)
    monkeypatch.setattr(dense, "_launch", partial(run, size=dense.THREADS))
    return run


class Far(NamedTuple):
    """An array as a kernel would have it, if what it is about to read came after `before` other elements."""

    array: np.ndarray
    before: int


def flat(x):
    """Return an argument as Numba's functions take it."""
    if isinstance(x, Far):
        return [ctypes.c_void_p(x.array.ctypes.data - x.before * x.array.itemsize)]
    if isinstance(x, tuple):
        return [ctypes.c_uint64(word) for word in x]
    if isinstance(x, np.ndarray):
        return [ctypes.c_void_p(x.ctypes.data)]
    return [np.ctypeslib.as_ctypes_type(x.dtype)(x)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_kernels_give_the_numbers_of_their_meaning(launch, monkeypatch, dtype):
    monkeypatch.setattr(kernels, "BLOCKS", 3)
    rng, ulp = np.random.default_rng(0), np.finfo(dtype).eps
    for m in (0, 1, 5, 257, 5000):
        theta, keys = rng.normal(size=(2, m)).astype(dtype), split(Key(m))
        scales = np.asarray([0.3, 2.0], dtype)
        perturbed, sqnorms = kernels.perturb(theta, scales, keys)
        dots = kernels.noise_dot(theta, keys)
        for i, key in enumerate(keys):
            ours, meaning = (perturbed[i], sqnorms[i], dots[i]), reference.perturb(theta[i], scales[i], key)
            np.testing.assert_allclose(ours[0], meaning[0], rtol=4 * ulp, atol=8 * ulp)
            np.testing.assert_allclose(ours[1], meaning[1], rtol=16 * ulp)
            eps = normal(key, (m,), dtype)
            terms = np.sum(np.abs(eps * theta[i]))
            np.testing.assert_allclose(ours[2], reference.noise_dot(theta[i], key), atol=16 * ulp * max(terms, 1))
        arrays = (*rng.normal(size=(3, m)).astype(dtype), rng.random(m).astype(dtype))
        new = (body.adam(*arrays, 7, 0.01, 0.9, 0.999, 1e-8) for body in (kernels, reference))
        for ours, meaning in zip(*new, strict=True):
            np.testing.assert_allclose(ours, meaning, rtol=4 * ulp, atol=4 * ulp)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_members_that_come_after_terabytes_of_others_are_found(launch, monkeypatch, dtype):
    members, m, skipped = 3, 100, 2**33
    theta = np.random.default_rng(0).normal(size=(members, m)).astype(dtype)
    scales, keys = np.ones(members, dtype), split(Key(0), members)

    def results():
        return *kernels.perturb(theta, scales, keys), kernels.noise_dot(theta, keys)

    def far(kernel, blocks, *arguments):
        *arrays, m, first, each, words = arguments
        far = (Far(x, skipped * (x.size // members)) for x in arrays)
        launch(kernel, blocks, *far, m, first + skipped, each, words)

    near = results()
    monkeypatch.setattr(kernels, "_launch", far)
    for a, b in zip(near, results(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_compiled_nets_give_the_numbers_of_the_cpu_twice_the_same_bits_with_threads_in_any_order(
    launch, activation, dtype
):
    sizes, rows = (5, 70, 3, 4), 19
    rng, m = np.random.default_rng(0), nets.num_parameters(sizes)
    theta, x, bar = (rng.normal(size=shape).astype(dtype) for shape in ((m,), (rows, 5), (rows, 4)))
    ours, again = (outputs(dense, theta, x, sizes, activation, bar) for _ in range(2))
    for first, second, right in zip(ours, again, outputs(cpu_dense, theta, x, sizes, activation, bar), strict=True):
        np.testing.assert_array_equal(first, second)
        unit = 64 * np.finfo(dtype).eps
        np.testing.assert_allclose(first, right, rtol=unit, atol=unit * abs(right).max())


def outputs(body, theta, x, sizes, activation, bar):
    y, hidden = body.dense_forward(theta, x, sizes, activation)
    return y, *body.dense_vjp(theta, x, hidden, sizes, activation, bar)
