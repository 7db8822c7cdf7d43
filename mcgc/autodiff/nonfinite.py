"""`debug_nonfinite`: a debugging mode that finds the first operation whose result is not finite."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mcgc.arrays import namespace_of, to_host
from mcgc.autodiff.engine import Pullback, Traced, observer, strip
from mcgc.errors import McgcError


class NonFiniteError(McgcError, ArithmeticError):
    """An operation under differentiation gave NaN or infinity, as a value or as a cotangent."""


@contextmanager
def debug_nonfinite() -> Iterator[None]:
    """Examine each operation that is recorded in this context, and raise where NaN or infinity first appears.

    Values are examined while a differentiated function runs, cotangents while its backward pass runs. Every operation
    waits for its result, so this is for finding an error, not for training.

    Returns
    -------
    context manager
        The context. It gives nothing.

    Raises
    ------
    NonFiniteError
        With the name of the operation and the shapes of its traced arguments.

    Examples
    --------
    >>> import mcgc
    >>> with mcgc.debug_nonfinite():
    ...     mcgc.grad(lambda x: mcgc.ops.sqrt(x))(0.0)
    Traceback (most recent call last):
        ...
    mcgc.autodiff.nonfinite.NonFiniteError: the derivative of sqrt, of traced arguments of shape (), gave a cotangent \
that is not finite, while what it was given was finite: keep its input away from where it diverges
    """
    token = observer.set(_observe)
    try:
        yield
    finally:
        observer.reset(token)


def _observe(name: str, parents: Sequence[Traced], out: Any, pullback: Pullback) -> Pullback:
    shapes = ", ".join(str(parent.shape) for parent in parents)
    outs = out if isinstance(out, tuple) else (out,)
    _check(f"{name}, of traced arguments of shape {shapes}, gave a value that is not finite", outs, parents)

    def checked(*cotangents: Any) -> Sequence[Any]:
        found = pullback(*cotangents)
        what = f"the derivative of {name}, of traced arguments of shape {shapes}, gave a cotangent that is not finite"
        _check(what, found, cotangents)
        return found

    return checked


def _check(what: str, made: Sequence[Any], given: Sequence[Any]) -> None:
    if not _finite(made):
        were = "finite" if _finite(given) else "not finite either"
        raise NonFiniteError(f"{what}, while what it was given was {were}: keep its input away from where it diverges")


def _finite(arrays: Sequence[Any]) -> bool:
    plain = (strip(array) for array in arrays if array is not None)
    return all(bool(to_host(namespace_of(x).all(namespace_of(x).isfinite(x)))) for x in plain)
