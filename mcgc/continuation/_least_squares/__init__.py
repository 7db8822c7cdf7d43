"""Least squares by continuation: `least_squares`, and the named `Parameter` that it takes."""

from mcgc.continuation._least_squares._parameters import Parameter
from mcgc.continuation._least_squares._solve import ScaleWarning, least_squares

__all__ = ["Parameter", "ScaleWarning", "least_squares"]
