"""Strata: raw text to training corpus, on Spark.

From Python it is :func:`strata.open`; see :mod:`strata.jobs.corpus`.

Floor 0: settings, errors, version. The floors above are :mod:`strata.storage`,
:mod:`strata.pipelines` and :mod:`strata.jobs`; an import only ever points down. The one exception
is here: the public names are looked up when they are first used, so that importing
:mod:`strata` loads nothing but the version.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from strata import version

if TYPE_CHECKING:
    from strata.errors import (
        BalanceError,
        ConcurrentChangeError,
        ConflictError,
        IdentityError,
        InputError,
        InputMissingError,
        MachineError,
        RejectLimitError,
        SettingsError,
        StrataError,
        TransientError,
    )
    from strata.jobs.corpus import Corpus, Table, open

__all__ = [
    "BalanceError",
    "ConcurrentChangeError",
    "ConflictError",
    "Corpus",
    "IdentityError",
    "InputError",
    "InputMissingError",
    "MachineError",
    "RejectLimitError",
    "SettingsError",
    "StrataError",
    "Table",
    "TransientError",
    "__version__",
    "open",
]

__version__ = version.VERSION

_CORPUS = frozenset({"Corpus", "Table", "open"})


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    place = "strata.jobs.corpus" if name in _CORPUS else "strata.errors"
    return getattr(import_module(place), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
