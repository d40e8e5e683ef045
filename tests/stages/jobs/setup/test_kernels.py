"""The kernels that tasks call are compiled beforehand."""

from concurrent.futures import ThreadPoolExecutor

from numba.core.dispatcher import Dispatcher

from strata.jobs.setup.kernels import compile_kernels, drop_compiled
from strata.pipelines.kernels import (
    bucket_scan,
    containment,
    content_hash,
    cutting,
    minhash,
    passages,
    run_merging,
    shingle_sets,
    signature_index,
    substrings,
    word_offsets,
)
from strata.pipelines.readers import dates, json_compose, json_scan, utf8
from strata.pipelines.tokenization import encoders

# Kernels that Python calls; those that only other kernels call are compiled with these.
CALLED = (
    bucket_scan.scan_buckets,
    containment._fill,
    containment._scan_all,
    content_hash._hash_all,
    cutting._cut_all,
    run_merging._merge,
    run_merging._flush,
    dates.scan_instants,
    json_compose.add_members,
    json_compose.bare_members,
    json_compose.quote_all,
    json_scan.scan_lines,
    json_scan.unescape_all,
    minhash._sketch_all,
    signature_index._insert,
    signature_index._probe,
    shingle_sets._collect_all,
    shingle_sets._count_shared,
    passages._hash_passages,
    passages._line_begins,
    passages._paragraph_begins,
    substrings._emit_anchors,
    substrings._emit_runs,
    word_offsets._find_offsets,
    encoders._copy,
    utf8.are_utf8,
)


def test_compile_kernels_leaves_none_to_the_first_run(tmp_path):
    assert all(isinstance(kernel, Dispatcher) for kernel in CALLED)

    # In this process, whose kernels tell what was compiled or loaded.
    with ThreadPoolExecutor(1) as pool:
        compile_kernels(tmp_path, pool)

    assert [kernel.__name__ for kernel in CALLED if not kernel.signatures] == []


def test_kernels_compiled_before_are_dropped(tmp_path):
    cache = tmp_path / "kernels" / "__pycache__"
    cache.mkdir(parents=True)
    for name in ("hashing._mix-1.py311.nbi", "hashing._mix-1.py311.1.nbc", "hashing.pyc"):
        (cache / name).write_bytes(b"")
    drop_compiled(tmp_path)
    assert [file.name for file in cache.iterdir()] == ["hashing.pyc"]
