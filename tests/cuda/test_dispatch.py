"""CuPy arrays reach the code that is meant for them: shown on arrays over memory that nobody owns or touches.

Such an array has a type, a shape, strides and a dtype, and needs no GPU; what would compute with it raises.
"""

import sys
from importlib.util import find_spec

import numpy as np
import pytest

from mcgc import arrays, nets
from mcgc.arrays import HOST, device_of, is_array, is_host, namespace_of, to_host
from mcgc.devices import select_device
from mcgc.errors import DeviceError
from mcgc.kernels import platform
from mcgc.ode import TABLEAUX, _driven_field
from mcgc.ode._driven_field import DrivenField
from mcgc.ode._integrate import Method

cupy = pytest.importorskip("cupy", reason="CuPy is not installed: pip install '.[test-cuda]'", exc_type=ImportError)

SIZES = (3, 7, 2)


def phantom(shape, dtype="float32"):
    """Return a CuPy array over an address that is none."""
    size = max(1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
    memory = cupy.cuda.UnownedMemory(4096, size, None, device_id=0)
    return cupy.ndarray(shape, dtype, cupy.cuda.MemoryPointer(memory, 0))


@pytest.fixture
def reads(monkeypatch):
    """Give the list of the shapes of CuPy arrays that were read to the host so far, as zeros."""
    shapes = []

    def get(self, *args, **options):
        shapes.append(self.shape)
        return np.zeros(self.shape, self.dtype)

    monkeypatch.setattr(cupy.ndarray, "get", get)
    return shapes


def test_a_cupy_array_is_an_array_of_the_namespace_that_wraps_cupy(reads):
    from mcgc.arrays import _cupy

    x = phantom((2, 3))
    assert is_array(x)
    assert not is_host(x)
    assert namespace_of(x) is namespace_of(1.0, x) is _cupy.namespace()
    assert device_of(x) == cupy.cuda.Device(0)
    assert reads == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (5,), (3, 5)])
def test_cupy_arrays_get_the_cuda_bodies_where_there_are_any(shape, dtype, reads):
    there = find_spec("numba_cuda") is not None
    assert platform(phantom(shape, dtype)) == ("cuda" if there else None)
    assert platform(phantom(shape, "int64")) is None
    assert reads == []


@pytest.mark.skipif(find_spec("numba_cuda") is None, reason="numba-cuda is not installed")
def test_a_net_gets_the_body_of_its_device_if_its_layers_are_not_wide(reads):
    from mcgc.kernels import cpu_dense, cuda_dense

    m = nets.num_parameters(SIZES)
    body = lambda theta, x, sizes=SIZES, activation="relu", skip=False: nets._dense.body(
        theta, x, sizes, activation, skip
    )
    for theta, x in (((m,), (4, 3)), ((5, m), (4, 3)), ((5, m), (5, 4, 3))):
        assert body(phantom(theta), phantom(x)) is cuda_dense.BODY
        assert body(phantom(theta), phantom(x), activation="sigmoid") is None
        assert body(phantom(theta), phantom(x), skip=True) is None
        assert body(phantom(theta), phantom(x, "float64")) is None
    assert body(phantom((m,)), phantom((5, 4, 3))) is None
    for wide, expected in ((nets.WIDEST, cuda_dense.BODY), (nets.WIDEST + 1, None)):
        sizes = (3, wide, 2)
        assert body(phantom((nets.num_parameters(sizes),)), phantom((4, 3)), sizes) is expected
    assert body(np.zeros(m, np.float32), phantom((4, 3))) is None
    assert body(phantom((m,)), np.zeros((4, 3), np.float32)) is None
    assert body(np.zeros(m, np.float32), np.zeros((4, 3), np.float32)) is cpu_dense.BODY
    assert reads == []


@pytest.mark.skipif(find_spec("numba_cuda") is None, reason="numba-cuda is not installed")
def test_a_solution_gets_the_body_of_its_device_if_all_of_it_lies_there_and_the_kernels_take_it(reads):
    m, ours = nets.num_parameters(SIZES), _driven_field._solve_dense_on_gpu
    method, field = Method(TABLEAUX["dopri5"], 1e-3, 1e-3, None, 100), DrivenField(SIZES)

    def body(theta, y0, inputs, field=field, method=method):
        return _driven_field._march.body(y0, theta, inputs, field, method)

    given = phantom((m,)), phantom((4, 2)), phantom((4, 1))
    assert body(*given) is body(phantom((2, m)), *given[1:]) is ours
    assert body(phantom((3, m)), *given[1:]) is None
    for other in (DrivenField(SIZES, "sigmoid"), DrivenField(SIZES, skip=True)):
        assert body(*given, field=other) is None
    for other in (method._replace(tableau=TABLEAUX["dopri8"]), method._replace(step_size=0.1)):
        assert body(*given, method=other) is None
    for i, there in enumerate(given):
        for elsewhere in (np.zeros(there.shape, "float32"), phantom(there.shape, "float64")):
            assert body(*given[:i], elsewhere, *given[i + 1 :]) is None
    assert body(*(np.zeros(x.shape, "float32") for x in given)) is _driven_field._solve_dense
    assert reads == []


def test_a_read_is_to_host_and_one_call_of_get(reads):
    found = to_host(phantom((2, 3)))
    assert type(found) is np.ndarray
    assert reads == [(2, 3)]


@pytest.mark.parametrize("convert", [bool, int, float, complex, np.asarray, lambda x: range(x)])
def test_what_would_read_unseen_would_be_seen(convert, reads):
    # what the counts of reads rest on: each of these goes through `get`, or is refused
    refused = False
    try:
        convert(phantom((), "int32"))
    except TypeError:
        refused = True
    assert refused != (reads == [()])


def no_gpu():
    try:
        return cupy.cuda.runtime.getDeviceCount() == 0
    except cupy.cuda.runtime.CUDARuntimeError:
        return True


@pytest.mark.skipif(not no_gpu(), reason="there is a GPU here")
def test_without_a_driver_a_gpu_is_refused_by_name_in_one_sentence_and_auto_takes_the_cpu():
    device, sentence = select_device("auto")
    assert device is HOST
    assert "\n" not in sentence
    with pytest.raises(DeviceError, match="driver"):
        select_device("cuda")


def test_a_cupy_that_does_not_import_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match="'cuda' cannot be used"):
        select_device("cuda")
    assert arrays.is_host(np.zeros(1))
