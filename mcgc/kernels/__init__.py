"""The few loops that matter, each with one meaning and several compiled bodies.

`reference` has the meanings of noise and Adam, in array-API code. The bodies for NumPy arrays are compiled by Numba,
those for CuPy arrays by numba-cuda. `Kernel` chooses the body for an array.
"""

from mcgc.kernels import reference
from mcgc.kernels._dispatch import Body, Kernel, compiler, platform
from mcgc.kernels.announce import when_compiling

__all__ = [
    "Body",
    "Kernel",
    "adam",
    "cache_directory",
    "compiler",
    "noise_dot",
    "perturb",
    "platform",
    "when_compiling",
]

perturb = Kernel(reference.perturb, cpu="mcgc.kernels.cpu:perturb", cuda="mcgc.kernels.cuda:perturb")
noise_dot = Kernel(reference.noise_dot, cpu="mcgc.kernels.cpu:noise_dot", cuda="mcgc.kernels.cuda:noise_dot")
adam = Kernel(
    reference.adam,
    lambda theta, gradient, *rest: type(gradient) is type(theta),  # one of them may be traced
    cpu="mcgc.kernels.cpu:adam",
    cuda="mcgc.kernels.cuda:adam",
)


def cache_directory() -> str | None:
    """Return the directory where Numba stores the compiled CPU kernels.

    Returns
    -------
    str or None
        The path, or None if Numba stores none.

    Examples
    --------
    >>> import os
    >>> from mcgc.kernels import cache_directory
    >>> directory = cache_directory()
    >>> directory is None or os.path.isabs(directory)
    True
    """
    from mcgc.kernels.cpu_matmul import matmul

    return matmul.stats.cache_path if hasattr(matmul, "stats") else None
