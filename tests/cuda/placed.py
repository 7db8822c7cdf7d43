"""Arrays and launches on two GPUs that compute nothing, by two threads at once: `test_cuda.py` runs this."""

import threading

import null_gpu  # before CuPy
import numpy as np
import pytest

from mcgc import nets, ops
from mcgc.arrays import Device, _cupy, to_device, to_host
from mcgc.autodiff import tree_map, value_and_grad
from mcgc.continuation import continuation
from mcgc.kernels import launching
from mcgc.optim import adam
from mcgc.random import Key, split, uniform

cupy = null_gpu.cupy
GPUS = [Device(f"cuda:{i}", _cupy.namespace(), cupy.cuda.Device(i)) for i in range(2)]
SIZES = (3, 5, 2)


@pytest.fixture(autouse=True)
def uncompiled(monkeypatch, tmp_path):
    monkeypatch.setattr(launching, "directory", lambda: tmp_path)
    monkeypatch.setattr(launching, "to_ptx", lambda *_: "")
    monkeypatch.setattr(launching, "machine_code", lambda *_: b"")
    monkeypatch.setattr(launching, "_kernels", {})


def by_a_thread_each(work):
    """Return what `work` returns for each GPU, all called at once by threads of their own."""
    found, together = {}, threading.Barrier(len(GPUS))

    def run(gpu):
        together.wait()
        found[gpu.name] = work(gpu)

    threads = [threading.Thread(target=run, args=(gpu,)) for gpu in GPUS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[gpu.name] for gpu in GPUS]


def devices(tree):
    found = set()
    tree_map(lambda x: found.add(x.device.id) if isinstance(x, cupy.ndarray) else None, tree)
    return found


def test_arrays_are_made_on_the_gpu_that_is_named_whichever_the_thread_has_selected():
    def made(gpu):
        xp = gpu.namespace
        x = to_device(np.arange(6.0), gpu)
        return [x, xp.zeros(3, device=gpu.handle), xp.full((2,), 7.0, device=gpu.handle), xp.zeros_like(x)]

    for i, arrays in enumerate(by_a_thread_each(made)):
        assert devices(arrays) == {i}
        np.testing.assert_array_equal(to_host(arrays[0]), np.arange(6.0))


@pytest.mark.parametrize("members", [1, 3])
def test_training_steps_of_two_threads_stay_on_the_gpu_that_each_has_selected(members):
    def stepped(gpu):
        gpu.handle.use()
        keys = split(Key(0), members)
        x, y = (uniform(Key(i), (4, n), "float32", gpu) for i, n in enumerate((3, 2)))
        loss = lambda theta, batch: ops.mean(ops.square(nets.apply(theta, x, SIZES, "tanh") - y), axis=(-2, -1))
        method = continuation(loss, adam(0.1), adam(0.1), log_lam0=-1.0, estimator="antithetic")
        thetas = [nets.init(key, SIZES, "float32", gpu) for key in keys]
        state = method.init(thetas[0] if members == 1 else ops.stack(thetas))
        for _ in range(2):
            state, info = method.step(state, None, keys[0] if members == 1 else keys)
        return state, info, value_and_grad(lambda theta: ops.sum(loss(theta, None)))(state.theta)

    assert [devices(found) for found in by_a_thread_each(stepped)] == [{0}, {1}]
    names = ("_perturb", "_noise_dot", "_adam", "_dense_forward", "_dense_backward")
    assert {(function.__name__, gpu) for function, gpu, *_ in launching._kernels} == {
        (name, i) for name in names for i in range(2)
    }
