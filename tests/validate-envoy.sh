#!/usr/bin/env bash
# Lets the real Envoy read every file in envoy/, and the sidecar's in k8s/ (`--mode validate`). The certificate that edge-tls.yaml names is replaced by a fresh one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost \
  -keyout "$scratch/tls.key" -out "$scratch/tls.crt" 2>"$scratch/openssl.log" || { cat "$scratch/openssl.log"; exit 1; }

for file in envoy/*.yaml k8s/overlays/sidecar/envoy.yaml; do
  sed "s#/etc/envoy/tls/#$scratch/#" "$file" >"$scratch/envoy.yaml"
  if .peers/bin/envoy --mode validate --log-level warning -c "$scratch/envoy.yaml" >"$scratch/log" 2>&1; then
    echo "$file: valid"
    grep -E '\[(warning|error)\]' "$scratch/log" || :
  else
    echo "$file: REFUSED by Envoy"
    cat "$scratch/log"
    exit 1
  fi
done
