"""Checks of the places that the settings name: every tier, and the catalog."""

from __future__ import annotations

import shutil
import uuid
from contextlib import closing
from pathlib import Path

from strata.errors import IdentityError, StrataError
from strata.jobs.doctor.check import Check
from strata.settings import Settings
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.stores.opening import open_store
from strata.storage.tables.belonging import refuse
from strata.storage.writing.tiers import Tier, tiers_of

__all__ = ["check_catalog", "check_places", "check_tiers"]

PROBE = b"strata doctor"
GIB = 1 << 30
# What a filesystem raises when its library or its options are missing.
FAILURES = (StrataError, OSError, ImportError, ValueError)


def check_places(settings: Settings) -> list[Check]:
    """Check the tiers and the catalog; nothing is written where they do not belong together."""
    try:
        from strata.storage.tables.catalog import look_at

        with closing(look_at(settings)) as look:
            refuse(settings.corpus, look.findings)
    except IdentityError as error:
        return [Check.failed("corpus", error, "")]
    except FAILURES:
        # The check of the catalog, or of a tier, tells it.
        pass
    return [*check_tiers(settings), check_catalog(settings)]


def check_tiers(settings: Settings) -> list[Check]:
    """Write, read back and delete one small file in each tier."""
    store = open_store(StorageOptions.of(settings))
    return [_check_tier(store, tier) for tier in tiers_of(settings).values()]


def _check_tier(store: Store, tier: Tier) -> Check:
    name, probe = f"tier {tier.name}", tier.url / f".strata-doctor-{uuid.uuid4().hex}"
    remedy = f"give write access to {tier.url}, or set storage_options for it"
    try:
        store.write_bytes(probe, PROBE)
        answer = store.read_bytes(probe)
        store.delete(probe)
    except FAILURES as error:
        return Check.failed(name, error, remedy)
    if answer != PROBE:
        detail = f"{tier.url} gave back {len(answer)} other bytes than were written"
        return Check(name, ok=False, detail=detail, remedy="check the store behind this URL")
    return Check(name, ok=True, detail=f"{tier.url} can be written{_free(tier.url)}")


def _free(url: Url) -> str:
    if url.scheme != "file":
        return ""
    return f", {shutil.disk_usage(Path(url.path)).free / GIB:.1f} GiB free"


def check_catalog(settings: Settings) -> Check:
    """Open the catalog, load all tables, and change something that is taken back at once."""
    remedy = "check [catalog] of the settings, and that its service can be reached"
    try:
        from strata.storage.tables.catalog import check_catalog_file, open_corpus

        with open_corpus(settings) as corpus:
            corpus.load_tables()
        check_catalog_file(settings)
    except FAILURES as error:
        return Check.failed("catalog", error, remedy)
    detail = f"the catalog of corpus {settings.corpus!r} opens, and can be written"
    return Check("catalog", ok=True, detail=detail)
