"""The error tree of Strata.

Each leaf is also the natural builtin, and its type says what a caller may do about it::

    StrataError                       exit  meaning
    ├── SettingsError  (ValueError)      2  the command line or the settings cannot work
    ├── InputError     (ValueError)      3  the input breaks the data contract
    │   ├── InputMissingError (FileNotFoundError)
    │   └── RejectLimitError             too large a share of the records was unreadable
    ├── ConflictError  (RuntimeError)    4  another writer or another version holds the tables
    │   ├── ConcurrentChangeError        another process was faster; the same command may succeed
    │   └── IdentityError                catalog, warehouse and tiers are not of one corpus
    ├── BalanceError   (AssertionError)  5  a stage would publish a partial or doubled result
    ├── MachineError   (OSError)         2  the machine lacks something: Java, memory, write access
    └── TransientError (OSError)        75  the same command may succeed later

Any other exception is a bug and ends a command with exit code 1.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "BalanceError",
    "ConcurrentChangeError",
    "ConflictError",
    "IdentityError",
    "InputError",
    "InputMissingError",
    "MachineError",
    "RejectLimitError",
    "SettingsError",
    "StrataError",
    "TransientError",
]


class StrataError(Exception):
    """Root of the tree.

    Args:
        reason: one sentence that names the value and the place.
        hint: the remedy, as an instruction to the user.
    """

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, reason: str, *, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.reason} ({self.hint})" if self.hint else self.reason

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.reason, self.hint))


def _rebuild(kind: type[StrataError], reason: str, hint: str) -> StrataError:
    return kind(reason, hint=hint)


class SettingsError(StrataError, ValueError):
    """The command line or the settings cannot work."""

    exit_code = 2


class MachineError(StrataError, OSError):
    """The machine lacks something that Strata needs."""

    exit_code = 2


class InputError(StrataError, ValueError):
    """The input breaks the data contract."""

    exit_code = 3


class InputMissingError(InputError, FileNotFoundError):
    """An input that the settings name does not exist."""


class RejectLimitError(InputError):
    """More records were unreadable than ``shard.max_reject_ratio`` allows."""


class ConflictError(StrataError, RuntimeError):
    """Another writer, or another version of the tables, is in the way."""

    exit_code = 4


class ConcurrentChangeError(ConflictError):
    """Another process changed something at the same moment; the same command may succeed."""

    retryable = True


class IdentityError(ConflictError):
    """Catalog, warehouse and tiers are not of one corpus: one is lost, older or a copy."""


class BalanceError(StrataError, AssertionError):
    """Rows in and rows out of a stage differ, so nothing was published."""

    exit_code = 5


class TransientError(StrataError, OSError):
    """A store or a service failed in a way that a retry may fix."""

    exit_code = 75
    retryable = True
