"""What a worker process of a local cluster does as it starts: it leaves signals of the terminal to the caller."""

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Ignore what a terminal sends to all processes. Dask calls this in each worker."""
    for name in {"SIGINT", "SIGHUP"} & {*dir(signal)}:  # Windows has no SIGHUP
        signal.signal(getattr(signal, name), signal.SIG_IGN)
