#!/usr/bin/env bash
# build_docs.sh FOLDER - the documentation site; a broken link, anchor or name of the API fails it.
# Its tools have a virtual environment of their own: they read Strata's sources and need none of its dependencies.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
site=$1
venv=build/docs-venv
extra='import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")'

[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -c "$extra" >build/docs-requirements.txt
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --retries 5 \
  --constraint constraints.txt --requirement build/docs-requirements.txt
rm -rf "$site"
"$venv/bin/sphinx-build" --fail-on-warning --quiet --conf-dir docs . "$site"
echo '<!doctype html><meta http-equiv="refresh" content="0; url=docs/index.html">' >"$site/index.html"
echo "$site/index.html"
