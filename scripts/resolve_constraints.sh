#!/usr/bin/env bash
# Resolves constraints.txt: one exact version of every dependency, for every Python >= 3.11 and platform.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tool=build/resolver
header='# Exact versions of everything that Strata, its extras and its development need, for Python >= 3.11
# on any platform. `make constraints` resolves them anew.'

[ -x "$tool/bin/pip" ] || python3 -m venv "$tool"
resolved=$(printf 'setuptools>=77\nuv\n' | "$tool/bin/python" scripts/run_uv.py \
  pip compile pyproject.toml - --universal --python-version 3.11 --all-extras --quiet --no-header --no-annotate)
printf '%s\n%s\n' "$header" "$resolved" >constraints.txt
