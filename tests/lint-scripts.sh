#!/usr/bin/env bash
# Does every script parse? (bash -n, node --check, py_compile; no tool beyond what the tests need anyway.)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts() { # scripts <suffix>
  find tests .ci benches k8s -name "*.$1" -not -path '*/node_modules/*' 2>/dev/null || :
}

for file in .ci/run $(scripts sh); do bash -n "$file"; done
for file in $(scripts mjs) $(scripts js); do node --check "$file"; done
for file in $(scripts py); do PYTHONPYCACHEPREFIX=target/pycache python3 -W error -m py_compile "$file"; done
echo "scripts parse"
