"""Nonlinear regression problems with certified values: NIST's Statistical Reference Datasets, from both starts.

`problems.json` has the data, the starts and the certified values of the 27 problems
(https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml), a work of the US government in the public domain. The
formulas are written anew from the stated models.
"""
