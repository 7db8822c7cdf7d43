#!/usr/bin/env bash
# Makes a certificate authority and one certificate for all machines of a cluster: certificates.sh DIRECTORY HOST...
set -euo pipefail
directory=$1 && shift
names=$(printf ",DNS:%s" "$@")
mkdir -p "$directory" && cd "$directory" && umask 077
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 \
  -subj "/CN=mcgc cluster" -keyout ca.key -out ca.pem
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" -keyout cluster.key -out cluster.csr
openssl x509 -req -in cluster.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 \
  -extfile <(echo "subjectAltName=${names#,}") -out cluster.pem
