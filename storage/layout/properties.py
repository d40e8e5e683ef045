"""Names of the properties that Strata gives to snapshots, tables and namespaces.

All begin with `PREFIX`. They are persisted: a name never changes, and two things never share one.
"""

from __future__ import annotations

__all__ = [
    "AGAINST",
    "CONTENT_KEY",
    "CORPUS_HOME",
    "CORPUS_ID",
    "CORPUS_PLACE",
    "CUT_CONTAINED",
    "CUT_DOCUMENTS",
    "CUT_LEDGER",
    "DOCUMENTS_KEY",
    "DOCUMENT_COUNT",
    "FINGERPRINT_FORMAT",
    "FIRST_PROMOTED",
    "LAST_DOC_ID",
    "PREFIX",
    "PROMOTED",
    "RESULT_MS",
    "RETRACTION",
    "RETRACTION_STATE",
    "ROWS_ADDED",
    "ROWS_REMOVED",
    "RUN_ID",
    "SETTINGS_KEY",
    "TOKENIZER",
    "TOKENIZER_FINGERPRINT",
    "TOKENIZER_KIND",
    "TOKENIZER_VOCAB_SIZE",
    "VERSION_KEY",
]

PREFIX = "strata."

CORPUS_ID = "strata.corpus-id"
"""Of a namespace: the identity of the corpus."""
CORPUS_HOME = "strata.corpus-home"
"""Of a namespace: the folder of the corpus in its warehouse."""
CORPUS_PLACE = "strata.corpus-place."
"""Of a namespace, followed by a digest: a folder that carries the identity of the corpus."""

CONTENT_KEY = "strata.content-key"
"""Of a snapshot: the content key, which names its result by its causes."""
SETTINGS_KEY = "strata.settings-key"
"""Of a snapshot: the key of the settings alone, which does not change when documents are added."""
RUN_ID = "strata.run-id"
"""Of a snapshot: the run that published it."""
RESULT_MS = "strata.result-ms"
"""Of a rewrite: when the rows that it holds were published, milliseconds since 1970."""
VERSION_KEY = "strata.version"
"""Of a snapshot, a table and the footer of a file: the version of Strata that made it."""

DOCUMENTS_KEY = "strata.documents-key"
"""Of a result over documents: the key of the `documents` that it covers."""
DOCUMENT_COUNT = "strata.documents"
"""Of a result over documents: the number of those that it covers."""
LAST_DOC_ID = "strata.last-doc-id"
"""Of a result over documents: the largest id among them."""

FINGERPRINT_FORMAT = "strata.fingerprint-format"
"""Of `fingerprints`: how they were made; only equal formats can be compared."""
AGAINST = "strata.against"
"""Of `clusters`: the reference corpora that its documents were compared with, as JSON."""

CUT_DOCUMENTS = "strata.cut-documents"
"""Of `cuts`: the key of the `documents` that the cuts were made from."""
CUT_LEDGER = "strata.cut-ledger"
"""Of `cuts`: the key of the `clusters` that the cuts were made from."""
CUT_CONTAINED = "strata.cut-contained"
"""Of `cuts`: the key of the `contained` that the cuts were made from."""

TOKENIZER = "strata.tokenizer"
"""Of a snapshot of `tokens`: fingerprint of the tokenizer that encoded it."""
TOKENIZER_FINGERPRINT = "strata.tokenizer.fingerprint"
"""Of the table `tokens`: fingerprint of its newest tokenizer."""
TOKENIZER_KIND = "strata.tokenizer.kind"
"""Of the table `tokens`: kind of its newest tokenizer."""
TOKENIZER_VOCAB_SIZE = "strata.tokenizer.vocab-size"
"""Of the table `tokens`: number of distinct tokens of its newest tokenizer."""

RETRACTION = "strata.retraction"
"""Of a snapshot that a retraction made: its key."""
RETRACTION_STATE = "strata.retraction-state"
"""Of `retractions`: whether the newest one is finished."""
ROWS_REMOVED = "strata.retraction-rows-removed"
"""Of a snapshot that a retraction made: number of the rows that it removed."""
ROWS_ADDED = "strata.retraction-rows-added"
"""Of a snapshot that a retraction made: number of the rows that it added."""
PROMOTED = "strata.retraction-promoted"
"""Of `clusters`: number of documents that a retraction made survivors."""
FIRST_PROMOTED = "strata.retraction-first-promoted"
"""Of `clusters`: the first few of them."""
