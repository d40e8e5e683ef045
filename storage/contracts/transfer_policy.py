"""How files are moved, as a value that travels to the workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from strata.storage_settings import TransferSettings

__all__ = ["TransferPolicy"]

_MB = 1 << 20


@dataclass(frozen=True, slots=True)
class TransferPolicy:
    """Sizes and limits of transfers, and whether they wait for the disk.

    All open outputs of a process together hold at most ``window`` parts, and each one more; an open
    input holds three, a Parquet scan the row groups of one request and of the next.

    Attributes:
        part_bytes: bytes of a part of an upload, and of one read of a sequential input.
        window: parts and ranges that a worker process has in flight.
        attempts: how often a request is sent in all.
        retry_seconds: time after which a request is not sent again.
        timeout_seconds: longest time that a server may be silent.
        first_pause: upper bound of the first pause, seconds; it doubles with each attempt.
        longest_pause: upper bound of any pause, seconds.
        sync: whether a local file is on the disk when its output has closed.
    """

    part_bytes: int = 8 * _MB
    window: int = 4
    attempts: int = 6
    retry_seconds: float = 120.0
    timeout_seconds: float = 60.0
    first_pause: float = 0.2
    longest_pause: float = 10.0
    sync: bool = True

    @classmethod
    def of(cls, settings: TransferSettings) -> TransferPolicy:
        """The policy from the settings of ``[transfer]``."""
        return cls(
            part_bytes=round(settings.part_mb * _MB),
            window=settings.window,
            attempts=settings.attempts,
            retry_seconds=settings.retry_seconds,
            timeout_seconds=settings.timeout_seconds,
            sync=settings.sync,
        )
