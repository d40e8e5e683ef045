"""Kernels over the bytes of JSON: strings, white space, UTF-8.

A string is searched 32 bytes at a time for the few bytes that end a run of ordinary ones. Numba
does not generate such code by itself, so :func:`copy_chunk` writes it with LLVM's vectors, which
work on every processor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

__all__ = [
    "BROKEN",
    "NONE",
    "WIDTH",
    "byte_at",
    "cached_kernel",
    "copy_chunk",
    "copy_raw",
    "copy_string",
    "is_utf8",
    "kernel",
    "mark_invalid",
    "skip_space",
]

Bytes = npt.NDArray[np.uint8]
Function = TypeVar("Function", bound=Callable[..., Any])

# Bytes that are examined together; every output needs this much room after its end.
WIDTH = 32
BROKEN = -1
# A literal 0 has a type of its own, for which every kernel that gets it would be compiled again.
NONE = cast("int", np.int64(0))
QUOTE, BACKSLASH, SPACE, TAB, RETURN = b'"\\ \t\r'
LOWER_U = ord("u")
FIRST_HIGH_SURROGATE, FIRST_LOW_SURROGATE, LAST_SURROGATE = 0xD800, 0xDC00, 0xDFFF
NO_DIGIT = 255

# What the letter after a backslash stands for; 0 where there is no such escape.
ESCAPES = np.zeros(256, np.uint8)
ESCAPES[list(b'"\\/bfnrt')] = list(b'"\\/\b\f\n\r\t')
DIGITS = np.full(256, NO_DIGIT, np.uint8)
DIGITS[list(b"0123456789abcdef")] = range(16)
DIGITS[list(b"ABCDEF")] = range(10, 16)


def kernel(function: Function) -> Function:
    """Compile a function that allocates nothing.

    Small functions pass arrays to each other; counting the references to these (numba's run time,
    NRT) would take most of the time.
    """
    compiled = njit(nogil=True, _nrt=False)  # type: ignore[call-overload]
    return cast("Function", compiled(function))


def cached_kernel(function: Function) -> Function:
    """Compile a kernel that Python calls, once for all processes."""
    compiled = njit(cache=True, nogil=True, _nrt=False)  # type: ignore[call-overload]
    return cast("Function", compiled(function))


def _vector_at(context: Any, builder: Any, kind: Any, array: Any, place: Any) -> Any:  # noqa: ANN401 - LLVM
    start = builder.gep(context.make_array(kind)(context, builder, array).data, [place])
    return builder.bitcast(start, ir.VectorType(ir.IntType(8), WIDTH).as_pointer())


def _first_set(builder: Any, found: Any) -> Any:  # noqa: ANN401 - LLVM
    mask = builder.bitcast(found, ir.IntType(WIDTH))
    return builder.zext(builder.cttz(mask, ir.Constant(ir.IntType(1), 0)), ir.IntType(64))


def _all(byte: int) -> Any:  # noqa: ANN401 - LLVM
    return ir.Constant(ir.VectorType(ir.IntType(8), WIDTH), [byte] * WIDTH)


def _copy_code(_: Any, data: Any, __: Any, out: Any, ___: Any) -> Any:  # noqa: ANN401 - types
    """Copy WIDTH bytes; returns how many precede a quote, backslash or control character."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ANN401 - LLVM
        source = _vector_at(context, builder, signature.args[0], args[0], args[1])
        target = _vector_at(context, builder, signature.args[2], args[2], args[3])
        chunk = builder.load(source, align=1)
        builder.store(chunk, target, align=1)
        found = builder.icmp_unsigned("<", chunk, _all(SPACE))
        for byte in (QUOTE, BACKSLASH):
            found = builder.or_(found, builder.icmp_unsigned("==", chunk, _all(byte)))
        return _first_set(builder, found)

    return types.int64(data, types.int64, out, types.int64), generate


copy_chunk: Any = intrinsic(_copy_code)


def _ascii_code(_: Any, data: Any, __: Any) -> Any:  # noqa: ANN401 - types
    """How many of the next WIDTH bytes come before the first that is not ASCII."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ANN401 - LLVM
        chunk = builder.load(_vector_at(context, builder, signature.args[0], *args), align=1)
        return _first_set(builder, builder.icmp_unsigned(">", chunk, _all(0x7F)))

    return types.int64(data, types.int64), generate


_ascii_chunk: Any = intrinsic(_ascii_code)


@kernel
def byte_at(data: Bytes, place: int) -> int:
    """The byte at a place, or 0, which never occurs in JSON, after the end."""
    return data[place] if place < len(data) else 0


@kernel
def skip_space(data: Bytes, place: int) -> int:
    """The first place from ``place`` on that is not white space within a line."""
    byte = byte_at(data, place)
    while byte in (SPACE, TAB, RETURN):
        place += 1
        byte = byte_at(data, place)
    return place


@kernel
def copy_raw(data: Bytes, start: int, end: int, out: Bytes, at: int) -> int:
    """Copy bytes; returns where the copy ends. Up to WIDTH bytes after it may change."""
    behind = at + end - start
    while start < end and start + WIDTH <= len(data):
        copy_chunk(data, start, out, at)
        start += WIDTH
        at += WIDTH
    while start < end:
        out[at] = data[start]
        start += 1
        at += 1
    return behind


@kernel
def copy_string(data: Bytes, place: int, out: Bytes, at: int) -> tuple[int, int]:
    """Copy a string without its quotes and escapes; returns the ends of string and copy.

    Args:
        data: the lines.
        place: the place after the opening quote.
        out: up to WIDTH bytes after the copy may change.
        at: where the copy begins.

    Returns:
        The place after the closing quote, BROKEN where the string is malformed or has a control
        character, half of a surrogate pair, or NUL; and the place after the copy.
    """
    while True:
        run = WIDTH
        while run == WIDTH and place + WIDTH <= len(data):
            run = copy_chunk(data, place, out, at)
            place += run
            at += run
        byte = byte_at(data, place)
        if byte == QUOTE:
            return place + 1, at
        if byte == BACKSLASH:
            place, at = _copy_escape(data, place + 1, out, at)
            if place == BROKEN:
                return BROKEN, at
        elif byte < SPACE:
            return BROKEN, at
        else:
            out[at] = byte
            place += 1
            at += 1


@kernel
def _copy_escape(data: Bytes, place: int, out: Bytes, at: int) -> tuple[int, int]:
    letter = byte_at(data, place)
    if letter != LOWER_U:
        out[at] = ESCAPES[letter]
        return (place + 1 if ESCAPES[letter] else BROKEN), at + 1
    code = _code_unit(data, place + 1)
    place += 5
    if FIRST_HIGH_SURROGATE <= code < FIRST_LOW_SURROGATE:
        is_pair = byte_at(data, place) == BACKSLASH and byte_at(data, place + 1) == LOWER_U
        low = _code_unit(data, place + 2) if is_pair else BROKEN
        if not FIRST_LOW_SURROGATE <= low <= LAST_SURROGATE:
            return BROKEN, at
        place += 6
        code = 0x10000 + ((code - FIRST_HIGH_SURROGATE) << 10) + (low - FIRST_LOW_SURROGATE)
    elif code <= 0 or FIRST_LOW_SURROGATE <= code <= LAST_SURROGATE:
        return BROKEN, at
    return place, _put(out, at, code)


@kernel
def _code_unit(data: Bytes, place: int) -> int:
    if place + 4 > len(data):
        return BROKEN
    code = 0
    for step in range(4):
        digit = DIGITS[data[place + step]]
        if digit == NO_DIGIT:
            return BROKEN
        code = code * 16 + int(digit)
    return code


@kernel
def _put(out: Bytes, at: int, code: int) -> int:
    """Write a code point as UTF-8; returns where it ends."""
    if code < 0x80:
        out[at] = code
        return at + 1
    size = 2 + int(code >= 0x800) + int(code >= 0x10000)
    for place in range(at + size - 1, at, -1):
        out[place] = 0x80 | (code & 0x3F)
        code >>= 6
    out[at] = ((0xF00 >> size) & 0xFF) | code
    return at + size


@kernel
def is_utf8(data: Bytes, place: int, end: int) -> bool:
    """Whether bytes are well-formed UTF-8 (Unicode, table 3-7)."""
    while place < end:
        if data[place] >= 0x80:
            size = _sequence(data, place, end)
            if not size:
                return False
            place += size
        elif place + WIDTH <= len(data):
            place += _ascii_chunk(data, place)
        else:
            place += 1
    return True


@cached_kernel
def mark_invalid(data: Bytes, offsets: npt.NDArray[np.int64], marks: npt.NDArray[np.bool_]) -> None:
    """Mark the strings that are not UTF-8.

    Args:
        data: the strings, one after the other.
        offsets: int64[n + 1].
        marks: bool[n], set by this function.
    """
    for row in range(len(marks)):
        marks[row] = not is_utf8(data, offsets[row], offsets[row + 1])


@kernel
def _sequence(data: Bytes, place: int, end: int) -> int:
    """Length of the well-formed sequence that begins at a place; 0 where there is none."""
    lead = data[place]
    size = 2 + int(lead >= 0xE0) + int(lead >= 0xF0)
    if lead < 0xC2 or lead > 0xF4 or place + size > end:
        return 0
    second = data[place + 1]
    least = 0xA0 if lead == 0xE0 else 0x90 if lead == 0xF0 else 0x80
    most = 0x9F if lead == 0xED else 0x8F if lead == 0xF4 else 0xBF
    if second < least or second > most:
        return 0
    for step in range(2, size):
        if data[place + step] & 0xC0 != 0x80:
            return 0
    return size
