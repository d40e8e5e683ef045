"""How files are reached: options by URL prefix, with secrets left in the environment until used."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from strata.errors import SettingsError
from strata.storage.contracts.cache_options import CacheOptions
from strata.storage.contracts.tier_hints import TierHints
from strata.storage.contracts.transfer_policy import TransferPolicy
from strata.storage.contracts.url import Url

if TYPE_CHECKING:
    from strata.settings import Settings

__all__ = ["StorageOptions", "from_environment"]

_ENV = "env:"


@dataclass(frozen=True, slots=True, repr=False)
class StorageOptions:
    """Options of fsspec filesystems and hints of tiers, by the longest matching URL prefix.

    Attributes:
        by_prefix: ``{"s3://bucket": {"key": "env:S3_KEY", …}}``. A value "env:NAME" is read from
            the environment of the process that opens the file.
        hints: what each tier requests of its store, by the URL of the tier.
        transfer: sizes and limits of transfers.
        cache: the block cache of remote files, if there is one.
        warehouse: URL of the warehouse, whose staging folder is never synced.
        staging: folder of what one attempt of a run stages; files that others staged are refused.
    """

    by_prefix: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    hints: Mapping[str, TierHints] = field(default_factory=dict)
    transfer: TransferPolicy = field(default_factory=TransferPolicy)
    cache: CacheOptions | None = None
    warehouse: str = ""
    staging: Url | None = None

    @classmethod
    def of(cls, settings: Settings) -> StorageOptions:
        """The options from the settings of a corpus."""
        hints = {str(Url.parse(tier.url)): TierHints.of(tier) for tier in settings.tiers.values()}
        return cls(
            settings.storage_options,
            {url: each for url, each in hints.items() if each != TierHints()},
            TransferPolicy.of(settings.transfer),
            CacheOptions.of(settings.cache),
            str(Url.parse(settings.warehouse)),
        )

    @classmethod
    def from_json(cls, text: str) -> StorageOptions:
        """The options in what :meth:`to_json` returned."""
        if not text:
            return cls()
        facts = json.loads(text)
        hints = {
            url: TierHints(**{**each, "endpoints": tuple(each["endpoints"])})
            for url, each in facts["hints"].items()
        }
        cache = facts["cache"] and CacheOptions(**facts["cache"])
        policy = TransferPolicy(**facts["transfer"])
        return cls(facts["by_prefix"], hints, policy, cache, facts["warehouse"])

    def to_json(self) -> str:
        """The options as text, with "env:NAME" where a secret belongs."""
        facts = {
            "by_prefix": self.by_prefix,
            "hints": {url: asdict(each) for url, each in self.hints.items()},
            "transfer": asdict(self.transfer),
            "cache": self.cache and asdict(self.cache),
            "warehouse": self.warehouse,
        }
        return json.dumps(facts, default=dict)

    def __repr__(self) -> str:
        shown = {prefix: sorted(options) for prefix, options in self.by_prefix.items()}
        return f"StorageOptions({shown})"

    def hints_of(self, url: Url) -> tuple[str, TierHints]:
        """The URL of the tier that holds ``url``, and its hints; empty where none has any."""
        best = _longest(self.hints, url)
        return ("", TierHints()) if best is None else (best, self.hints[best])

    def resolve(self, url: Url) -> dict[str, Any]:
        """The keyword arguments of the filesystem that holds ``url``.

        Raises:
            SettingsError: a value names an environment variable that is not set.
        """
        best = _longest(self.by_prefix, url)
        if best is None:
            return {}
        return {
            name: from_environment(value, f'storage_options."{best}"')
            for name, value in self.by_prefix[best].items()
        }


def _longest(prefixes: Iterable[str], url: Url) -> str | None:
    text = url.spelled
    return max((prefix for prefix in prefixes if _covers(prefix, text)), key=len, default=None)


def _covers(prefix: str, text: str) -> bool:
    return text == prefix or text.startswith(prefix if prefix.endswith("/") else f"{prefix}/")


def from_environment(value: object, place: str) -> object:
    """Replace "env:NAME" in ``value`` by the environment variable, inside mappings too.

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
