"""Check the shapes and dtypes that the signatures of mcgc promise, in every call that the tests make.

Importing this module before mcgc is enough. A call is checked after it has returned, so that what a function refuses
itself is still refused in its own words. Arguments that are not arrays, such as the lists that public functions accept,
are not checked. Kernels are left out.
"""

import functools
import inspect
import sys
import typing
from importlib.machinery import PathFinder, SourceFileLoader

import jaxtyping
from beartype.door import is_bearable

LEFT_OUT = "mcgc.kernels"


class ShapeError(AssertionError):
    """An argument or a result is not as the signature has it."""


def checked(function):
    """Return `function`, checked in each call, or itself if its signature has no shapes."""
    hints = {name: hint for name, hint in function.__annotations__.items() if _has_shape(hint)}
    if not hints:
        return function
    signature = inspect.signature(function)
    kinds = {name: parameter.kind for name, parameter in signature.parameters.items()}

    @functools.wraps(function)
    def call(*args, **options):
        result = function(*args, **options)
        values = signature.bind(*args, **options).arguments | {"return": result}
        with jaxtyping.jaxtyped("context"):
            for name, hint in hints.items():
                several = kinds.get(name) is inspect.Parameter.VAR_POSITIONAL
                for value in values.get(name, ()) if several else [values[name]] if name in values else []:
                    given = name == "return" or hasattr(value, "shape")
                    if given and not is_bearable(value, hint):
                        shapes = {n: getattr(v, "shape", type(v).__name__) for n, v in values.items()}
                        what = getattr(value, "dtype", type(value).__name__)
                        where = f"{function.__module__}.{function.__qualname__}"
                        raise ShapeError(f"{where}: {name} is not {hint} but {what}; the shapes are {shapes}")
        return result

    return call


def _has_shape(hint):
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(_has_shape(each) for each in typing.get_args(hint))


class _Loader(SourceFileLoader):
    def exec_module(self, module):
        super().exec_module(module)
        for value in [*vars(module).values()]:
            if inspect.isclass(value) and value.__module__ == module.__name__:
                _check_functions(value, module.__name__)
        _check_functions(module, module.__name__)


def _check_functions(owner, module):
    for name, value in [*vars(owner).items()]:
        if inspect.isfunction(value) and value.__module__ == module:
            setattr(owner, name, checked(value))


class _Finder:
    @staticmethod
    def find_spec(name, path, target=None):
        if name.partition(".")[0] != "mcgc" or name.startswith(LEFT_OUT):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


assert "mcgc" not in sys.modules, "the shapes of mcgc are checked only if this module is imported first"
sys.meta_path.insert(0, _Finder)
