"""Which tokenizer a corpus uses, and the key of the tokens that it gives."""

from __future__ import annotations

from strata.keys import stage_key
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.lineage.keys import cuts_key, removals_key, wants_cuts
from strata.pipelines.tokenization.spec import TokenizerSpec, load_spec
from strata.settings import TokenizeSettings, TrainSettings
from strata.storage.contracts.url import Url

__all__ = ["named_spec", "tokens_key"]


# Raise it when the code changes what is written for the same documents and tokenizer.
TOKENS_VERSION = 1
DEFAULT_TRAINING = TrainSettings(vocab_size=32_000)


def named_spec(context: StageContext) -> TokenizerSpec | None:
    """The tokenizer that the settings name; None where one is trained."""
    settings = context.settings.tokenize
    if settings.tokenizer is None:
        return None
    return load_spec(settings, lambda text: context.store.read_bytes(Url.parse(text)))


def _training(settings: TokenizeSettings) -> TrainSettings:
    return settings.train or DEFAULT_TRAINING


def tokens_key(
    context: StageContext, loaded: TokenizerSpec | None, documents_key: str | None = None
) -> str:
    """Key of the tokens that documents, the present ones by default, and the settings give."""
    settings = context.settings.tokenize
    decisive: dict[str, object] = {
        "bos": settings.bos,
        "eos": settings.eos,
        "clean": context.settings.dedup.write_clean,
        "tokenizer": loaded.fingerprint if loaded else _training(settings).model_dump(),
    }
    input_keys = [removals_key(context, documents_key)]
    if wants_cuts(context.settings.dedup):
        input_keys.append(cuts_key(context.settings.dedup, input_keys[0]))
    return stage_key("tokenize", TOKENS_VERSION, input_keys, decisive)
