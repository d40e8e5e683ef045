"""Which tokenizer a corpus uses, and the key of the tokens that it gives."""

from __future__ import annotations

from strata.keys import stage_key
from strata.pipelines.lineage.keys import wants_cuts
from strata.pipelines.lineage.upstream import Upstream
from strata.pipelines.tokenization.spec import TokenizerSpec, load_spec
from strata.settings import TokenizeSettings, TrainSettings
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url

__all__ = ["named_spec", "tokens_key", "training_of"]


# Increment when the code changes what is written for the same documents and tokenizer.
TOKENS_VERSION = 1
DEFAULT_TRAINING = TrainSettings(vocab_size=32_000)


def named_spec(settings: TokenizeSettings, store: Store) -> TokenizerSpec | None:
    """The tokenizer that the settings name; None where one is trained."""
    if settings.tokenizer is None:
        return None
    return load_spec(settings, lambda text: store.read_bytes(Url.parse(text)))


def training_of(settings: TokenizeSettings) -> TrainSettings:
    """How a tokenizer is trained where none is named."""
    return settings.train or DEFAULT_TRAINING


def tokens_key(upstream: Upstream, settings: TokenizeSettings, loaded: TokenizerSpec | None) -> str:
    """Key of the tokens, given the upstream state of the stage and the settings."""
    decisive: dict[str, object] = {
        "bos": settings.bos,
        "eos": settings.eos,
        "clean": upstream.settings.write_clean,
        "tokenizer": loaded.fingerprint if loaded else training_of(settings).model_dump(),
    }
    input_keys = [upstream.removals_key]
    if wants_cuts(upstream.settings):
        input_keys.append(upstream.cuts_key)
    return stage_key("tokenize", TOKENS_VERSION, input_keys, decisive)
