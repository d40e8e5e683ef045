"""The process that learns merges: gigatoken's trainer prints on stdout, which a job keeps clean."""

from __future__ import annotations

import json
import os
import sys

__all__ = ["SEPARATOR", "serve"]

# Stands between documents; no UTF-8 text holds this byte.
SEPARATOR = b"\xff"


def serve() -> None:
    """Read a vocabulary size (a line) and documents from stdin; write the merges to stdout.

    The merges are a JSON list of pairs, each byte as the character of the same number.
    """
    import gigatoken

    answer = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="ascii")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    vocab_size = int(sys.stdin.buffer.readline())
    _, merges = gigatoken.train_bpe(sys.stdin.buffer.read(), vocab_size, [], separator=SEPARATOR)
    with answer:
        json.dump(
            [(left.decode("latin-1"), right.decode("latin-1")) for left, right in merges], answer
        )
