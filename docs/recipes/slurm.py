"""Trains members on a Slurm cluster: python slurm.py TABLE.csv TARGET RUN.h5 WORKERS, on a login node or in a job.

Needs `pip install mcgc[cluster] dask-jobqueue cryptography` in an environment that all nodes see. Workers are jobs of
their own: they come when Slurm starts them, and the run goes on with those that are there. Dask makes certificates for
the cluster, in a directory that all nodes see (`shared_temp_directory`).
"""

import sys

import pandas
from dask_jobqueue import SLURMCluster
from distributed import Client
from distributed.security import Security

import mcgc


def main(table, target, run, workers):
    """Train 100 members on a column of a table."""
    with SLURMCluster(
        cores=16,
        processes=16,  # of one thread each
        memory="32GB",
        walltime="04:00:00",
        queue="normal",
        interface="ib0",  # the network that the nodes share
        protocol="tls://",
        security=Security.temporary(),
        job_script_prologue=["export NUMBA_NUM_THREADS=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1"],
        scheduler_options={"dashboard_address": "127.0.0.1:0"},
    ) as cluster:
        cluster.adapt(minimum=1, maximum=workers)
        with Client(cluster) as client:
            found = mcgc.fit(
                pandas.read_csv(table), "regression", target=target, members=100, output=run, client=client
            )
    print(found.results["scores"]["test"])


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
