"""CuPy's namespace of the array API standard, with the functions of array-api-compat that are not as mcgc needs them.

- Its `clip` and `sign` index by masks, so each waits for the device. These are element-wise kernels alone.
- Its creation functions drop `device`, so an array would lie on whatever device the thread has selected.
- CuPy's `linalg.solve` does not broadcast stacks of matrices, as the standard has it.
"""

from collections.abc import Callable
from functools import cache, wraps
from types import ModuleType
from typing import Any

import numpy as np

from mcgc._shapes import Array

CREATION = ("arange", "empty", "eye", "full", "linspace", "ones", "zeros")
LIKE = ("empty_like", "full_like", "ones_like", "zeros_like")


@cache
def namespace() -> ModuleType:
    """Return the namespace."""
    import array_api_compat.cupy as standard
    import cupy

    return mended(standard, cupy, cupy.cuda.Device)


def mended(standard: ModuleType, library: Any, device_of: Callable[[Any], Any]) -> ModuleType:
    """Return a namespace with `clip`, `sign`, `linalg.solve` and creation functions of its own.

    Parameters
    ----------
    standard : module
        The namespace.
    library : module
        The library whose kernels `clip` and `sign` call.
    device_of : function (handle) → context manager
        It makes a device the one on which arrays are created.

    Returns
    -------
    module
        The namespace.
    """
    made = ModuleType(standard.__name__, standard.__doc__)
    vars(made).update(vars(standard))

    def clip(x: Array, /, min: Any = None, max: Any = None) -> Array:
        dtype = x.dtype
        x = x if min is None else library.maximum(x, min)
        x = x if max is None else library.minimum(x, max)
        return x.astype(dtype, copy=False)

    def sign(x: Array, /) -> Array:
        return library.where(x == x, library.sign(x), x) if x.dtype.kind == "f" else library.sign(x)  # NaN stays

    def there(create: Callable[..., Array], like: bool) -> Callable[..., Array]:
        @wraps(create)
        def created(*args: Any, device: Any = None, **options: Any) -> Array:
            device = args[0].device if device is None and like else device
            if device is None:
                return create(*args, **options)
            with device_of(device):
                return create(*args, **options)

        return created

    def solve(a: Array, b: Array, /) -> Array:
        if b.ndim > 1 and a.shape[:-2] != b.shape[:-2]:
            head = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
            a, b = (library.ascontiguousarray(library.broadcast_to(x, (*head, *x.shape[-2:]))) for x in (a, b))
        return standard.linalg.solve(a, b)

    made.clip, made.sign = clip, sign  # type: ignore[attr-defined]
    made.linalg = ModuleType(standard.linalg.__name__, standard.linalg.__doc__)  # type: ignore[attr-defined]
    vars(made.linalg).update(vars(standard.linalg) | {"solve": solve})
    for name in (*CREATION, *LIKE):
        setattr(made, name, there(getattr(standard, name), name in LIKE))
    return made
