#!/usr/bin/env bash
# Starts a scheduler here and workers on other machines by ssh: lan.sh DIRECTORY ADDRESS HOST...
# DIRECTORY has the certificates (certificates.sh) on all machines, and ADDRESS is the one of this machine that they
# reach. All machines have the same versions of mcgc, NumPy and Numba, and the same Python. Ctrl-C ends all of it.
set -euo pipefail
directory=$1 address=$2 && shift 2
tls="--tls-ca-file $directory/ca.pem --tls-cert $directory/cluster.pem --tls-key $directory/cluster.key"
trap 'kill $(jobs -p) 2>/dev/null' EXIT
# shellcheck disable=SC2086 # the options are words
dask scheduler --protocol tls --host "$address" --port 8786 --no-dashboard $tls &
for host in "$@"; do
  # one process with one thread for each processor, which ends with the connection
  ssh -tt "$host" "NUMBA_NUM_THREADS=1 dask worker tls://$address:8786 --nworkers auto --nthreads 1 --no-dashboard $tls" &
done
echo "mcgc fit ... --dask tls://$address:8786"
wait
