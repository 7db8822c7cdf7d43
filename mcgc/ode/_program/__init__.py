"""The source of a whole solution, and of its derivatives, for one field, one method and one dtype.

`forward` takes the steps that `mcgc.ode._integrate.march` takes, by the same rules, for each trajectory by itself, and
logs them. `backward` goes through the log backwards, `sensitivities` forwards. All are plain Python over flat arrays,
which Numba compiles. The number of states and the coefficients of the tableau are written out. On the CPU several
trajectories march in the lanes of its vectors; their numbers are those of one alone.

Arrays: z has the state and the point of each stage, k the stages, one after the other, n numbers each. What a
trajectory has in an array of the batch begins at `at_…`. The log has room for a number of steps a trajectory.
"""

from collections.abc import Sequence

from mcgc._jit import FieldPrograms, Target
from mcgc.ode._events import Event
from mcgc.ode._program import _events, _march, _pull_back, _tangents
from mcgc.ode._program._text import Text
from mcgc.ode._tableaux import Tableau

__all__ = ["sensitivities", "whole"]


def whole(
    programs: FieldPrograms, tableau: Tableau, target: Target, events: Sequence[Event] = (), lanes: int = 1
) -> str:
    """Return the source of `forward` and `backward`, loops over the trajectories of a batch.

    With events there is one lane.
    """
    text = Text(programs, tableau, events, lanes)
    of_one = [
        *_march.functions(text, target),
        *_pull_back.functions(text),
        *(_events.functions(text) if events else []),
    ]
    constants = text.constants() + (_events.constants(events) if events else "")
    return _module(constants, of_one, [_march.loop(text, target), _pull_back.loop(text, target)], target)


def sensitivities(programs: FieldPrograms, tableau: Tableau, target: Target) -> str:
    """Return the source of `sensitivities`, a loop over the trajectories of a batch, without events."""
    text = Text(programs, tableau)
    of_one = [*_march.functions(text, target), *_tangents.functions(text)]
    return _module(text.constants(), of_one, [_tangents.loop(text, target)], target)


def _module(constants: str, functions: Sequence[str], loops: Sequence[str], target: Target) -> str:
    return "\n\n".join([constants, *(target.function + f for f in functions), *(target.loop + f for f in loops)])
