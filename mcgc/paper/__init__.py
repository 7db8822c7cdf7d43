"""The figures of the paper, and what they need: test functions, ensembles and their comparison."""

from mcgc.paper import comparison, ensembles, studies, test_functions

__all__ = [
    "comparison",
    "ensembles",
    "studies",
    "test_functions",
]
