"""run_uv.py ARGUMENT... - runs uv with the indexes, certificates and proxy that pip is set to.

uv is the one on PATH, else the one from PyPI, which the pip of this interpreter puts into build/uv.
By itself uv reads neither pip.conf nor PIP_*. The exit code is 1 where uv cannot be had, or pip is
set to something that is not known to mean the same to uv: the caller then uses pip.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

OWN = Path(__file__).resolve().parents[1] / "build" / "uv"
# From the weakest to the strongest.
SECTIONS = ("global", "install", ":env:")
EQUIVALENTS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "retries": "UV_HTTP_RETRIES",
}
# Settings of pip that do not decide what is installed from where; constraints are arguments.
INDIFFERENT = frozenset(
    {
        "build-constraint", "cache-dir", "config-file", "constraint", "disable-pip-version-check",
        "log", "no-cache-dir", "no-color", "no-compile", "no-input", "no-python-version-warning",
        "no-warn-script-location", "progress-bar", "quiet", "require-virtualenv",
        "root-user-action", "verbose",
    }
)  # fmt: skip


class UvUnusableError(Exception):
    """uv cannot stand in for pip here; the text says why."""


def pip_settings(listing: str) -> dict[str, str]:
    """What `pip install` is set to, by option, from the output of `pip config list`."""
    found: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in listing.splitlines():
        place, _, value = line.partition("=")
        section, _, option = place.rpartition(".")
        if section in found:
            found[section][option] = ast.literal_eval(value)
    return {option: value for each in SECTIONS for option, value in found[each].items() if value}


def uv_variables(settings: Mapping[str, str]) -> dict[str, str]:
    """Environment variables that set uv to the same.

    Raises:
        UvUnusableError: an option has no known equivalent.
    """
    unknown = sorted(settings.keys() - EQUIVALENTS.keys() - INDIFFERENT)
    if unknown:
        raise UvUnusableError(f"pip is set to {', '.join(unknown)}")
    variables = {
        EQUIVALENTS[option]: _joined(option, value)
        for option, value in settings.items()
        if option in EQUIVALENTS
    }
    if "UV_INDEX" in variables:
        # As pip does: the best version of all indexes, not the first index that has the package.
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return variables


def _joined(option: str, value: str) -> str:
    return ("," if option == "find-links" else " ").join(value.split())


def find_uv() -> str:
    """The program on PATH or in build/uv, installed there if need be.

    Raises:
        UvUnusableError: pip cannot install it, or it does not run.
    """
    own = str(OWN / "bin" / "uv")
    for program in (shutil.which("uv"), own):
        if program and _runs(program):
            return program
    _pip("install", "--retries", "2", "--upgrade", "--target", str(OWN), "uv")
    if not _runs(own):
        raise UvUnusableError(f"{own} does not run")
    return own


def _runs(program: str) -> bool:
    try:
        return not subprocess.run([program, "--version"], capture_output=True).returncode
    except OSError:
        return False


def _pip(*arguments: str) -> str:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise UvUnusableError(f"pip {arguments[0]}: {lines[-1]}")
    return done.stdout


def main(arguments: Sequence[str]) -> None:
    """Become uv, or exit with the reason why not."""
    try:
        variables = uv_variables(pip_settings(_pip("config", "list")))
        program = find_uv()
    except UvUnusableError as reason:
        sys.exit(f"uv is not used: {reason}")
    # Variables of uv's own that are set already hold.
    os.execve(program, [program, *arguments], variables | os.environ)


if __name__ == "__main__":
    main(sys.argv[1:])
