"""What the kernels of whole solutions of dense nets compile to: `test_cuda.py` runs this beside `compiled.py`."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from numba.cuda import dispatcher
from ptx import PROCESSORS, atomics, float64s, resources

from mcgc import nets
from mcgc.kernels import launching
from mcgc.ode import TABLEAUX, _cuda_net, _dense_cuda
from mcgc.ode._integrate import Method

SIZES = (4, 6, 2)
FILE, SHARED = 65536, 48 * 1024  # registers of a processor's file, and bytes of shared memory that a block may have


@pytest.fixture
def launches(monkeypatch):
    """Give a function from a dtype to {name: (kernel, kinds of arguments)} of all launches of a solution."""

    def record(dtype):
        found = {}

        def launch(kernel, blocks, threads, *arguments):
            found[kernel.__name__] = kernel, tuple(map(launching.kind, arguments))

        monkeypatch.setattr(launching, "launch", launch)
        monkeypatch.setattr(_dense_cuda, "_read", lambda counts: (1, 8, True, False))
        theta, state = np.zeros(nets.num_parameters(SIZES), dtype), np.zeros((3, 2), dtype)
        how = Method(TABLEAUX["dopri5"], 1e-3, 1e-3, None, 100)
        found_there = _dense_cuda.solve_dense(SIZES, "tanh", state, theta, state, np.zeros((3, 5)), how, True)
        found_there.vjp(found_there.ys)
        assert set(found) == {"march", "turn", "pull", "_dense_total"}
        return found

    return record


@pytest.mark.parametrize(
    ("processor", "dtype"), [*((processor, "float32") for processor in PROCESSORS), ((9, 0), "float64")], ids=str
)
def test_kernels_of_solutions_fit_and_hold_no_atomics_and_no_spills(processor, dtype, launches, monkeypatch):
    here = SimpleNamespace(compute_capability=processor)
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: here)
    for name, (kernel, kinds) in launches(dtype).items():
        ptx = launching.to_ptx(kernel, kinds, processor)
        found = resources(ptx, processor)
        shared = sum(int(n) for n in re.findall(r"\.shared \.align \d+ \.b8 \w+\[(\d+)\]", ptx))
        print(f"{processor} {dtype} {name:12} {found.registers} registers, {shared} bytes of shared memory")
        assert not atomics(ptx)
        assert (found.spilled, found.stack) == (0, 0)
        assert found.registers * _cuda_net.THREADS <= FILE
        assert shared <= SHARED
        assert ".nc" not in ptx or name == "_dense_total"  # loads that may miss what other threads have written
        # the control of step sizes is in float64 for states of either dtype, as on the CPU
        assert bool(float64s(ptx)) == (dtype == "float64" or name == "march")


def test_a_block_has_threads_for_all_columns_and_states():
    assert _cuda_net.THREADS == _cuda_net.COLUMNS * _cuda_net.GROUPS == 256
    assert max(_cuda_net.WIDEST, _cuda_net.STATES) <= _cuda_net.THREADS
    assert _cuda_net.BUFFER == 2 * _cuda_net.WIDEST
    assert _cuda_net.RATES == _cuda_net.STAGES * _cuda_net.STATES
