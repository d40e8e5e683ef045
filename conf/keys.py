"""Stage keys: what a stage's result depends on, as one hash.

A key names a result by its causes (the keys of its inputs, the settings of the stage, the version
of its format), never by time or place, so the same run on another machine has the same keys.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

__all__ = ["stage_key"]


def stage_key(
    stage: str, version: int, input_keys: Sequence[str], settings: Mapping[str, object]
) -> str:
    """Hash of everything that decides the result of a stage.

    Args:
        stage: name of the stage.
        version: format version of the stage's result; raise it when the code changes the result.
        input_keys: keys of the inputs, in their order.
        settings: the settings that change the result (JSON types), and no others.

    Returns:
        32 hexadecimal digits.
    """
    decisive = [stage, version, list(input_keys), _canonical(settings)]
    text = json.dumps(decisive, sort_keys=True, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _canonical(value: object) -> object:
    """Equal numbers become equal text: a default of 256 gives the same key as a written 256.0."""
    if isinstance(value, Mapping):
        return {key: _canonical(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
