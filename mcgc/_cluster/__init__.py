"""Calls on the workers of a Dask cluster. `distributed` is imported when a client is made."""

from mcgc._cluster._calls import Calls, Traffic
from mcgc._cluster._client import client_of, parse
from mcgc._cluster._versions import versions

__all__ = ["Calls", "Traffic", "client_of", "parse", "versions"]
