"""The pieces of text that the functions of a whole solution are made of."""

import re
from collections.abc import Mapping, Sequence
from textwrap import indent

import numpy as np

from mcgc._jit import FieldPrograms, Target
from mcgc.ode import _control as control
from mcgc.ode import _scalar as scalar
from mcgc.ode._events import Event
from mcgc.ode._integrate import SNAP, Status
from mcgc.ode._tableaux import Row, Tableau

# What trajectories keep from one step to the next, numbers and integers; `r` is the trajectory of a lane, -1 for none.
REALS = "t", "now", "size", "error", "factor", "norm", "second"
FLAGS = "good", "was_rejected", "inside"
INTEGERS = "r", "accepted", "rejected", "reached", "holding", "i", "j", *FLAGS
FEW = 12  # states whose lines are written out
RUNNING = -1  # the status of a trajectory that is on its way


class Text:
    """Writes pieces for one field and one tableau.

    n is the number of states, m that of the numbers of params, `last` the stage whose point is the new state.

    With more than one of `lanes`, as many trajectories march side by side, each on its own steps. What is computed for
    all of them is a loop over lanes, which the compiler turns into vector instructions. Their numbers are then in one
    array `work`, in which the lanes of a number are neighbours: so the compiler knows that none overlaps another.
    """

    def __init__(self, programs: FieldPrograms, tableau: Tableau, events: Sequence[Event] = (), lanes: int = 1):
        self.programs, self.tableau, self.events, self.lanes = programs, tableau, events, lanes
        (_, (self.n,), (self.m,)) = (leaf.shape for leaf in programs.field.value.inputs)
        self.dtype = programs.field.value.outputs[0].dtype
        self.stages = len(tableau.a)
        self.few = lanes > 1 and self.n <= FEW
        self.last = self.stages - 1 - tableau.extra
        n, m, size = self.n, self.m, self.stages * self.n
        self.sizes = {"z": size, "k": size, "p": m, "h": 1}  # of the way forward
        self.sizes_back = self.sizes | {"kb": size, "zb": size, "yb": n, "xb": n, "tb": 1, "p_bar": m}

    def constants(self) -> str:
        """Return the constants of the module."""
        names = ("SAFETY", "SHRINK", "GROW", "INTEGRAL", "PROPORTIONAL")
        values = {name: getattr(control, name) for name in names} | {"SNAP": SNAP, "RUNNING": RUNNING}
        values |= {"SMALLEST": scalar.SMALLEST, "LARGEST": scalar.LARGEST}
        values |= {status.name: int(status) for status in Status}
        return "".join([f"kind = {self.dtype}\n", *(f"{name} = {value!r}\n" for name, value in values.items())])

    def scratch(self, target: Target, **sizes: int) -> str:
        """Return the lines that make arrays for the work on one trajectory."""
        return "".join([f"{name} = {target.empty}({max(size, 1)}, kind)\n" for name, size in sizes.items()])

    def scratch_of_lanes(self, sizes: Mapping[str, int]) -> str:
        """Return the lines that make arrays for the work on all lanes, of which none has a trajectory."""
        count = self.lanes
        return f"""work = np.zeros({sum(sizes.values()) * count}, kind)
real, whole = np.zeros({len(REALS) * count}), np.zeros({len(INTEGERS) * count}, int64)
for l in range({count}):
    {self.kept("r")} = -1
"""

    def kept(self, name: str) -> str:
        """Return what a trajectory keeps from one step to the next: a variable, or that of the lane `l`."""
        if self.lanes == 1:
            return name
        if name == "h":
            return self.at("h")
        array, names = ("real", REALS) if name in REALS else ("whole", INTEGERS)
        return f"{array}[{names.index(name) * self.lanes} + l]"

    def load(self, names: Sequence[str]) -> str:
        """Return the lines that take what lane `l` keeps of its trajectory."""
        kinds = {"size": "kind({})"} | dict.fromkeys(FLAGS, "{} == 1")
        return "".join([f"{name} = {kinds.get(name, '{}').format(self.kept(name))}\n" for name in names])

    def store(self, names: Sequence[str]) -> str:
        """Return the lines that keep it."""
        return "".join([f"{self.kept(name)} = {name}\n" for name in names])

    def number(self, x: float) -> str:
        """Return a number in the dtype of the states."""
        return repr(float(x)) if self.dtype == np.float64 else f"float32({float(x)!r})"

    def position(self, array: str, index: int | str = 0) -> str:
        """Return where an element is: the position in the array, or that of its lane `l` in `work`."""
        if self.lanes == 1:
            return f"{index}"
        names = list(self.sizes_back)
        base = sum(self.sizes_back[name] for name in names[: names.index(array)])
        if isinstance(index, int):
            return f"{(base + index) * self.lanes} + l"
        return f"({base} + {index}) * {self.lanes} + l"

    def at(self, array: str, index: int | str = 0) -> str:
        """Return an element of an array, of the lane `l`."""
        return f"{array if self.lanes == 1 else 'work'}[{self.position(array, index)}]"

    def given(self, array: str, index: int | str = 0) -> str:
        """Return the array and the position, as the functions of a program take them."""
        if self.lanes == 1 and array == "p":
            return "p, at_p"
        if self.lanes == 1 and array == "p_bar":  # the position, if kept, costs 25 registers on a GPU
            return f"p_bar, r * {self.m}"
        return f"{array if self.lanes == 1 else 'work'}, {self.position(array, index)}"

    @property
    def held(self) -> str:
        """What functions of one trajectory are given: its arrays, or those of all and its lane."""
        return "p, at_p, k, z" if self.lanes == 1 else "work, l"

    def side_by_side(self, lines: str | Sequence[str]) -> str:
        """Return lines for all lanes; they may use t and h. With few states it is one loop, else each has its own."""
        text = lines if isinstance(lines, str) else "".join(lines)
        return self._over_lanes(text) if self.few else text

    def _over_lanes(self, lines: str) -> str:
        return f"for l in range({self.lanes}):\n    t, h = {self.kept('t')}, {self.kept('h')}\n    {inset(lines, 1)}\n"

    def of_lanes(self, lines: str) -> str:
        """Return lines for `side_by_side`."""
        return lines if self.few or self.lanes == 1 else self._over_lanes(lines)

    def of_states(self, lines: str, begin: int = 0, end: int | None = None) -> str:
        """Return lines for `side_by_side`, for all states `d`, or those numbers."""
        end = self.n if end is None else end
        if self.few:
            return "".join([re.sub(r"\bd\b", str(d), lines) for d in range(begin, end)])
        return f"for d in range({begin}, {end}):\n    {inset(self.of_lanes(lines), 1)}\n"

    def combined(self, weights: Row, array: str = "k", by: str = "d", stride: int = 0) -> str:
        """Return Σ wᵢ kᵢ at the element `by`; the stages lie `stride` apart, by default n."""
        at = lambda i: self.at(array, f"{i * (stride or self.n)} + {by}" if i else by)
        terms = [f"{self.number(weight)} * {at(i)}" for i, weight in enumerate(weights) if weight]
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
        """Return the line that puts an element of the point of a stage into z."""
        combined = self.combined(self.tableau.a[stage])
        return f"{self.at('z', f'{stage * self.n} + d')} = {self.at('z', 'd')} + h * ({combined})\n"

    def field(self, stage: int) -> str:
        """Return the line that puts the field at the point of a stage into k."""
        at = stage * self.n
        return f"field({self.time(stage)}, {self.given('z', at)}, {self.given('p')}, {self.given('k', at)})\n"

    def stage(self, stage: int) -> str:
        """Return the lines of a stage, its point and the field there, for all lanes."""
        return self.of_states(self.point(stage)) + self.of_lanes(self.field(stage))

    def stage_of_one(self, stage: int) -> str:
        """Return the lines of a stage for one lane."""
        return f"for d in range({self.n}):\n    {self.point(stage)}{self.field(stage)}"


def inset(lines: str | Sequence[str], levels: int) -> str:
    """Return lines further in, without the first indent and the last end, to be put into a template."""
    text = lines if isinstance(lines, str) else "".join(lines)
    return indent(text or "pass\n", " " * 4 * levels).strip()
