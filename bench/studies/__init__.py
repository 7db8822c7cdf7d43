"""Drivers of the numerical experiments, beside the records of what they found. The README lists them."""
