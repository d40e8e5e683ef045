"""The request of a retraction: what to take out, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from strata.errors import SettingsError
from strata.pipelines.tables.retractions import Selector, SelectorKind
from strata.storage.contracts.url import percent_encoded

__all__ = ["ExpiryPolicy", "MissingPolicy", "RetractRequest", "parse_list"]


class MissingPolicy(StrEnum):
    """What to do about a selector that names no document."""

    REFUSE = "refuse"
    ALLOW = "allow"


class ExpiryPolicy(StrEnum):
    """When the older snapshots, which still hold the documents, are expired."""

    BY_POLICY = "by_policy"
    """By the next `strata storage expire` and `gc`."""
    NOW = "now"
    """At the end of the retraction."""


@dataclass(frozen=True, slots=True)
class RetractRequest:
    """A retraction as requested.

    Attributes:
        selectors: distinct, in ascending order; none to finish an interrupted retraction.
        reason: why, for the table and the receipt.
        missing: what to do about selectors that name nothing.
        expiry: when older snapshots are expired.
    """

    selectors: tuple[Selector, ...]
    reason: str | None = None
    missing: MissingPolicy = MissingPolicy.REFUSE
    expiry: ExpiryPolicy = ExpiryPolicy.BY_POLICY

    @classmethod
    def of(
        cls,
        selectors: Iterable[Selector],
        reason: str | None,
        missing: MissingPolicy,
        expiry: ExpiryPolicy,
    ) -> RetractRequest:
        """A request; a repeated selector counts once.

        Raises:
            SettingsError: a value is empty, or is not a number where one is needed.
        """
        # As a folder that is not UTF-8 on disk gave its name to a source.
        found = tuple(
            sorted({Selector(each.kind, percent_encoded(each.value)) for each in selectors})
        )
        for selector in found:
            if not selector.value or (
                selector.kind is SelectorKind.DOC_ID and not _is_doc_id(selector.value)
            ):
                raise SettingsError(
                    f"--{selector.kind.replace('_', '-')} {selector.value!r} names nothing",
                    hint="give a value; a doc_id is a number from 0 to 2^63 - 1",
                )
        return cls(found, reason, missing, expiry)


def _is_doc_id(value: str) -> bool:
    return value.isascii() and value.isdecimal() and int(value) < 1 << 63


def parse_list(kind: SelectorKind, text: str) -> list[Selector]:
    """The values of a file with one value per line; blank lines are skipped."""
    lines = (line.removesuffix("\r") for line in text.split("\n"))
    return [Selector(kind, line) for line in lines if line.strip()]
