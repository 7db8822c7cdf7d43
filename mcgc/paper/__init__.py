"""The studies of the paper: test functions, ensembles, and the comparison of ensembles."""

from mcgc.paper import comparison, ensembles, studies, test_functions

__all__ = [
    "comparison",
    "ensembles",
    "studies",
    "test_functions",
]
