"""The command `strata`: signals first, then the modules, which take longer to import than to stop.

Names of files are read as UTF-8 in every locale, as in the settings: which file an input is must
not depend on who reads it. What is printed is in the encoding of the terminal.
"""

from __future__ import annotations

import gc
import os
import sys

from strata.jobs.session.signals import exit_at_once
from strata.jobs.session.standard_streams import open_standard_files

__all__ = ["console"]


def console() -> int:
    """Run the command line, and let the process end quickly."""
    exit_at_once()
    # Before anything opens a file that would become stdout.
    open_standard_files()
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        _begin_again_in_utf8()
    from strata.jobs.cli import main

    code = main()
    # At exit the interpreter would spend half a second on freeing what the process leaves anyway.
    gc.freeze()
    return code


def _begin_again_in_utf8() -> None:
    """Become a process whose names of files are UTF-8, as those of its workers then are."""
    printed = getattr(sys.stdout, "encoding", None) or "ascii"
    environment = {"PYTHONIOENCODING": printed, **os.environ, "PYTHONUTF8": "1"}
    os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], environment)


if __name__ == "__main__":
    sys.exit(console())
