#!/usr/bin/env bash
# Remake the locks: exact versions and hashes for every supported Python, no index address in them (docs/adr/0003).
set -euo pipefail
cd "$(dirname "$0")/.."
common=(--quiet --universal --generate-hashes --no-annotate --no-header --python-version 3.11 "$@")
uv=.venv/bin/uv
"$uv" pip compile "${common[@]}" pyproject.toml -o requirements/core.txt
"$uv" pip compile "${common[@]}" pyproject.toml --group dev -c requirements/core.txt -o requirements/dev.txt
# Node for those who have none: only fetched then (see Makefile).
"$uv" pip compile "${common[@]}" --group page -o requirements/page.txt
