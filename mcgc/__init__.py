"""Monte Carlo Gaussian continuation: a functional library that trains models that get stuck.

The names here are those of every script: derivatives (`grad` and its kin), the operations that have them (`ops`),
random keys, and `minimize` for a function of one's own. The rest is one module a subject. `mcgc.MODULES` lists the
modules, in three groups. After `import mcgc` each of them is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from mcgc._jit import Jitted, jit
from mcgc._version import __version__
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
from mcgc.continuation import Parameter, continuation_method, least_squares, minimize
from mcgc.random import Key, fold_in, split

MODULES = {  # every public module: the documentation, the tests and the names of this package come from this list
    "Use it": (
        *("tables", "train", "train.problems", "train.settings", "train.run_file"),
        *("sweeps", "sklearn", "continuation", "estimation"),
    ),
    "Build with it": (
        *("autodiff", "nets", "losses", "optim", "optim.schedules", "ode"),
        *("continuation.estimators", "continuation.annealing", "continuation.smoothing"),
        *("random", "arrays", "devices", "errors"),
    ),
    "The paper": ("paper.studies", "paper.ensembles", "paper.comparison", "paper.test_functions"),
    "Inside": ("kernels", "checks.kernels", "checks.device", "checks.speed", "checks.engine", "files", "hdf5"),
}
_LATER = {  # module and name: they are imported when they are used
    "fit": ("mcgc.train", "fit_table"),
    "load": ("mcgc.train", "load"),
    "estimate": ("mcgc.estimation", "estimate"),
    "sweep": ("mcgc.sweeps", "sweep"),
}
_NAMES = frozenset(name.partition(".")[0] for names in MODULES.values() for name in names)

if TYPE_CHECKING:
    from mcgc import (  # isort: skip
        arrays as arrays,
        autodiff as autodiff,
        checks as checks,
        continuation as continuation,
        devices as devices,
        errors as errors,
        estimation as estimation,
        files as files,
        hdf5 as hdf5,
        kernels as kernels,
        losses as losses,
        nets as nets,
        ode as ode,
        optim as optim,
        paper as paper,
        random as random,
        sklearn as sklearn,
        sweeps as sweeps,
        tables as tables,
        train as train,
    )

    fit, load, estimate, sweep = train.fit_table, train.load, estimation.estimate, sweeps.sweep
else:

    def __getattr__(name):
        """Return the module `name`, imported now. Raises `AttributeError`, with a similar name, if there is none."""
        if name in _LATER:
            module, own = _LATER[name]
            return getattr(import_module(module), own)
        if name in _NAMES:
            return import_module(f"{__name__}.{name}")
        from mcgc.errors import similar

        raise AttributeError(f"mcgc has no {name!r}{similar(name, __dir__())}")

    def __dir__():
        """Return all names, those of modules not yet imported among them."""
        return sorted({*globals(), *_NAMES, *_LATER})


__all__ = [
    "Jitted",
    "Key",
    "Parameter",
    "__version__",
    "check_grads",
    "checkpoint",
    "continuation_method",
    "debug_nonfinite",
    "estimate",
    "fit",
    "fold_in",
    "fused",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jit",
    "least_squares",
    "load",
    "minimize",
    "ops",
    "primitive",
    "split",
    "stop_gradient",
    "sweep",
    "value_and_grad",
    "vjp",
]
