"""A client of a Dask cluster from an address: of one that runs somewhere, or of one made on this machine."""

import logging
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from mcgc.errors import InputError

PATIENCE = 20.0  # seconds to connect, and to connect again to a scheduler that is gone
FORMS = "tcp://HOST:PORT, tls://HOST:PORT or local:N"
_ALONE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def parse(address: str) -> int | str:
    """Return N of an address `local:N`, or the address of a scheduler.

    Parameters
    ----------
    address : str
        `tcp://HOST:PORT`, `tls://HOST:PORT` or `local:N`.

    Raises
    ------
    InputError
        If it has another form.
    """
    local = re.fullmatch(r"local:([1-9]\d{0,3})", address)
    if local:
        return int(local[1])
    if not re.fullmatch(r"(tcp|tls|ucx|ws|wss)://[^\s/]+:\d+", address):
        raise InputError(f"the address of a Dask cluster is {FORMS}, got {address!r}")
    return address


@contextmanager
def client_of(cluster: Any) -> Iterator[Any]:
    """Yield a client of a cluster, and close at the end what was made here.

    `local:N` makes a scheduler and N processes of one thread each on this machine, which listen on 127.0.0.1 alone. The
    certificates for `tls://` are those of Dask's configuration.

    Parameters
    ----------
    cluster : str or distributed.Client
        An address as of `parse`, or a client, which is yielded as it is.

    Raises
    ------
    InputError
        If the address has another form, `distributed` is not installed, or no scheduler answers.
    """
    where = parse(cluster) if isinstance(cluster, str) else cluster
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise InputError(f"Dask needs the package distributed: pip install mcgc[cluster] ({error})") from None
    if not isinstance(where, int | str):
        if not isinstance(where, Client) or where.asynchronous:
            raise InputError(f"client must be a distributed.Client that is not asynchronous, or {FORMS}, got {where!r}")
        yield where
        return
    with ExitStack() as stack:
        if isinstance(where, int):
            where = stack.enter_context(
                LocalCluster(
                    n_workers=where,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    env=_ALONE,
                    scheduler_kwargs={"allowed_failures": 0},  # what dies is told at once, and sent again by the calls
                    silence_logs=logging.CRITICAL,  # what is lost is told by the calls
                    preload=["mcgc._cluster._signals"],
                )
            )
        elif where.startswith(("tls:", "wss:")):
            from distributed.security import Security

            if Security().get_connection_args("client").get("ssl_context") is None:
                raise InputError(f"{where} needs certificates: set distributed.comm.tls in the configuration of Dask")
        try:
            client = stack.enter_context(Client(where, timeout=PATIENCE, set_as_default=False))
        except (OSError, TimeoutError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"no Dask scheduler answers at {cluster} ({reason}): start one with 'dask scheduler', or use local:N"
            ) from None
        yield client
