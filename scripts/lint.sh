#!/usr/bin/env bash
# Style, types, layers and the plugin manifest; stops at the first that complains.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy"
"$bin/lint-imports"
"$bin/npe2" validate napari_infosam/napari.yaml
