"""The source of a whole solution, and of its derivatives, for one field, one method and one dtype.

Each trajectory is solved by itself. `march` takes the steps that `mcgc.ode._integrate.march` takes, by the same rules,
and logs them. `pull_back` goes through the log backwards, `tangents` forwards. All are plain Python over flat arrays,
which Numba compiles. The number of states and the coefficients of the tableau are written out.

Arrays: z has the state and the point of each stage, k the stages, one after the other, n numbers each. What a
trajectory has in an array of the batch begins at `at_…`. The log has room for a number of steps a trajectory.
"""

from mcgc._jit import FieldPrograms, Target
from mcgc.ode._program import _march, _pull_back, _tangents
from mcgc.ode._program._text import Text
from mcgc.ode._tableaux import Tableau

__all__ = ["Text", "functions", "whole"]


def functions(text: Text) -> list[str]:
    """Return the source of the functions of one trajectory, in the order of their use."""
    return [*_march.functions(text), *_pull_back.functions(text), *_tangents.functions(text)]


def whole(programs: FieldPrograms, tableau: Tableau, target: Target) -> str:
    """Return the source of `forward`, `backward` and `sensitivities`, loops over the trajectories of a batch."""
    text = Text(programs, tableau)
    of_one = [target.function + part for part in functions(text)]
    loops = [target.loop + file.loop(text, target) for file in (_march, _pull_back, _tangents)]
    return "\n\n".join([text.constants(), *of_one, *loops])
