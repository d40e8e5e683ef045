"""A virtual environment for each peer, made once from its pinned requirements."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"
INSTALL_SECONDS = 1800


class NotInstallableError(RuntimeError):
    """This machine cannot install a peer; the message is the installer's reason."""


def peer_python(requirements: Path, cache: Path) -> Path:
    """The Python of the environment with these requirements, made when it is missing or changed.

    Args:
        requirements: pinned packages, in pip's format.
        cache: folder that keeps one environment for each requirements file.

    Raises:
        NotInstallableError: the environment could not be made.
    """
    folder = cache / requirements.stem
    python, ready = folder / "bin" / "python", folder / "made-from"
    key = _key(requirements)
    if ready.is_file() and ready.read_text() == key:
        return python
    _run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)])
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    _run([*pip, "install", "--quiet", "--requirement", str(requirements)])
    ready.write_text(key)
    return python


def _key(requirements: Path) -> str:
    version = ".".join(map(str, sys.version_info[:3]))
    return f"{version} {hashlib.sha256(requirements.read_bytes()).hexdigest()}"


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise NotInstallableError(f"no end after {INSTALL_SECONDS} s") from error
    if done.returncode:
        raise NotInstallableError(_reason(done.stderr or done.stdout))


def _reason(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no message"]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines)[-1]
