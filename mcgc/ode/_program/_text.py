"""The pieces of text that the functions of a whole solution are made of."""

from collections.abc import Sequence
from textwrap import indent

import numpy as np

from mcgc._jit import FieldPrograms, Target
from mcgc.ode import _control as control
from mcgc.ode._events import Event
from mcgc.ode._integrate import SNAP, Status
from mcgc.ode._tableaux import Row, Tableau


class Text:
    """Writes pieces for one field and one tableau.

    n is the number of states, m that of the numbers of params, `last` the stage whose point is the new state.
    """

    def __init__(self, programs: FieldPrograms, tableau: Tableau, events: Sequence[Event] = ()):
        self.programs, self.tableau, self.events = programs, tableau, events
        (_, (self.n,), (self.m,)) = (leaf.shape for leaf in programs.field.value.inputs)
        self.dtype = programs.field.value.outputs[0].dtype
        self.stages = len(tableau.a)
        self.last = self.stages - 1 - tableau.extra

    def constants(self) -> str:
        """Return the constants of the module."""
        names = ("SAFETY", "SHRINK", "GROW", "INTEGRAL", "PROPORTIONAL")
        values = {name: getattr(control, name) for name in names} | {"SNAP": SNAP}
        values |= {status.name: int(status) for status in Status}
        return "".join([f"kind = {self.dtype}\n", *(f"{name} = {value!r}\n" for name, value in values.items())])

    def scratch(self, target: Target, **sizes: int) -> str:
        """Return the lines that make arrays for the work on one trajectory."""
        return inset([f"{name} = {target.empty}({max(size, 1)}, kind)\n" for name, size in sizes.items()], 1)

    def number(self, x: float) -> str:
        """Return a number in the dtype of the states."""
        return repr(float(x)) if self.dtype == np.float64 else f"float32({float(x)!r})"

    def combined(self, weights: Row, array: str = "k", by: str = "d", stride: int = 0) -> str:
        """Return Σ wᵢ kᵢ at the element `by`; the stages lie `stride` apart, by default n."""
        at = lambda i: f"{i * (stride or self.n)} + {by}" if i else by
        terms = [f"{self.number(weight)} * {array}[{at(i)}]" for i, weight in enumerate(weights) if weight]
        return " + ".join(terms or [self.number(0)])

    def dense_output(self, array: str = "k", by: str = "d", stride: int = 0) -> str:
        """Return the lines that compute `change`, the dense output at the fraction `part` less the state."""
        powers = list(zip(*self.tableau.dense, strict=True))[::-1]
        lines = [f"change = (change + h * ({self.combined(row, array, by, stride)})) * part\n" for row in powers]
        return "".join(["change = kind(0)\n", *lines])

    def dense_weight(self, stage: int) -> str:
        """Return the weight Σⱼ cⱼ θʲ⁺¹ that the dense output gives to a stage at θ = `part`."""
        text = ""
        for c in reversed(self.tableau.dense[stage]):
            text = f"({text} + {self.number(c)}) * part" if text else f"{self.number(c)} * part"
        return text

    def dense_slope(self, stage: int) -> str:
        """Return the derivative Σⱼ (j + 1) cⱼ θʲ of that weight."""
        row = self.tableau.dense[stage]
        text = self.number(row[-1] * len(row))
        for j in range(len(row) - 1, 0, -1):
            text = f"({text} * part + {self.number(row[j - 1] * j)})"
        return text

    @property
    def dense_stages(self) -> list[int]:
        """The stages that the dense output uses."""
        return [stage for stage, row in enumerate(self.tableau.dense) if any(row)]

    def time(self, stage: int) -> str:
        """Return the time of a stage."""
        return f"kind(t + {self.number(self.tableau.c[stage])} * h)"

    def point(self, stage: int) -> str:
        """Return the lines that put the point of a stage into z."""
        combined = self.combined(self.tableau.a[stage])
        return f"for d in range({self.n}):\n    z[{stage * self.n} + d] = z[d] + h * ({combined})\n"

    def stage(self, stage: int) -> str:
        """Return the lines that put the point of a stage into z, and the field there into k."""
        at = stage * self.n
        return f"{self.point(stage)}field({self.time(stage)}, z, {at}, p, at_p, k, {at})\n"


def inset(lines: str | Sequence[str], levels: int) -> str:
    """Return lines further in, without the first indent and the last end, to be put into a template."""
    text = lines if isinstance(lines, str) else "".join(lines)
    return indent(text or "pass\n", " " * 4 * levels).strip()
