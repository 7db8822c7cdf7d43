"""Monte Carlo Gaussian continuation: trains models that get stuck."""

__version__ = "0.1.0.dev0"
