#!/usr/bin/env bash
# Resolves constraints.txt: one exact version of every dependency, for every Python >= 3.11 and platform.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tool=build/uv
header='# Exact versions of everything that Strata, its extras and its development need, for Python >= 3.11
# on any platform. `make constraints` resolves them anew.'

[ -x "$tool/bin/uv" ] || python3 -m venv "$tool"
"$tool/bin/python" -m pip install --quiet --disable-pip-version-check uv
resolved=$(echo 'setuptools>=77' | "$tool/bin/uv" pip compile pyproject.toml - \
  --universal --python-version 3.11 --all-extras --quiet --no-header --no-annotate)
printf '%s\n%s\n' "$header" "$resolved" >constraints.txt
