"""fsspec options by URL prefix, with secrets left in the environment until they are used."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from strata.errors import SettingsError
from strata.storage.url import Url

if TYPE_CHECKING:
    from strata.settings import Settings

__all__ = ["StorageOptions", "from_environment"]

_ENV = "env:"


@dataclass(frozen=True, slots=True, repr=False)
class StorageOptions:
    """Options of fsspec filesystems, chosen by the longest matching URL prefix.

    Attributes:
        by_prefix: ``{"s3://bucket": {"key": "env:S3_KEY", …}}``. A value "env:NAME" is read from
            the environment of the process that opens the file.
    """

    by_prefix: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings) -> StorageOptions:
        """The options that the settings of a corpus give."""
        return cls(settings.storage_options)

    @classmethod
    def from_json(cls, text: str) -> StorageOptions:
        """What :meth:`to_json` made."""
        return cls(**json.loads(text)) if text else cls()

    def to_json(self) -> str:
        """The options as text, with "env:NAME" where a secret belongs."""
        return json.dumps({"by_prefix": self.by_prefix}, default=dict)

    def __repr__(self) -> str:
        shown = {prefix: sorted(options) for prefix, options in self.by_prefix.items()}
        return f"StorageOptions({shown})"

    def resolve(self, url: Url) -> dict[str, Any]:
        """The keyword arguments of the filesystem that holds ``url``.

        Raises:
            SettingsError: a value names an environment variable that is not set.
        """
        text = str(url)
        best = max((p for p in self.by_prefix if _covers(p, text)), key=len, default=None)
        if best is None:
            return {}
        return {
            name: from_environment(value, f'storage_options."{best}"')
            for name, value in self.by_prefix[best].items()
        }


def _covers(prefix: str, text: str) -> bool:
    return text == prefix or text.startswith(prefix if prefix.endswith("/") else f"{prefix}/")


def from_environment(value: object, place: str) -> object:
    """Put environment variables where ``value`` says "env:NAME"; mappings are searched through.

    Raises:
        SettingsError: a variable is not set; the message names it and its ``place``.
    """
    if isinstance(value, Mapping):
        return {name: from_environment(inner, place) for name, inner in value.items()}
    if not isinstance(value, str) or not value.startswith(_ENV):
        return value
    name = value.removeprefix(_ENV)
    if name not in os.environ:
        raise SettingsError(
            f"{place} needs the environment variable {name}, which is not set",
            hint=f"export {name}, on the workers too",
        )
    return os.environ[name]
