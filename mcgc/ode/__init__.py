"""Ordinary differential equations: explicit Runge–Kutta solvers with dense output and three adjoints."""

from mcgc.ode.plan import Stats
from mcgc.ode.solve import ADJOINTS, Solution, solve
from mcgc.ode.tableaux import TABLEAUX, Tableau

__all__ = ["ADJOINTS", "TABLEAUX", "Solution", "Stats", "Tableau", "solve"]
