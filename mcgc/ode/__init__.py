"""Ordinary differential equations: explicit Runge–Kutta solvers with dense output and three adjoints."""

from mcgc.ode._dense_field import DenseField, solve_members
from mcgc.ode._events import Event, Occurrences
from mcgc.ode._integrate import Stats, Status
from mcgc.ode._sensitivities import Sensitivities, sensitivities
from mcgc.ode._solve import ADJOINTS, Field, Solution, solve
from mcgc.ode._tableaux import TABLEAUX, Tableau

__all__ = [
    "ADJOINTS",
    "TABLEAUX",
    "DenseField",
    "Event",
    "Field",
    "Occurrences",
    "Sensitivities",
    "Solution",
    "Stats",
    "Status",
    "Tableau",
    "sensitivities",
    "solve",
    "solve_members",
]
