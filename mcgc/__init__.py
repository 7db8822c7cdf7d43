"""Monte Carlo Gaussian continuation: a functional library that trains models that get stuck.

The names here are those of every script: derivatives (`grad` and its kin), the operations that have them (`ops`),
random keys, and `minimize` for a function of one's own. The rest is one module a subject. `mcgc.MODULES` lists the
modules, in three groups. After `import mcgc` each of them is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from mcgc.autodiff import (
    check_grads,
    checkpoint,
    debug_nonfinite,
    fused,
    grad,
    hessian,
    hvp,
    jacobian,
    ops,
    primitive,
    stop_gradient,
    value_and_grad,
    vjp,
)
from mcgc.minimizer import continuation_method, minimize
from mcgc.random import Key, fold_in, split

MODULES = {  # every public module: the documentation, the tests and the names of this package come from this list
    "Use it": (
        *("minimizer", "training", "predictions", "problems", "settings", "runs"),
        *("studies", "ensembles", "comparison"),
    ),
    "Build with it": (
        *("autodiff", "nets", "losses", "optim", "rates", "ode", "fields", "continuation", "estimators", "schedules"),
        *("smoothing", "surfaces", "random", "arrays", "devices", "errors"),
    ),
    "Inside": (
        *("kernels", "windows", "members", "workers", "together"),
        *("memory", "resume", "acceptance", "reference", "files", "hdf5", "whole"),
    ),
}
_NAMES = frozenset(name for names in MODULES.values() for name in names)

if TYPE_CHECKING:
    from mcgc import (  # isort: skip
        acceptance as acceptance,
        arrays as arrays,
        autodiff as autodiff,
        comparison as comparison,
        continuation as continuation,
        devices as devices,
        ensembles as ensembles,
        errors as errors,
        estimators as estimators,
        fields as fields,
        files as files,
        hdf5 as hdf5,
        kernels as kernels,
        losses as losses,
        members as members,
        memory as memory,
        minimizer as minimizer,
        nets as nets,
        ode as ode,
        optim as optim,
        predictions as predictions,
        problems as problems,
        random as random,
        rates as rates,
        reference as reference,
        resume as resume,
        runs as runs,
        schedules as schedules,
        settings as settings,
        smoothing as smoothing,
        studies as studies,
        surfaces as surfaces,
        together as together,
        training as training,
        whole as whole,
        windows as windows,
        workers as workers,
    )
else:

    def __getattr__(name):
        """Return the module `name`, imported now. Raises `AttributeError`, with a similar name, if there is none."""
        if name in _NAMES:
            return import_module(f"{__name__}.{name}")
        from mcgc.errors import similar

        raise AttributeError(f"mcgc has no {name!r}{similar(name, __dir__())}")

    def __dir__():
        """Return all names, those of modules not yet imported among them."""
        return sorted({*globals(), *_NAMES})


__version__ = "0.1.0.dev0"

__all__ = [
    "Key",
    "check_grads",
    "checkpoint",
    "continuation_method",
    "debug_nonfinite",
    "fold_in",
    "fused",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "minimize",
    "ops",
    "primitive",
    "split",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]
