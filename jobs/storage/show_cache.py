"""`strata storage cache`: what the block cache of this host holds."""

from __future__ import annotations

import argparse

from strata.errors import SettingsError
from strata.jobs.display.facts import CommandResult, print_result
from strata.settings import Settings
from strata.storage.cache.blocks import BlockCache
from strata.storage.contracts.cache_options import CacheOptions
from strata.storage.tables.catalog import Corpus

__all__ = ["run"]

COLUMNS = ("folder", "blocks", "bytes", "capacity_bytes", "block_bytes")


def run(settings: Settings, corpus: Corpus, arguments: argparse.Namespace) -> None:
    """Print the size of the cache; with ``--clear``, empty it.

    Raises:
        SettingsError: the settings name no cache.
    """
    options = CacheOptions.of(settings.cache)
    if options is None:
        raise SettingsError(
            f"corpus {corpus.name} has no cache", hint="name its folder: [cache] folder = …"
        )
    cache = BlockCache(options)
    usage = cache.clear() if arguments.clear else cache.usage()
    row = {
        "folder": options.folder,
        "blocks": usage.blocks,
        "bytes": usage.n_bytes,
        "capacity_bytes": options.capacity_bytes,
        "block_bytes": options.block_bytes,
    }
    sentence = "these blocks were removed" if arguments.clear else ""
    print_result(
        CommandResult("cache", COLUMNS, [row], {"cleared": arguments.clear}, sentence),
        output=arguments.output,
    )
