"""A fixture for whole solutions of jitted fields."""

import pytest

from mcgc._jit import CPU
from mcgc.ode import _jitted


@pytest.fixture
def interpreted(monkeypatch):
    """Let Python run the generated source: it takes milliseconds where compiling takes seconds."""

    def loops(source, target):
        names = {}
        assert target is CPU
        imported = "from mcgc.kernels.compiled import compiled, inner"
        exec(CPU.header.replace(imported, "compiled = inner = lambda **_: lambda f: f"), names)
        exec(source, names)
        return type("Module", (), {name: staticmethod(value) for name, value in names.items() if callable(value)})

    monkeypatch.setattr(_jitted, "loops", loops)
    calls = []
    monkeypatch.setattr(
        "mcgc.ode._solve.solve_jitted", lambda *args: calls.append(_jitted.solve_jitted(*args)) or calls[-1]
    )
    return calls
