"""The source of a whole solution, and of its derivatives, for one field, one method and one dtype.

Each trajectory is solved by itself. `march` takes the steps that `mcgc.ode._integrate.march` takes, by the same rules,
and logs them. `pull_back` goes through the log backwards, `tangents` forwards. All are plain Python over flat arrays,
which Numba compiles. The number of states and the coefficients of the tableau are written out.

Arrays: z has the state and the point of each stage, k the stages, one after the other, n numbers each. What a
trajectory has in an array of the batch begins at `at_…`. The log has room for a number of steps a trajectory.
"""

from collections.abc import Sequence

from mcgc._jit import FieldPrograms, Target
from mcgc.ode._events import Event
from mcgc.ode._program import _events, _march, _pull_back, _tangents
from mcgc.ode._program._text import Text
from mcgc.ode._tableaux import Tableau

__all__ = ["Text", "functions", "whole"]


def functions(text: Text) -> list[str]:
    """Return the source of the functions of one trajectory; each is called by later ones."""
    march, back = _march.functions(text), _pull_back.functions(text)
    if not text.events:
        return [*march, *back, *_tangents.functions(text)]
    return [*march[:-1], *back[:-1], *_events.functions(text), march[-1], back[-1]]


def whole(programs: FieldPrograms, tableau: Tableau, target: Target, events: Sequence[Event] = ()) -> str:
    """Return the source of `forward`, `backward` and `sensitivities`, loops over the trajectories of a batch.

    With events there are no sensitivities.
    """
    text = Text(programs, tableau, events)
    of_one = [target.function + part for part in functions(text)]
    files = (_march, _pull_back) if events else (_march, _pull_back, _tangents)
    loops = [target.loop + file.loop(text, target) for file in files]
    constants = text.constants() + (_events.constants(events) if events else "")
    return "\n\n".join([constants, *of_one, *loops])
