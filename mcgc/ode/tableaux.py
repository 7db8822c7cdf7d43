"""Runge–Kutta methods as data. Adding a solver is adding a row.

Every tableau is written so that its last stage is the field at the end of the step: its last row of `a` holds the
weights of the new state, and a step that was accepted gives the next one its first stage. For a method that does not
have this property by itself, the last stage is the first of the next step, done one step early.
"""

from collections.abc import Mapping
from typing import NamedTuple

Row = tuple[float, ...]


class Tableau(NamedTuple):
    """An explicit Runge–Kutta method with s stages kᵢ = f(t + cᵢ h, y + h Σⱼ aᵢⱼ kⱼ).

    The new state is that of the last stage. `error` holds the weights eᵢ of the error estimate h Σ eᵢ kᵢ, empty for
    a method that has none. `dense` holds one row of polynomial coefficients for each stage: within the step,
    y(t + θh) = y + h Σᵢ (Σⱼ denseᵢⱼ θʲ⁺¹) kᵢ.
    """

    name: str
    order: int
    c: Row
    a: tuple[Row, ...]
    error: Row
    dense: tuple[Row, ...]
    source: str


def _hermite(weights: Row) -> tuple[Row, ...]:
    """Return the dense output that joins both ends of the step by the cubic with their values and slopes."""
    rows = [(0.0, 3 * b, -2 * b) for b in weights]
    rows[0] = (1.0, rows[0][1] - 2, rows[0][2] + 1)
    return (*rows, (0.0, -1.0, 1.0))


_RK4 = (1 / 6, 1 / 3, 1 / 3, 1 / 6)

RK4 = Tableau(
    name="rk4",
    order=4,
    c=(0, 1 / 2, 1 / 2, 1, 1),
    a=((), (1 / 2,), (0, 1 / 2), (0, 0, 1), _RK4),
    error=(),
    dense=_hermite(_RK4),
    source="Kutta 1901; dense output by cubic Hermite interpolation, of order 3",
)

DOPRI5 = Tableau(
    name="dopri5",
    order=5,
    c=(0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1),
    a=(
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    error=(-71 / 57600, 0, 71 / 16695, -71 / 1920, 17253 / 339200, -22 / 525, 1 / 40),
    dense=(
        (1, -8048581381 / 2820520608, 8663915743 / 2820520608, -12715105075 / 11282082432),
        (0, 0, 0, 0),
        (0, 131558114200 / 32700410799, -68118460800 / 10900136933, 87487479700 / 32700410799),
        (0, -1754552775 / 470086768, 14199869525 / 1410260304, -10690763975 / 1880347072),
        (0, 127303824393 / 49829197408, -318862633887 / 49829197408, 701980252875 / 199316789632),
        (0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844),
        (0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423),
    ),
    source="Dormand and Prince 1980; dense output of order 4 by Shampine 1986",
)

TABLEAUX: Mapping[str, Tableau] = {tableau.name: tableau for tableau in (RK4, DOPRI5)}
