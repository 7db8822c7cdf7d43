"""A module of Python from a file of the user's."""

import os
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

from mcgc.errors import InputError


def module_of(path: str, what: str) -> ModuleType:
    """Return the module in a file, which is run. `what` names the file in the sentence of an `InputError`."""
    path = os.path.abspath(path)
    spec = spec_from_file_location(os.path.splitext(os.path.basename(path))[0], path)
    if spec is None or spec.loader is None or not os.path.isfile(path):
        raise InputError(f"{what} {path!r} does not exist: check the path")
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{what} {path!r} cannot be run ({type(error).__name__}: {error}): mend it") from error
    return module
