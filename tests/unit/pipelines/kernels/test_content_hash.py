import random

import pyarrow as pa
import pytest
import xxhash

from strata.pipelines.kernels.content_hash import content_hash, hash64


def expected(text):
    body = text.encode()
    return b"".join(xxhash.xxh64_intdigest(body, s).to_bytes(8, "little") for s in (0, 1))


def test_content_hash_of_every_length_equals_xxhash():
    rng = random.Random(1)
    samples = ["".join(rng.choices("abc é中\U0001f600", k=n)) for n in range(140)]
    samples.append("x" * 1_000_003)
    result = content_hash(pa.array(samples, pa.large_string()))
    assert result.type == pa.binary(16)
    assert result.to_pylist() == [expected(text) for text in samples]


def test_content_hash_of_sliced_array_equals_xxhash():
    samples = [f"document number {i} " * i for i in range(20)]
    part = pa.array(samples, pa.large_string()).slice(7, 6)
    assert content_hash(part).to_pylist() == [expected(text) for text in samples[7:13]]


def test_content_hash_of_no_documents_is_empty():
    assert len(content_hash(pa.array([], pa.large_string()))) == 0


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_hash64_of_strings_equals_xxhash(kind):
    samples = ["", "a", "id-17", "päth/to/中", "x" * 100]
    hashes = hash64(pa.array(["skipped", *samples], kind).slice(1))
    assert [h % 2**64 for h in hashes.tolist()] == [
        xxhash.xxh64_intdigest(text.encode()) for text in samples
    ]


def test_hash64_of_numbers_raises_type_error():
    with pytest.raises(TypeError, match="expected a string or large_string array, not int64"):
        hash64(pa.array([1, 2]))
