"""`jit`: a function of arrays, written with operations, as a compiled program for each signature."""

from collections.abc import Callable, Sequence
from functools import update_wrapper
from itertools import pairwise
from typing import Any

from mcgc._integers import whole
from mcgc._jit._graph import FLOATS
from mcgc._jit._rows import Compiled, compiled, target_of
from mcgc._jit._target import CPU, Target
from mcgc._jit._trace import OF, Argument, argument, trace
from mcgc.arrays import namespace_of
from mcgc.autodiff import ops
from mcgc.autodiff.engine import newest_level
from mcgc.autodiff.extend import fused
from mcgc.autodiff.pytree import LEAF, Structure, flatten, unflatten
from mcgc.errors import InputError, TraceError
from mcgc.kernels import Body


class Jitted:
    """A function compiled by `mcgc.jit`, which is called like the function."""

    def __init__(
        self, function: Callable[..., Any], static: tuple[int, ...], rows: tuple[int, ...] | None, threads: int
    ):
        update_wrapper(self, function)
        self.function, self._static, self._rows, self.threads = function, static, rows, threads
        self._found: dict[tuple, Compiled] = {}

    def __repr__(self) -> str:
        return f"<mcgc.jit of {getattr(self.function, '__name__', self.function)!r}>"

    def __call__(self, *args: Any) -> Any:
        """Return the value. It is recorded, with its compiled derivative, if an argument is traced."""
        leaves, structure, static = self._leaves(args)
        level = newest_level(leaves)
        if level:
            return self._recorded(leaves, structure, static)
        if target_of(leaves) is None:
            return self._by_rows(*args) if self._rows is not None else self.function(*args)
        return self._run("value", leaves, structure, static)

    def vjp(self, *args: Any) -> tuple:
        """Return the value and the pullback, as `mcgc.vjp` does."""
        leaves, structure, static = self._leaves(args)
        out, out_structure = flatten(self._run("value", leaves, structure, static))

        def pullback(cotangent: Any) -> Any:
            given, given_structure = flatten(cotangent)
            if given_structure != out_structure:
                raise TraceError("the cotangent must have the structure of the function's output")
            return unflatten(structure, self._bars(leaves, structure, static, out, given))

        return unflatten(out_structure, list(out)), pullback

    def value_and_grad(self, *args: Any) -> tuple:
        """Return the value and the gradient with respect to the first argument, as `mcgc.value_and_grad` does."""
        return self._run("value_and_grad", *self._leaves(args))

    def grad(self, *args: Any) -> Any:
        """Return the gradient with respect to the first argument, as `mcgc.grad` does."""
        return self._run("grad", *self._leaves(args))

    def jacobian(self, *args: Any) -> Any:
        """Return the Jacobian with respect to the first argument, as `mcgc.jacobian` does."""
        return self._run("jacobian", *self._leaves(args))

    def hvp(self, x: Any, v: Any) -> Any:
        """Return the Hessian-vector product ∇²f(x) v, as `mcgc.hvp` does."""
        leaves, structure, static = self._leaves((x, v))
        return self._run("hvp", leaves, structure, static)

    def source(self, *args: Any, of: str = "value") -> str:
        """Return the source of the program for arguments like these.

        `of` is "value", "vjp", "value_and_grad", "grad", "jacobian" or "hvp".
        """
        if of not in OF:
            raise InputError(f"the source is of {', '.join(OF)}, got {of!r}")
        leaves, structure, static = self._leaves(args)
        if of == "vjp":
            return self._vjp_program(leaves, structure, static).source
        return self._program(of, [argument(x) for x in leaves], structure, static, CPU).source

    def rows(self, argnums: int | Sequence[int] = 0, threads: int | None = None) -> "Jitted":
        """Return the function of many rows: the arguments `argnums` have a leading axis of rows, others are shared.

        Each row is computed by itself, by `threads` threads. The result, and every derivative, has the axis of rows.
        The pullback of `vjp` adds up what the rows give to an argument that they share.
        """
        which = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        return Jitted(
            self.function, self._static, which, self.threads if threads is None else whole(threads, "threads")
        )

    # ---- arguments ----

    def _leaves(self, args: tuple) -> tuple[list, Structure, tuple]:
        """Return the leaves of the arguments, their structure, and the static arguments."""
        if not self._static:
            leaves, structure = flatten(args)
            return leaves, structure, ()
        static = tuple(args[i] for i in self._static if i < len(args))
        try:
            hash(static)
        except TypeError:
            raise TraceError("a static argument of mcgc.jit must be hashable, such as a number or a tuple") from None
        leaves, structure = flatten(tuple(None if i in self._static else arg for i, arg in enumerate(args)))
        return leaves, structure, static

    def _with_static(self, static: tuple) -> Callable[..., Any]:
        if not static:
            return self.function
        given = dict(zip(self._static, static, strict=True))
        return lambda *args: self.function(*(given.get(i, arg) for i, arg in enumerate(args)))

    def _by_row(self, structure: Structure) -> tuple[bool, ...]:
        """Tell of each leaf of the arguments whether it has rows."""
        counts = [_count(child) for child in structure.children]
        rows = self._rows or ()
        if any(not 0 <= i < len(counts) for i in rows):
            raise InputError(f"rows names argument {max(rows)}, but the call has {len(counts)}: number them from 0")
        return tuple(i in rows for i, count in enumerate(counts) for _ in range(count))

    # ---- programs ----

    def _program(
        self, of: str, arguments: Sequence[Argument], structure: Structure, static: tuple, target: Target
    ) -> Compiled:
        key = (of, tuple(arguments), structure, static, target)
        found = self._found.get(key)
        if found is None:
            by_row = self._by_row(structure)
            single = [x._replace(shape=x.shape[1:]) if row else x for x, row in zip(arguments, by_row, strict=True)]
            function = OF[of](self._with_static(static))
            found = self._found[key] = compiled(*trace(function, structure, single), by_row, target)
        return found

    def _run(self, of: str, leaves: Sequence[Any], structure: Structure, static: tuple) -> Any:
        target = target_of(leaves) or CPU
        program = self._program(of, [argument(x) for x in leaves], structure, static, target)
        return unflatten(program.structure, self._loop(program, leaves))

    def _vjp_program(self, leaves: Sequence[Any], structure: Structure, static: tuple) -> Compiled:
        """Return the program of the pullback, whose arguments are (arguments, cotangents of the float results)."""
        arguments, target = [argument(x) for x in leaves], target_of(leaves) or CPU
        key = ("vjp", tuple(arguments), structure, static, target)
        if key not in self._found:
            by_row = self._by_row(structure)
            single = [x._replace(shape=x.shape[1:]) if row else x for x, row in zip(arguments, by_row, strict=True)]
            value = self._program("value", arguments, structure, static, target)
            given = [Argument(*leaf) for leaf in value.program.outputs if leaf.dtype in FLOATS]
            of_rows = (self._rows is not None,) * len(given)
            joint = Structure(tuple, (), (structure, Structure(list, (), (LEAF,) * len(given))))
            recorded = trace(OF["vjp"](self._with_static(static)), joint, [*single, *given])
            self._found[key] = compiled(*recorded, (*by_row, *of_rows), target)
        return self._found[key]

    def _bars(
        self, leaves: list, structure: Structure, static: tuple, out: Sequence[Any], given: Sequence[Any]
    ) -> list:
        """Return the cotangents of the leaves, None for one that is not floating-point."""
        program = self._vjp_program(leaves, structure, static)
        xp = namespace_of(*out)
        cotangents = [
            xp.zeros_like(y) if g is None else xp.asarray(g, dtype=y.dtype)
            for g, y in zip(given, out, strict=True)
            if y.dtype in FLOATS
        ]
        for g, y in zip(cotangents, (y for y in out if y.dtype in FLOATS), strict=True):
            if g.shape != y.shape:
                raise TraceError(f"the cotangent has shape {g.shape}, but the function's output has {y.shape}")
        found = iter(self._loop(program, [*leaves, *cotangents]))
        bars: list = []
        for leaf, by_row in zip(leaves, program.by_row, strict=False):
            if argument(leaf).dtype not in FLOATS:
                bars.append(None)
                continue
            bar = next(found)
            bars.append(namespace_of(bar).sum(bar, axis=0) if self._rows is not None and not by_row else bar)
        return bars

    def _recorded(self, leaves: list, structure: Structure, static: tuple) -> Any:
        """Return the value, recorded on the tape; its pullback is compiled, and higher orders trace the function."""
        function, out_structure = self._with_static(static), None
        if self._rows is not None:
            function = self._by_rows

        def definition(*values: Any) -> tuple:
            nonlocal out_structure
            out, out_structure = flatten(function(*unflatten(structure, list(values))))
            return tuple(out)

        def forward(*values: Any) -> tuple:
            nonlocal out_structure
            out, out_structure = flatten(self._run("value", values, structure, static))
            return tuple(out), (list(values), out)

        def pullback(residuals: tuple, indices: Sequence[int], *cotangents: Any) -> list:
            values, out = residuals
            return self._bars(values, structure, static, out, cotangents)

        body = Body(forward, pullback)
        found = fused(definition, lambda *values: body if target_of(values) else None)(*leaves)
        assert out_structure is not None
        return unflatten(out_structure, list(found))

    def _by_rows(self, *args: Any) -> Any:
        """Return the value of all rows, by the function itself, row after row."""
        assert self._rows is not None
        count = self._count([flatten(args[i])[0][0] for i in self._rows])
        take = lambda x, r: unflatten(flatten(x)[1], [leaf[r, ...] for leaf in flatten(x)[0]])
        found = [
            flatten(self.function(*(take(x, r) if i in self._rows else x for i, x in enumerate(args))))
            for r in range(count)
        ]
        columns = zip(*(leaves for leaves, _ in found), strict=True)
        return unflatten(found[0][1], [ops.stack(column) for column in columns])

    # ---- calls ----

    def _count(self, leaves: Sequence[Any]) -> int:
        counts = {len(x) if getattr(x, "ndim", 0) else -1 for x in leaves}
        if len(counts) != 1 or -1 in counts:
            raise InputError("arguments with rows must be arrays with the same number of rows in front")
        return counts.pop()

    def _loop(self, made: Compiled, leaves: Sequence[Any]) -> list:
        """Return the results of the program, which have an axis of rows if the arguments have."""
        program, by_row = made.program, made.by_row
        xp = namespace_of(*leaves)
        held = [xp.ascontiguousarray(x, leaf.dtype) for x, leaf in zip(leaves, program.inputs, strict=True)]
        count = 1
        if self._rows is not None:
            count = self._count([x for x, row in zip(held, by_row, strict=True) if row])
        head = () if self._rows is None else (count,)
        out = [xp.empty((*head, *leaf.shape), dtype=leaf.dtype) for leaf in program.outputs]
        flat = [x.reshape(-1) for x in (*held, *out)]
        if self.threads > 1 and count > 1:
            from concurrent.futures import ThreadPoolExecutor

            ends = [count * i // self.threads for i in range(self.threads + 1)]
            with ThreadPoolExecutor(self.threads) as pool:
                for done in [pool.submit(made.loop, a, b, *flat) for a, b in pairwise(ends)]:
                    done.result()
        else:
            made.loop(0, count, *flat)
        return out


def _count(structure: Structure) -> int:
    """Return the number of leaves."""
    return 1 if structure.kind is None else sum(map(_count, structure.children))


def jit(function: Callable[..., Any], *, static_argnums: int | Sequence[int] = (), threads: int = 1) -> Jitted:
    """Return `function`, compiled to one program of operations on numbers for each signature of its arguments.

    The function runs once on symbolic arrays. What it does to them is written down as straight-line code, one line for
    each operation on a number, and compiled by Numba. So does what the engine does to them: derivatives are programs
    of their own. The machine code is kept in the user's cache directory for other processes.

    Parameters
    ----------
    function : callable
        A pure function of pytrees of arrays, written with `mcgc.ops`, operators, or NumPy's functions. What it computes
        must follow from the shapes of its arguments alone: it cannot branch on their values, nor have results of a
        shape that depends on them.
    static_argnums : int or sequence of int
        The arguments that are no arrays, such as names and numbers that decide what is computed. They are hashable.
        There is a program for each of their values.
    threads : int
        How many threads share the rows of `rows`, or the trajectories of `mcgc.ode.solve`. The bits of the results do
        not depend on it.

    Returns
    -------
    Jitted
        It is called like the function, on NumPy arrays of float32, float64, int64 or bool and on numbers. `mcgc.grad`
        and its kin differentiate it to every order. Its methods `vjp`, `value_and_grad`, `grad`, `jacobian` and `hvp`
        do the same without the engine, and faster. `rows` makes the function of many rows, `source` shows a program.
        On CuPy arrays a program is a CUDA kernel, with one thread for each row, if numba-cuda is installed. On arrays
        of other libraries the function itself runs.

    Raises
    ------
    TraceError
        When it is called: if the function branches on a value, selects by one, or converts one to a number; if its
        program has more than 20,000 operations; or if an argument is no such array.

    Notes
    -----
    The program grows with the number of elements. It is for fields of equations and for functions of up to about a
    hundred numbers; dense nets have kernels of their own. The constant 0 times or divided by x is 0, even where x is
    not finite or 0. Everything else is computed as NumPy does, up to rounding.

    What the function reads from elsewhere, such as a global variable, is read once, when it is traced. An array on a
    GPU must be an argument.

    Examples
    --------
    >>> import mcgc
    >>> import numpy as np
    >>> rosenbrock = mcgc.jit(lambda x: mcgc.ops.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))
    >>> value, gradient = rosenbrock.value_and_grad(np.array([0.0, 1.0]))
    >>> print(value, gradient)
    101.0 [ -2. 200.]
    """
    if not callable(function):
        raise InputError(f"jit takes a function, got {function!r}")
    static = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    return Jitted(function, static, None, whole(threads, "threads"))
