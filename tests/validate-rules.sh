#!/usr/bin/env bash
# Lets promtool read the alert rules, and see which alerts come of which series.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

.peers/bin/promtool check rules k8s/observability/rules.yaml
.peers/bin/promtool test rules tests/observability/*.test.yaml
