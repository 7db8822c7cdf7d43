"""Generated modules: written to the cache directory under the hash of their source, so that Numba keeps their code.

Numba stores machine code by the file of a function. So a second process that writes the same program finds it there.
"""

import sys
from hashlib import sha256
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

from mcgc import files
from mcgc._jit._target import CPU, Target
from mcgc._version import __version__
from mcgc.errors import OutputError

_loaded: dict[str, ModuleType] = {}


class _Loader(SourceFileLoader):
    """Loads a module from its source, and writes no bytecode."""

    def set_data(self, path: str, data: Any, *, _mode: int = 0o666) -> None:
        """Do nothing."""


def load(source: str, target: Target = CPU) -> ModuleType:
    """Return the module of `source`, whose functions Numba compiles when they are first called."""
    text = target.header + source
    name = "mcgc.jit_" + sha256(f"{__version__}\n{text}".encode()).hexdigest()[:20]
    if name not in _loaded:
        _loaded[name] = _from_file(name, text) or _from_memory(name, text)
    return _loaded[name]


def directory() -> Path:
    """Return the directory of the generated modules, in the user's cache directory."""
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("mcgc", appauthor=False), "jit")


def _from_file(name: str, text: str) -> ModuleType | None:
    """Return the module, from a file that is written if it is not there; None if it cannot be written."""
    path = directory() / f"{name.partition('.')[2]}.py"
    try:
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, text.encode())
    except (OSError, OutputError):
        return None
    spec = spec_from_loader(name, _Loader(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _from_memory(name: str, text: str) -> ModuleType:
    """Return the module, which every process compiles anew."""
    module = sys.modules[name] = ModuleType(name)
    exec(compile(text, f"<{name}>", "exec"), vars(module))
    return module
