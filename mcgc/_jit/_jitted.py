"""`jit`: a function of arrays, written with operations, as a compiled program for each signature."""

from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any

from mcgc._integers import whole
from mcgc._jit import _rows
from mcgc._jit._programs import Programs
from mcgc._jit._trace import BY_ENGINE, OF
from mcgc.autodiff import ops, transforms
from mcgc.autodiff.engine import newest_level
from mcgc.autodiff.extend import fused
from mcgc.autodiff.pytree import Structure, flatten, unflatten
from mcgc.errors import InputError, TraceError
from mcgc.kernels import Body


class Jitted(Programs):
    """A function compiled by `mcgc.jit`, which is called like the function.

    The first call with arguments of new shapes and dtypes compiles. Arguments may be given by name. Results are new
    arrays, which share no memory with the arguments. Where an argument is traced, or there is no compiler for the
    arguments, the methods do what the functions of mcgc of the same names do.

    Examples
    --------
    >>> import mcgc
    >>> import numpy as np
    >>> norm = mcgc.jit(lambda x: mcgc.ops.sum(x**2))
    >>> print(norm(np.array([3.0, 4.0])), norm.grad(np.array([3.0, 4.0])))
    25.0 [6. 8.]
    """

    def __repr__(self) -> str:
        return f"<mcgc.jit of {getattr(self.function, '__name__', self.function)!r}>"

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Return the method of `instance`, which is an argument that should be static."""
        return self if instance is None else MethodType(self, instance)

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Return the value. It is recorded, with its compiled derivative, if an argument is traced."""
        leaves, structure, static = self._leaves(args, named)
        if newest_level(leaves):
            return self._recorded(leaves, structure, static)
        if self._eager(leaves):
            return self._itself(static)(*unflatten(structure, leaves))
        return self._run("value", leaves, structure, static)

    def vjp(self, *args: Any, **named: Any) -> tuple:
        """Return the value and the pullback, as `mcgc.vjp` does.

        Parameters
        ----------
        *args, **named : pytrees
            The arguments of the function.

        Returns
        -------
        y : pytree
            The value.
        pullback : callable
            It takes a cotangent, which has the structure and shapes of y. It returns a tuple with the cotangent of each
            argument, which has None where a leaf is not floating-point.

        Examples
        --------
        >>> import mcgc
        >>> value, pullback = mcgc.jit(lambda x, n: x * n).vjp(3.0, 2)
        >>> print(value, *pullback(1.0))
        6.0 2.0 None
        """
        leaves, structure, static = self._leaves(args, named)
        if newest_level(leaves) or self._eager(leaves):
            return self._vjp_by_engine(leaves, structure, static)
        out, out_structure = flatten(self._run("value", leaves, structure, static))

        def pullback(cotangent: Any) -> Any:
            given, given_structure = flatten(cotangent)
            if newest_level(given):
                return self._vjp_by_engine(leaves, structure, static)[1](cotangent)
            if given_structure != out_structure:
                raise TraceError("the cotangent must have the structure of the function's output")
            return unflatten(structure, self._bars(leaves, structure, static, out, given))

        return unflatten(out_structure, list(out)), pullback

    def value_and_grad(self, *args: Any, **named: Any) -> tuple:
        """Return the value and the gradient with respect to the first argument, as `mcgc.value_and_grad` does.

        Parameters
        ----------
        *args, **named : pytrees
            The arguments of the function, which returns a float scalar.

        Returns
        -------
        value : scalar
            The value.
        gradient : pytree
            The gradient. It has the structure and shapes of the first argument.

        Examples
        --------
        >>> import mcgc
        >>> import numpy as np
        >>> value, gradient = mcgc.jit(lambda x: mcgc.ops.sum(x**2)).value_and_grad(np.array([3.0, 4.0]))
        >>> print(value, gradient)
        25.0 [6. 8.]
        """
        return self._derivative("value_and_grad", args, named)

    def grad(self, *args: Any, **named: Any) -> Any:
        """Return the gradient with respect to the first argument, as `mcgc.grad` does.

        Parameters
        ----------
        *args, **named : pytrees
            The arguments of the function, which returns a float scalar.

        Returns
        -------
        pytree
            The gradient. It has the structure and shapes of the first argument.

        Examples
        --------
        >>> import mcgc
        >>> print(mcgc.jit(lambda x: x**3).grad(2.0))
        12.0
        """
        return self._derivative("grad", args, named)

    def jacobian(self, *args: Any, **named: Any) -> Any:
        """Return the Jacobian with respect to the first argument, as `mcgc.jacobian` does.

        Parameters
        ----------
        *args, **named : pytrees
            The arguments of the function.

        Returns
        -------
        pytree
            ∂yᵢ/∂xⱼ. For arrays it has the shape of y followed by that of x.

        Examples
        --------
        >>> import mcgc
        >>> import numpy as np
        >>> print(mcgc.jit(lambda x: x * x[::-1]).jacobian(np.array([2.0, 3.0])))
        [[3. 2.]
         [3. 2.]]
        """
        return self._derivative("jacobian", args, named)

    def hvp(self, x: Any, v: Any) -> Any:
        """Return the Hessian-vector product ∇²f(x) v of a function of one argument, as `mcgc.hvp` does.

        Parameters
        ----------
        x, v : pytrees
            The argument and the vector, with equal structure, shapes and dtypes.

        Returns
        -------
        pytree
            The product. It has the structure and shapes of x.

        Examples
        --------
        >>> import mcgc
        >>> print(mcgc.jit(lambda x: x**3).hvp(2.0, 1.0))
        12.0
        """
        return self._derivative("hvp", (x, v), {})

    def source(self, *args: Any, of: str = "value") -> str:
        """Return the source of the program for arguments like these.

        Parameters
        ----------
        *args : pytrees
            The arguments of the function. Their shapes and dtypes count, and the values of static ones.
        of : {"value", "vjp", "value_and_grad", "grad", "jacobian", "hvp"}
            What the program computes.

        Returns
        -------
        str
            A function of Python, which Numba compiles.

        Examples
        --------
        >>> import mcgc
        >>> print(mcgc.jit(lambda x: mcgc.ops.sin(x) ** 2).source(2.0).rstrip())
        def point(x0, at_x0, y0, at_y0):
            v0 = x0[at_x0]
            v1 = math.sin(v0)
            v2 = v1 * v1
            y0[at_y0] = v2
        """
        if of not in OF:
            raise InputError(f"the source is of {', '.join(OF)}, got {of!r}")
        leaves, structure, static = self._leaves(args, {})
        if of == "vjp":
            return self._vjp_program(leaves, structure, static).source
        return self._program(of, leaves, structure, static).source

    def rows(self, argnums: int | Sequence[int] = 0, threads: int | None = None) -> "Jitted":
        """Return the function of many rows: the arguments `argnums` have a leading axis of rows, others are shared.

        Each row is computed by itself. The result, and every derivative, has the axis of rows. The pullback of `vjp`
        adds up what the rows give to an argument that they share.

        Parameters
        ----------
        argnums : int or sequence of int
            The arguments with rows.
        threads : int, optional
            The number of threads that compute the rows, by default that of `mcgc.jit`.

        Returns
        -------
        Jitted
            The function of many rows.

        Examples
        --------
        >>> import mcgc
        >>> import numpy as np
        >>> norm = mcgc.jit(lambda x: mcgc.ops.sum(x**2))
        >>> print(norm.rows()(np.array([[3.0, 4.0], [1.0, 0.0]])))
        [25.  1.]
        """
        which = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        made = Jitted(
            self.function, self._static, which, self.threads if threads is None else whole(threads, "threads")
        )
        made._found = self._found
        return made

    # ---- derivatives ----

    def _derivative(self, of: str, args: tuple, named: dict) -> Any:
        leaves, structure, static = self._leaves(args, named)
        if not (newest_level(leaves) or self._eager(leaves)):
            return self._run(of, leaves, structure, static)
        args = tuple(self._filled(unflatten(structure, leaves), static))
        transform = BY_ENGINE[of]
        return transform(self)(*args) if self._rows is None else self._by_rows(transform(self.function), args)

    def _recorded(self, leaves: list, structure: Structure, static: tuple) -> Any:
        """Return the value, recorded on the tape; its pullback is compiled, and higher orders trace the function."""
        function, out_structure = self._itself(static), None

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
        found = fused(definition, lambda *values: None if self._eager(values) else body)(*leaves)
        assert out_structure is not None
        return unflatten(out_structure, list(found))

    # ---- without a compiler ----

    def _itself(self, static: tuple) -> Callable[..., Any]:
        """Return the function that is compiled, with static arguments: of one row, or of many, one after another."""
        one = self._with_static(static)
        return one if self._rows is None else lambda *args: self._by_rows(one, args)

    def _by_rows(self, function: Callable[..., Any], args: tuple) -> Any:
        """Return what `function` gives of each row, stacked."""
        leaves, structure = flatten(args)
        by_row = self._by_row(structure)
        number = _rows.count([x for x, row in zip(leaves, by_row, strict=True) if row])
        of_row = lambda r: [x[r, ...] if row else x for x, row in zip(leaves, by_row, strict=True)]
        found = [flatten(function(*unflatten(structure, of_row(r)))) for r in range(number)]
        columns = zip(*(parts for parts, _ in found), strict=True)
        return unflatten(found[0][1], [ops.stack(column) for column in columns])

    def _vjp_by_engine(self, leaves: list, structure: Structure, static: tuple) -> tuple:
        """Return the value and the pullback, with None for leaves that are not floating-point."""
        floats = [i for i, leaf in enumerate(leaves) if type(leaf) is float or transforms.differentiable(leaf)]
        of_leaves = lambda *values: self(*self._filled(unflatten(structure, list(values)), static))
        out, pullback = transforms.vjp(*transforms.partial_function(of_leaves, floats, leaves, {}))

        def bars(cotangent: Any) -> Any:
            found = dict(zip(floats, pullback(cotangent), strict=True))
            return unflatten(structure, [found.get(i) for i in range(len(leaves))])

        return out, bars


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
    static = (static_argnums,) if isinstance(static_argnums, int) else static_argnums
    numbers = tuple(sorted(whole(i, "a static argument's number", 0) for i in static))
    return Jitted(function, numbers, threads=whole(threads, "threads"))
